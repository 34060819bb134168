//! The one thread that writes: it commits what has come together, then tells everybody who waits.

use super::blobs::{Blobs, Kept};
use super::chain::Hash;
use super::failpoint;
use super::log::{Change, Row, fenced, is_fenced};
use super::{JournalError, storage};
use crashwise_core::RunId;
use rusqlite::Connection;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The most commands in one commit.
const BATCH: usize = 4096;

/// How long events wait that nobody waits for.
const LINGER: Duration = Duration::from_millis(20);

/// A log of more bytes than this is moved into the database when its writer ends.
const LONG_LOG: u64 = 512 << 10;

/// How long a full disk or a busy database is waited out before who waits is told.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// An event on its way.
pub(crate) struct Append {
    pub(crate) run: RunId,
    pub(crate) no: i64,
    pub(crate) hold: u64,
    pub(crate) seq: u64,
    pub(crate) at_ms: u64,
    pub(crate) hash: Hash,
    pub(crate) step: Option<String>,
    pub(crate) kind: &'static str,
    pub(crate) body: Kept,
    /// Whether the body has to become a file first.
    pub(crate) large: bool,
    pub(crate) status: Option<Change>,
    pub(crate) done: Option<oneshot::Sender<Result<(), JournalError>>>,
}

type Work = Box<dyn FnMut(&Connection) -> rusqlite::Result<()> + Send>;
type Told = Box<dyn FnOnce(Result<(), JournalError>) + Send>;

enum Command {
    Append(Box<Append>),
    Exec {
        work: Work,
        told: Option<Told>,
    },
    /// Commit what there is and end.
    End,
}

impl Command {
    fn is_awaited(&self) -> bool {
        match self {
            Self::Append(append) => append.done.is_some(),
            Self::Exec { told, .. } => told.is_some(),
            Self::End => true,
        }
    }
}

/// A hand on the writer thread.
#[derive(Clone)]
pub(crate) struct Writer {
    inner: Arc<Inner>,
}

struct Inner {
    commands: Sender<Command>,
    holds: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
    patience_ms: Arc<AtomicU64>,
}

impl Writer {
    pub(crate) fn start(connection: Connection, blobs: Blobs) -> Result<Self, JournalError> {
        let (commands, received) = channel();
        let patience_ms = Arc::new(AtomicU64::new(crate::engine::millis(PATIENCE)));
        let mut thread =
            Thread { connection, blobs, failed: HashMap::new(), patience_ms: Arc::clone(&patience_ms) };
        let thread = std::thread::Builder::new()
            .name("crashwise-journal".into())
            .spawn(move || thread.work(&received))
            .map_err(|error| JournalError::storage("starting the journal's thread failed", error))?;
        let inner =
            Inner { commands, holds: AtomicU64::new(1), thread: Mutex::new(Some(thread)), patience_ms };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(crate) fn next_hold(&self) -> u64 {
        self.inner.holds.fetch_add(1, Ordering::Relaxed)
    }

    /// Sets how long a full disk is waited out.
    pub(crate) fn set_patience(&self, time: Duration) {
        self.inner.patience_ms.store(crate::engine::millis(time), Ordering::Relaxed);
    }

    pub(crate) fn append(&self, append: Append) {
        // When the thread has ended, who waits sees that its sender is gone.
        let _ = self.inner.commands.send(Command::Append(Box::new(append)));
    }

    /// Does something in the next commit and waits for it. It may be done several times, until one commit holds.
    pub(crate) async fn exec<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (done, result) = oneshot::channel();
        self.send_exec(work, move |result| drop(done.send(result)));
        result.await.unwrap_or(Err(JournalError::Closed))
    }

    fn send_exec<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
        done: impl FnOnce(Result<T, JournalError>) + Send + 'static,
    ) {
        let value: Arc<Mutex<Option<T>>> = Arc::default();
        let made = Arc::clone(&value);
        let _ = self.inner.commands.send(Command::Exec {
            work: Box::new(move |connection| {
                let value = work(connection)?;
                *made.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                Ok(())
            }),
            told: Some(Box::new(move |result| {
                let value = value.lock().unwrap_or_else(PoisonError::into_inner).take();
                done(result.and_then(|()| value.ok_or(JournalError::Closed)));
            })),
        });
    }

    /// Does something in one of the next commits. Nobody learns whether it worked.
    pub(crate) fn exec_later(&self, work: impl FnMut(&Connection) -> rusqlite::Result<()> + Send + 'static) {
        let _ = self.inner.commands.send(Command::Exec { work: Box::new(work), told: None });
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::End);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            // What was handed over is on the disk when the journal is closed.
            let _ = thread.join();
        }
    }
}

struct Thread {
    connection: Connection,
    blobs: Blobs,
    /// Holds on runs of which an event could not be written: none may follow it.
    failed: HashMap<u64, JournalError>,
    patience_ms: Arc<AtomicU64>,
}

