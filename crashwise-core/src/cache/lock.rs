//! Kernel locks: they end with their process, whatever ends it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use super::error::CacheError;

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    Shared,
    Exclusive,
}

/// A lock file that is held until this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes a lock if it is free.
    pub(super) fn try_take(path: &Path, hold: Hold) -> Result<Option<Self>, CacheError> {
        loop {
            // A read-only cache has its lock files already, or nothing to lock.
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .or_else(|error| if is_read_only(&error) { File::open(path) } else { Err(error) })
                .map_err(CacheError::io(path))?;
            match try_lock(&file, hold) {
                // A file that was removed between opening and locking locks nothing.
                Ok(()) if is_removed(&file) => {}
                Ok(()) => return Ok(Some(Self { file })),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Err(CacheError::NoLocks { path: path.to_owned() });
                }
                Err(TryLockError::Error(source)) => {
                    return Err(CacheError::Io { path: path.to_owned(), source });
                }
            }
        }
    }

    /// Ends an exclusive lock and removes its file, so that files of what is gone do not pile up.
    pub(super) fn remove(self, path: &Path) {
        // While it is held: whoever opened the file before sees that it was removed.
        let _ = std::fs::remove_file(path);
        drop(self.file);
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

/// Whether an operation failed because nothing may be written there.
pub(super) fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

fn try_lock(file: &File, hold: Hold) -> Result<(), TryLockError> {
    match hold {
        Hold::Shared => file.try_lock_shared(),
        Hold::Exclusive => file.try_lock(),
    }
}

#[cfg(unix)]
fn is_removed(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|meta| meta.nlink() == 0)
}

/// Open files cannot be removed there.
#[cfg(not(unix))]
fn is_removed(_file: &File) -> bool {
    false
}
