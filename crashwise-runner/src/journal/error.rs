//! Why the journal could not do its work.

use crashwise_core::RunId;
use std::path::PathBuf;
use std::sync::Arc;

/// Why the journal could not do its work.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Reading or writing failed.
    #[error("{context}")]
    Storage {
        /// What was being done.
        context: String,
        /// The cause.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The disk is full.
    #[error("disk is full")]
    Full,
    /// Another process carries the run out.
    #[error("run {run} is carried out by another process")]
    Owned {
        /// The run.
        run: RunId,
    },
    /// Another process took the run over while this one carried it out.
    #[error("run {run} was taken over by another process")]
    Fenced {
        /// The run.
        run: RunId,
    },
    /// What is stored of a run is not what was written.
    #[error("journal of run {run} is damaged at event {seq}: {problem}")]
    Corrupt {
        /// The run.
        run: RunId,
        /// The number of the event.
        seq: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The file is not a journal.
    #[error("{} is not a journal of crashwise: {problem}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        problem: String,
    },
    /// The file was written by a later version.
    #[error("{} has format {found}, but this version knows formats up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// The journal was closed.
    #[error("journal is closed")]
    Closed,
}

impl JournalError {
    #[cfg(feature = "local")]
    pub(crate) fn storage(
        context: impl Into<String>,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Storage { context: context.into(), source: Arc::from(cause.into()) }
    }
}
