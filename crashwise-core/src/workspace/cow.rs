//! Copy-on-write: the cheapest way that a directory's file system offers.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use super::tree::{self, Contents, Scope};
use super::{overlay, subvolume};

/// How a run gets a tree of its own from a shared one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CopyOnWrite {
    /// An overlay mount; nothing is copied until it is written.
    Overlay,
    /// A snapshot of a btrfs subvolume; nothing is copied until it is written.
    Snapshot,
    /// Every file is made anew but shares its extents.
    Reflink,
    /// Everything is copied.
    Copy,
}

impl CopyOnWrite {
    /// A word for reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Snapshot => "snapshot",
            Self::Reflink => "reflink",
            Self::Copy => "copy",
        }
    }

    /// What it means for a run, in a few words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Overlay => "overlay mounts: nothing is copied until it is written",
            Self::Snapshot => "snapshots of btrfs: nothing is copied until it is written",
            Self::Reflink => "reflinks: files are made anew and share their content until it is written",
            Self::Copy => "plain copies: neither overlay mounts nor snapshots nor reflinks work there",
        }
    }

    /// Finds the first that works by trying each in a new directory below `dir`.
    pub fn probe(dir: &Path) -> io::Result<Self> {
        let place = tempfile::Builder::new().prefix("probe-").tempdir_in(dir)?;
        Ok(if can_overlay(place.path()) {
            Self::Overlay
        } else if can_snapshot(place.path()) {
            Self::Snapshot
        } else if tree::can_reflink(place.path()) {
            Self::Reflink
        } else {
            Self::Copy
        })
    }

    /// Makes the empty directory of a tree that shall be copied this way.
    pub(crate) fn make_base(self, at: &Path) -> io::Result<()> {
        if self == Self::Snapshot && subvolume::create(at).is_ok() { Ok(()) } else { fs::create_dir(at) }
    }

    /// Makes `run/workspace` a writable copy of `base`. `run` must exist and be empty.
    ///
    /// If the way that was probed fails for this tree, the next one is taken; the one that worked is returned.
    pub(crate) fn apply(self, base: &Path, run: &Path, scope: Scope) -> io::Result<Self> {
        let workspace = run.join("workspace");
        match self {
            Self::Overlay => {
                if mount(base, run).is_ok() {
                    return Ok(self);
                }
                tree::remove(&workspace);
                Self::Snapshot.apply(base, run, scope)
            }
            Self::Snapshot => {
                // A snapshot is of the whole tree.
                if scope == Scope::Whole && subvolume::snapshot(base, &workspace).is_ok() {
                    return Ok(self);
                }
                Self::Reflink.apply(base, run, scope)
            }
            Self::Reflink => match tree::copy(base, &workspace, Contents::Reflink, scope) {
                Err(error) if is_unsupported(&error) => {
                    tree::remove(&workspace);
                    Self::Copy.apply(base, run, scope)
                }
                other => other.map(|()| self),
            },
            Self::Copy => tree::copy(base, &workspace, Contents::Copy, scope).map(|()| self),
        }
    }
}

impl fmt::Display for CopyOnWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Different file systems, or one without shared extents.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::CrossesDevices | io::ErrorKind::InvalidInput
    )
}

fn mount(base: &Path, run: &Path) -> io::Result<()> {
    let [workspace, upper, work] = ["workspace", ".upper", ".work"].map(|name| run.join(name));
    for dir in [&workspace, &upper, &work] {
        fs::create_dir(dir)?;
    }
    overlay::overlay(base, &upper, &work, &workspace)
}

fn can_overlay(place: &Path) -> bool {
    let base = place.join("base");
    let run = place.join("run");
    let tried = fs::create_dir(&base)
        .and_then(|()| fs::write(base.join("file"), b"below"))
        .and_then(|()| fs::create_dir(&run))
        .and_then(|()| mount(&base, &run))
        .and_then(|()| fs::write(run.join("workspace/file"), b"above"))
        .and_then(|()| fs::read(base.join("file")));
    overlay::unmount_below(&run);
    tried.is_ok_and(|below| below == b"below")
}

fn can_snapshot(place: &Path) -> bool {
    let (base, copy) = (place.join("whole"), place.join("workspace"));
    let tried = subvolume::create(&base)
        .and_then(|()| fs::write(base.join("file"), b"below"))
        .and_then(|()| subvolume::snapshot(&base, &copy))
        .and_then(|()| fs::write(copy.join("file"), b"above"))
        .and_then(|()| fs::read(base.join("file")));
    // Who may make a snapshot need not be allowed to remove it in one step, but must be able to remove it.
    let removed =
        !base.exists() || fs::remove_dir_all(&copy).and_then(|()| fs::remove_dir_all(&base)).is_ok();
    removed && tried.is_ok_and(|below| below == b"below")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    #[allow(clippy::print_stdout, reason = "scripts/test-file-systems.sh shows it")]
    fn every_way_gives_a_tree_of_its_own() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let base = dir.path().join("base");
        CopyOnWrite::Snapshot.make_base(&base).expect("writable");
        fs::create_dir_all(base.join("d/e")).expect("writable");
        for i in 0..200 {
            fs::write(base.join(format!("d/f{i}")), format!("content {i}")).expect("writable");
        }
        fs::hard_link(base.join("d/f1"), base.join("linked")).expect("same file system");
        symlink("d/f1", base.join("link")).expect("writable");
        fs::set_permissions(base.join("d/f2"), fs::Permissions::from_mode(0o555)).expect("own file");
        let before = tree::digest(&base).expect("readable");
        let probed = CopyOnWrite::probe(dir.path()).expect("writable");
        println!("copy-on-write by {probed}");
        for way in [probed, CopyOnWrite::Snapshot, CopyOnWrite::Reflink, CopyOnWrite::Copy] {
            let run = tempfile::tempdir_in(dir.path()).expect("writable");
            let used = way.apply(&base, run.path(), Scope::Whole).expect("some way works");
            assert!(used == way || way != probed, "{probed} was tried, and {used} used");
            let workspace = run.path().join("workspace");
            assert_eq!(tree::digest(&workspace).expect("readable"), before, "{way}");
            fs::write(workspace.join("linked"), "mine").expect("own tree");
            fs::write(workspace.join("new"), "mine").expect("own tree");
            fs::remove_file(workspace.join("d/f2")).expect("own tree");
            fs::remove_dir(workspace.join("d/e")).expect("own tree");
            assert_eq!(tree::digest(&base).expect("readable"), before, "{way} wrote through");
            assert_ne!(fs::metadata(workspace.join("d/f3")).expect("there").mode() & 0o200, 0);
            overlay::unmount_below(run.path());
            tree::remove(run.path());
            assert!(!run.path().exists(), "{way}");
        }
    }

    #[test]
    fn a_tree_that_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let run = dir.path().join("run");
        fs::create_dir(&run).expect("writable");
        assert!(CopyOnWrite::Copy.apply(&dir.path().join("none"), &run, Scope::Whole).is_err());
    }
}
