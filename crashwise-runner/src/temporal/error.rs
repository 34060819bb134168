//! Why something could not be done on a cluster.

use crate::RunnerError;
use crashwise_core::store::StoreError;
use crashwise_core::{RunId, error_chain};
use std::error::Error;
use temporalio_client::tonic::{Code, Status};

/// Why something could not be done on a cluster. A run that failed is not one of these: it has a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The address is none.
    #[error(
        "address {address:?} of the Temporal server cannot be used: expected http://HOST:PORT or https://HOST:PORT"
    )]
    Address {
        /// The address.
        address: String,
    },
    /// A profile cannot be used.
    #[error("profile {name:?} of the Temporal configuration cannot be used")]
    Profile {
        /// Its name.
        name: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server does not answer.
    #[error("the Temporal server at {address} does not answer")]
    Unreachable {
        /// Its address.
        address: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server does not accept the credentials.
    #[error("the Temporal server at {address} does not accept the credentials")]
    Denied {
        /// Its address.
        address: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server has no such namespace.
    #[error("the Temporal server at {address} has no namespace {namespace:?}")]
    Namespace {
        /// Its address.
        address: String,
        /// The namespace.
        namespace: String,
    },
    /// No worker serves a vertical.
    #[error(
        "no worker of vertical {vertical:?} has asked for work on {queue:?} lately: start one with `crashwise worker --vertical {vertical}`"
    )]
    NoWorker {
        /// The vertical.
        vertical: String,
        /// The queue.
        queue: String,
    },
    /// All workers of a vertical are of an older release.
    #[error(
        "the workers of vertical {vertical:?} are of release {found}, this is {own}: start workers of the same release"
    )]
    OldWorkers {
        /// The vertical.
        vertical: String,
        /// Their releases.
        found: String,
        /// The own one.
        own: &'static str,
    },
    /// No worker of a vertical has a program that the workflow needs.
    #[error("no worker of vertical {vertical:?} has {tool:?}, which the workflow needs")]
    NoTool {
        /// The vertical.
        vertical: String,
        /// The program.
        tool: String,
    },
    /// Something that runs of this engine cannot do.
    #[error("Temporal cannot carry out the run: {what}")]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// No worker answers a question about a run.
    #[error("no worker answers for run {id}: what it does right now is not known")]
    NoAnswer {
        /// The run.
        id: RunId,
    },
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] StoreError),
    /// What the store holds of a run cannot be read.
    #[error("what the store holds of run {id} cannot be read")]
    Record {
        /// The run.
        id: RunId,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// As for runs of this machine.
    #[error(transparent)]
    Run(#[from] RunnerError),
    /// The server refused.
    #[error("{context}")]
    Server {
        /// What was being done.
        context: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Input or output failed.
    #[error("{context}")]
    Io {
        /// What was being done.
        context: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl ClusterError {
    pub(crate) fn server(context: impl Into<String>, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Server { context: context.into(), source: cause.into() }
    }

    pub(crate) fn io(context: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { context: context.into(), source }
    }

    /// What a status of the server means.
    pub(crate) fn status(address: &str, context: &str, status: Status) -> Self {
        let address = address.to_owned();
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded => {
                Self::Unreachable { address, source: status.into() }
            }
            Code::Unauthenticated | Code::PermissionDenied => Self::Denied { address, source: status.into() },
            _ => Self::server(context, status),
        }
    }

    /// Whether trying again can help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NoAnswer { .. } => true,
            Self::Store(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// The text with all causes, joined by `: `.
    pub fn chain(&self) -> String {
        error_chain(self)
    }
}

impl From<StoreError> for ClusterError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
