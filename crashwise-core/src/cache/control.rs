//! The control directory `.crashwise/`: what is where, and what a crash left.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::error::CacheError;
use super::lock::{Hold, Lock, is_read_only};
use crate::workspace::tree;
use crate::{RunId, TargetId};

/// The format of the directory. A cache with another one is not touched.
const FORMAT: &str = "crashwise cache 1";
/// Says to backup programs that this is a cache, see <https://bford.info/cachedir/>.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# This is a cache of crashwise.\n";

/// Paths of a cache.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
}

impl Layout {
    pub(super) fn control(&self, name: &str) -> PathBuf {
        self.root.join(".crashwise").join(name)
    }

    fn lock(&self, name: &str) -> PathBuf {
        self.control("locks").join(name)
    }

    /// Held by the one who evicts.
    pub(super) fn gc_lock(&self) -> PathBuf {
        self.lock("gc")
    }

    /// Held shared by everyone who uses anything of the target, exclusively by who removes it.
    pub(super) fn use_lock(&self, target: &TargetId) -> PathBuf {
        self.lock(&format!("{target}.use"))
    }

    /// Held by the one who fetches the target.
    pub(super) fn fill_lock(&self, target: &TargetId) -> PathBuf {
        self.lock(&format!("{target}.fill"))
    }

    /// Held shared by the users of one run's tree. The `@` is in no id.
    pub(super) fn run_lock(&self, target: &TargetId, run: &str) -> PathBuf {
        self.lock(&format!("{target}@{run}.run"))
    }

    pub(super) fn blob(&self, target: &TargetId) -> PathBuf {
        self.control("blobs").join(target.as_str())
    }

    pub(super) fn meta(&self, target: &TargetId) -> PathBuf {
        self.control("meta").join(format!("{target}.json"))
    }

    pub(super) fn target(&self, target: &TargetId) -> PathBuf {
        self.root.join(target.as_str())
    }

    pub(super) fn run(&self, target: &TargetId, run: &RunId) -> PathBuf {
        self.target(target).join(run.as_str())
    }

    /// Makes the directories. `false` if nothing may be written here.
    pub(super) fn create(&self) -> Result<bool, CacheError> {
        let version = self.control("version");
        match fs::read_to_string(&version) {
            Ok(found) if found.trim() == FORMAT => {}
            // A crash between creating and writing it.
            Ok(found) if found.is_empty() => {}
            Ok(found) => {
                let found = found.trim().chars().take(64).collect();
                return Err(CacheError::Version { directory: self.root.clone(), found, expected: FORMAT });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(CacheError::io(&version)(error)),
        }
        let make = || -> io::Result<()> {
            for name in ["locks", "staging", "trash", "blobs", "meta"] {
                fs::create_dir_all(self.control(name))?;
            }
            write_if_missing(&version, FORMAT)?;
            write_if_missing(&self.root.join("CACHEDIR.TAG"), TAG)?;
            // Directories that exist can be made again on a read-only file system; opening for writing tells.
            File::options().write(true).create(true).truncate(false).open(self.gc_lock()).map(drop)
        };
        match make() {
            Ok(()) => Ok(true),
            Err(error) if is_read_only(&error) && version.exists() => Ok(false),
            Err(error) => Err(CacheError::io(&self.root)(error)),
        }
    }

    /// Targets that have anything in the cache, sorted.
    pub(super) fn targets(&self) -> Result<Vec<TargetId>, CacheError> {
        let mut targets = std::collections::BTreeSet::new();
        for (dir, suffix) in
            [(self.root.clone(), ""), (self.control("blobs"), ""), (self.control("meta"), ".json")]
        {
            for name in names(&dir)? {
                // What is not an id was not put here by the cache.
                if let Some(id) = name.strip_suffix(suffix).and_then(|name| TargetId::new(name).ok())
                    && name != "CACHEDIR.TAG"
                {
                    targets.insert(id);
                }
            }
        }
        Ok(targets.into_iter().collect())
    }

    /// Runs that have a tree of their own of this target.
    pub(super) fn runs(&self, target: &TargetId) -> Result<Vec<String>, CacheError> {
        let mut runs = names(&self.target(target))?;
        runs.retain(|name| !matches!(name.as_str(), "shared" | "workspace" | "target"));
        Ok(runs)
    }

    /// Moves something out of sight in one step; deleting it can take its time. Nothing there is fine.
    pub(super) fn trash(&self, path: &Path) -> Result<Option<PathBuf>, CacheError> {
        let to = self.control("trash").join(uuid::Uuid::now_v7().to_string());
        tree::make_movable(path);
        match fs::rename(path, &to) {
            Ok(()) => Ok(Some(to)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CacheError::io(path)(error)),
        }
    }

    /// Removes what dead processes left: staged trees, trash, trees of runs.
    pub(super) fn clean(&self) -> Result<(), CacheError> {
        for name in names(&self.control("trash"))? {
            tree::remove(&self.control("trash").join(name));
        }
        for name in names(&self.control("staging"))? {
            let Some(stem) = name.strip_suffix(".own") else { continue };
            let owner = self.control("staging").join(&name);
            if Lock::try_take(&owner, Hold::Exclusive)?.is_some() {
                let path = self.control("staging").join(stem);
                crate::workspace::overlay::unmount_below(&path);
                tree::remove(&path);
                // Last, because without it the tree would never be recognised.
                let _ = fs::remove_file(owner);
            }
        }
        for target in self.targets()? {
            for run in self.runs(&target)? {
                self.remove_run(&target, &run)?;
            }
        }
        self.clean_locks()
    }

    /// Removes lock files of runs and targets that are gone and that nobody holds.
    fn clean_locks(&self) -> Result<(), CacheError> {
        let targets = self.targets()?;
        for name in names(&self.control("locks"))? {
            let Some((stem, _)) = name.rsplit_once('.') else { continue };
            let is_gone = stem.contains('@') || !targets.iter().any(|target| target.as_str() == stem);
            let path = self.lock(&name);
            if is_gone && let Some(lock) = Lock::try_take(&path, Hold::Exclusive)? {
                lock.remove(&path);
            }
        }
        Ok(())
    }

    /// Removes the tree of a run unless it is in use.
    pub(super) fn remove_run(&self, target: &TargetId, run: &str) -> Result<(), CacheError> {
        let path = self.target(target).join(run);
        let lock_path = self.run_lock(target, run);
        let Some(lock) = Lock::try_take(&lock_path, Hold::Exclusive)? else { return Ok(()) };
        crate::workspace::overlay::unmount_below(&path);
        let trash = self.trash(&path)?;
        // The directory of the target goes with its last entry.
        let _ = fs::remove_dir(self.target(target));
        lock.remove(&lock_path);
        if let Some(trash) = trash {
            tree::remove(&trash);
        }
        Ok(())
    }
}

fn write_if_missing(path: &Path, text: &str) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|meta| meta.len() > 0) {
        return Ok(());
    }
    fs::write(path, text)
}

/// Names in a directory, sorted; none if it is not there. Names that are not UTF-8 are not ours.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, CacheError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(CacheError::io(dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry.map_err(CacheError::io(dir))?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
