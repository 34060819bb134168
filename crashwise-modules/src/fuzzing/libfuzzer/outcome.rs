use std::path::Path;

use crashwise_core::process::{Cause, Exit, Status};
use serde::{Deserialize, Serialize};

/// What libFuzzer calls an artifact by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ArtifactKind {
    /// The input crashed.
    Crash,
    /// The input leaked.
    Leak,
    /// The input took longer than the limit.
    Timeout,
    /// The input took more memory than the limit.
    Oom,
    /// The input was slow, and the process went on.
    SlowUnit,
}

impl ArtifactKind {
    /// By the name of the file: `crash-<sha1>` and so on.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        [
            ("crash-", Self::Crash),
            ("leak-", Self::Leak),
            ("timeout-", Self::Timeout),
            ("oom-", Self::Oom),
            ("slow-unit-", Self::SlowUnit),
        ]
        .into_iter()
        .find_map(|(prefix, kind)| name.starts_with(prefix).then_some(kind))
    }

    /// The same word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Leak => "leak",
            Self::Timeout => "timeout",
            Self::Oom => "oom",
            Self::SlowUnit => "slow-unit",
        }
    }
}

/// How a libFuzzer process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// It did all its runs, or its time was up.
    Done,
    /// An input crashed, leaked, hung or took too much memory.
    Crashed,
    /// It was asked to stop, by us.
    Stopped,
    /// The memory limit of the whole process tree ended it: no input can be named.
    Memory,
    /// It closed its output and went on until its time was up: nothing is known of what it did.
    Silent,
    /// It never began to fuzz: it does not understand its arguments, or the program is no libFuzzer target.
    Unusable,
}

impl Ending {
    /// By exit status, what it printed, and whether it wrote an artifact.
    ///
    /// Codes are libFuzzer's defaults: 0 done, 70 timeout, 71 out of memory, 72 interrupted, 77 crash; 1 is a
    /// sanitizer's own death as well as a wrong argument, told apart by the report.
    pub(super) fn of(exit: &Exit, began: bool, artifact: bool) -> Self {
        match exit.cause {
            Cause::Deadline | Cause::Cancelled => return Self::Stopped,
            Cause::Memory if !artifact => return Self::Memory,
            _ => {}
        }
        match exit.status {
            Status::Code(0) => Self::Done,
            Status::Code(72) => Self::Stopped,
            Status::Code(70 | 71 | 77) => Self::Crashed,
            _ if artifact => Self::Crashed,
            Status::Signal(_) if began => Self::Crashed,
            _ if began || reported(&exit.stderr.text()) => Self::Crashed,
            _ => Self::Unusable,
        }
    }
}

fn reported(log: &str) -> bool {
    log.lines()
        .any(|line| line.contains("==ERROR: ") || line.contains("== ERROR: ") || line.contains("Sanitizer: "))
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{ArtifactKind, reported};

    #[test]
    fn artifacts_are_known_by_name() {
        for (name, kind) in [
            ("/a/crash-12ab", Some(ArtifactKind::Crash)),
            ("leak-1", Some(ArtifactKind::Leak)),
            ("timeout-1", Some(ArtifactKind::Timeout)),
            ("oom-1", Some(ArtifactKind::Oom)),
            ("slow-unit-1", Some(ArtifactKind::SlowUnit)),
            ("minimized-from-1", None),
            ("README.txt", None),
        ] {
            assert_eq!(ArtifactKind::of(Path::new(name)), kind, "{name}");
        }
        assert!(reported("x\n==1==ERROR: AddressSanitizer: SEGV") && !reported("ERROR: unknown flag"));
    }
}
