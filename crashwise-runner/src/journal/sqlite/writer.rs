//! Writing: one thread commits what has come together, another syncs it and tells everybody who waits.
//!
//! A run that has the journal for itself does both with its own thread: to hand each event over and to be woken afterwards
//! takes as long as a quick disk does. As soon as somebody else writes as well, the threads do it for all of them at once.

use super::begins::Begins;
use super::blobs::Blobs;
use super::commit::{Append, Desk, Written, may_pass};
use super::queue::{Command, Queue};
use super::sync::Syncs;
use super::{Durability, JournalError};
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
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads and those who write share.
struct Shared {
    queue: Queue,
    desk: Mutex<Desk>,
    syncs: Syncs,
    /// The hold that may commit by itself; 0 for none.
    alone: AtomicU64,
    holds: AtomicU64,
    patience_ms: AtomicU64,
}

impl Writer {
    pub(crate) fn start(
        connection: Connection,
        blobs: Blobs,
        durability: Durability,
    ) -> Result<Self, JournalError> {
        let syncs = Syncs::of(&connection, durability)?;
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            desk: Mutex::new(Desk::new(connection, blobs)),
            syncs,
            alone: AtomicU64::new(0),
            holds: AtomicU64::new(1),
            patience_ms: AtomicU64::new(crate::engine::millis(PATIENCE)),
        });
        let inner = Arc::new(Inner { shared: Arc::clone(&shared), threads: Mutex::default() });
        let start = |name: &str, work: fn(&Shared)| {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(name.into()).spawn(move || work(&shared));
            thread.map_err(|error| JournalError::storage("starting a thread of the journal failed", error))
        };
        let mut threads = vec![start("crashwise-journal", Shared::work)?];
        if shared.syncs.are_wanted() {
            threads.push(start("crashwise-sync", |shared| {
                shared.syncs.work(&shared.queue, || shared.commit_rest());
            })?);
        }
        *inner.threads.lock().unwrap_or_else(PoisonError::into_inner) = threads;
        Ok(Self { inner })
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
            let batch = shared.queue.push_and_take(command);
            if let Some(written) = shared.commit_once(&mut desk, batch) {
                shared.syncs.settle(written);
            }
        } else {
            shared.queue.push(command);
        }
    }

    /// Has begins of steps that are held back written in time.
    pub(super) fn watch(&self, begins: Arc<Begins>) {
        self.shared().queue.watch(begins);
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
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let current = std::thread::current().id();
        if threads.iter().all(|thread| thread.thread().id() != current) {
            // What was handed over is on the disk when the journal is closed.
            for thread in threads {
                drop(thread.join());
            }
        }
    }
}

impl Shared {
    fn work(&self) {
        while self.queue.wait() {
            if !self.queue.is_syncing() {
                self.syncs.pace().gather(&self.queue);
            }
            let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
            // Somebody may have committed by itself meanwhile.
            let mut batch = self.queue.take();
            if !batch.is_empty() {
                let written = self.commit(&mut desk, &mut batch);
                self.alone.store(desk.alone(), Ordering::Relaxed);
                self.syncs.push(written, &self.queue);
            }
        }
        self.syncs.end();
        self.desk.lock().unwrap_or_else(PoisonError::into_inner).shorten();
    }

    /// Commits what waits right before a sync.
    fn commit_rest(&self) -> Option<Written> {
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        if self.queue.awaited() == 0 {
            return None;
        }
        let batch = self.queue.take();
        self.commit_once(&mut desk, batch)
    }

    /// Commits a batch, or puts it back where that fails: the journal's thread has the patience for it.
    fn commit_once(&self, desk: &mut Desk, mut batch: Vec<Command>) -> Option<Written> {
        let began = Instant::now();
        let result = desk.commit(&mut batch, self.syncs.took());
        self.alone.store(desk.alone(), Ordering::Relaxed);
        if result.is_err() {
            self.queue.put_back(batch, began);
        }
        result.ok()
    }

    /// Commits a batch, with patience.
    fn commit(&self, desk: &mut Desk, batch: &mut Vec<Command>) -> Written {
        let began = Instant::now();
        loop {
            let error = match desk.commit(batch, self.syncs.took()) {
                Ok(written) => return written,
                Err(error) => error,
            };
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
