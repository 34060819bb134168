//! Who carries out runs: each process holds a lock on a file, which the system releases when the process ends.

use super::JournalError;
use crate::failpoint;
use crashwise_core::RunId;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// This process as one that carries out runs.
#[derive(Debug)]
pub(crate) struct Owner {
    name: String,
    path: PathBuf,
    lock: Mutex<Option<File>>,
}

impl Owner {
    pub(crate) fn new(folder: &Path) -> Result<Self, JournalError> {
        let name = RunId::generate().to_string();
        let path = file(folder, &name);
        let failed = |error| JournalError::storage(format!("locking {} failed", path.display()), error);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        failpoint::pass("before owner");
        let lock = File::create_new(&path).map_err(failed)?;
        failpoint::pass("before lock");
        lock.lock().map_err(failed)?;
        failpoint::pass("after lock");
        Ok(Self { name, path, lock: Mutex::new(Some(lock)) })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Gives the lock back before the end of the process.
    pub(crate) fn let_go(&self) {
        if let Some(lock) = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Runs that are not over belong to nobody from here on, whether or not the file goes.
            let _ = fs::remove_file(&self.path);
            drop(lock);
        }
    }

    #[allow(clippy::unused_self, reason = "an owner has a clock")]
    pub(crate) fn now_ms(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether the process of a name is there.
    pub(crate) fn is_alive(folder: &Path, name: Option<&str>) -> bool {
        let Some(name) = name else { return false };
        // A name is what this program made; anything else in the column names no process.
        if RunId::new(name).is_err() {
            return false;
        }
        let path = file(folder, name);
        let Ok(lock) = File::open(&path) else { return false };
        match lock.try_lock() {
            Ok(()) => {
                // It is gone, and so is its name: names are never used again.
                let _ = fs::remove_file(&path);
                false
            }
            // Held; or on a file system without locks, where nobody can tell, and taking a run from a living process
            // would be worse than leaving it.
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => true,
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.let_go();
    }
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join("owners").join(format!("{name}.lock"))
}
