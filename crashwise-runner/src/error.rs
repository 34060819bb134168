//! Why a runner could not do what it was asked.

use crate::{RunReport, RunStatus};
use crashwise_core::{Problems, RunId, nearest};
use std::io;
use std::sync::Arc;

/// Why a runner could not do what it was asked. A run that failed is not one of these: it has a report.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// No workflow has this name.
    #[error("there is no workflow named {name:?}{hint}")]
    UnknownWorkflow {
        /// The name.
        name: String,
        /// ` (did you mean "x"?)`, or nothing.
        hint: String,
    },
    /// Two workflows have one name.
    #[error("a workflow named {name:?} is registered already")]
    DuplicateWorkflow {
        /// The name.
        name: String,
    },
    /// The metadata of a workflow is not usable.
    #[error("metadata of a workflow is not usable")]
    Metadata(#[source] Problems),
    /// The parameters do not fit the workflow.
    #[error("parameters do not fit")]
    Parameters(#[source] Problems),
    /// No run has this id.
    #[error("there is no run {id}")]
    UnknownRun {
        /// The id.
        id: RunId,
    },
    /// The run is not in a state in which this can be done.
    #[error("run {id} is {status}, so it cannot be {wanted}")]
    WrongState {
        /// The run.
        id: RunId,
        /// Its status.
        status: RunStatus,
        /// What was asked: `paused`, `resumed`, ...
        wanted: &'static str,
    },
    /// An approval was decided before, and nobody has asked for it since.
    #[error("approval {name:?} of run {id} is decided already")]
    AlreadyDecided {
        /// The run.
        id: RunId,
        /// The approval.
        name: String,
    },
    /// An idempotency key belongs to a run with another workflow, target or parameters.
    #[error(
        "idempotency key {key:?} belongs to run {id}, which was asked for with another workflow, target or parameters"
    )]
    KeyReused {
        /// The key.
        key: String,
        /// The run that has it.
        id: RunId,
    },
    /// A run has this id already.
    #[error("there is a run {id} already")]
    DuplicateRun {
        /// The id.
        id: RunId,
    },
    /// The run ended without an output.
    #[error("run {} {}{}{}", .0.run_id, .0.status.ended(), if .0.error.is_some() { ": " } else { "" }, .0.error.as_deref().unwrap_or(""))]
    NotCompleted(Box<RunReport>),
    /// The output of a run does not have the type that was expected.
    #[error("output of the run does not have the expected type")]
    Output(#[source] Arc<serde_json::Error>),
    /// The journal or the result store failed.
    #[error("{context}")]
    Storage {
        /// What was being done.
        context: String,
        /// The cause.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The journal could not do its work.
    #[error("journal failed")]
    Journal(#[source] crate::JournalError),
    /// A run has no step of this name.
    #[error("run {id} has no step {step:?}{hint}")]
    UnknownStep {
        /// The run.
        id: RunId,
        /// The step.
        step: String,
        /// ` (did you mean "x"?)`, or nothing.
        hint: String,
    },
    /// This runner keeps no journal on the disk.
    #[error("runner has no state folder")]
    NoStateDir,
    /// The runner was shut down. A durable run goes on when the next runner starts.
    #[error("runner was shut down")]
    Closed,
}

impl RunnerError {
    pub(crate) fn storage(
        context: impl Into<String>,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Storage { context: context.into(), source: Arc::from(cause.into()) }
    }

    #[cfg(feature = "local")]
    pub(crate) fn journal(error: crate::JournalError) -> Self {
        Self::Journal(error)
    }

    pub(crate) fn unknown_workflow<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let hint = nearest(name, known).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
        Self::UnknownWorkflow { name: name.to_owned(), hint }
    }

    /// The text with all causes, joined by `: `.
    pub fn chain(&self) -> String {
        crashwise_core::error_chain(self)
    }
}

impl From<io::Error> for RunnerError {
    fn from(error: io::Error) -> Self {
        Self::storage("input or output failed", error)
    }
}
