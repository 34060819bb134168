use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// By what a limit or a wall was put up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Means {
    /// Not asked for.
    Unasked,
    /// A cgroup of version 2, for the whole tree.
    Cgroup2,
    /// A cgroup of version 1, for the whole tree.
    Cgroup1,
    /// An rlimit, for each process alone.
    Rlimit,
    /// A kernel namespace.
    Namespace,
    /// Landlock rules.
    Landlock,
    /// A seccomp filter.
    Seccomp,
    /// No new privileges, all capabilities dropped.
    Capabilities,
    /// The container's engine.
    Engine,
    /// Measured by the host at intervals; the tree is killed when it is over.
    Watched,
    /// Asked for, and not enforced.
    Missing(String),
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unasked => "not asked for",
            Self::Cgroup2 => "cgroup v2",
            Self::Cgroup1 => "cgroup v1",
            Self::Rlimit => "rlimit",
            Self::Namespace => "namespace",
            Self::Landlock => "Landlock",
            Self::Seccomp => "seccomp",
            Self::Capabilities => "no capabilities",
            Self::Engine => "engine",
            Self::Watched => "watched",
            Self::Missing(reason) => return write!(f, "missing: {reason}"),
        })
    }
}

impl Means {
    /// Whether something that was asked for is not enforced.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

/// How the whole process tree is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TreeKill {
    /// `cgroup.kill`: the kernel kills every member at once.
    Cgroup,
    /// The first process of a PID namespace is killed, and the kernel kills the rest.
    PidNamespace,
    /// The container's engine, which is asked to by a process that outlives the host.
    Engine,
    /// The supervisor kills its children until none is left. A tree that forks faster than that can go on.
    Reaper,
}

impl fmt::Display for TreeKill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cgroup => "cgroup.kill",
            Self::PidNamespace => "PID namespace",
            Self::Engine => "engine",
            Self::Reaper => "supervisor",
        })
    }
}

/// What was really enforced on a process, per limit: part of every result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Enforcement {
    /// How the tree is killed.
    pub tree: TreeKill,
    /// Memory.
    pub memory: Means,
    /// Number of processes.
    pub processes: Means,
    /// Cores.
    pub cores: Means,
    /// CPU time, file size, open files and stack.
    pub rlimits: Means,
    /// Growth of the writable directories.
    pub disk: Means,
    /// Which files can be reached.
    pub files: Means,
    /// No network.
    pub network: Means,
    /// System calls that a target has no use for.
    pub syscalls: Means,
    /// Privileges given up.
    pub privileges: Means,
    /// Signals to processes outside the tree.
    pub signals: Means,
}

impl Enforcement {
    pub(super) fn nothing(tree: TreeKill) -> Self {
        Self {
            tree,
            memory: Means::Unasked,
            processes: Means::Unasked,
            cores: Means::Unasked,
            rlimits: Means::Unasked,
            disk: Means::Unasked,
            files: Means::Unasked,
            network: Means::Unasked,
            syscalls: Means::Unasked,
            privileges: Means::Unasked,
            signals: Means::Unasked,
        }
    }

    /// What was asked for, by what it is enforced, or that it is missing: for reports.
    pub fn layers(&self) -> BTreeMap<String, String> {
        let asked = [
            ("memory", &self.memory),
            ("processes", &self.processes),
            ("cores", &self.cores),
            ("rlimits", &self.rlimits),
            ("disk", &self.disk),
            ("files", &self.files),
            ("network", &self.network),
            ("syscalls", &self.syscalls),
            ("privileges", &self.privileges),
            ("signals", &self.signals),
        ];
        let asked = asked.into_iter().filter(|(_, means)| **means != Means::Unasked);
        asked
            .map(|(layer, means)| (layer.to_owned(), means.to_string()))
            .chain([("tree".to_owned(), self.tree.to_string())])
            .collect()
    }

    /// Why a layer does not hold against the whole tree, if it was asked for. `kills` says whether a cgroup kills the tree beside
    /// what kills it first.
    pub(super) fn gap(&self, layer: Layer, kills: bool) -> Option<String> {
        match self.means(layer) {
            None if self.tree == TreeKill::Reaper && !kills => {
                Some("neither cgroup.kill nor a PID namespace".to_owned())
            }
            Some(Means::Missing(reason)) => Some(reason.clone()),
            Some(Means::Rlimit) if matches!(layer, Layer::Memory | Layer::Processes) => {
                Some("only an rlimit of each process alone".to_owned())
            }
            None | Some(_) => None,
        }
    }

    /// What was asked for and is not enforced, with the reason, in a fixed order.
    pub fn missing(&self) -> Vec<(Layer, &str)> {
        Layer::ALL
            .into_iter()
            .filter_map(|layer| match self.means(layer) {
                Some(Means::Missing(reason)) => Some((layer, reason.as_str())),
                _ => None,
            })
            .collect()
    }

    pub(super) fn means(&self, layer: Layer) -> Option<&Means> {
        Some(match layer {
            Layer::TreeKill => return None,
            Layer::Memory => &self.memory,
            Layer::Processes => &self.processes,
            Layer::Cores => &self.cores,
            Layer::Files => &self.files,
            Layer::Network => &self.network,
            Layer::Syscalls => &self.syscalls,
            Layer::Signals => &self.signals,
        })
    }
}

/// A protection that a caller can insist on with [`super::Spec::require`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Layer {
    /// A kill of the tree that no process can outrun: cgroup or PID namespace.
    TreeKill,
    /// The memory limit, for the whole tree.
    Memory,
    /// The limit of processes, for the whole tree.
    Processes,
    /// The limit of cores.
    Cores,
    /// No file outside what was granted.
    Files,
    /// No network.
    Network,
    /// The system call filter.
    Syscalls,
    /// No signal to a process outside the tree.
    Signals,
}

impl Layer {
    /// All layers.
    pub const ALL: [Self; 8] = [
        Self::TreeKill,
        Self::Memory,
        Self::Processes,
        Self::Cores,
        Self::Files,
        Self::Network,
        Self::Syscalls,
        Self::Signals,
    ];
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TreeKill => "kill of the whole process tree",
            Self::Memory => "memory limit",
            Self::Processes => "process limit",
            Self::Cores => "cpu limit",
            Self::Files => "file confinement",
            Self::Network => "network isolation",
            Self::Syscalls => "system call filter",
            Self::Signals => "signal isolation",
        })
    }
}
