use std::io::{PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use seccompiler::BpfProgram;

use super::cgroup::Group;
use super::{
    Enforcement, Layer, Level, Means, Network, ProcessError, Spec, TreeKill, capability, confine, supervisor,
};

#[cfg(target_env = "gnu")]
pub(super) type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
pub(super) type Resource = libc::c_int;

/// Everything that the code between `fork` and `exec` needs, so that it need not allocate.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) lifeline: PipeReader,
    pub(super) report: PipeWriter,
    pub(super) entrances: Vec<OwnedFd>,
    pub(super) killer: Option<OwnedFd>,
    pub(super) stopper: Option<OwnedFd>,
    pub(super) user_maps: Option<UserMaps>,
    pub(super) namespaces: libc::c_int,
    pub(super) rlimits: Vec<(Resource, libc::rlimit)>,
    pub(super) drop_privileges: bool,
    pub(super) ruleset: Option<OwnedFd>,
    pub(super) filters: Vec<BpfProgram>,
}

/// Lines of `/proc/self/uid_map` and `gid_map` by which a process stays who it is in its own user namespace.
#[derive(Debug)]
pub(super) struct UserMaps {
    pub(super) users: Vec<u8>,
    pub(super) groups: Vec<u8>,
}

/// A step of the start, sent as one byte when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    Session = 1,
    Supervisor,
    Namespaces,
    Groups,
    Rlimits,
    Privileges,
    Files,
    Syscalls,
}

impl Stage {
    pub(super) fn name(byte: u8) -> Option<&'static str> {
        const STAGES: [(Stage, &str); 8] = [
            (Stage::Session, "starting a session"),
            (Stage::Supervisor, "starting the supervisor"),
            (Stage::Namespaces, "entering namespaces"),
            (Stage::Groups, "joining the cgroup"),
            (Stage::Rlimits, "setting rlimits"),
            (Stage::Privileges, "dropping privileges"),
            (Stage::Files, "restricting file access"),
            (Stage::Syscalls, "filtering system calls"),
        ];
        STAGES.iter().find(|(stage, _)| *stage as u8 == byte).map(|(_, name)| *name)
    }
}

/// What is prepared for a start: the plan for the child, and what stays with the host.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) group: Group,
    pub(super) enforcement: Enforcement,
    pub(super) lifeline: PipeWriter,
    pub(super) report: PipeReader,
}

pub(super) fn prepare(spec: &Spec, program: &std::path::Path) -> Result<Prepared, ProcessError> {
    let tool = || spec.program.to_string_lossy().into_owned();
    let start = |stage| move |source| ProcessError::Start { tool: tool(), stage, source };
    let sandboxed = spec.level >= Level::Sandbox;
    let limited = spec.level >= Level::Limits;
    let nothing = super::Limits::new();
    let limits = if limited { &spec.limits } else { &nothing };

    let group = Group::create(limits);
    let namespaces = if sandboxed { capability::namespaces() } else { Err(0) };
    let own_ids = namespaces.is_ok() && !(spec.traced && group.kills && confine::scopes_signals());
    let tree = if own_ids {
        TreeKill::PidNamespace
    } else if group.kills {
        TreeKill::Cgroup
    } else {
        TreeKill::Reaper
    };
    let mut enforcement = Enforcement::nothing(tree);
    enforcement.memory = group.memory.clone();
    enforcement.processes = group.processes.clone();
    enforcement.cores = group.cores.clone();
    let rlimits = rlimits(limits, &mut enforcement);
    if limits.disk.is_some() {
        enforcement.disk = Means::Watched;
    }

    let online = spec.network == Network::Host;
    let (mut ruleset, mut filters) = (None, Vec::new());
    if sandboxed {
        enforcement.privileges = Means::Capabilities;
        let mut readable = spec.readable.clone();
        readable.push(program.to_owned());
        ruleset = confine::files(&readable, &writable(spec), online)
            .map_err(|error| start("building file rules")(std::io::Error::other(error)))?;
        filters = confine::syscalls(online)
            .map_err(|error| start("building the system call filter")(std::io::Error::other(error)))?;
        let no_landlock = || Means::Missing("the kernel has no Landlock".into());
        enforcement.files = if ruleset.is_some() { Means::Landlock } else { no_landlock() };
        enforcement.syscalls = if filters.is_empty() {
            Means::Missing("no filter for this architecture".into())
        } else {
            Means::Seccomp
        };
        enforcement.signals = if own_ids {
            Means::Namespace
        } else if ruleset.is_some() && confine::scopes_signals() {
            Means::Landlock
        } else {
            Means::Missing("neither a PID namespace nor Landlock scopes".into())
        };
        if !online {
            enforcement.network = match namespaces {
                Ok(_) => Means::Namespace,
                Err(_) if !filters.is_empty() => Means::Seccomp,
                Err(_) => Means::Missing("neither a network namespace nor a system call filter".into()),
            };
        }
    }
    require(spec, &enforcement, group.kills)?;

    let (lifeline, host_lifeline) = std::io::pipe().map_err(start("making a pipe"))?;
    let (host_report, report) = std::io::pipe().map_err(start("making a pipe"))?;
    let mut flags = if namespaces.is_ok() { libc::CLONE_NEWIPC } else { 0 };
    if own_ids {
        flags |= libc::CLONE_NEWPID;
    }
    if namespaces.is_ok() && !online {
        flags |= libc::CLONE_NEWNET;
    }
    let plan = Plan {
        lifeline,
        report,
        entrances: group.entrances().map_err(start("opening the cgroup"))?,
        killer: group.killer().map_err(start("opening the cgroup"))?,
        stopper: group.stopper().map_err(start("opening the cgroup"))?,
        user_maps: matches!(namespaces, Ok(capability::Namespaces::User)).then(user_maps),
        namespaces: flags,
        rlimits,
        drop_privileges: sandboxed,
        ruleset,
        filters,
    };
    Ok(Prepared { plan, group, enforcement, lifeline: host_lifeline, report: host_report })
}

