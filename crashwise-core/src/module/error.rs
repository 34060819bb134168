//! Why a module gave no result.

use std::error::Error as StdError;

type Source = Box<dyn StdError + Send + Sync>;

/// Why a module gave no result. Findings, gaps and being asked to stop are not errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// The configuration cannot be used. Never retried.
    #[error("configuration of the module is not usable: {0}")]
    Config(String),
    /// A program that the module starts is not there. Never retried.
    #[error(transparent)]
    ToolMissing(#[from] ToolMissing),
    /// It may work when tried again: a busy file, a connection that broke.
    #[error("{context}")]
    Transient {
        /// What was being done.
        context: String,
        /// The cause.
        source: Option<Source>,
    },
    /// It will not work when tried again.
    #[error("{context}")]
    Failed {
        /// What was being done.
        context: String,
        /// The cause.
        source: Option<Source>,
    },
}

/// A program that is not installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("program {program:?} was not found: {hint}")]
pub struct ToolMissing {
    /// The program.
    pub program: String,
    /// How to get it.
    pub hint: String,
}

impl ModuleError {
    /// A permanent failure with its cause.
    pub fn failed(cause: impl Into<Source>) -> Self {
        let cause = cause.into();
        Self::Failed {
            context: cause.to_string(),
            source: cause.source().map(|inner| inner.to_string().into()),
        }
    }

    /// A permanent failure, with what was being done and the cause.
    pub fn failed_to(context: impl Into<String>, cause: impl Into<Source>) -> Self {
        Self::Failed { context: context.into(), source: Some(cause.into()) }
    }

    /// A failure that may pass, with what was being done and the cause.
    pub fn transient(context: impl Into<String>, cause: impl Into<Source>) -> Self {
        Self::Transient { context: context.into(), source: Some(cause.into()) }
    }

    /// Whether trying again can help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }

    /// A word for the kind, which retry policies can name: `config`, `tool_missing`, `transient`, `failed`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config(_) => "config",
            Self::ToolMissing(_) => "tool_missing",
            Self::Transient { .. } => "transient",
            Self::Failed { .. } => "failed",
        }
    }

    /// The text with all causes, joined by `: `.
    pub fn chain(&self) -> String {
        crate::error_chain(self)
    }
}

impl From<std::io::Error> for ModuleError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{Interrupted, ResourceBusy, TimedOut, WouldBlock};
        let context = "input or output failed".to_owned();
        if matches!(error.kind(), Interrupted | WouldBlock | TimedOut | ResourceBusy) {
            Self::Transient { context, source: Some(error.into()) }
        } else {
            Self::Failed { context, source: Some(error.into()) }
        }
    }
}
