//! What processes of the in-process engine leave behind: the input that ran when they died, in a file that they map.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The line after which a process tells of a panic that it survived.
pub(crate) const CAUGHT: &str = "==crashwise== caught a panic";
/// What the name of the shared file ends with, after the prefix of artifacts.
pub(crate) const MAILBOX: &str = "mailbox";
/// Bytes before the input: executions (8), whether an input runs (4), its length (4), in the order of the machine.
pub(crate) const HEADER: usize = 64;
/// The longest input that fits.
pub(crate) const LONGEST: usize = 1 << 20;

/// The input that ran when the process died; none if it died between two.
pub(crate) fn left_behind(work: &Path) -> Option<Vec<u8>> {
    let file = File::open(work.join(MAILBOX)).ok()?;
    let mut header = [0; 16];
    file.read_exact_at(&mut header, 0).ok()?;
    let number = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap_or_default());
    if number(8) == 0 {
        return None;
    }
    let mut input = vec![0; (number(12) as usize).min(LONGEST)];
    file.read_exact_at(&mut input, HEADER as u64).ok()?;
    Some(input)
}
