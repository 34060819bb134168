//! The end of one run's journal.

use super::begins::Begins;
use super::blobs::{INLINE, Kept};
use super::chain::{self, End, Hash};
use super::commit::{Append, Body};
use super::writer::Writer;
use super::{JournalError, number};
use crate::RunStatus;
use crate::failpoint;
use crate::journal::{Ack, Event, RunLog};
use crashwise_core::RunId;
use rusqlite::{CachedStatement, Connection, params};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// The end of one run's journal.
pub(crate) struct SqliteLog {
    writer: Writer,
    id: RunId,
    no: i64,
    /// Tells this hold on the run from later ones.
    hold: u64,
    end: Arc<Mutex<End>>,
    begins: Arc<Begins>,
}

impl SqliteLog {
    pub(crate) fn new(writer: Writer, id: RunId, no: i64, end: End) -> Self {
        let hold = writer.next_hold();
        Self { writer, id, no, hold, end: Arc::new(Mutex::new(end)), begins: Arc::default() }
    }

    /// Hands an event over, after the begins that it follows. Those of other steps need not come before what steps do.
    fn hand_over(&self, event: &Event, append: Append) {
        match event {
            Event::StepEnded(end) => self.begins.supersede(&end.key),
            Event::StepStarted { .. } => {}
            _ => self.begins.take().for_each(|begin| self.writer.append(begin)),
        }
        self.writer.append(append);
    }

    /// An event without its content.
    fn draft(&self, at_ms: u64, event: &Event) -> Append {
        Append {
            run: self.id.clone(),
            no: self.no,
            hold: self.hold,
            end: Arc::clone(&self.end),
            at_ms,
            step: event.step().cloned(),
            kind: event.kind(),
            status: Change::of(event),
            body: Body::Bytes(Kept::Inline(Vec::new())),
            done: None,
            place: None,
        }
    }
}

impl RunLog for SqliteLog {
    fn append(&mut self, at_ms: u64, event: &Event) -> Ack {
        let (done, kept) = oneshot::channel();
        match encoded(event) {
            Ok(body) => {
                failpoint::pass("before append");
                self.hand_over(event, Append { body, done: Some(done), ..self.draft(at_ms, event) });
                failpoint::pass("after append");
            }
            Err(error) => drop(done.send(Err(error))),
        }
        Ack::when(kept)
    }

    fn note(&mut self, at_ms: u64, event: Event) {
        let draft = self.draft(at_ms, &event);
        if let Event::StepStarted { key, .. } = &event {
            let key = key.clone();
            if self.begins.hold(key, Append { body: Body::Begin(event), ..draft }) {
                self.writer.watch(Arc::clone(&self.begins));
            }
        } else if let Ok(body) = encoded(&event) {
            self.hand_over(&event, Append { body, ..draft });
        }
    }
}

fn encoded(event: &Event) -> Result<Body, JournalError> {
    let body = chain::encode(event)?;
    let large = body.len() > INLINE;
    let body = Kept::Inline(body);
    Ok(if large { Body::Large(body) } else { Body::Bytes(body) })
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
    /// The statement that puts rows into the table.
    pub(crate) fn insert(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
        connection.prepare_cached(
            "INSERT INTO events(run, seq, at_ms, kind, step, body, blob, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
    }

    pub(crate) fn put(&self, insert: &mut CachedStatement<'_>) -> rusqlite::Result<()> {
        insert
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
