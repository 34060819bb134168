//! Hostile and good archives, built byte by byte, through the public interface.

#![allow(clippy::cast_possible_truncation, reason = "test archives are small")]
#![allow(clippy::too_many_lines, reason = "tables")]

mod build;
mod good;
mod hostile;
mod mutated;
mod uncommon;
mod zips;

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{ArchiveError, Bound, ExtractOptions, Extracted, Limits, Rule, extract};

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

/// Checks that an archive is refused for exactly this, and that the message names rule and entry.
fn refused(name: &str, bytes: &[u8], expect: Refusal, options: &ExtractOptions) {
    let (_dir, result) = run(bytes, options);
    let error = match result {
        Ok(done) => panic!("{name}: accepted: {done:?}"),
        Err(error) => error,
    };
    let got = error.rule().map(Refusal::Rule).or(error.bound().map(Refusal::Limit));
    assert_eq!(got, Some(expect), "{name}: {error}");
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

/// Tables of cases as tests; the tables are also what the bounds of memory and time are measured with.
macro_rules! tables {
    ($($test:ident: $table:path,)+) => {
        $(
            #[test]
            fn $test() {
                $table();
            }
        )+
    };
}

tables! {
    hostile_names: hostile::names,
    hostile_links: hostile::links,
    hostile_kinds: hostile::kinds,
    hostile_framing: hostile::framing,
    hostile_streams: hostile::streams,
    hostile_bounds: hostile::bounds,
    zips_good: zips::good,
    zips_zip64_sizes: zips::zip64_sizes,
    zips_hostile: zips::hostile,
    zips_bombs: zips::bombs,
    uncommon_tar_names: uncommon::tar_names,
    uncommon_tar_links: uncommon::tar_links,
    uncommon_tar_headers: uncommon::tar_headers,
    uncommon_streams: uncommon::streams,
    uncommon_zips: uncommon::zips,
}
