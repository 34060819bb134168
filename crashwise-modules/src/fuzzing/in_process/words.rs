//! What a child says and keeps, without an allocation or a lock: whoever speaks may have died while it held one.
#![allow(unsafe_code, reason = "calls of the system that may be made after a fault")]

use super::mailbox::Mailbox;
use crate::fuzzing::libfuzzer::LONGEST;
use sha1::{Digest, Sha1};
use std::cell::UnsafeCell;
use std::ffi::{c_int, c_uint};
use std::fmt::{self, Write};
use std::io::ErrorKind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that a pipe takes in one piece, so that lines of several threads do not mix; also those of the longest path.
const PIECE: usize = 4096;

static LAST_WORDS: OnceLock<LastWords> = OnceLock::new();

/// What a dying child needs to know.
#[derive(Debug)]
pub(super) struct LastWords {
    pub(super) mailbox: Mailbox,
    /// What the names of artifacts begin with.
    pub(super) prefix: String,
}

impl LastWords {
    /// Sets them, once; whether these are they.
    pub(super) fn set(self) -> bool {
        LAST_WORDS.set(self).is_ok()
    }

    pub(super) fn get() -> Option<&'static Self> {
        LAST_WORDS.get()
    }
}

/// The input that the running one was made of.
struct Base {
    /// Its length; there is none at the greatest.
    len: AtomicUsize,
    bytes: UnsafeCell<[u8; LONGEST]>,
}

// SAFETY: one thread writes, the one that fuzzes; who reads does so when that has died, or takes what there is.
unsafe impl Sync for Base {}

static BASE: Base = Base { len: AtomicUsize::new(usize::MAX), bytes: UnsafeCell::new([0; LONGEST]) };

/// Notes the input that the next ones are made of. One thread of the program may say so.
pub(super) fn made_of(input: &[u8]) {
    BASE.len.store(usize::MAX, Ordering::Relaxed);
    if input.len() <= LONGEST {
        // SAFETY: there is room, and no other thread writes.
        unsafe { std::ptr::copy_nonoverlapping(input.as_ptr(), BASE.bytes.get().cast(), input.len()) };
        BASE.len.store(input.len(), Ordering::Relaxed);
    }
}

/// Says what the running input was made of, by its SHA-1, in the words of libFuzzer.
fn say_base() {
    let len = BASE.len.load(Ordering::Relaxed);
    if len <= LONGEST {
        // SAFETY: as many bytes were written.
        let base = unsafe { std::slice::from_raw_parts(BASE.bytes.get().cast::<u8>(), len) };
        say!("MS: 1 Change-; base unit: {}", Digits(&Sha1::digest(base)));
    }
}

/// Bytes as hexadecimal digits.
struct Digits<'a>(&'a [u8]);

impl fmt::Display for Digits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Prints a line to standard error, whatever is captured.
macro_rules! say {
    ($($words:tt)*) => { $crate::fuzzing::in_process::words::print(format_args!($($words)*)) };
}
pub(super) use say;

/// See [`say!`].
pub(super) fn print(words: fmt::Arguments<'_>) {
    let mut line = Line(Room::new());
    let _ = line.write_fmt(words);
    let _ = line.write_str("\n");
    line.flush();
}

/// Text of at most [`PIECE`] bytes.
struct Room {
    bytes: [u8; PIECE],
    len: usize,
}

impl Room {
    const fn new() -> Self {
        Self { bytes: [0; PIECE], len: 0 }
    }

    /// Takes what there is room for, and returns how much that is.
    fn take(&mut self, text: &[u8]) -> usize {
        let len = text.len().min(PIECE - self.len);
        self.bytes[self.len..self.len + len].copy_from_slice(&text[..len]);
        self.len += len;
        len
    }
}

impl Write for Room {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.take(text.as_bytes()) < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Text that goes out in pieces.
struct Line(Room);

impl Line {
    fn flush(&mut self) {
        write_all(libc::STDERR_FILENO, &self.0.bytes[..self.0.len]);
        self.0.len = 0;
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        loop {
            rest = &rest[self.0.take(rest)..];
            if rest.is_empty() {
                return Ok(());
            }
            self.flush();
        }
    }
}

/// Whether all of it was written.
fn write_all(file: c_int, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        // SAFETY: the bytes may be read.
        let written = unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(written) {
            Ok(written) => bytes = &bytes[written.min(bytes.len())..],
            Err(_) if std::io::Error::last_os_error().kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}

/// Writes an input to `{prefix}{kind}-{hash}` and says so.
pub(super) fn keep(prefix: &str, kind: &str, input: &[u8]) {
    let hash = blake3::hash(input).to_hex();
    let mut path = Room::new();
    if write!(path, "{prefix}{kind}-{}\0", &hash[..40]).is_err() {
        return;
    }
    let (flags, mode): (c_int, c_uint) =
        (libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC, 0o666);
    // SAFETY: the path ends with a zero.
    let file = unsafe { libc::open(path.bytes.as_ptr().cast(), flags, mode) };
    if file < 0 {
        return;
    }
    let whole = write_all(file, input);
    // SAFETY: it was opened here.
    unsafe { libc::close(file) };
    if whole {
        say!("artifact_prefix='{prefix}'; Test unit written to {prefix}{kind}-{}", &hash[..40]);
    }
}

/// Writes the running input to `{prefix}{kind}-{hash}`, says so, and ends the process.
pub(super) fn end(kind: &str, code: i32) -> ! {
    if let Some(words) = LastWords::get() {
        if let Some(input) = words.mailbox.running() {
            say_base();
            keep(&words.prefix, kind, input);
        }
        say!("stat::number_of_executed_units: {}", words.mailbox.executions());
    }
    // SAFETY: ends the process without running anything of it.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_out_in_pieces_and_paths_have_to_fit() {
        let mut room = Room::new();
        assert!(write!(room, "{}", "x".repeat(PIECE)).is_ok());
        assert!(write!(room, "y").is_err());
        let mut line = Line(Room::new());
        assert_eq!(line.0.take(&[b'x'; PIECE + 7]), PIECE);
        line.0.len = 3;
        assert!(line.write_str("abc").is_ok());
        assert_eq!(&line.0.bytes[3..line.0.len], b"abc");
    }

    #[test]
    fn digits_are_those_of_libfuzzer() {
        let digits = Digits(&Sha1::digest(b"abc")).to_string();
        assert_eq!(digits, "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    #[test]
    fn an_input_is_kept_below_the_prefix() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = format!("{}/job-", folder.path().display());
        keep(&prefix, "crash", b"input");
        let hash = blake3::hash(b"input").to_hex();
        assert_eq!(std::fs::read(format!("{prefix}crash-{}", &hash[..40])).unwrap(), b"input");
        keep(&format!("{prefix}{}", "x".repeat(PIECE)), "crash", b"input");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
