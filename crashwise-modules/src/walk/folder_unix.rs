//! Folders by descriptor: everything below is opened relative to it and without following links.

#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::fs::RawDir;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    /// Whether somebody listed it by its own descriptor, which has one position for all.
    is_listed: AtomicBool,
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
    fd: OwnedFd,
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

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK);

/// Bytes for entries of one call.
const LISTED: usize = 16 << 10;

impl Folder {
    /// Opens the root of a walk; it may be reached through links.
    pub(super) fn root(path: &Path) -> io::Result<Self> {
        Ok(Self::of(fs::open(path, FOLDER, Mode::empty())?))
    }

    /// Opens a folder in this one; a link is refused.
    pub(super) fn folder(&self, name: &OsStr) -> io::Result<Self> {
        Ok(Self::of(fs::openat(&self.fd, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?))
    }

    fn of(fd: OwnedFd) -> Self {
        Self { fd, is_listed: AtomicBool::new(false) }
    }

    /// The entries, in the order of their names, at most `limit` of them, and whether there are more.
    pub(super) fn entries(&self, limit: usize) -> io::Result<(Vec<(OsString, EntryKind)>, bool)> {
        let mut entries = Vec::new();
        let more = self.list(|name, kind| {
            let bytes = name.to_bytes();
            if bytes == b"." || bytes == b".." {
                return ControlFlow::Continue(());
            }
            if entries.len() >= limit {
                return ControlFlow::Break(());
            }
            let kind = match kind {
                FileType::Unknown => match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    // Opening it will say what is wrong.
                    Err(_) => FileType::RegularFile,
                },
                known => known,
            };
            entries.push((OsString::from_vec(bytes.to_vec()), kind.into()));
            ControlFlow::Continue(())
        })?;
        let more = more.is_break();
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok((entries, more))
    }

    /// Shows the entries in the order of the file system.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn list(&self, mut show: impl FnMut(&CStr, FileType) -> ControlFlow<()>) -> io::Result<ControlFlow<()>> {
        let again;
        let fd = if self.is_listed.swap(true, Ordering::Relaxed) {
            again = fs::openat(&self.fd, c".", FOLDER, Mode::empty())?;
            &again
        } else {
            &self.fd
        };
        let mut buffer = [MaybeUninit::uninit(); LISTED];
        let mut entries = RawDir::new(fd, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if show(entry.file_name(), entry.file_type()).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Shows the entries in the order of the file system.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn list(&self, mut show: impl FnMut(&CStr, FileType) -> ControlFlow<()>) -> io::Result<ControlFlow<()>> {
        for entry in fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            if show(entry.file_name(), entry.file_type()).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The size of a file in this folder, without opening it.
    pub(super) fn size(&self, name: &OsStr) -> Result<u64, OpenError> {
        let stat = fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        regular(&stat)
    }

    /// Opens a regular file in this folder; anything else is refused, and opening never waits.
    pub(super) fn file(&self, name: &OsStr) -> Result<OpenFile, OpenError> {
        let fd = match fs::openat(&self.fd, name, FILE, Mode::empty()) {
            // A socket, or a device without a driver.
            Err(rustix::io::Errno::NXIO | rustix::io::Errno::LOOP) => return Err(OpenError::NotAFile),
            other => other?,
        };
        let size = regular(&fs::fstat(&fd)?)?;
        Ok(OpenFile { fd, size })
    }

    /// What a link in this folder says.
    pub(super) fn link(&self, name: &OsStr) -> io::Result<PathBuf> {
        let text = fs::readlinkat(&self.fd, name, Vec::new())?;
        Ok(PathBuf::from(OsStr::from_bytes(text.to_bytes())))
    }
}

impl OpenFile {
    /// Reads on until the buffer has `len` bytes, and says whether the file ended before.
    pub(super) fn append(&self, buffer: &mut Vec<u8>, len: usize) -> io::Result<bool> {
        let mut at = buffer.len();
        buffer.resize(len.max(at), 0);
        while at < len {
            match rustix::io::read(&self.fd, &mut buffer[at..]) {
                Ok(0) => {
                    buffer.truncate(at);
                    return Ok(true);
                }
                Ok(read) => at += read,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    /// Reads on until the buffer has `limit` bytes, and says whether that was all.
    pub(super) fn read(&self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<bool> {
        let expected = usize::try_from(self.size).unwrap_or(usize::MAX);
        // One byte more than expected, so that a file that stays as it is needs a single call.
        let room = expected.saturating_add(1).min(limit.saturating_add(1)).max(64);
        if buffer.is_empty() && buffer.capacity() < room {
            // Growing would copy what an empty buffer does not hold.
            *buffer = Vec::with_capacity(room);
        }
        buffer.reserve(room);
        loop {
            if buffer.len() > limit {
                buffer.truncate(limit);
                return Ok(false);
            }
            if buffer.len() == buffer.capacity() {
                buffer.reserve(buffer.len().max(4096));
            }
            match rustix::io::read(&self.fd, rustix::buffer::spare_capacity(buffer)) {
                Ok(0) => return Ok(true),
                Ok(_) if buffer.len() == expected && expected <= limit => return Ok(true),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn regular(stat: &fs::Stat) -> Result<u64, OpenError> {
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    } else {
        Err(OpenError::NotAFile)
    }
}

impl From<FileType> for EntryKind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Link,
            _ => Self::Special,
        }
    }
}

impl From<rustix::io::Errno> for OpenError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}