impl Thread {
    fn work(&mut self, commands: &Receiver<Command>) {
        let mut batch = Vec::new();
        let mut ends = false;
        while !ends && let Ok(first) = commands.recv() {
            let began = Instant::now();
            let mut awaited = first.is_awaited();
            batch.push(first);
            loop {
                let next = if awaited {
                    commands.try_recv().ok()
                } else {
                    commands.recv_timeout(LINGER.saturating_sub(began.elapsed())).ok()
                };
                let Some(next) = next else { break };
                awaited |= next.is_awaited();
                batch.push(next);
                if batch.len() >= BATCH {
                    break;
                }
            }
            ends = batch.iter().any(|command| matches!(command, Command::End));
            self.commit(&mut batch);
        }
        self.shorten();
    }

    /// Moves a log that has grown long into the database: whoever opens the journal next reads all of it first. Where
    /// another process is in the way, that one does it.
    fn shorten(&self) {
        let log = self.connection.path().map(|path| format!("{path}-wal"));
        let length = log.and_then(|log| std::fs::metadata(log).ok()).map_or(0, |log| log.len());
        if length > LONG_LOG && self.connection.busy_timeout(Duration::ZERO).is_ok() {
            let _ = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
        }
    }

    /// Commits a batch and tells who waits.
    fn commit(&mut self, batch: &mut Vec<Command>) {
        let began = Instant::now();
        let results = loop {
            match self.try_commit(batch) {
                Ok(results) => break results,
                Err(error) => {
                    // The connection is out of its transaction whatever happened.
                    let _ = self.connection.execute_batch("ROLLBACK");
                    let patience = Duration::from_millis(self.patience_ms.load(Ordering::Relaxed));
                    if may_pass(&error) && began.elapsed() < patience {
                        std::thread::sleep(Duration::from_millis(50));
                    } else {
                        break batch.iter().map(|_| Err(error.clone())).collect();
                    }
                }
            }
        };
        failpoint::pass("before ack");
        for (command, result) in batch.drain(..).zip(results) {
            match command {
                Command::Append(append) => {
                    if let Err(error) = &result {
                        self.failed.entry(append.hold).or_insert_with(|| error.clone());
                    }
                    if let Some(done) = append.done {
                        drop(done.send(result));
                    }
                }
                Command::Exec { told: Some(told), .. } => told(result),
                Command::Exec { .. } | Command::End => {}
            }
        }
        failpoint::pass("after ack");
    }

    fn try_commit(&mut self, batch: &mut [Command]) -> Result<Vec<Result<(), JournalError>>, JournalError> {
        // Payloads are on the disk before an event names them.
        for command in batch.iter_mut() {
            if let Command::Append(append) = command
                && append.large
                && let Some(bytes) = append.body.inline()
            {
                failpoint::pass("before blob");
                append.body = self.blobs.put_large(bytes)?;
                failpoint::pass("after blob");
            }
        }
        let failed = storage("writing the journal failed");
        failpoint::pass("before begin");
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(storage("writing the journal failed"))?;
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
                        match append.insert(&self.connection) {
                            Err(error) if is_fenced(&error) => {
                                fenced_now.push(append.hold);
                                Err(fenced(&append.run))
                            }
                            Err(error) => return Err(failed(error)),
                            Ok(()) => Ok(()),
                        }
                    }
                }
                Command::Exec { work, .. } => match self.apart(work) {
                    Ok(()) => Ok(()),
                    Err(error) if passes(&error) => return Err(failed(error)),
                    Err(error) => Err(storage("writing the journal failed")(error)),
                },
                Command::End => Ok(()),
            };
            results.push(result);
        }
        failpoint::pass("before commit");
        self.connection.execute_batch("COMMIT").map_err(failed)?;
        failpoint::pass("after commit");
        Ok(results)
    }

    /// Does work so that nothing of it stays when it fails.
    fn apart(&self, work: &mut Work) -> rusqlite::Result<()> {
        self.connection.execute_batch("SAVEPOINT apart")?;
        let result = work(&self.connection);
        if result.is_err() {
            self.connection.execute_batch("ROLLBACK TO apart")?;
        }
        self.connection.execute_batch("RELEASE apart")?;
        result
    }
}

impl Append {
    fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        let row = Row {
            no: self.no,
            seq: self.seq,
            at_ms: self.at_ms,
            hash: self.hash,
            step: self.step.as_deref(),
            kind: self.kind,
            body: &self.body,
        };
        row.insert(connection)?;
        match &self.status {
            Some(change) => change.apply(connection, self.no, self.at_ms),
            None => Ok(()),
        }
    }
}

/// Whether the whole batch may succeed later.
fn passes(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked | DiskFull | SystemIoFailure))
}

fn may_pass(error: &JournalError) -> bool {
    match error {
        JournalError::Full => true,
        JournalError::Storage { source, .. } => source.downcast_ref::<rusqlite::Error>().is_some_and(passes),
        _ => false,
    }
}
