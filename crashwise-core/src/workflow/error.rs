//! Why a step or a workflow gave no result.

use super::StepKey;
use crate::ModuleError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::error::Error as StdError;
use std::fmt;

/// Why a step gave no result. Journaled, so it carries text, not types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("step {step} {kind}{}{}", if message.is_empty() { "" } else { ": " }, message)]
#[non_exhaustive]
pub struct StepError {
    /// The step.
    pub step: StepKey,
    /// What the caller can do about it.
    pub kind: StepErrorKind,
    /// The cause in full.
    pub message: String,
    /// How many attempts were made.
    pub attempts: u32,
}

impl StepError {
    /// An error of a step after one attempt.
    pub fn new(step: StepKey, kind: StepErrorKind, message: impl Into<String>) -> Self {
        Self { step, kind, message: message.into(), attempts: 1 }
    }

    /// Sets how many attempts were made.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }
}

/// What the caller can do about a step's error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepErrorKind {
    /// The configuration does not fit the module.
    Config,
    /// No such module, workflow or queue.
    NotFound,
    /// A program is not installed.
    ToolMissing,
    /// The module says it may pass.
    Transient,
    /// The module says it will not pass.
    Failed,
    /// A closure returned an error.
    Error,
    /// An attempt or the step ran out of time.
    TimedOut,
    /// The code of the step panicked.
    Panicked,
    /// The run was cancelled.
    Cancelled,
    /// A crash left it open whether an at-most-once step ran.
    OutcomeUnknown,
    /// The workflow asked for something else under this key than the journal holds.
    NonDeterminism,
    /// The engine cannot do this.
    Unsupported,
    /// The journal or the result store failed.
    Storage,
    /// A child workflow ended without a result.
    Child,
}

impl StepErrorKind {
    /// Whether trying again can help.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Transient | Self::Error | Self::TimedOut)
    }

    /// Whether the rest of a run is worth something without this step: true for what the step met when it looked at the
    /// target, false for what is wrong with the run itself (cancelled, storage, configuration, no such module).
    pub const fn is_tolerable(self) -> bool {
        matches!(
            self,
            Self::Transient
                | Self::Failed
                | Self::Error
                | Self::TimedOut
                | Self::Panicked
                | Self::ToolMissing
                | Self::Child
        )
    }
}

impl fmt::Display for StepErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Config => "has a configuration that does not fit",
            Self::NotFound => "was not found",
            Self::ToolMissing => "lacks a program",
            Self::Transient | Self::Failed | Self::Error => "failed",
            Self::TimedOut => "ran out of time",
            Self::Panicked => "panicked",
            Self::Cancelled => "was cancelled",
            Self::OutcomeUnknown => "may or may not have run",
            Self::NonDeterminism => "is not what the journal holds",
            Self::Unsupported => "is not supported by this engine",
            Self::Storage => "could not be recorded",
            Self::Child => "ended without a result",
        })
    }
}

/// The error of a closure or of one attempt, before the engine knows the step.
///
/// Any error converts into one and is retried; [`StepFailure::fatal`] makes one that is not.
#[derive(Debug)]
pub struct StepFailure {
    kind: StepErrorKind,
    message: String,
}

impl StepFailure {
    /// A failure of a kind.
    pub fn new(kind: StepErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A failure that trying again does not cure.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::new(StepErrorKind::Failed, message)
    }

    /// Its kind.
    pub fn kind(&self) -> StepErrorKind {
        self.kind
    }

    /// Its text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The error of the step it happened in.
    pub fn at(self, step: StepKey, attempts: u32) -> StepError {
        StepError { step, kind: self.kind, message: self.message, attempts }
    }
}

impl<E: StdError> From<E> for StepFailure {
    fn from(error: E) -> Self {
        Self::new(StepErrorKind::Error, crate::error_chain(&error))
    }
}

impl StepFailure {
    /// The failure of a module's attempt.
    pub fn from_module(error: &ModuleError) -> Self {
        let kind = match error {
            ModuleError::Config(_) => StepErrorKind::Config,
            ModuleError::ToolMissing(_) => StepErrorKind::ToolMissing,
            ModuleError::Transient { .. } => StepErrorKind::Transient,
            ModuleError::Failed { .. } => StepErrorKind::Failed,
        };
        Self::new(kind, error.chain())
    }
}

/// Why a workflow gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkflowError {
    /// A step gave no result.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A value of a step or of the parameters does not have the type that the workflow expects.
    #[error("a value does not have the expected type")]
    Decode(#[from] serde_json::Error),
    /// A person said no.
    #[error("{approval:?} was rejected by {by}{}{}", if comment.is_empty() { "" } else { ": " }, comment)]
    Rejected {
        /// Name of the approval.
        approval: String,
        /// Who said no.
        by: String,
        /// Why.
        comment: String,
    },
    /// The workflow decided to end without a result.
    #[error("{0}")]
    Failed(String),
}

impl WorkflowError {
    /// The workflow decided to end without a result.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// Whether it ended because the run was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Step(error) if error.kind == StepErrorKind::Cancelled)
    }

    /// The step at fault, if one is.
    pub fn step(&self) -> Option<&StepError> {
        match self {
            Self::Step(error) => Some(error),
            _ => None,
        }
    }
}
