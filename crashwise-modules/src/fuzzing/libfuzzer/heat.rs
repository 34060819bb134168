//! Inputs from which known crashes are made again and again. A process ends with each crash, so a target with an easy bug
//! would never be fuzzed for longer than it takes to find that bug once more. Every other process therefore begins without
//! them, and when nothing else happens any more, with a single input: beside few others a way that leads elsewhere has a chance to be
//! taken before the bug is found again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use crashwise_core::read_regular;
use sha1::{Digest, Sha1};

use super::outcome::ArtifactKind;
use crate::fuzzing::triage::signature;

/// Known crashes that are made of one input before it is left out.
const HOT: u32 = 2;
/// Known crashes in a row after which processes begin with one input.
const CROWDED: u32 = 6;
/// Corpora of more inputs than this are not taken apart into single ones.
const MOST: usize = 4096;
/// Inputs longer than this are never left out.
const LONGEST: u64 = 1 << 20;

/// What crashes were made of.
#[derive(Debug, Default)]
pub(super) struct Heat {
    /// Crashes that were seen.
    seen: BTreeSet<String>,
    /// Known crashes that were made of an input, by its SHA-1.
    made: BTreeMap<String, u32>,
    /// SHA-1 of the files of the corpus.
    hashes: BTreeMap<OsString, String>,
    /// Known crashes since the last new one, or process that ended without any.
    in_a_row: u32,
    /// How often a process began with an input alone.
    alone: BTreeMap<OsString, u32>,
    /// Inputs that are left out at the moment.
    pub(super) left_out: u64,
}

impl Heat {
    /// Notes a crash by what the process printed.
    pub(super) fn note(&mut self, kind: Option<ArtifactKind>, log: &[u8]) {
        let crash = match kind {
            // These are interrupted anywhere.
            Some(kind @ (ArtifactKind::Timeout | ArtifactKind::Oom)) => kind.as_str().to_owned(),
            _ => signature(log).map_or_else(String::new, |hash| hash.as_str().to_owned()),
        };
        if self.seen.insert(crash) {
            self.in_a_row = 0;
            return;
        }
        self.in_a_row += 1;
        if let Some(base) = base(log) {
            *self.made.entry(base).or_default() += 1;
        }
    }

    /// Whether the last process ended without a crash, or with a new one.
    pub(super) fn is_cool(&self) -> bool {
        self.in_a_row == 0
    }

    /// Notes a process that ended without a crash.
    pub(super) fn cool(&mut self) {
        self.in_a_row = 0;
    }

    /// Moves hot inputs from `corpus` to `aside` for a process that is to begin without them, and back for others.
    ///
    /// # Errors
    /// When `aside` cannot be made. An input that cannot be moved stays where it is.
    pub(super) fn arrange(&mut self, corpus: &Path, aside: &Path, without: bool) -> io::Result<()> {
        if self.left_out > 0 {
            for entry in fs::read_dir(aside)?.flatten() {
                let _ = fs::rename(entry.path(), corpus.join(entry.file_name()));
            }
            self.left_out = 0;
        }
        if !without || !self.made.values().any(|count| *count >= HOT) {
            return Ok(());
        }
        fs::create_dir_all(aside)?;
        let names: Vec<OsString> = fs::read_dir(corpus)?.flatten().map(|entry| entry.file_name()).collect();
        let (hot, cold): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| self.is_hot(corpus, name));
        let only = if self.in_a_row >= CROWDED && cold.len() <= MOST {
            cold.iter().min_by_key(|name| (self.alone.get(*name).copied().unwrap_or(0), *name)).cloned()
        } else {
            None
        };
        if let Some(only) = &only {
            *self.alone.entry(only.clone()).or_default() += 1;
        }
        let others = cold.iter().filter(|name| only.as_ref().is_some_and(|only| only != *name));
        for name in hot.iter().chain(others) {
            self.left_out += u64::from(fs::rename(corpus.join(name), aside.join(name)).is_ok());
        }
        Ok(())
    }

    /// Whether known crashes were made of an input often enough.
    fn is_hot(&mut self, corpus: &Path, name: &OsString) -> bool {
        if !self.hashes.contains_key(name) {
            let Ok(input) = read_regular(&corpus.join(name), LONGEST) else { return false };
            self.hashes.insert(name.clone(), hash(&input));
        }
        self.hashes.get(name).and_then(|hash| self.made.get(hash)).is_some_and(|count| *count >= HOT)
    }
}

/// The SHA-1 of the input that the last one was made of: `MS: 1 ChangeByte-; base unit: 8c10...`.
fn base(log: &[u8]) -> Option<String> {
    const WORDS: &[u8] = b"; base unit: ";
    let at = memchr::memmem::rfind(log, WORDS)? + WORDS.len();
    let digits = log.get(at..at + 40)?;
    digits.iter().all(u8::is_ascii_hexdigit).then(|| String::from_utf8_lossy(digits).into_owned())
}

fn hash(input: &[u8]) -> String {
    Sha1::digest(input).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a process prints that dies of a panic at `line`, by an input made of `base`.
    fn log(line: u32, base: &[u8]) -> Vec<u8> {
        format!(
            "\nthread 'x' panicked at src/lib.rs:{line}:5:\nindex out of bounds\nMS: 1 EraseBytes-; base unit: {}\n",
            hash(base)
        )
        .into_bytes()
    }

    #[test]
    fn what_known_crashes_are_made_of_is_left_out() {
        assert_eq!(hash(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let place = tempfile::tempdir().expect("a folder");
        let (corpus, aside) = (place.path().join("corpus"), place.path().join("aside"));
        fs::create_dir(&corpus).expect("a folder");
        for input in ["hot", "cold", "new"] {
            fs::write(corpus.join(format!("name-{input}")), input).expect("written");
        }
        let names = |path: &Path| {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            let mut names: Vec<_> =
                entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names.join(" ")
        };
        let mut heat = Heat::default();
        let crash = Some(ArtifactKind::Crash);
        for (line, base, expect) in [
            (1, "hot", "name-cold name-hot name-new"),
            (1, "hot", "name-cold name-hot name-new"),
            (2, "new", "name-cold name-hot name-new"),
            (1, "hot", "name-cold name-new"),
        ] {
            heat.note(crash, &log(line, base.as_bytes()));
            heat.arrange(&corpus, &aside, true).expect("moved");
            assert_eq!(names(&corpus), expect, "{line} {base}");
        }
        assert_eq!((heat.left_out, names(&aside).as_str()), (1, "name-hot"));
        heat.arrange(&corpus, &aside, false).expect("moved");
        assert_eq!((heat.left_out, names(&corpus).as_str()), (0, "name-cold name-hot name-new"));

        // Nothing but known crashes any more: one input at a time, each in its turn.
        for _ in 0..CROWDED {
            heat.note(crash, &log(1, b"gone"));
        }
        for expect in ["name-cold", "name-new", "name-cold"] {
            heat.arrange(&corpus, &aside, true).expect("moved");
            assert_eq!((heat.left_out, names(&corpus).as_str()), (2, expect));
        }
        assert!(!heat.is_cool());
        heat.cool();
        assert!(heat.is_cool());
        heat.arrange(&corpus, &aside, true).expect("moved");
        assert_eq!((heat.left_out, names(&corpus).as_str()), (1, "name-cold name-new"));
    }

    #[test]
    fn hostile_logs_name_no_base() {
        for log in
            [&b"; base unit: "[..], b"; base unit: zz", b"", &[b"; base unit: ", &[b'/'; 40][..]].concat()]
        {
            assert_eq!(base(log), None);
        }
    }
}
