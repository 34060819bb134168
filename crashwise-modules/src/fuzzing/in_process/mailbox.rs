//! A file that child and parent share: the input that runs now, and how many have run. It outlives any death of the child.
#![allow(unsafe_code, reason = "a file mapped into memory")]

use crate::fuzzing::libfuzzer::{HEADER, LONGEST};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence};

#[repr(C)]
struct Header {
    executions: AtomicU64,
    running: AtomicU32,
    len: AtomicU32,
}

/// The child's end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mailbox {
    header: &'static Header,
    input: *mut u8,
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Header").field("executions", &self.executions).finish_non_exhaustive()
    }
}

// SAFETY: the mapping lives as long as the process; the input is written by the thread that fuzzes and read by the watch and
// by handlers of signals, which take what they find.
unsafe impl Send for Mailbox {}
// SAFETY: as above.
unsafe impl Sync for Mailbox {}

impl Mailbox {
    /// Makes the file and maps it, for the rest of the process.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        // Every block now: on a full disk, a write into a hole of a mapped file is a fault that the target would be blamed for.
        file.write_all(&vec![0; HEADER + LONGEST])?;
        // SAFETY: a new mapping of a file that only this process changes; nobody makes it shorter while the child lives.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                HEADER + LONGEST,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &file,
                0,
            )?
        };
        // SAFETY: the mapping begins at a page, holds a header of integers, and is never unmapped.
        let header = unsafe { &*start.cast::<Header>() };
        // SAFETY: within the mapping.
        let input = unsafe { start.cast::<u8>().add(HEADER) };
        Ok(Self { header, input })
    }

    /// Says that the target runs `input` now. What is longer than [`LONGEST`] is cut.
    pub(super) fn begin(&self, input: &[u8]) {
        let len = input.len().min(LONGEST);
        // SAFETY: the mapping has room for `LONGEST` bytes, and no other thread of this process writes them.
        unsafe { std::ptr::copy_nonoverlapping(input.as_ptr(), self.input, len) };
        #[allow(clippy::cast_possible_truncation, reason = "at most LONGEST")]
        self.header.len.store(len as u32, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        self.header.running.store(1, Ordering::Relaxed);
    }

    /// Says that the target has returned.
    pub(super) fn end(&self) {
        self.header.running.store(0, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        let executions = self.header.executions.load(Ordering::Relaxed);
        self.header.executions.store(executions + 1, Ordering::Relaxed);
    }

    /// Inputs run to their end.
    pub(super) fn executions(&self) -> u64 {
        self.header.executions.load(Ordering::Relaxed)
    }

    /// The input that runs now.
    pub(super) fn running(&self) -> Option<&[u8]> {
        if self.header.running.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let len = (self.header.len.load(Ordering::Relaxed) as usize).min(LONGEST);
        // SAFETY: within the mapping; a byte that changes meanwhile is still a byte of the file.
        Some(unsafe { std::slice::from_raw_parts(self.input, len) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn nothing_of_the_file_is_a_hole_and_the_running_input_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mailbox");
        let mailbox = Mailbox::create(&path).unwrap();
        assert!(std::fs::metadata(&path).unwrap().blocks() * 512 >= (HEADER + LONGEST) as u64);
        let left = || crate::fuzzing::libfuzzer::left_behind(folder.path());
        assert_eq!((mailbox.running(), left()), (None, None));
        mailbox.begin(b"input");
        assert_eq!((mailbox.running(), left().as_deref()), (Some(&b"input"[..]), Some(&b"input"[..])));
        mailbox.end();
        assert_eq!((mailbox.running(), left(), mailbox.executions()), (None, None, 1));
        assert!(Mailbox::create(Path::new("/proc/mailbox")).is_err());
    }
}
