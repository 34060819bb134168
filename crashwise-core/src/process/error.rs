use std::io;
use std::path::PathBuf;

use super::{Layer, Level, Spec};

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
    /// A whole sandbox is required, by [`crate::Protection`], and parts of it cannot be enforced here. Nothing was started.
    #[error("a whole {level} is required, and this machine cannot enforce {}", listed(missing))]
    Unprotected {
        /// How far the process was to be confined.
        level: Level,
        /// What is missing of that, and why.
        missing: Vec<(Layer, String)>,
    },
    /// The level [`super::Level::Container`] cannot be had: no engine, no rights to use it, or something that no container can be
    /// given.
    #[error("no container can be used: {reason}")]
    NoContainers {
        /// Why not, and what to do about it.
        reason: String,
    },
    /// The engine has no such image. None is ever pulled.
    #[error("the engine has no image `{image}`; get it with `{command}`")]
    ImageMissing {
        /// The image as the caller named it.
        image: String,
        /// What gets it.
        command: String,
    },
    /// The engine that runs containers did not do what it was asked.
    #[error("{doing} failed with the engine at {}", socket.display())]
    Engine {
        /// Its socket.
        socket: PathBuf,
        /// What it was asked.
        doing: &'static str,
        /// What it said, or how it failed to.
        #[source]
        source: io::Error,
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

fn listed(missing: &[(Layer, String)]) -> String {
    missing.iter().map(|(layer, reason)| format!("its {layer} ({reason})")).collect::<Vec<_>>().join(", ")
}

impl ProcessError {
    /// No thread could be started to follow the process of `spec`.
    pub(super) fn thread(spec: &Spec, source: io::Error) -> Self {
        Self::Start { tool: spec.program.to_string_lossy().into_owned(), stage: "starting a thread", source }
    }

    /// Whether the same call may succeed later: the machine was short of processes, memory or descriptors, or an
    /// engine did not answer.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Start { source, .. } => matches!(
                source.raw_os_error(),
                Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::ETXTBSY)
            ),
            Self::Engine { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::TimedOut
                    | io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::WouldBlock
            ),
            _ => false,
        }
    }
}
