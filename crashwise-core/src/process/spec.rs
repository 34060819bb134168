use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Exit, Layer, Limits, ProcessError, Running, drive};

/// Variables of the host that every child gets, where they are set.
const PASSED: [&str; 6] = ["PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/// How far a process is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Level {
    /// Scrubbed environment, own session, kill of the whole tree; no limits.
    None,
    /// The limits too: for tools that the user trusts.
    #[default]
    Limits,
    /// All of it, and namespaces without network, only the granted files, no privileges, a system call filter: for
    /// targets, and for tools that run code of the project under test.
    Sandbox,
    /// A container of an engine, Docker or Podman, that is asked over its socket, with the same grants and limits: for those who trust
    /// a kernel's namespaces more than its file rules, or whose targets need an image. It takes half a second to start. Needs
    /// the feature `container`, and never falls back to a lower level.
    Container,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Limits => "limits",
            Self::Sandbox => "sandbox",
            Self::Container => "container",
        })
    }
}

/// Whether a sandboxed process reaches the network. Without the sandbox every process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Network {
    /// It does not.
    #[default]
    None,
    /// It reaches what the host reaches.
    Host,
}

/// What a process reads from its standard input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stdin {
    /// Nothing.
    #[default]
    Null,
    /// These bytes, then the end.
    Bytes(Vec<u8>),
}

/// A process to start: program, arguments, environment, limits and confinement.
///
/// The environment is empty but for `PATH`, the locale, `TZ`, `TMPDIR` and what [`Spec::env`] and [`Spec::pass`] add.
#[derive(Debug, Clone)]
pub struct Spec {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) env: BTreeMap<OsString, OsString>,
    pub(super) directory: Option<PathBuf>,
    pub(super) stdin: Stdin,
    pub(super) level: Level,
    pub(super) network: Network,
    pub(super) traced: bool,
    pub(super) readable: Vec<PathBuf>,
    pub(super) writable: Vec<PathBuf>,
    pub(super) limits: Limits,
    pub(super) required: Vec<Layer>,
    pub(super) output_cap: usize,
    pub(super) gather: Duration,
    pub(super) deadline: Option<Duration>,
    pub(super) hint: Option<String>,
    pub(super) image: Option<String>,
    pub(super) engine: Option<PathBuf>,
    /// Whether nothing of its level may be missing.
    pub(super) whole: bool,
}

impl Spec {
    /// A process of `program`, a path or a name to look for in `PATH`: level [`Level::Limits`] without limits, no
    /// input, 16 MiB of output kept of each stream, no deadline.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let env = PASSED
            .iter()
            .filter_map(|name| Some(((*name).into(), std::env::var_os(name)?)))
            .collect::<BTreeMap<_, _>>();
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env,
            directory: None,
            stdin: Stdin::Null,
            level: Level::default(),
            network: Network::default(),
            traced: false,
            readable: Vec::new(),
            writable: Vec::new(),
            limits: Limits::new(),
            required: Vec::new(),
            output_cap: 16 << 20,
            gather: Duration::ZERO,
            deadline: None,
            hint: None,
            image: None,
            engine: None,
            whole: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Passes variables of the host on, where they are set.
    #[must_use]
    pub fn pass<N: AsRef<OsStr>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        for name in names {
            if let Some(value) = std::env::var_os(&name) {
                self.env.insert(name.as_ref().to_owned(), value);
            }
        }
        self
    }

    /// Sets its working directory. A sandboxed process may write in it.
    #[must_use]
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// Sets what it reads from standard input.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// Sets how far it is confined.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Sets whether it reaches the network from the sandbox.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// For a process that looks at its own tree through `/proc`, as debuggers and searches for leaks do: it gets no PID namespace,
    /// in which process ids are others than `/proc` says, where a cgroup can kill the tree and Landlock keeps signals inside.
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.traced = true;
        self
    }

    /// Lets it read and execute what is at and below `path` from the sandbox or a container. The system's libraries and programs, its
    /// own program file and `/proc` are always readable.
    #[must_use]
    pub fn read(mut self, path: impl Into<PathBuf>) -> Self {
        self.readable.push(path.into());
        self
    }

    /// Lets it read, execute and write what is at and below `path` from the sandbox or a container.
    #[must_use]
    pub fn write(mut self, path: impl Into<PathBuf>) -> Self {
        self.writable.push(path.into());
        self
    }

    /// Sets its limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Makes it an error, before anything is started, if one of these layers cannot be enforced here.
    #[must_use]
    pub fn require(mut self, layers: impl IntoIterator<Item = Layer>) -> Self {
        self.required.extend(layers);
        self
    }

    /// Sets how many bytes are kept of each output stream. It is read to its end all the same.
    #[must_use]
    pub fn output_cap(mut self, bytes: usize) -> Self {
        self.output_cap = bytes;
        self
    }

    /// Lets its lines come up to `time` after they were written, so that many small writes wake the host once, except those of a container,
    /// which its engine sends one by one. What it writes when it ends comes at once, and one that writes much is read without waiting.
    #[must_use]
    pub fn gather(mut self, time: Duration) -> Self {
        self.gather = time;
        self
    }

    /// Kills the whole tree after `time`.
    #[must_use]
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = Some(time);
        self
    }

    /// Sets the words that follow "`tool` was not found; " if it is not installed.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the image of its container, at the level [`Level::Container`]: a name that the engine knows, for none is ever pulled.
    /// Without one it sees the system of the host.
    ///
    /// Of an image its programs and libraries are used, and its environment where this spec sets none of the name. What is granted
    /// below the folders of the host's system, such as `/usr`, is the image's then, the program too.
    #[must_use]
    pub fn image(mut self, name: impl Into<String>) -> Self {
        self.image = Some(name.into());
        self
    }

    /// Sets the socket of the engine that makes its container; without, it is the one that `DOCKER_HOST` names (`unix://` and a
    /// path), else the first of those at which engines listen.
    #[must_use]
    pub fn engine(mut self, socket: impl Into<PathBuf>) -> Self {
        self.engine = Some(socket.into());
        self
    }

    /// An error of a program that was not found, with this spec's own words.
    pub(super) fn hinted(&self, error: ProcessError) -> ProcessError {
        match (error, &self.hint) {
            (ProcessError::ToolMissing { tool, .. }, Some(hint)) => {
                ProcessError::ToolMissing { tool, hint: hint.clone() }
            }
            (error, _) => error,
        }
    }

    /// The command as one would type it, without environment and limits.
    pub fn command_line(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(|word| quote(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }

    /// Runs it to its end. Dropping the future, or cancelling `cancel`, kills the whole tree.
    ///
    /// # Errors
    /// [`ProcessError`] if it was not started. Everything later is in the [`Exit`].
    pub async fn run(self, cancel: &CancellationToken) -> Result<Exit, ProcessError> {
        Ok(drive::start(self, cancel, false).await?.finish().await)
    }

    /// Starts it; its lines can be read as they come. Dropping [`Running`], or cancelling `cancel`, kills the whole
    /// tree.
    ///
    /// # Errors
    /// [`ProcessError`] if it was not started.
    pub async fn start(self, cancel: &CancellationToken) -> Result<Running, ProcessError> {
        drive::start(self, cancel, true).await
    }
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
