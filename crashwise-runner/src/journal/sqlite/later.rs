//! A connection that is opened when it is first needed: a short run only writes.

use super::JournalError;
use super::schema::{Access, open};
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// A connection that only reads, opened when it is first needed.
#[derive(Debug)]
pub(crate) struct LaterReader {
    folder: PathBuf,
    connection: OnceLock<Mutex<Connection>>,
}

impl LaterReader {
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), connection: OnceLock::new() }
    }

    /// The connection. Of two threads that open it at once, one throws its own away.
    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, Connection>, JournalError> {
        let connection = if let Some(connection) = self.connection.get() {
            connection
        } else {
            let opened = open(&self.folder, Access::Read)?;
            self.connection.get_or_init(|| Mutex::new(opened))
        };
        Ok(connection.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
