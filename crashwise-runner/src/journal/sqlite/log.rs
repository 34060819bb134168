//! The end of one run's journal.

use super::blobs::{INLINE, Kept};
use super::chain::{self, Encoded, Hash};
use super::writer::{Append, Writer};
use super::{JournalError, number};
use crate::RunStatus;
use crate::journal::{Ack, Event, RunLog, When};
use crashwise_core::RunId;
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

/// The end of one run's journal.
pub(crate) struct SqliteLog {
    writer: Writer,
    id: RunId,
    no: i64,
    /// Tells this hold on the run from later ones.
    hold: u64,
    seq: u64,
    hash: Hash,
}

impl SqliteLog {
    pub(crate) fn new(writer: Writer, id: RunId, no: i64, seq: u64, hash: Hash) -> Self {
        let hold = writer.next_hold();
        Self { writer, id, no, hold, seq, hash }
    }
}

impl RunLog for SqliteLog {
    fn append(&mut self, at_ms: u64, event: &Event, when: When) -> Ack {
        let (done, kept) = oneshot::channel();
        let encoded = match Encoded::new(event) {
            Ok(encoded) => encoded,
            Err(error) => {
                drop(done.send(Err(error)));
                return Ack::when(kept);
            }
        };
        self.seq += 1;
        self.hash = chain::next(&self.hash, self.seq, at_ms, &encoded.body);
        self.writer.append(Append {
            run: self.id.clone(),
            no: self.no,
            hold: self.hold,
            seq: self.seq,
            at_ms,
            hash: self.hash,
            step: event.step().map(|key| key.as_str().to_owned()),
            kind: encoded.kind,
            large: encoded.body.len() > INLINE,
            body: Kept::Inline(encoded.body),
            status: Change::of(event),
            done: (when == When::Now).then_some(done),
        });
        if when == When::Now { Ack::when(kept) } else { Ack::now() }
    }
}

/// What an event changes in the table of runs.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    status: RunStatus,
    error: Option<String>,
}

impl Change {
    fn of(event: &Event) -> Option<Self> {
        let (status, error) = match event {
            Event::Started { .. } | Event::Resumed => (RunStatus::Running, None),
            Event::Paused => (RunStatus::Paused, None),
            Event::Finished(end) => (end.status, end.error.clone()),
            _ => return None,
        };
        Some(Self { status, error })
    }

    pub(crate) fn apply(&self, connection: &Connection, no: i64, at_ms: u64) -> rusqlite::Result<()> {
        let ended = self.status.is_final().then(|| number(at_ms));
        connection
            .prepare_cached(
                "UPDATE runs SET status = ?2, error = ?3, updated_ms = ?4, ended_ms = ?5, \
                 owner = CASE WHEN ?5 IS NULL THEN owner ELSE NULL END WHERE no = ?1",
            )?
            .execute(params![no, self.status.as_str(), self.error, number(at_ms), ended])
            .map(drop)
    }
}

/// A row of the table of events.
pub(crate) struct Row<'r> {
    pub(crate) no: i64,
    pub(crate) seq: u64,
    pub(crate) at_ms: u64,
    pub(crate) hash: Hash,
    pub(crate) step: Option<&'r str>,
    pub(crate) kind: &'r str,
    pub(crate) body: &'r Kept,
}

impl Row<'_> {
    pub(crate) fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO events(run, seq, at_ms, kind, step, body, blob, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                self.no,
                number(self.seq),
                number(self.at_ms),
                self.kind,
                self.step,
                self.body.inline(),
                self.body.blob(),
                self.hash.as_slice()
            ])
            .map(drop)
    }
}

/// Whether an insert failed because the run has an event with this number: somebody else wrote it.
pub(crate) fn is_fenced(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
}

pub(crate) fn fenced(run: &RunId) -> JournalError {
    JournalError::Fenced { run: run.clone() }
}
