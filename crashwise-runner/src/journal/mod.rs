//! The journal: what happened in runs, in order, and the source from which a run is continued.

mod event;
mod memory;

pub(crate) use event::{ChildFound, Event, Outcome, Record, RunEnd, StepEnd, Submission};
pub(crate) use memory::MemoryJournal;

use crashwise_core::RunId;
use std::fmt;
use std::sync::Arc;
use tokio::sync::oneshot;

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
    /// Another process has taken the run over.
    #[error("run {run} is owned by another process")]
    Fenced {
        /// The run.
        run: RunId,
    },
}

impl JournalError {
    pub(crate) fn storage(
        context: impl Into<String>,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Storage { context: context.into(), source: Arc::from(cause.into()) }
    }
}

/// Whether a record has to be on the disk soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Somebody waits for it.
    Now,
    /// With the next record that somebody waits for.
    Later,
}

/// The promise that a record is kept.
#[derive(Debug)]
pub(crate) struct Ack(Option<oneshot::Receiver<Result<(), JournalError>>>);

impl Ack {
    /// It is kept already.
    pub(crate) fn now() -> Self {
        Self(None)
    }

    pub(crate) async fn kept(self) -> Result<(), JournalError> {
        match self.0 {
            None => Ok(()),
            Some(result) => result.await.unwrap_or_else(|_| {
                Err(JournalError::storage("writing the journal failed", "its writer has ended"))
            }),
        }
    }
}

/// What became of a request for a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// There is a new run.
    New,
    /// The id or the idempotency key belongs to a run already.
    Exists { id: RunId, same: bool },
}

/// Keeps runs.
#[async_trait::async_trait]
pub(crate) trait Journal: Send + Sync + fmt::Debug {
    /// Notes a new run. It is durable when this returns.
    async fn create(&self, run: Submission) -> Result<Created, JournalError>;

    /// Takes a run: what happened in it, and the log to which more is appended. `None` when there is no such run.
    async fn open(&self, run: &RunId) -> Result<Option<(Box<dyn RunLog>, Vec<Record>)>, JournalError>;

    /// Lets go of a run that ended, when runs are kept in memory only.
    fn forget(&self, run: &RunId);
}

/// The end of one run's journal. Held by the one who carries the run out.
pub(crate) trait RunLog {
    /// Appends an event. Events of a run are kept in the order of these calls: one that is kept has all earlier ones
    /// with it.
    fn append(&mut self, at_ms: u64, event: Event, when: When) -> Ack;
}
