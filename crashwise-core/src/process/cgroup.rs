//! Control groups of both versions, as a hybrid system has them: one group per process tree, made below the host's.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use super::{Limits, Means};

/// The host's own directory in each hierarchy.
#[derive(Debug, Default)]
pub(super) struct Hierarchies {
    pub(super) v2: Option<PathBuf>,
    pub(super) memory: Option<PathBuf>,
    pub(super) pids: Option<PathBuf>,
    pub(super) cpu: Option<PathBuf>,
}

pub(super) fn hierarchies() -> &'static Hierarchies {
    static FOUND: OnceLock<Hierarchies> = OnceLock::new();
    FOUND.get_or_init(|| {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let found = locate(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        for base in [&found.v2, &found.memory, &found.pids, &found.cpu].into_iter().flatten() {
            sweep(base);
        }
        found
    })
}

/// Reads `/proc/self/mountinfo` and `/proc/self/cgroup`.
fn locate(mounts: &str, membership: &str) -> Hierarchies {
    let mut found = Hierarchies::default();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let mut left = left.split(' ').skip(3);
        let (Some(root), Some(mount)) = (left.next(), left.next()) else { continue };
        let mut right = right.split(' ');
        let (kind, options) = (right.next().unwrap_or(""), right.nth(1).unwrap_or(""));
        let own = |controller: &str| {
            let path = membership.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let (names, path) = (parts.next()?, parts.next()?);
                names.split(',').any(|name| name == controller).then_some(path)
            })?;
            let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
            Some(Path::new(mount).join(below.trim_start_matches('/')))
        };
        let has = |controller: &str| options.split(',').any(|option| option == controller);
        match kind {
            "cgroup2" if found.v2.is_none() => found.v2 = own(""),
            "cgroup" => {
                for (slot, name) in
                    [(&mut found.memory, "memory"), (&mut found.pids, "pids"), (&mut found.cpu, "cpu")]
                {
                    if slot.is_none() && has(name) {
                        *slot = own(name);
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// Removes groups of hosts that died before they could: empty, old, and of a process that is gone.
fn sweep(base: &Path) {
    let old = SystemTime::now() - Duration::from_mins(1);
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix("crashwise-")?.split('-').next());
        let Some(owner) = owner.and_then(|owner| owner.parse::<u32>().ok()) else { continue };
        let stale = entry.metadata().and_then(|data| data.modified()).is_ok_and(|time| time < old);
        if stale && !Path::new("/proc").join(owner.to_string()).exists() {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The groups of one process tree; removed on drop, when the tree is dead.
#[derive(Debug)]
pub(super) struct Group {
    v2: Option<PathBuf>,
    v1: Vec<PathBuf>,
    pub(super) memory: Means,
    pub(super) processes: Means,
    pub(super) cores: Means,
    /// Whether the kernel kills all members on request.
    pub(super) kills: bool,
}

impl Group {
    pub(super) fn create(limits: &Limits) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("crashwise-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let asked = [limits.memory.is_some(), limits.processes.is_some(), limits.cores.is_some()];
        let mut group = Self {
            v2: None,
            v1: Vec::new(),
            memory: Means::Unasked,
            processes: Means::Unasked,
            cores: Means::Unasked,
            kills: false,
        };
        let found = hierarchies();
        group.v2 = found.v2.as_deref().and_then(|base| create_v2(base, &name, asked));
        group.kills = group.v2.as_ref().is_some_and(|path| path.join("cgroup.kill").exists());

        // One process of the tree is the supervisor's own.
        let processes = limits.processes.map(|count| count.saturating_add(1));
        if let Some(bytes) = limits.memory {
            let files =
                [("memory.max", "memory.swap.max"), ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")];
            group.memory =
                group.put(found.memory.as_deref(), &name, [files[0].0, files[1].0], &bytes.to_string());
            if group.memory == Means::Cgroup2 {
                group.set(files[0].1, "0");
            } else if group.memory == Means::Cgroup1 {
                group.set(files[1].1, &bytes.to_string());
            }
        }
        if let Some(count) = processes {
            group.processes =
                group.put(found.pids.as_deref(), &name, ["pids.max", "pids.max"], &count.to_string());
        }
        if let Some(cores) = limits.cores {
            let quota = quota(cores);
            group.cores = if group.v2_has("cpu.max") && group.set("cpu.max", &format!("{quota} 100000")) {
                Means::Cgroup2
            } else {
                group.put(found.cpu.as_deref(), &name, ["", "cpu.cfs_quota_us"], &quota.to_string())
            };
        }
        group
    }

    /// Writes `value` to the file of version 2 if the group has it, else to that of version 1, in a group made for it.
    fn put(&mut self, v1: Option<&Path>, name: &str, [new, old]: [&str; 2], value: &str) -> Means {
        if self.v2_has(new) && self.v2.as_ref().is_some_and(|path| fs::write(path.join(new), value).is_ok()) {
            return Means::Cgroup2;
        }
        let Some(base) = v1 else {
            return Means::Missing("no cgroup controller that this process may use".into());
        };
        let path = base.join(name);
        let made = fs::create_dir(&path).and_then(|()| fs::write(path.join(old), value));
        match made {
            Ok(()) => {
                self.v1.push(path);
                Means::Cgroup1
            }
            Err(error) => {
                let _ = fs::remove_dir(&path);
                Means::Missing(format!("no cgroup could be made in {}: {error}", base.display()))
            }
        }
    }

    fn v2_has(&self, file: &str) -> bool {
        !file.is_empty() && self.v2.as_ref().is_some_and(|path| path.join(file).exists())
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.v2.iter().chain(&self.v1)
    }

    fn set(&self, file: &str, value: &str) -> bool {
        self.paths().any(|path| {
            fs::OpenOptions::new()
                .write(true)
                .open(path.join(file))
                .is_ok_and(|mut file| io::Write::write_all(&mut file, value.as_bytes()).is_ok())
        })
    }

    fn read(&self, file: &str) -> Option<String> {
        self.paths().find_map(|path| fs::read_to_string(path.join(file)).ok())
    }

    fn open(&self, file: &str) -> io::Result<Option<OwnedFd>> {
        match self.paths().map(|path| path.join(file)).find(|path| path.exists()) {
            Some(path) => Ok(Some(fs::OpenOptions::new().write(true).open(path)?.into())),
            None => Ok(None),
        }
    }

    /// The files to which a process writes "0" to join.
    pub(super) fn entrances(&self) -> io::Result<Vec<OwnedFd>> {
        self.paths()
            .map(|path| Ok(fs::OpenOptions::new().write(true).open(path.join("cgroup.procs"))?.into()))
            .collect()
    }

    /// The file to which "1" is written to kill all.
    pub(super) fn killer(&self) -> io::Result<Option<OwnedFd>> {
        if self.kills { self.open("cgroup.kill") } else { Ok(None) }
    }

    /// The file to which "0" is written so that nothing forks any more.
    pub(super) fn stopper(&self) -> io::Result<Option<OwnedFd>> {
        self.open("pids.max")
    }

    /// How often the kernel killed a member at the memory limit.
    pub(super) fn memory_kills(&self) -> u64 {
        let text = self.read("memory.events").or_else(|| self.read("memory.oom_control")).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
    }

    /// The highest memory of the tree in bytes, where it is counted.
    pub(super) fn memory_peak(&self) -> Option<u64> {
        let text = self.read("memory.peak").or_else(|| self.read("memory.max_usage_in_bytes"))?;
        text.trim().parse().ok()
    }

    /// Kills whatever is left and waits until nothing is, at most `limit`.
    pub(super) fn empty(&self, limit: Duration) -> bool {
        let start = std::time::Instant::now();
        loop {
            let alive = self.paths().any(|path| {
                fs::read_to_string(path.join("cgroup.procs")).is_ok_and(|text| !text.trim().is_empty())
            });
            if !alive {
                return true;
            }
            if start.elapsed() > limit {
                return false;
            }
            if self.kills {
                self.set("cgroup.kill", "1");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for path in self.paths() {
            // A killed member leaves the group a moment after it was reaped.
            for _ in 0..50 {
                match fs::remove_dir(path) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        thread::sleep(Duration::from_millis(1));
                    }
                    _ => break,
                }
            }
        }
    }
}

fn quota(cores: f64) -> u64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 1000..=100_000_000"
    )]
    let quota = (cores * 100_000.0).clamp(1000.0, 100_000_000.0) as u64;
    quota
}

/// A group below the host's own or, where that may not hand its controllers on because it has members itself, beside it.
fn create_v2(base: &Path, name: &str, asked: [bool; 3]) -> Option<PathBuf> {
    let wanted: Vec<&str> = ["memory", "pids", "cpu"]
        .into_iter()
        .zip(asked)
        .filter_map(|(name, asked)| asked.then_some(name))
        .collect();
    let offers = |directory: &Path| {
        for controller in &wanted {
            let _ = fs::write(directory.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        let enabled = fs::read_to_string(directory.join("cgroup.subtree_control")).unwrap_or_default();
        wanted.iter().filter(|name| enabled.split_whitespace().any(|other| other == **name)).count()
    };
    let beside = base.parent().filter(|parent| parent.join("cgroup.procs").exists());
    let mut candidates = vec![base];
    if offers(base) < wanted.len()
        && let Some(parent) = beside
        && offers(parent) > offers(base)
    {
        candidates.insert(0, parent);
    }
    candidates.into_iter().find_map(|directory| {
        let path = directory.join(name);
        fs::create_dir(&path).ok()?;
        if fs::OpenOptions::new().write(true).open(path.join("cgroup.procs")).is_err() {
            let _ = fs::remove_dir(&path);
            return None;
        }
        Some(path)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::locate;

    #[test]
    fn hybrid_and_unified_layouts_are_found() {
        let hybrid = locate(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
             35 31 0:32 /box /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
             40 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
            "4:memory:/box/a\n1:cpu,cpuacct:/\n0::/user\n",
        );
        assert_eq!(hybrid.v2.as_deref(), Some(Path::new("/sys/fs/cgroup/unified/user")));
        assert_eq!(hybrid.memory.as_deref(), Some(Path::new("/sys/fs/cgroup/memory/a")));
        assert_eq!(hybrid.cpu.as_deref(), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct/")));
        assert_eq!(hybrid.pids, None);

        let unified =
            locate("29 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "0::/user.slice/x.scope\n");
        assert_eq!(unified.v2.as_deref(), Some(Path::new("/sys/fs/cgroup/user.slice/x.scope")));
        assert_eq!(unified.memory, None);
        assert_eq!(locate("garbage - \n - cgroup\n", ":::").v2, None);
    }
}
