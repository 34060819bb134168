//! Commits what has come together.

use super::blobs::{Blobs, Kept};
use super::chain::{End, Hash};
use super::log::{Change, Row, fenced, is_fenced};
use super::queue::{Command, Work};
use super::{JournalError, storage};
use crate::failpoint;
use crate::journal::Event;
use crashwise_core::RunId;
use crashwise_core::workflow::StepKey;
use rusqlite::Connection;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// An event on its way.
pub(crate) struct Append {
    pub(crate) run: RunId,
    pub(crate) no: i64,
    /// Tells this hold on the run from later ones.
    pub(crate) hold: u64,
    /// The end of the run's chain, to which it is added.
    pub(crate) end: Arc<Mutex<End>>,
    pub(crate) at_ms: u64,
    pub(crate) step: Option<StepKey>,
    pub(crate) kind: &'static str,
    pub(crate) body: Body,
    pub(crate) status: Option<Change>,
    pub(crate) done: Option<oneshot::Sender<Result<(), JournalError>>>,
    /// Its number and hash, once it has its place in the chain.
    pub(crate) place: Option<(u64, Hash)>,
}

/// The content of an event on its way.
pub(crate) enum Body {
    /// The begin of a step that was held back.
    Begin(Event),
    Bytes(Kept),
    /// The same, and it has to become a file first.
    Large(Kept),
}

/// What a commit needs. Whoever holds it commits.
pub(super) struct Desk {
    connection: Connection,
    blobs: Blobs,
    /// Holds on runs of which an event could not be written: none may follow it.
    failed: HashMap<u64, JournalError>,
    alone: Alone,
}

/// Which hold alone has written of late.
#[derive(Default)]
struct Alone {
    hold: u64,
    commits: u32,
}

impl Alone {
    /// So many commits for one hold in a row, and it may be taken to be alone.
    const ENOUGH: u32 = 4;

    /// A commit that takes longer than this keeps others waiting, however few they are.
    const SLOW: Duration = Duration::from_millis(20);

    fn note(&mut self, batch: &[Command], took: Duration) {
        let mut awaited = batch.iter().filter(|command| command.is_awaited());
        let hold = match (awaited.next(), awaited.next()) {
            (None, _) => return,
            (Some(Command::Append(append)), None) if took < Self::SLOW => append.hold,
            _ => 0,
        };
        self.commits = if hold != 0 && hold == self.hold { self.commits.saturating_add(1) } else { 0 };
        self.hold = hold;
    }
}

impl Desk {
    pub(super) fn new(connection: Connection, blobs: Blobs) -> Self {
        Self { connection, blobs, failed: HashMap::new(), alone: Alone::default() }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The hold that may commit by itself, because nobody else has written of late; 0 for none.
    pub(super) fn alone(&self) -> u64 {
        if self.alone.commits >= Alone::ENOUGH { self.alone.hold } else { 0 }
    }

    /// Commits a batch; the last sync took so long. When that fails, the batch is as it was.
    pub(super) fn commit(
        &mut self,
        batch: &mut Vec<Command>,
        sync: Duration,
    ) -> Result<Written, JournalError> {
        let began = Instant::now();
        match self.try_commit(batch) {
            Ok(results) => {
                let took = began.elapsed();
                self.alone.note(batch, took + sync);
                Ok(self.written(batch, results, took))
            }
            Err(error) => {
                // The connection is out of its transaction whatever happened.
                let _ = self.connection.execute_batch("ROLLBACK");
                self.alone = Alone::default();
                Err(error)
            }
        }
    }

    /// Gives a batch up.
    pub(super) fn give_up(&mut self, batch: &mut Vec<Command>, error: &JournalError) -> Written {
        let results = batch.iter().map(|_| Err(error.clone())).collect();
        self.written(batch, results, Duration::ZERO)
    }

    fn written(
        &mut self,
        batch: &mut Vec<Command>,
        results: Vec<Result<(), JournalError>>,
        took: Duration,
    ) -> Written {
        for (command, result) in batch.iter().zip(&results) {
            if let (Command::Append(append), Err(error)) = (command, result) {
                self.failed.entry(append.hold).or_insert_with(|| error.clone());
            }
        }
        Written::new(batch.drain(..).zip(results).collect(), took)
    }

    fn try_commit(&mut self, batch: &mut [Command]) -> Result<Vec<Result<(), JournalError>>, JournalError> {
        place(batch)?;
        // Payloads are on the disk before an event names them.
        for command in batch.iter_mut() {
            if let Command::Append(append) = command
                && let Body::Large(bytes) = &append.body
                && let Some(bytes) = bytes.inline()
            {
                failpoint::pass("before blob");
                append.body = Body::Bytes(self.blobs.put_large(bytes)?);
                failpoint::pass("after blob");
            }
        }
        let failed = || storage("writing the journal failed");
        let run = |text: &str| self.connection.prepare_cached(text)?.execute([]);
        failpoint::pass("before begin");
        run("BEGIN IMMEDIATE").map_err(failed())?;
        let mut insert = Row::insert(&self.connection).map_err(failed())?;
        let mut fenced_now: Vec<u64> = Vec::new();
        let mut results = Vec::with_capacity(batch.len());
        for command in batch.iter_mut() {
            let result = match command {
                Command::Append(append) => {
                    if let Some(error) = self.failed.get(&append.hold) {
                        Err(error.clone())
                    } else if fenced_now.contains(&append.hold) {
                        Err(fenced(&append.run))
                    } else {
                        failpoint::pass("before insert");
                        match append.insert(&self.connection, &mut insert) {
                            Err(error) if is_fenced(&error) => {
                                fenced_now.push(append.hold);
                                Err(fenced(&append.run))
                            }
                            Err(error) => return Err(failed()(error)),
                            Ok(()) => {
                                failpoint::pass("after insert");
                                Ok(())
                            }
                        }
                    }
                }
                Command::Exec { work, .. } => match self.apart(work) {
                    Ok(()) => Ok(()),
                    Err(error) if passes(&error) => return Err(failed()(error)),
                    Err(error) => Err(failed()(error)),
                },
            };
            results.push(result);
        }
        drop(insert);
        failpoint::pass("before commit");
        run("COMMIT").map_err(failed())?;
        failpoint::pass("after commit");
        Ok(results)
    }

    /// Does work so that nothing of it stays when it fails.
    fn apart(&self, work: &mut Work) -> rusqlite::Result<()> {
        let run = |text: &str| self.connection.prepare_cached(text)?.execute([]);
        run("SAVEPOINT apart")?;
        let result = work(&self.connection);
        if result.is_err() {
            run("ROLLBACK TO apart")?;
        }
        run("RELEASE apart")?;
        result
    }
}

/// What was committed, of which nobody has been told.
#[derive(Default)]
pub(super) struct Written {
    commands: Vec<(Command, Result<(), JournalError>)>,
    took: Duration,
}

impl Written {
    pub(super) fn new(commands: Vec<(Command, Result<(), JournalError>)>, took: Duration) -> Self {
        Self { commands, took }
    }

