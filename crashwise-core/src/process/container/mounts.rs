//! What of the host's files a container sees: the same that Landlock grants a sandboxed process.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::process::confine::SYSTEM;

/// What the engine brings itself: its own `/proc` and `/sys`. `/sbin` is where Docker puts its init program, which a mount would
/// hide.
const BROUGHT: [&str; 4] = ["/proc", "/sys/devices/system/cpu", "/sys/fs/cgroup", "/sbin"];

/// A file or folder of the host in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bind {
    pub(super) source: PathBuf,
    pub(super) target: PathBuf,
    pub(super) writable: bool,
}

/// The folders of the host's system.
pub(super) fn system() -> Vec<PathBuf> {
    SYSTEM.iter().filter(|path| !BROUGHT.contains(path)).map(PathBuf::from).collect()
}

/// Whether a path is of the host's system, in whose place an image has its own.
pub(super) fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|folder| path.starts_with(folder))
}

/// Binds that grant `readable` and `writable` at the same paths, and at those that they are links to. What does not exist grants
/// nothing, and what is granted twice is writable if one of them is.
///
/// `mounted` are the mount points of the host: a bind shows no other file system below it, for engines leave those writable,
/// so each becomes a bind of its own.
pub(super) fn binds(readable: &[PathBuf], writable: &[PathBuf], mounted: &[PathBuf]) -> Vec<Bind> {
    let granted = readable.iter().map(|path| (path, false)).chain(writable.iter().map(|path| (path, true)));
    let granted: Vec<(PathBuf, PathBuf, bool)> = granted
        .filter_map(|(path, write)| {
            Some((std::path::absolute(path).ok()?, fs::canonicalize(path).ok()?, write))
        })
        .collect();
    let mut real: BTreeMap<PathBuf, bool> = BTreeMap::new();
    for (_, path, write) in &granted {
        *real.entry(path.clone()).or_default() |= write;
    }
    let covered = |path: &Path, write: bool| {
        path.ancestors().skip(1).any(|above| real.get(above).is_some_and(|also| *also >= write))
    };
    let mut found: BTreeMap<PathBuf, Bind> = real
        .iter()
        .filter(|(path, write)| !covered(path, **write))
        .map(|(path, write)| {
            (path.clone(), Bind { source: path.clone(), target: path.clone(), writable: *write })
        })
        .collect();
    for (given, path, write) in granted {
        // Below a folder that is there, the link itself is seen.
        let seen = given.ancestors().any(|above| found.contains_key(above));
        if !seen && !given.components().any(|part| part == Component::ParentDir) {
            found.insert(given.clone(), Bind { source: path, target: given, writable: write });
        }
    }
    let asked = found.clone();
    for bind in asked.values() {
        for point in mounted.iter().filter(|point| **point != bind.source) {
            let Ok(rest) = point.strip_prefix(&bind.source) else { continue };
            let target = bind.target.join(rest);
            let nearest = target.ancestors().find(|above| asked.contains_key(*above));
            if nearest == Some(bind.target.as_path()) {
                let below = Bind { source: point.clone(), target: target.clone(), writable: bind.writable };
                found.insert(target, below);
            }
        }
    }
    found.into_values().collect()
}

/// The mount points of this machine, as this process sees them.
pub(super) fn mounted() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().filter_map(|line| Some(PathBuf::from(unescaped(line.split(' ').nth(4)?)))).collect()
}

/// Spaces, tabs, line ends and backslashes stand in octal.
fn unescaped(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (code, plain)| path.replace(code, plain))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    use super::{binds, system, unescaped};

    /// Grants below a root with the folders `a/b/c`, `d`, the file `d/f` and the link `l` to `d`.
    fn check(readable: &[&str], writable: &[&str], mounted: &[&str], expect: &[&str]) {
        let root = tempfile::tempdir().expect("directory");
        let root = root.path().canonicalize().expect("path");
        fs::create_dir_all(root.join("a/b/c")).expect("directory");
        fs::create_dir(root.join("d")).expect("directory");
        fs::write(root.join("d/f"), "").expect("write");
        symlink("d", root.join("l")).expect("link");
        let paths = |names: &[&str]| names.iter().map(|name| root.join(name)).collect::<Vec<PathBuf>>();
        let short =
            |path: &Path| path.strip_prefix(&root).map(|path| path.display().to_string()).unwrap_or_default();
        let found: Vec<String> = binds(&paths(readable), &paths(writable), &paths(mounted))
            .iter()
            .map(|bind| {
                let mode = if bind.writable { "rw" } else { "ro" };
                let target = short(&bind.target);
                if bind.source == bind.target {
                    format!("{target} {mode}")
                } else {
                    format!("{target} {mode} of {}", short(&bind.source))
                }
            })
            .collect();
        assert_eq!(found, expect, "{readable:?} {writable:?} {mounted:?}");
    }

    #[test]
    fn what_is_granted_is_bound_once() {
        check(&[], &[], &[], &[]);
        check(&["a", "nowhere"], &["gone"], &[], &["a ro"]);
        check(&["a", "a/b"], &[], &[], &["a ro"]);
        check(&["a/b", "a"], &["a"], &[], &["a rw"]);
        // A readable path inside a writable one stays writable, a writable one inside a readable one is.
        check(&["a/b"], &["a"], &[], &["a rw"]);
        check(&["a"], &["a/b"], &[], &["a ro", "a/b rw"]);
        check(&["a", "a/b/c"], &["a/b"], &[], &["a ro", "a/b rw"]);
        // Links are seen by both names.
        check(&["l"], &[], &[], &["d ro", "l ro of d"]);
        check(&["l/f"], &[], &[], &["d/f ro", "l/f ro of d/f"]);
        check(&["l", "l/f"], &[], &[], &["d ro", "l ro of d"]);
    }

    #[test]
    fn file_systems_below_are_bound_with_the_mode_of_what_they_are_below() {
        check(&["a"], &[], &["a", "a/b", "d"], &["a ro", "a/b ro"]);
        check(&["a"], &["a/b"], &["a/b/c"], &["a ro", "a/b rw", "a/b/c rw"]);
        check(&["a"], &["a/b"], &["a/b"], &["a ro", "a/b rw"]);
        check(&["a"], &[], &["a/b", "a/b/c"], &["a ro", "a/b ro", "a/b/c ro"]);
        check(&["l"], &[], &["d/f"], &["d ro", "d/f ro", "l ro of d", "l/f ro of d/f"]);
    }

    #[test]
    fn the_system_is_that_of_the_sandbox_without_what_the_engine_brings() {
        let system = system();
        assert!(system.contains(&"/usr".into()) && system.contains(&"/etc/passwd".into()), "{system:?}");
        assert!(
            !system.iter().any(|path| path.starts_with("/proc") || path.starts_with("/sys")),
            "{system:?}"
        );
        assert!(!system.contains(&"/etc".into()) && !system.contains(&"/sbin".into()), "{system:?}");
    }

    #[test]
    fn mount_points_are_unescaped() {
        assert_eq!(unescaped(r"/a\040b\134c"), r"/a b\c");
        assert!(super::mounted().contains(&"/proc".into()));
    }
}
