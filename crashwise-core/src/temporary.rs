//! Folders that go away with the process, however that ends.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use tempfile::TempDir;

/// What the names of all such folders begin with, and of no others: state and caches of users may lie beside.
const PREFIX: &str = "crashwise-tmp-";
/// Held locked as long as the folder is in use.
const LOCK: &str = "crashwise-tmp.lock";

/// A folder in the system's folder for temporary files, open to its owner only, which goes away with this value. One whose
/// process was killed is removed by the next process that makes one beside it: a lock on a file in it says that it is used.
///
/// ```
/// let folder = crashwise_core::TemporaryFolder::new("example").unwrap();
/// std::fs::write(folder.path().join("file"), "text").unwrap();
/// let path = folder.path().to_owned();
/// drop(folder);
/// assert!(!path.exists());
/// ```
#[derive(Debug)]
pub struct TemporaryFolder {
    folder: TempDir,
    _lock: File,
}

impl TemporaryFolder {
    /// A new folder; `purpose` is part of its name.
    ///
    /// # Errors
    ///
    /// When it cannot be made or locked.
    pub fn new(purpose: &str) -> io::Result<Self> {
        Self::new_in(&std::env::temp_dir(), purpose)
    }

    fn new_in(place: &Path, purpose: &str) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("{PREFIX}{purpose}-")).tempdir_in(place)?;
        // Locked before it has the name by which others look for it.
        let unnamed = folder.path().join("locking");
        let lock = File::create_new(&unnamed)?;
        lock.lock()?;
        fs::rename(unnamed, folder.path().join(LOCK))?;
        // What cannot be removed now is left to the next one.
        let _ = sweep(place, folder.path());
        Ok(Self { folder, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}
/// Removes the folders that nobody holds any more.
fn sweep(place: &Path, own: &Path) -> io::Result<()> {
    let own_metadata = fs::symlink_metadata(own)?;
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        let path = entry.path();
        let named = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !named || path == own {
            continue;
        }
        let is_left = fs::symlink_metadata(&path)
            .is_ok_and(|metadata| metadata.is_dir() && is_same_user(&metadata, &own_metadata))
            && fs::symlink_metadata(path.join(LOCK)).is_ok_and(|metadata| metadata.is_file())
            && File::open(path.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if is_left {
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
}

/// Whether two folders belong to one user: what others put there is none of ours.
fn is_same_user(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        one.uid() == other.uid()
    }
    #[cfg(not(unix))]
    {
        let _ = (one, other);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: &str, lock: bool| {
            let folder = place.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("file"), "x").unwrap();
            if lock {
                fs::write(folder.join(LOCK), "").unwrap();
            }
            folder
        };
        let left = make("crashwise-tmp-results-left", true);
        let others = [
            make("crashwise-tmp-fuzz-made-now", false),
            make("crashwise-state", true),
            make("elsewhere", true),
        ];
        fs::write(others[0].join("lock"), "").unwrap();
        let used = TemporaryFolder::new_in(place.path(), "test").unwrap();
        fs::write(used.path().join("findings"), "x").unwrap();
        let next = TemporaryFolder::new_in(place.path(), "test").unwrap();
        assert!(!left.exists());
        assert!(others.iter().all(|folder| folder.join("file").exists()));
        assert!(used.path().join("findings").exists() && next.path().exists());
        drop((used, next));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), others.len());
    }
}