    /// How many wait.
    pub(super) fn awaited(&self) -> usize {
        self.commands.iter().filter(|(command, _)| command.is_awaited()).count()
    }

    /// How long it took to commit.
    pub(super) fn took(&self) -> Duration {
        self.took
    }

    /// With what was committed after it.
    pub(super) fn and(mut self, next: Self) -> Self {
        self.commands.extend(next.commands);
        self.took += next.took;
        self
    }

    /// Says that nobody knows whether it lasts.
    pub(super) fn fail(&mut self, error: &JournalError) {
        for (_, result) in &mut self.commands {
            *result = Err(error.clone());
        }
    }
}

/// Tells everybody who waits.
pub(super) fn tell(written: Written) {
    failpoint::pass("before ack");
    for (command, result) in written.commands {
        match command {
            Command::Append(append) => {
                if let Some(done) = append.done {
                    drop(done.send(result));
                }
            }
            Command::Exec { told: Some(told), .. } => told(result),
            Command::Exec { .. } => {}
        }
    }
    failpoint::pass("after ack");
}

impl Append {
    fn insert(
        &self,
        connection: &Connection,
        row: &mut rusqlite::CachedStatement<'_>,
    ) -> rusqlite::Result<()> {
        let (Body::Bytes(body), Some((seq, hash))) = (&self.body, self.place) else { return Ok(()) };
        let event = Row {
            no: self.no,
            seq,
            at_ms: self.at_ms,
            hash,
            step: self.step.as_ref().map(StepKey::as_str),
            kind: self.kind,
            body,
        };
        event.put(row)?;
        match &self.status {
            Some(change) => change.apply(connection, self.no, self.at_ms),
            None => Ok(()),
        }
    }
}

/// Gives each event that has none its place in the chain of its run.
fn place(batch: &mut [Command]) -> Result<(), JournalError> {
    for command in batch {
        let Command::Append(append) = command else { continue };
        if let Body::Begin(event) = &append.body {
            append.body = Body::Bytes(Kept::Inline(super::chain::encode(event)?));
        }
        if let (None, Body::Bytes(body) | Body::Large(body)) = (append.place, &append.body) {
            let body = body.inline().unwrap_or_default();
            let mut end = append.end.lock().unwrap_or_else(PoisonError::into_inner);
            append.place = Some(end.add(append.at_ms, body));
        }
    }
    Ok(())
}

/// Whether the whole batch may succeed later.
fn passes(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked | DiskFull | SystemIoFailure))
}

/// Whether a commit that failed may succeed later.
pub(super) fn may_pass(error: &JournalError) -> bool {
    match error {
        JournalError::Full => true,
        JournalError::Storage { source, .. } => source.downcast_ref::<rusqlite::Error>().is_some_and(passes),
        _ => false,
    }
}
