use std::process::Command;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::cgroup::{Group, hierarchies};
use super::{Limits, Means, confine, supervisor};

/// One thing that this machine can or cannot enforce on a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capability {
    /// What it is, in a few words.
    pub name: String,
    /// Whether it is there.
    pub available: bool,
    /// By what it is done, or why it cannot be.
    pub detail: String,
}

/// How a process can get its own namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespaces {
    /// The host may make them.
    Direct,
    /// In a user namespace of its own.
    User,
}

/// Whether namespaces can be had, found out by trying once; the error number if not.
pub(super) fn namespaces() -> Result<Namespaces, i32> {
    static FOUND: OnceLock<Result<Namespaces, i32>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let wanted = libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC;
        let attempt = |flags| {
            #[allow(clippy::disallowed_methods, reason = "this is the one place")]
            let mut command = Command::new("/bin/true");
            supervisor::try_unshare(&mut command, flags)
        };
        match (attempt(wanted), attempt(libc::CLONE_NEWUSER | wanted)) {
            (0, _) => Ok(Namespaces::Direct),
            (_, 0) => Ok(Namespaces::User),
            (_, errno) => Err(errno),
        }
    })
}

/// What this machine can enforce, found out by trying: takes a few milliseconds and leaves nothing behind.
///
/// ```
/// for capability in crashwise_core::process::probe() {
///     assert!(!capability.name.is_empty() && !capability.detail.is_empty());
/// }
/// ```
pub fn probe() -> Vec<Capability> {
    let limits = Limits::new().with_memory(1 << 30).with_processes(64).with_cores(1.0);
    let group = Group::create(&limits);
    let namespaces = namespaces();
    let mut found = Vec::new();
    let mut add = |name: &str, available: bool, detail: String| {
        found.push(Capability { name: name.to_owned(), available, detail });
    };
    let tree = match (namespaces, group.kills) {
        (Ok(_), true) => "PID namespace, cgroup.kill",
        (Ok(_), false) => "PID namespace",
        (Err(_), true) => "cgroup.kill",
        (Err(_), false) => "by the supervisor: a tree that forks fast enough can escape",
    };
    add("kill of the whole process tree", namespaces.is_ok() || group.kills, tree.to_owned());
    for (name, means, fallback) in [
        ("memory limit", &group.memory, "an rlimit for each process, none for sanitizers"),
        ("process limit", &group.processes, "an rlimit for each user"),
        ("cpu limit", &group.cores, "nothing"),
    ] {
        match means {
            Means::Missing(reason) => add(name, false, format!("{reason}; instead: {fallback}")),
            Means::Cgroup2 => add(name, true, "cgroup v2".to_owned()),
            _ => add(name, true, "cgroup v1".to_owned()),
        }
    }
    let namespaces = match namespaces {
        Ok(Namespaces::Direct) => (true, "PID, network and IPC".to_owned()),
        Ok(Namespaces::User) => (true, "PID, network and IPC, in a user namespace".to_owned()),
        Err(errno) => (false, std::io::Error::from_raw_os_error(errno).to_string()),
    };
    add("namespaces", namespaces.0, namespaces.1);
    let landlock = matches!(confine::files(&[], &[], false), Ok(Some(_)));
    let scopes =
        if confine::scopes_signals() { "Landlock, signals too" } else { "Landlock, without signals" };
    add(
        "file confinement",
        landlock,
        if landlock { scopes.to_owned() } else { "the kernel has no Landlock".to_owned() },
    );
    let filters = confine::syscalls(false).is_ok_and(|filters| !filters.is_empty());
    add(
        "system call filter",
        filters,
        if filters { "seccomp".to_owned() } else { format!("none for {}", std::env::consts::ARCH) },
    );
    let cgroups = hierarchies();
    let mounted = [
        ("v2", cgroups.v2.is_some()),
        ("v1 memory", cgroups.memory.is_some()),
        ("v1 pids", cgroups.pids.is_some()),
        ("v1 cpu", cgroups.cpu.is_some()),
    ];
    let mounted: Vec<&str> = mounted.iter().filter_map(|(name, there)| there.then_some(*name)).collect();
    add(
        "cgroups",
        !mounted.is_empty(),
        if mounted.is_empty() { "none".to_owned() } else { mounted.join(", ") },
    );
    found
}

/// Whether processes can run in containers, of which engine, and what that enforces; why not, otherwise. Found out by a container that
/// does nothing, which takes about a second.
/// Has to be called from a tokio runtime with I/O and time.
pub async fn probe_containers() -> Vec<Capability> {
    #[cfg(feature = "container")]
    return super::container::probe().await;
    #[cfg(not(feature = "container"))]
    vec![Capability {
        name: "containers".to_owned(),
        available: false,
        detail: "this program was built without the feature `container`".to_owned(),
    }]
}