/// The directories that a spec grants for writing.
pub(super) fn writable(spec: &Spec) -> Vec<PathBuf> {
    spec.writable.iter().chain(&spec.directory).cloned().collect()
}

/// Refuses what is asked for with insistence and not enforced. `kills` says whether a cgroup kills the tree beside what kills it
/// first.
pub(super) fn require(spec: &Spec, enforcement: &Enforcement, kills: bool) -> Result<(), ProcessError> {
    for layer in &spec.required {
        let unasked = || {
            (enforcement.means(*layer) == Some(&Means::Unasked))
                .then(|| "the spec does not ask for it".into())
        };
        if let Some(reason) = enforcement.gap(*layer, kills).or_else(unasked) {
            return Err(ProcessError::Unenforced { layer: *layer, reason });
        }
    }
    if spec.whole {
        let missing: Vec<(Layer, String)> = Layer::ALL
            .into_iter()
            .filter_map(|layer| Some((layer, enforcement.gap(layer, kills)?)))
            .collect();
        if !missing.is_empty() {
            return Err(ProcessError::Unprotected { level: spec.level, missing });
        }
    }
    Ok(())
}

fn rlimits(limits: &super::Limits, enforcement: &mut Enforcement) -> Vec<(Resource, libc::rlimit)> {
    // A core file of a fuzzed process helps nobody and fills the disk.
    let mut all = vec![(libc::RLIMIT_CORE, 0)];
    if let Some(bytes) = limits.memory
        && enforcement.memory.is_missing()
    {
        if limits.sparse {
            enforcement.memory = Means::Missing(
                "an address space limit would kill a sanitizer, and there is no cgroup".into(),
            );
        } else {
            all.push((libc::RLIMIT_AS, bytes));
            enforcement.memory = Means::Rlimit;
        }
    }
    if let Some(count) = limits.processes
        && enforcement.processes.is_missing()
        && supervisor::identity().0 != 0
    {
        all.push((libc::RLIMIT_NPROC, count.saturating_add(processes_of_this_user())));
        enforcement.processes = Means::Rlimit;
    }
    let before = all.len();
    if let Some(time) = limits.cpu_time {
        all.push((libc::RLIMIT_CPU, time.as_secs() + u64::from(time.subsec_nanos() > 0)));
    }
    if let Some(bytes) = limits.file_size {
        all.push((libc::RLIMIT_FSIZE, bytes));
    }
    if let Some(count) = limits.open_files {
        all.push((libc::RLIMIT_NOFILE, count));
    }
    if let Some(bytes) = limits.stack {
        all.push((libc::RLIMIT_STACK, bytes));
    }
    if all.len() > before {
        enforcement.rlimits = Means::Rlimit;
    }
    all.into_iter()
        .map(|(resource, value)| {
            let value = value.min(supervisor::hard_limit(resource));
            (resource, libc::rlimit { rlim_cur: value, rlim_max: value })
        })
        .collect()
}

/// The kernel counts the processes of the user, not those of the tree: what runs already is added to the limit.
fn processes_of_this_user() -> u64 {
    use std::os::unix::fs::MetadataExt;
    let user = supervisor::identity().0;
    let tasks = std::fs::read_dir("/proc").into_iter().flatten().flatten().filter(|entry| {
        entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit())
            && entry.metadata().is_ok_and(|data| data.uid() == user)
    });
    tasks
        .map(|entry| std::fs::read_dir(entry.path().join("task")).map_or(1, |tasks| tasks.count() as u64))
        .sum()
}

fn user_maps() -> UserMaps {
    let (user, group) = supervisor::identity();
    UserMaps {
        users: format!("{user} {user} 1").into_bytes(),
        groups: format!("{group} {group} 1").into_bytes(),
    }
}
