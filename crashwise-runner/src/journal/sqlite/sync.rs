//! Puts on the disk what was committed, then tells everybody who waits.
//!
//! SQLite commits without a sync of its own; nobody is told of a commit before its log is synced here. So the journal's
//! thread commits what comes meanwhile, and many commits may share one sync. Before SQLite moves its log into the database,
//! and before it begins the log anew, it syncs both by itself.

use super::commit::{Written, tell};
use super::pace::Pace;
use super::queue::Queue;
use super::{Durability, JournalError, storage};
use crate::failpoint;
use rusqlite::Connection;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was committed and is not on the disk.
pub(super) struct Syncs {
    /// The log of the database; none where nobody waits for the disk.
    log: Option<(PathBuf, File)>,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Written>,
    /// How long the last sync took, and what it says of the next.
    took: Duration,
    pace: Pace,
    /// A sync failed: what was written before and after it may not be on the disk, whatever later syncs say.
    failed: Option<JournalError>,
    ended: bool,
}

impl Syncs {
    /// Takes the syncs of a connection's commits over.
    pub(super) fn of(connection: &Connection, durability: Durability) -> Result<Self, JournalError> {
        let log = match (durability, connection.path()) {
            (Durability::Sync, Some(path)) => {
                let failed = || storage("preparing the journal failed");
                connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed())?;
                // The log is there once something was read.
                connection.pragma_query_value(None, "schema_version", |_| Ok(())).map_err(failed())?;
                let path = PathBuf::from(format!("{path}-wal"));
                let file = OpenOptions::new().read(true).write(true).open(&path).map_err(|error| {
                    JournalError::storage(format!("opening {} failed", path.display()), error)
                })?;
                Some((path, file))
            }
            _ => None,
        };
        Ok(Self { log, state: Mutex::default(), wake: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is anything to do for a thread.
    pub(super) fn are_wanted(&self) -> bool {
        self.log.is_some()
    }

    /// How long the last sync took.
    pub(super) fn took(&self) -> Duration {
        self.lock().took
    }

    /// What the last commit says of the next.
    pub(super) fn pace(&self) -> Pace {
        self.lock().pace
    }

    /// Hands over what was committed.
    pub(super) fn push(&self, written: Written, queue: &Queue) {
        if !self.are_wanted() {
            return self.settle(written);
        }
        let mut state = self.lock();
        state.waiting.push(written);
        queue.set_syncing(true);
        drop(state);
        self.wake.notify_one();
    }

    /// Says that nothing follows.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.wake.notify_one();
    }

    /// Syncs what is handed over, until nothing follows. `rest` commits what is not committed so far: who misses a sync waits
    /// for two.
    pub(super) fn work(&self, queue: &Queue, rest: impl Fn() -> Option<Written>) {
        while self.wait(queue) {
            let rest = rest();
            let waiting = std::mem::take(&mut self.lock().waiting);
            self.settle(waiting.into_iter().chain(rest).reduce(Written::and).unwrap_or_default());
        }
    }

    /// Waits until there is something to be synced. `false` when there is nothing and nothing follows.
    fn wait(&self, queue: &Queue) -> bool {
        let mut state = self.lock();
        while state.waiting.is_empty() && !state.ended {
            queue.set_syncing(false);
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.waiting.is_empty()
    }

    /// Syncs what was committed and tells who waits, on this thread.
    pub(super) fn settle(&self, mut written: Written) {
        let began = Instant::now();
        let synced = self.sync();
        {
            let mut state = self.lock();
            state.took = began.elapsed();
            state.pace = Pace::of(written.awaited(), written.took() + state.took);
            if let Err(error) = synced {
                state.failed.get_or_insert(error);
            }
            if let Some(error) = &state.failed {
                written.fail(error);
            }
        }
        tell(written);
    }

    fn sync(&self) -> Result<(), JournalError> {
        let Some((path, file)) = &self.log else { return Ok(()) };
        #[cfg(test)]
        crate::tests::power::synced(path);
        failpoint::pass("before sync");
        file.sync_data().map_err(|error| failure(path, error))?;
        failpoint::pass("after sync");
        Ok(())
    }
}

fn failure(path: &Path, error: io::Error) -> JournalError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => JournalError::Full,
        _ => JournalError::storage(format!("syncing {} failed", path.display()), error),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::journal::sqlite::queue::Command;
    use std::sync::mpsc;

    #[test]
    fn after_a_sync_that_failed_nobody_is_told_of_anything() {
        let path = PathBuf::from("/dev/null");
        // A device of which the system syncs nothing.
        let broken = (path.clone(), File::open(&path).unwrap());
        let log = tempfile::NamedTempFile::new().unwrap();
        let whole = (log.path().to_owned(), log.reopen().unwrap());
        let settle = |syncs: &Syncs| {
            let (send, told) = mpsc::channel();
            let told_by = Box::new(move |result| drop(send.send(result)));
            let command = Command::Exec { work: Box::new(|_| Ok(())), told: Some(told_by) };
            syncs.settle(Written::new(vec![(command, Ok(()))], Duration::ZERO));
            told.recv().unwrap()
        };
        let with = |log| Syncs { log: Some(log), state: Mutex::default(), wake: Condvar::new() };
        let mut syncs = with(broken);
        let error = settle(&syncs).unwrap_err();
        assert!(error.to_string().contains("syncing /dev/null failed"), "{error}");
        syncs.log = Some(whole);
        assert!(settle(&syncs).is_err());
        assert!(settle(&with((log.path().to_owned(), log.reopen().unwrap()))).is_ok());
    }
}
