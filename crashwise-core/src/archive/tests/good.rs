//! Archives that must be accepted, and what is cleaned on the way in.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::{ArchiveErrorKind, ExtractOptions, extract};
use super::build::{Head, Tar, gzip, xz, zst};
use super::hostile::sparse;
use super::{accepted, run};
use crate::CancellationToken;

fn tar() -> Tar {
    Tar::new()
}

#[test]
fn forms() {
    let tree: &[(&str, &str)] = &[("d", "/"), ("d/a", "hello"), ("l", "-> d/a"), ("h", "hello")];
    let plain =
        tar().dir("./").dir("./d/").file("./d/a", b"hello").symlink("l", "d/a").hardlink("h", "./d/a").end();
    let (half, rest) = plain.split_at(700);
    let padded = {
        let mut bytes = plain.clone();
        bytes.resize(10240, 0);
        bytes
    };
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zst(&plain)].concat();
    for (name, bytes) in [
        ("plain", plain.clone()),
        ("padded", padded),
        ("gzip", gzip(&plain)),
        ("71 gzip members", [gzip(half), gzip(rest)].concat()),
        ("zstd", zst(&plain)),
        ("zstd frames", [zst(half), zst(rest)].concat()),
        ("zstd skippable frame", skippable),
        ("xz", xz(&plain)),
        ("xz streams", [xz(half), xz(rest)].concat()),
        ("xz padding", [&xz(&plain)[..], &[0; 8]].concat()),
    ] {
        accepted(name, &bytes, tree);
    }
    accepted("empty", &[0; 1024], &[]);
    accepted("empty gzip", &gzip(&[0; 10240]), &[]);
}

#[test]
fn entries() {
    let long = "long/".repeat(40) + "name";
    let long_parts: Vec<String> =
        (1..=40).map(|n| "long/".repeat(n).trim_end_matches('/').to_owned()).collect();
    let mut long_tree: Vec<(&str, &str)> = long_parts.iter().map(|part| (part.as_str(), "/")).collect();
    long_tree.push((&long, "x"));
    accepted(
        "pax name",
        &tar().pax(b'x', &[("path", &long), ("mtime", "1.5")]).file("short", b"x").end(),
        &long_tree,
    );
    accepted("gnu name", &tar().gnu_long(b'L', long.as_bytes()).file("short", b"x").end(), &long_tree);
    accepted(
        "both gnu",
        &tar().gnu_long(b'K', b"dir/target").gnu_long(b'L', b"link").symlink("short", "x").end(),
        &[("link", "-> dir/target")],
    );
    accepted(
        "git archive",
        &tar().pax(b'g', &[("comment", "0123456789abcdef")]).file("a", b"").end(),
        &[("a", "")],
    );
    accepted(
        "unicode",
        &tar().file("Grüße/日本語.txt", b"x").end(),
        &[("Grüße", "/"), ("Grüße/日本語.txt", "x")],
    );
    accepted(
        "attributes",
        &tar()
            .pax(b'x', &[("SCHILY.xattr.user.x", "1"), ("LIBARCHIVE.creationtime", "1.2")])
            .file("a", b"")
            .end(),
        &[("a", "")],
    );
    accepted(
        "pax size agrees",
        &tar().pax(b'x', &[("size", "5")]).file("a", b"hello").end(),
        &[("a", "hello")],
    );
    accepted("directory twice", &tar().dir("d").file("d/a", b"").dir("d/").end(), &[("d", "/"), ("d/a", "")]);
    accepted(
        "links up and around",
        &tar().dir("a/b").symlink("a/b/up", "../../c").symlink("cur", ".").end(),
        &[("a", "/"), ("a/b", "/"), ("a/b/up", "-> ../../c"), ("cur", "-> .")],
    );
    accepted("contiguous", &tar().entry(b"a", b'7', b"x").end(), &[("a", "x")]);
    let mut v7 = Head::new(b"old/", 0).block();
    v7[257..265].fill(0);
    super::build::seal(&mut v7);
    accepted("v7", &tar().raw(&v7).end(), &[("old", "/")]);
    let prefixed = {
        let mut block = Head { size: 1, ..Head::new(b"name", b'0') }.block();
        block[345..351].copy_from_slice(b"prefix");
        super::build::seal(&mut block);
        tar().raw(&block).body(b"x").end()
    };
    accepted("prefix", &prefixed, &[("prefix", "/"), ("prefix/name", "x")]);
}

