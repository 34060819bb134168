use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::super::{ExtractOptions, Progress, Rule, extract};
use super::{PackOptions, Packed, pack};
use crate::CancellationToken;

fn packed(root: &Path, options: &PackOptions) -> (Vec<u8>, Packed) {
    let mut bytes = Vec::new();
    let packed = pack(root, &mut bytes, options).expect("readable");
    assert_eq!(packed.packed_bytes, bytes.len() as u64);
    (bytes, packed)
}

/// What of a tree an archive keeps: content and execute permission, target, or nothing for a directory.
fn tree(root: &Path) -> BTreeMap<String, (Vec<u8>, bool)> {
    let mut out = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("readable") {
            let path = entry.expect("readable").path();
            let meta = fs::symlink_metadata(&path).expect("there");
            let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
            let what = if meta.is_dir() {
                (b"/".to_vec(), false)
            } else if meta.is_symlink() {
                (fs::read_link(&path).expect("link").to_string_lossy().into_owned().into_bytes(), false)
            } else {
                (fs::read(&path).expect("readable"), meta.permissions().mode() & 0o100 != 0)
            };
            if meta.is_dir() {
                open.push(path);
            }
            out.insert(name, what);
        }
    }
    out
}

fn write(root: &Path, name: &str, content: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("below the root")).expect("writable");
    fs::write(path, content).expect("writable");
}

fn names(root: &Path, options: &PackOptions) -> Vec<String> {
    let out = tempfile::tempdir().expect("temporary directory");
    let to = out.path().join("tree");
    extract(Cursor::new(packed(root, options).0), &to, &ExtractOptions::new()).expect("our own");
    tree(&to).into_keys().collect()
}

#[test]
fn ignore_files_are_honoured() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let root = dir.path();
    for (name, content) in [
        (".gitignore", "*.log\nbuild/\n"),
        (".crashwiseignore", "big.bin\n"),
        (".git/config", ""),
        (".hidden", ""),
        ("a.log", ""),
        ("big.bin", ""),
        ("build/x", ""),
        ("src/.gitignore", "!keep.log\n"),
        ("src/keep.log", ""),
    ] {
        write(root, name, content.as_bytes());
    }
    let kept = [".crashwiseignore", ".gitignore", ".hidden", "src", "src/.gitignore", "src/keep.log"];
    assert_eq!(names(root, &PackOptions::new()), kept);
    let all = names(root, &PackOptions::new().with_ignored_files().with_git_directory());
    assert_eq!(all.len(), kept.len() + 6);
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let [one, two] = [1, 2].map(|_| tempfile::tempdir().expect("temporary directory"));
    let mut entries = vec![("b", "2"), ("a", "1"), ("d/c", "3"), ("d.x", "4")];
    for (name, content) in &entries {
        write(one.path(), name, content.as_bytes());
    }
    entries.reverse();
    for (name, content) in &entries {
        write(two.path(), name, content.as_bytes());
    }
    let touched = fs::File::options().write(true).open(two.path().join("a")).expect("there");
    touched.set_modified(std::time::UNIX_EPOCH).expect("own file");
    fs::set_permissions(two.path().join("b"), fs::Permissions::from_mode(0o600)).expect("own file");
    let options = PackOptions::new();
    let (first, second) = (packed(one.path(), &options), packed(two.path(), &options));
    assert_eq!(first, second);
    assert_eq!(first.1.id.as_str(), blake3::hash(&first.0).to_hex().as_str());
    fs::set_permissions(two.path().join("b"), fs::Permissions::from_mode(0o700)).expect("own file");
    assert_ne!(packed(two.path(), &options).1.id, first.1.id);
}

/// Another version that packs otherwise makes every stored target a new one: that must be meant.
#[test]
fn a_known_tree_keeps_its_name() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let root = dir.path();
    let long = format!("{}/{}", "folder".repeat(12), "file".repeat(30));
    for (name, content) in [("a", "1"), ("d/run.sh", "#!/bin/sh\n"), ("grüße", ""), (&long, "long")] {
        write(root, name, content.as_bytes());
    }
    write(root, "large", &b"twelve bytes".repeat(1 << 20));
    fs::set_permissions(root.join("d/run.sh"), fs::Permissions::from_mode(0o755)).expect("own file");
    symlink("../a", root.join("d/link")).expect("writable");
    let (_, packed) = packed(root, &PackOptions::new());
    assert_eq!(packed.id.as_str(), "974ec48be9087a2bd65bb93ba946a95a78102145a1e4adea2ba04058e656ecd4");
}

