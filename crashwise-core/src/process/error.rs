use std::io;
use std::path::PathBuf;

use super::Layer;

/// Why a process was not started, or could not be followed to its end.
///
/// What a process did after its start (its exit code, a signal, a deadline) is never an error: see [`super::Exit`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The program is not installed, or not on the search path.
    #[error("`{tool}` was not found; {hint}")]
    ToolMissing {
        /// The program as the caller named it.
        tool: String,
        /// How to get it.
        hint: String,
    },
    /// The program is there but the system will not execute it.
    #[error("{} cannot be executed", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The working directory is not there or cannot be entered.
    #[error("working directory {} cannot be entered", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A layer that [`super::Spec::require`] names cannot be enforced here. Nothing was started.
    #[error("{layer} cannot be enforced on this machine: {reason}")]
    Unenforced {
        /// The layer.
        layer: Layer,
        /// Why not.
        reason: String,
    },
    /// The process could not be started.
    #[error("`{tool}` could not be started: {stage} failed")]
    Start {
        /// The program.
        tool: String,
        /// The step that failed.
        stage: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl ProcessError {
    /// Whether the same call may succeed later: the machine was short of processes, memory or descriptors.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Start { source, .. } => matches!(
                source.raw_os_error(),
                Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::ETXTBSY)
            ),
            _ => false,
        }
    }
}