#[test]
fn sparse_files_keep_their_holes() {
    let content = "ss\0\0\0\0sss\0";
    accepted("gnu", &sparse(&[(0, 2), (6, 3)], 10), &[("sparse", content)]);
    let keys = |more: &[(&'static str, &'static str)]| [&[("GNU.sparse.name", "real")], more].concat();
    let body = b"sssss";
    let v00 = keys(&[
        ("GNU.sparse.size", "10"),
        ("GNU.sparse.numblocks", "2"),
        ("GNU.sparse.offset", "0"),
        ("GNU.sparse.numbytes", "2"),
        ("GNU.sparse.offset", "6"),
        ("GNU.sparse.numbytes", "3"),
    ]);
    accepted("0.0", &tar().pax(b'x', &v00).file("GNUSparseFile.0/x", body).end(), &[("real", content)]);
    let v01 = keys(&[("GNU.sparse.size", "10"), ("GNU.sparse.map", "0,2,6,3")]);
    accepted("0.1", &tar().pax(b'x', &v01).file("GNUSparseFile.0/x", body).end(), &[("real", content)]);
    let v10 = keys(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "10")]);
    let mut data = b"2\n0\n2\n6\n3\n".to_vec();
    data.resize(512, 0);
    data.extend(body);
    accepted("1.0", &tar().pax(b'x', &v10).file("GNUSparseFile.0/x", &data).end(), &[("real", content)]);
    let (dir, result) = run(&sparse(&[(0, 1)], 1 << 30), &ExtractOptions::new());
    assert_eq!(result.expect("within the limit").bytes, 1 << 30);
    assert!(fs::metadata(dir.path().join("tree/sparse")).expect("there").blocks() < 1 << 11);
}

#[test]
fn modes_and_times_are_cleaned() {
    let bytes = tar()
        .mode("sticky", b'0', 0o1755)
        .mode("20 sticky", b'5', 0o7777)
        .mode("46 closed", b'5', 0)
        .file("46 closed/f", b"")
        .mode("secret", b'0', 0)
        .pax(b'x', &[("mtime", "-5")])
        .file("51 before", b"")
        .pax(b'x', &[("mtime", "99999999999999")])
        .file("51 after", b"")
        .pax(b'x', &[("mtime", "1234567890.75")])
        .file("time", b"")
        .end();
    let (dir, result) = run(&bytes, &ExtractOptions::new());
    result.expect("cleaned");
    let meta = |name: &str| fs::metadata(dir.path().join("tree").join(name)).expect("there");
    let mode = |name: &str| meta(name).permissions().mode() & 0o7777;
    assert_eq!([mode("sticky"), mode("secret")], [0o755, 0o644]);
    assert_eq!([mode("20 sticky"), mode("46 closed")], [0o755, 0o755]);
    assert_eq!([meta("51 before").mtime(), meta("51 after").mtime()], [0, i64::from(u32::MAX)]);
    assert_eq!(meta("time").mtime(), 1_234_567_890);
    // 61: the owner is whoever extracts, not 1750 octal.
    assert_ne!(meta("time").uid(), 0o1750);
}

#[test]
fn hard_links_share_their_file() {
    let (dir, result) = run(&tar().file("a", b"x").hardlink("d/b", "a").end(), &ExtractOptions::new());
    assert_eq!(result.expect("inside").hardlinks, 1);
    let inode = |name: &str| fs::metadata(dir.path().join("tree").join(name)).expect("there").ino();
    assert_eq!(inode("a"), inode("d/b"));
}

#[test]
fn unportable_names_on_request() {
    let colliding = tar().file("a", b"").file("A", b"").end();
    let reserved = tar().file("a:b", b"").file("con", b"").file("x\\y", b"").end();
    let bytes = tar().entry(b"\xff", b'0', b"").end();
    let options = ExtractOptions::new();
    for (bytes, options) in [
        (colliding, options.clone().with_colliding_names()),
        (reserved, options.clone().with_reserved_names()),
        (bytes, options.with_non_utf8_names()),
    ] {
        run(&bytes, &options).1.expect("on request");
    }
}

#[test]
fn cancelling_and_progress() {
    let bytes = tar().file("a", &vec![7; 3 << 20]).end();
    let token = CancellationToken::new();
    let seen = Arc::new(AtomicU64::new(0));
    let (stop, count) = (token.clone(), Arc::clone(&seen));
    let options = ExtractOptions::new().with_cancel(token).with_progress(Arc::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        stop.cancel();
    }));
    let error = run(&bytes, &options).1.expect_err("cancelled at the first mebibyte");
    assert!(matches!(error.kind(), ArchiveErrorKind::Cancelled));
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}

#[test]
fn a_destination_is_never_overwritten() {
    let dir = tempfile::tempdir().expect("temporary directory");
    fs::write(dir.path().join("tree"), b"mine").expect("writable");
    let bytes = std::io::Cursor::new(tar().file("a", b"").end());
    let error = extract(bytes, &dir.path().join("tree"), &ExtractOptions::new()).expect_err("exists");
    assert!(matches!(error.kind(), ArchiveErrorKind::Io(_)));
    assert_eq!(fs::read(dir.path().join("tree")).expect("still there"), b"mine");
    assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1);
}
