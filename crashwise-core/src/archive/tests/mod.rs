//! Hostile and good archives, built byte by byte, through the public interface.

#![allow(clippy::cast_possible_truncation, reason = "test archives are small")]
#![allow(clippy::too_many_lines, reason = "tables")]

mod build;
mod good;
mod hostile;
mod mutated;
mod zips;

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ArchiveError, Bound, ExtractOptions, Extracted, Rule, extract};

/// What an archive must be refused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Rule(Rule),
    Limit(Bound),
}

/// Extracts in a directory of its own and checks that an error leaves that directory empty.
fn run(bytes: &[u8], options: &ExtractOptions) -> (tempfile::TempDir, Result<Extracted, ArchiveError>) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let result = extract(Cursor::new(bytes), &dir.path().join("tree"), options);
    if let Err(error) = &result {
        let left: Vec<_> = fs::read_dir(dir.path()).expect("still there").collect();
        assert!(left.is_empty(), "{error} left {left:?} behind");
    }
    (dir, result)
}

/// What this thread has worked, whatever else the machine does.
fn cpu_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("not negative")
}

/// Checks that an archive is refused for exactly this, within a second, and that the message names rule and entry.
fn refused(name: &str, bytes: &[u8], expect: Refusal, options: &ExtractOptions) {
    let start = cpu_time();
    let (_dir, result) = run(bytes, options);
    let took = cpu_time().saturating_sub(start);
    let error = match result {
        Ok(done) => panic!("{name}: accepted: {done:?}"),
        Err(error) => error,
    };
    let got = error.rule().map(Refusal::Rule).or(error.bound().map(Refusal::Limit));
    assert_eq!(got, Some(expect), "{name}: {error}");
    assert!(took < Duration::from_secs(1), "{name}: took {took:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("at byte {}", error.offset())), "{name}: {text}");
    if let Refusal::Rule(rule) = expect {
        assert!(text.contains(rule.code()), "{name}: {text}");
    }
}

/// The tree as text: `path` -> content, `-> target` or `/`.
fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut open: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("readable") {
            let path = entry.expect("readable").path();
            let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
            let meta = fs::symlink_metadata(&path).expect("there");
            assert_eq!(
                meta.permissions().mode() & 0o7022,
                if meta.is_symlink() { 0o022 } else { 0 },
                "{name}"
            );
            let what = if meta.is_dir() {
                open.push(path);
                "/".to_owned()
            } else if meta.is_symlink() {
                format!("-> {}", fs::read_link(&path).expect("link").display())
            } else {
                String::from_utf8_lossy(&fs::read(&path).expect("readable")).into_owned()
            };
            out.insert(name, what);
        }
    }
    out
}

/// Checks that an archive is accepted and makes exactly this tree.
fn accepted(name: &str, bytes: &[u8], expect: &[(&str, &str)]) {
    let (dir, result) = run(bytes, &ExtractOptions::new());
    if let Err(error) = result {
        panic!("{name}: {error}");
    }
    let expect: BTreeMap<String, String> =
        expect.iter().map(|&(path, what)| (path.to_owned(), what.to_owned())).collect();
    assert_eq!(listing(&dir.path().join("tree")), expect, "{name}");
}
