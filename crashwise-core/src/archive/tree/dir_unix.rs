//! One directory, reached by descriptor: every step is one component and follows no link.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::Kind;

#[derive(Debug)]
pub(super) struct Dir(OwnedFd);

const OPEN_DIR: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const CREATE: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Dir {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(fs::open(path, OPEN_DIR, Mode::empty())?))
    }

    /// Makes a directory that must not be there yet.
    pub(super) fn make(&self, name: &[u8]) -> io::Result<()> {
        Ok(fs::mkdirat(&self.0, name, Mode::from_raw_mode(0o755))?)
    }

    pub(super) fn enter(&self, name: &[u8]) -> io::Result<Dir> {
        Ok(Dir(fs::openat(&self.0, name, OPEN_DIR, Mode::empty())?))
    }

    pub(super) fn create(&self, name: &[u8], executable: bool) -> io::Result<File> {
        let mode = if executable { 0o755 } else { 0o644 };
        Ok(File::from(fs::openat(&self.0, name, CREATE, Mode::from_raw_mode(mode))?))
    }

    /// What a path below this directory is. Must only be asked while the tree holds no symbolic link.
    pub(super) fn kind(&self, path: &[u8]) -> io::Result<Option<Kind>> {
        match fs::statat(&self.0, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Kind::Directory,
                FileType::RegularFile => Kind::File(u64::try_from(stat.st_size).unwrap_or(0)),
                _ => Kind::Other,
            })),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Links `name` to the file at `target`, a path below `root`.
    pub(super) fn hard_link(&self, name: &[u8], root: &Dir, target: &[u8]) -> io::Result<()> {
        Ok(fs::linkat(&root.0, target, &self.0, name, AtFlags::empty())?)
    }

    pub(super) fn symlink(&self, name: &[u8], target: &[u8]) -> io::Result<()> {
        Ok(fs::symlinkat(target, &self.0, name)?)
    }
}
