//! Subvolumes of btrfs: a tree that is one is copied by a single call, whatever its size.

#[cfg(target_os = "linux")]
mod linux {
    #![allow(unsafe_code, reason = "no safe binding has the calls for subvolumes")]

    use std::fs::{self, File};
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

    /// `struct btrfs_ioctl_vol_args` of the kernel.
    #[repr(C)]
    struct Arguments {
        source: i64,
        name: [u8; 4088],
    }

    const GROUP: u8 = 0x94;
    const SNAPSHOT: Opcode = opcode::write::<Arguments>(GROUP, 1);
    const CREATE: Opcode = opcode::write::<Arguments>(GROUP, 14);
    const DESTROY: Opcode = opcode::write::<Arguments>(GROUP, 15);

    const BTRFS: u32 = 0x9123_683e;
    /// The inode that the root of every subvolume has.
    const ROOT: u64 = 256;

    /// Makes a new, empty subvolume.
    pub(crate) fn create(at: &Path) -> io::Result<()> {
        call::<CREATE>(at, None)
    }

    /// Makes a writable copy of a subvolume.
    pub(crate) fn snapshot(of: &Path, at: &Path) -> io::Result<()> {
        let source = File::open(of)?;
        if source.metadata()?.ino() != ROOT {
            return Err(io::ErrorKind::Unsupported.into());
        }
        call::<SNAPSHOT>(at, Some(&source))
    }

    /// Removes every subvolume called `workspace` at or up to two levels below a path. What may not be removed this way
    /// can be removed as a directory.
    pub(crate) fn remove_below(path: &Path) {
        if File::open(path).is_ok_and(|dir| is_btrfs(&dir)) {
            remove_down_to(path, 2);
        }
    }

    fn remove_down_to(path: &Path, levels: u32) {
        let Ok(entries) = fs::read_dir(path) else { return };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let path = entry.path();
            if entry.file_name() == "workspace" {
                if entry.metadata().is_ok_and(|meta| meta.ino() == ROOT) {
                    let _ = call::<DESTROY>(&path, None);
                }
            } else if levels > 0 {
                remove_down_to(&path, levels - 1);
            }
        }
    }

    fn is_btrfs(file: &File) -> bool {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the number has 32 bits")]
        rustix::fs::fstatfs(file).is_ok_and(|system| system.f_type as u32 == BTRFS)
    }

    fn call<const CODE: Opcode>(at: &Path, source: Option<&File>) -> io::Result<()> {
        let (Some(parent), Some(name)) = (at.parent(), at.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let parent = File::open(parent)?;
        if !is_btrfs(&parent) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let name = name.as_bytes();
        let mut arguments =
            Arguments { source: source.map_or(0, |file| file.as_raw_fd().into()), name: [0; 4088] };
        // The last byte stays zero.
        let place = arguments.name[..4087].get_mut(..name.len()).ok_or(io::ErrorKind::InvalidInput)?;
        place.copy_from_slice(name);
        // SAFETY: the file system is btrfs, all three codes take this structure and only read it, the name ends in a zero,
        // and both descriptors are open during the call.
        unsafe { ioctl(&parent, Setter::<CODE, Arguments>::new(arguments)) }?;
        Ok(())
    }
}

#[cfg(target_os = "linux")]
pub(crate) use self::linux::{create, remove_below, snapshot};

#[cfg(not(target_os = "linux"))]
pub(crate) fn create(_at: &std::path::Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn snapshot(_of: &std::path::Path, _at: &std::path::Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn remove_below(_path: &std::path::Path) {}
