//! One directory, reached by path, where the system has no descriptors for them. Safe because the tree holds no link
//! until all entries are written.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::Kind;

#[derive(Debug)]
pub(super) struct Dir(PathBuf);

fn text(name: &[u8]) -> io::Result<&str> {
    std::str::from_utf8(name).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

impl Dir {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(path.to_owned()))
    }

    pub(super) fn make(&self, name: &[u8]) -> io::Result<()> {
        fs::create_dir(self.0.join(text(name)?))
    }

    pub(super) fn enter(&self, name: &[u8]) -> io::Result<Dir> {
        let path = self.0.join(text(name)?);
        if fs::symlink_metadata(&path)?.is_dir() {
            Ok(Dir(path))
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    pub(super) fn create(&self, name: &[u8], _executable: bool) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(self.0.join(text(name)?))
    }

    pub(super) fn kind(&self, path: &[u8]) -> io::Result<Option<Kind>> {
        match fs::symlink_metadata(self.0.join(text(path)?)) {
            Ok(meta) if meta.is_dir() => Ok(Some(Kind::Directory)),
            Ok(meta) if meta.is_file() => Ok(Some(Kind::File(meta.len()))),
            Ok(_) => Ok(Some(Kind::Other)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn hard_link(&self, name: &[u8], root: &Dir, target: &[u8]) -> io::Result<()> {
        fs::hard_link(root.0.join(text(target)?), self.0.join(text(name)?))
    }

    /// Systems without symbolic links for everyone get none: the archive fails as unsupported.
    pub(super) fn symlink(&self, _name: &[u8], _target: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
