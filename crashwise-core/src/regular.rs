//! Reading from folders in which others may put anything.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a file of at most `most` bytes from a folder to which a process that is not trusted may write: no link is followed,
/// and a FIFO or a device is refused without waiting for it.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] if it is no regular file or a larger one, else what opening or reading it says.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    // It may grow while it is read.
    if file.metadata()?.is_file() && file.take(most.saturating_add(1)).read_to_end(&mut bytes)? as u64 <= most
    {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    if std::fs::symlink_metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::fs::symlink;

    #[test]
    fn links_fifos_and_large_files_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "12345").unwrap();
        symlink(at("file"), at("link")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(read_regular(&at("file"), 5).unwrap(), b"12345");
        for (name, most) in [("file", 4), ("link", 9), ("zero", 9), ("fifo", 9), ("", 9), ("none", 9)] {
            read_regular(&at(name), most).unwrap_err();
        }
        assert_eq!(read_regular(&at("fifo"), 9).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