#[test]
fn what_cannot_be_extracted_is_left_out_and_listed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let root = dir.path();
    write(root, "fine", b"");
    write(root, "a:b", b"");
    write(root, "Fine", b"");
    symlink("/etc/passwd", root.join("absolute")).expect("writable");
    symlink("..", root.join("out")).expect("writable");
    symlink("Fine", root.join("inside")).expect("writable");
    symlink("out/x", root.join("through")).expect("writable");
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).expect("writable");
    let (bytes, packed) = packed(root, &PackOptions::new());
    let mut rules: Vec<_> = packed
        .skipped
        .iter()
        .map(|skipped| (skipped.path.to_string_lossy().into_owned(), skipped.rule))
        .collect();
    rules.sort();
    let expect = [
        ("a:b", Rule::ReservedName),
        ("absolute", Rule::SymlinkAbsolute),
        ("fine", Rule::Collision),
        ("out", Rule::SymlinkOutside),
        ("socket", Rule::Fifo),
        ("through", Rule::SymlinkOutside),
    ];
    assert_eq!(rules, expect.map(|(path, rule)| (path.to_owned(), rule)));
    let out = tempfile::tempdir().expect("temporary directory");
    extract(Cursor::new(bytes), &out.path().join("t"), &ExtractOptions::new()).expect("our own");
}

#[test]
fn a_tree_that_cannot_be_read_is_an_error() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let missing = pack(&dir.path().join("none"), std::io::sink(), &PackOptions::new()).expect_err("missing");
    assert!(missing.to_string().ends_with("none"), "{missing}");
    write(dir.path(), "file", b"");
    pack(&dir.path().join("file"), std::io::sink(), &PackOptions::new()).expect_err("not a directory");
}

#[test]
fn a_full_disk_is_an_error() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(buf.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(buf.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().expect("temporary directory");
    write(dir.path(), "file", &(0..300_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    let error = pack(dir.path(), Full(1000), &PackOptions::new()).expect_err("full");
    let source = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(source.contains("no storage space"), "{source}");
}

#[test]
fn cancelling_and_progress() {
    let dir = tempfile::tempdir().expect("temporary directory");
    write(dir.path(), "file", &vec![7; 5 << 20]);
    let seen = Arc::new(AtomicU64::new(0));
    let token = CancellationToken::new();
    let (count, stop) = (Arc::clone(&seen), token.clone());
    let options = PackOptions::new().with_cancel(token).with_progress(Arc::new(move |done: Progress| {
        count.store(done.bytes, Ordering::Relaxed);
        stop.cancel();
    }));
    pack(dir.path(), std::io::sink(), &options).expect_err("cancelled");
    assert!((1 << 20..2 << 20).contains(&seen.load(Ordering::Relaxed)));
}

/// A tree: names without collisions, nested twice, of files, directories and links.
fn trees() -> impl Strategy<Value = Vec<(String, u8, Vec<u8>)>> {
    // A dot or space at the end makes no other name, so none ends so.
    let name = "[a-z0-9_. -]{0,11}[a-z0-9_-]|[a-z]{90,120}|[à-ö日本語]{1,5}";
    let path = proptest::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"));
    let content = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..2000),
        (510..514usize).prop_map(|n| vec![b'x'; n]),
    ];
    proptest::collection::vec((path, 0..4u8, content), 0..20)
}

/// `com1` to `com9`, `lpt1` to `lpt9`.
fn is_port(name: &str) -> bool {
    let digit = name.strip_prefix("com").or_else(|| name.strip_prefix("lpt"));
    digit.is_some_and(|digit| matches!(digit.as_bytes(), [b'1'..=b'9']))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trees_survive_pack_and_extract(entries in trees()) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let root = dir.path().join("in");
        fs::create_dir(&root).expect("writable");
        for (name, kind, content) in entries {
            let path = root.join(&name);
            // A parent may be a file already, a name may be taken or reserved: such entries are left out.
            if name.split('/').any(|part| matches!(part, "con" | "prn" | "aux" | "nul") || is_port(part))
                || fs::create_dir_all(path.parent().expect("below")).is_err()
                || fs::symlink_metadata(&path).is_ok()
            {
                continue;
            }
            match kind {
                0 => fs::create_dir(&path).expect("free"),
                1 => symlink("some/where", &path).expect("free"),
                _ => {
                    fs::write(&path, content).expect("free");
                    let mode = if kind == 2 { 0o755 } else { 0o640 };
                    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("own file");
                }
            }
        }
        let all = PackOptions::new().with_ignored_files();
        let (bytes, first) = packed(&root, &all);
        prop_assert_eq!(first.skipped_count, 0);
        let to = dir.path().join("out");
        extract(Cursor::new(&bytes), &to, &ExtractOptions::new()).expect("our own");
        prop_assert_eq!(tree(&root), tree(&to));
        prop_assert_eq!(packed(&to, &all).0, bytes);
    }
}
