//! The journal: what happened in runs, in order, and the source from which a run is continued.

mod error;
mod event;
mod memory;
#[cfg(feature = "local")]
pub(crate) mod sqlite;

pub use error::JournalError;
pub(crate) use event::{
    ChildFound, Event, KINDS, Outcome, Payload, Record, RunEnd, StepEnd, Submission, Text,
};
pub(crate) use memory::MemoryJournal;

use crate::engine::Past;
use crashwise_core::{Fingerprint, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use tokio::sync::oneshot;

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
    pub(crate) past: Past,
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
    /// Appends an event that somebody waits for. Events of a run are kept in the order in which they were handed over: one
    /// that is kept has all earlier ones with it, but for the begin of a step whose end was handed over soon after.
    fn append(&mut self, at_ms: u64, event: &Event) -> Ack;

    /// Appends an event that nobody waits for; it rides along with the next one, or follows a moment later.
    fn note(&mut self, at_ms: u64, event: Event);

    /// Whether events are kept at all. Who knows that they are not need not make them.
    fn keeps(&self) -> bool {
        true
    }
}
