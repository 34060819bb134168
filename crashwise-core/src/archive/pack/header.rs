//! Headers of the archives that we write: ustar, with an extended header where a name or a size does not fit.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::super::tar::{BLOCK, OCTAL_MOST, checksum};

/// A header but for its names.
pub(super) struct Header {
    kind: u8,
    mode: u32,
    size: u64,
}

impl Header {
    pub(super) fn directory() -> Self {
        Self { kind: b'5', mode: 0o755, size: 0 }
    }

    pub(super) fn file(size: u64, executable: bool) -> Self {
        Self { kind: b'0', mode: if executable { 0o755 } else { 0o644 }, size }
    }

    pub(super) fn symlink() -> Self {
        Self { kind: b'2', mode: 0o777, size: 0 }
    }

    pub(super) fn write(&self, name: &[u8], out: &mut impl Write) -> io::Result<()> {
        self.write_link(name, b"", out)
    }

    pub(super) fn write_link(&self, name: &[u8], target: &[u8], out: &mut impl Write) -> io::Result<()> {
        let mut records = Vec::new();
        if name.len() > 100 {
            record(&mut records, "path", name);
        }
        if target.len() > 100 {
            record(&mut records, "linkpath", target);
        }
        if self.size > OCTAL_MOST {
            record(&mut records, "size", self.size.to_string().as_bytes());
        }
        if !records.is_empty() {
            let extended = Self { kind: b'x', mode: 0o644, size: records.len() as u64 };
            out.write_all(&extended.block(b"PaxHeaders/x", b""))?;
            out.write_all(&records)?;
            pad(records.len() as u64, out)?;
        }
        out.write_all(&self.block(name, target))
    }

    fn block(&self, name: &[u8], target: &[u8]) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &name[..name.len().min(100)]);
        put(100, format!("{:07o}\0", self.mode).as_bytes());
        put(108, b"0000000\x000000000\0");
        let size = if self.size > OCTAL_MOST { 0 } else { self.size };
        put(124, format!("{size:011o}\0").as_bytes());
        put(136, b"00000000000\0");
        put(156, &[self.kind]);
        put(157, &target[..target.len().min(100)]);
        put(257, b"ustar\x0000");
        let sum = checksum(&block);
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

/// Adds a record whose length counts its own digits.
fn record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} {key}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Fills the last block of content of this size.
pub(super) fn pad(size: u64, out: &mut impl Write) -> io::Result<()> {
    #[allow(clippy::cast_possible_truncation, reason = "less than a block")]
    let rest = (size % BLOCK as u64) as usize;
    if rest == 0 { Ok(()) } else { out.write_all(&[0; BLOCK][rest..]) }
}

/// A path as an archive names it, with `/` between its parts.
#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "fails elsewhere")]
pub(super) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt;
    Ok(path.as_os_str().as_bytes().to_vec())
}

#[cfg(not(unix))]
pub(super) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let text = path.to_str().ok_or(io::ErrorKind::InvalidData)?;
    Ok(text.replace(std::path::MAIN_SEPARATOR, "/").into_bytes())
}

#[cfg(unix)]
pub(super) fn path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(not(unix))]
pub(super) fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}
