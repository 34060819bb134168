//! Writing: one thread commits what has come together, then tells everybody who waits.
//!
//! A run that has the journal for itself commits with its own thread: to hand each event over and to be woken afterwards
//! takes as long as a quick disk does. As soon as somebody else writes as well, the thread does it for all of them at once.

use super::JournalError;
use super::blobs::Blobs;
use super::commit::{Append, Desk, hold_back, may_pass};
use super::pace::Pace;
use super::queue::{Command, Queue};
use rusqlite::Connection;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A log of more bytes than this is moved into the database when its writer ends.
const LONG_LOG: u64 = 256 << 10;

/// How long a full disk or a busy database is waited out before who waits is told.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A hand on the writer thread.
#[derive(Clone)]
pub(crate) struct Writer {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread and those who write share.
struct Shared {
    queue: Queue,
    desk: Mutex<Desk>,
    /// The hold that may commit by itself; 0 for none.
    alone: AtomicU64,
    holds: AtomicU64,
    patience_ms: AtomicU64,
}

impl Writer {
    pub(crate) fn start(connection: Connection, blobs: Blobs) -> Result<Self, JournalError> {
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            desk: Mutex::new(Desk::new(connection, blobs)),
            alone: AtomicU64::new(0),
            holds: AtomicU64::new(1),
            patience_ms: AtomicU64::new(crate::engine::millis(PATIENCE)),
        });
        let writing = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("crashwise-journal".into())
            .spawn(move || writing.work())
            .map_err(|error| JournalError::storage("starting the journal's thread failed", error))?;
        Ok(Self { inner: Arc::new(Inner { shared, thread: Mutex::new(Some(thread)) }) })
    }

    fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    pub(crate) fn next_hold(&self) -> u64 {
        self.shared().holds.fetch_add(1, Ordering::Relaxed)
    }

    /// Sets how long a full disk is waited out.
    pub(crate) fn set_patience(&self, time: Duration) {
        self.shared().patience_ms.store(crate::engine::millis(time), Ordering::Relaxed);
    }

    /// Hands an event over. Where nobody else writes, one that is waited for is committed when this returns.
    pub(crate) fn append(&self, append: Append) {
        let shared = self.shared();
        let by_itself = append.done.is_some() && shared.alone.load(Ordering::Relaxed) == append.hold;
        let command = Command::Append(Box::new(append));
        if by_itself && let Ok(mut desk) = shared.desk.try_lock() {
            let mut batch = shared.queue.push_and_take(command);
            let began = Instant::now();
            let result = desk.commit(&mut batch);
            shared.alone.store(desk.alone(), Ordering::Relaxed);
            if result.is_err() {
                // The thread has the patience for it.
                shared.queue.put_back(batch, began);
            }
        } else {
            shared.queue.push(command);
        }
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
        self.shared().queue.push(Command::Exec {
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
        self.shared().queue.push(Command::Exec { work: Box::new(work), told: None });
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.queue.end();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            // What was handed over is on the disk when the journal is closed.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn work(&self) {
        let mut pace = Pace::default();
        while self.queue.wait() {
            pace.gather(&self.queue);
            let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
            // Somebody may have committed by itself meanwhile.
            let mut batch = self.queue.take();
            if !self.queue.is_ended()
                && let Some((held, since)) = hold_back(&mut batch)
            {
                self.queue.put_back(held, since);
            }
            if !batch.is_empty() {
                let told = batch.iter().filter(|command| command.is_awaited()).count();
                let began = Instant::now();
                self.commit(&mut desk, &mut batch);
                pace.note(told, began.elapsed());
                self.alone.store(desk.alone(), Ordering::Relaxed);
            }
        }
        self.desk.lock().unwrap_or_else(PoisonError::into_inner).shorten();
    }

    /// Commits a batch, with patience.
    fn commit(&self, desk: &mut Desk, batch: &mut Vec<Command>) {
        let began = Instant::now();
        while let Err(error) = desk.commit(batch) {
            let patience = Duration::from_millis(self.patience_ms.load(Ordering::Relaxed));
            if may_pass(&error) && began.elapsed() < patience {
                std::thread::sleep(Duration::from_millis(50));
            } else {
                return desk.give_up(batch, &error);
            }
        }
    }
}

impl Desk {
    /// Moves a log that has grown long into the database: whoever opens the journal next reads all of it first. Where
    /// another process is in the way, that one does it.
    fn shorten(&self) {
        let connection = self.connection();
        let log = connection.path().map(|path| format!("{path}-wal"));
        let length = log.and_then(|log| std::fs::metadata(log).ok()).map_or(0, |log| log.len());
        if length > LONG_LOG && connection.busy_timeout(Duration::ZERO).is_ok() {
            let _ = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
        }
    }
}
