use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Enforcement, Output};

/// How the program itself ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It is dead, but nothing is known of how: its supervisor was killed, or its container's engine.
    Unknown,
}

impl Status {
    /// Whether it exited with code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    pub(super) fn from_wait(raw: i32) -> Self {
        if libc::WIFSIGNALED(raw) {
            Self::Signal(libc::WTERMSIG(raw))
        } else {
            Self::Code(libc::WEXITSTATUS(raw))
        }
    }

    /// What an engine tells, or a shell: a signal as 128 and its number.
    #[cfg(feature = "container")]
    pub(super) fn from_shell(code: i32) -> Self {
        match code {
            129..=192 => Self::Signal(code - 128),
            code => Self::Code(code),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown => f.write_str("unknown status"),
        }
    }
}

/// Why the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// By itself (a crash included).
    Own,
    /// The deadline of the spec passed.
    Deadline,
    /// The caller cancelled it.
    Cancelled,
    /// The kernel killed it or a child of it at the memory limit.
    Memory,
    /// Its writable directories grew past the limit.
    Disk,
}

/// What a process tree used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// Time from start to end.
    pub wall: Duration,
    /// CPU time in user space, of the program and the children it waited for; this and the next two are 0 of a container.
    pub user: Duration,
    /// CPU time in the kernel, of the same.
    pub system: Duration,
    /// Highest memory in bytes: of the tree where a cgroup limits it, else of the largest process, and then never less
    /// than what the host had when it forked.
    pub memory: u64,
}

/// The result of a process that was started.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Exit {
    /// How the program ended.
    pub status: Status,
    /// Why it ended.
    pub cause: Cause,
    /// What it wrote to standard output.
    pub stdout: Output,
    /// What it wrote to standard error.
    pub stderr: Output,
    /// What it used.
    pub usage: Usage,
    /// What was enforced.
    pub enforcement: Enforcement,
}
