//! The journal: what happened in runs, in order, and the source from which a run is continued.

mod error;
mod event;
mod memory;
#[cfg(feature = "local")]
pub(crate) mod sqlite;

pub use error::JournalError;
pub(crate) use event::{ChildFound, Event, Outcome, Record, RunEnd, StepEnd, Submission};
pub(crate) use memory::MemoryJournal;

use crashwise_core::{Fingerprint, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use tokio::sync::oneshot;

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

    #[cfg(feature = "local")]
    pub(crate) fn when(kept: oneshot::Receiver<Result<(), JournalError>>) -> Self {
        Self(Some(kept))
    }

    pub(crate) async fn kept(self) -> Result<(), JournalError> {
        match self.0 {
            None => Ok(()),
            Some(result) => result.await.unwrap_or(Err(JournalError::Closed)),
        }
    }
}

/// What became of a request for a run.
pub(crate) enum Created {
    /// There is a new run, and this is the end of its journal.
    New(Box<dyn RunLog>),
    /// The id or the idempotency key belongs to a run already; `same` when that was asked for with the same workflow,
    /// target and parameters.
    Exists { id: RunId, same: bool },
}

/// A run taken from the journal.
pub(crate) struct Taken {
    pub(crate) log: Box<dyn RunLog>,
    pub(crate) records: Vec<Record>,
}

/// A result of a step that other runs may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cached {
    pub(crate) value: Value,
    /// When it was made, in milliseconds since 1970.
    pub(crate) made_ms: u64,
    /// What it took to make it.
    pub(crate) cost_ms: u64,
}

/// Keeps runs.
#[async_trait::async_trait]
pub(crate) trait Journal: Send + Sync + fmt::Debug {
    /// Notes a new run, which belongs to this process. It is durable when this returns.
    async fn create(&self, run: &Arc<Submission>) -> Result<Created, JournalError>;

    /// Takes a run that nobody carries out. `None` when there is no such run.
    async fn take(&self, run: &RunId) -> Result<Option<Taken>, JournalError>;

    /// Lets go of a run that ended, when runs are kept in memory only.
    fn forget(&self, run: &RunId);

    /// The result that any run has for a step.
    async fn cached(&self, fp: &Fingerprint) -> Result<Option<Cached>, JournalError>;

    /// Keeps a result for other runs. Not waited for.
    fn cache(&self, fp: &Fingerprint, module: &str, result: Cached);
}

/// The end of one run's journal. Held by the one who carries the run out.
pub(crate) trait RunLog: Send {
    /// Appends an event. Events of a run are kept in the order of these calls: one that is kept has all earlier ones
    /// with it.
    fn append(&mut self, at_ms: u64, event: &Event, when: When) -> Ack;

    /// Whether events are kept at all. Who knows that they are not need not make them.
    fn keeps(&self) -> bool {
        true
    }
}
