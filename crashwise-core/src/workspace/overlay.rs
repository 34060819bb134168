//! Overlay mounts: one tree below, the changes of a run above it.

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{CString, OsString};
    use std::fs;
    use std::io;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

    /// Mounts `lower` at `at`, with changes in `upper`; `work` is a directory beside it that the kernel needs. All four
    /// must exist. Unmounting does not wait for the disk where the kernel can do without (5.10): no run outlives a power cut.
    pub(crate) fn overlay(lower: &Path, upper: &Path, work: &Path, at: &Path) -> io::Result<()> {
        let mut data = Vec::new();
        for (key, path) in [("lowerdir=", lower), (",upperdir=", upper), (",workdir=", work)] {
            let path = path.as_os_str().as_bytes();
            // These have a meaning in the option string.
            if path.iter().any(|b| matches!(b, b',' | b':' | b'\\')) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            data.extend_from_slice(key.as_bytes());
            data.extend_from_slice(path);
        }
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        let attempt = |options: &[u8]| {
            let options = CString::new([&data, options].concat())?;
            Ok(mount("overlay", at, "overlay", flags, Some(options.as_c_str()))?)
        };
        attempt(b",volatile").or_else(|error: io::Error| match error.kind() {
            io::ErrorKind::InvalidInput => attempt(b""),
            _ => Err(error),
        })
    }

    /// Unmounts everything at or below a path.
    pub(crate) fn unmount_below(path: &Path) {
        let Ok(path) = path.canonicalize() else { return };
        let Ok(table) = fs::read("/proc/self/mountinfo") else { return };
        let mut points: Vec<PathBuf> = table
            .split(|&b| b == b'\n')
            .filter_map(|line| line.split(|&b| b == b' ').nth(4))
            .map(|point| PathBuf::from(OsString::from_vec(unescape(point))))
            .filter(|point| point.starts_with(&path))
            .collect();
        // What lies deeper goes first.
        points.sort_unstable_by(|a, b| b.cmp(a));
        for point in points {
            // A mount that stays is found again: removing what is below it fails.
            let _ = unmount(&point, UnmountFlags::DETACH);
        }
    }

    /// The table writes some characters as a backslash and three octal digits.
    fn unescape(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        while let [first, tail @ ..] = rest {
            if let [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] = rest {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            } else {
                out.push(*first);
                rest = tail;
            }
        }
        out
    }

    #[cfg(test)]
    mod tests {
        use super::unescape;

        #[test]
        fn mount_points_are_unescaped() {
            assert_eq!(unescape(br"/a\040b\134c"), br"/a b\c");
            assert_eq!(unescape(br"/a\04"), br"/a\04");
        }
    }
}

#[cfg(target_os = "linux")]
pub(crate) use self::linux::{overlay, unmount_below};

#[cfg(not(target_os = "linux"))]
pub(crate) fn overlay(
    _lower: &std::path::Path,
    _upper: &std::path::Path,
    _work: &std::path::Path,
    _at: &std::path::Path,
) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn unmount_below(_path: &std::path::Path) {}
