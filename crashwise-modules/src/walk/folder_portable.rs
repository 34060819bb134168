//! Folders by path, for systems without descriptors of folders.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Folder,
    Link,
    Special,
}

/// An open file and its size in bytes.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: File,
    pub(super) size: u64,
}

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("is not a regular file")]
    NotAFile,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Folder {
    /// Opens the root of a walk; it may be reached through links.
    pub(super) fn root(path: &Path) -> io::Result<Self> {
        if fs::metadata(path)?.is_dir() {
            Ok(Self { path: path.to_owned() })
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    /// Opens a folder in this one; a link is refused.
    pub(super) fn folder(&self, name: &OsStr) -> io::Result<Self> {
        let path = self.path.join(name);
        if fs::symlink_metadata(&path)?.is_dir() {
            Ok(Self { path })
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    /// The entries, in the order of their names, at most `limit` of them, and whether there are more.
    pub(super) fn entries(&self, limit: usize) -> io::Result<(Vec<(OsString, EntryKind)>, bool)> {
        let mut entries = Vec::new();
        let mut more = false;
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entries.len() >= limit {
                more = true;
                break;
            }
            entries.push((entry.file_name(), entry.file_type()?.into()));
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok((entries, more))
    }

    /// The size of a file in this folder, without opening it.
    pub(super) fn size(&self, name: &OsStr) -> Result<u64, OpenError> {
        let metadata = fs::symlink_metadata(self.path.join(name))?;
        if metadata.is_file() { Ok(metadata.len()) } else { Err(OpenError::NotAFile) }
    }

    /// Opens a regular file in this folder; anything else is refused.
    pub(super) fn file(&self, name: &OsStr) -> Result<OpenFile, OpenError> {
        self.size(name)?;
        let file = File::open(self.path.join(name))?;
        let size = file.metadata()?.len();
        Ok(OpenFile { file, size })
    }

    /// What a link in this folder says.
    pub(super) fn link(&self, name: &OsStr) -> io::Result<PathBuf> {
        fs::read_link(self.path.join(name))
    }
}

impl OpenFile {
    /// Reads on until the buffer has `len` bytes, and says whether the file ended before.
    pub(super) fn append(&self, buffer: &mut Vec<u8>, len: usize) -> io::Result<bool> {
        (&self.file).take(len.saturating_sub(buffer.len()) as u64).read_to_end(buffer)?;
        Ok(buffer.len() < len)
    }

    /// Reads on until the buffer has `limit` bytes, and says whether that was all.
    pub(super) fn read(&self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<bool> {
        (&self.file).take((limit as u64 + 1).saturating_sub(buffer.len() as u64)).read_to_end(buffer)?;
        let whole = buffer.len() <= limit;
        buffer.truncate(limit);
        Ok(whole)
    }
}

impl From<FileType> for EntryKind {
    fn from(kind: FileType) -> Self {
        if kind.is_file() {
            Self::File
        } else if kind.is_dir() {
            Self::Folder
        } else if kind.is_symlink() {
            Self::Link
        } else {
            Self::Special
        }
    }
}
