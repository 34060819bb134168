//! Damaged archives: whatever the bytes, the answer is a tree or an error, and an error leaves nothing.

use proptest::prelude::*;

use super::super::{ExtractOptions, Limits};
use super::build::{Tar, ZipEntry, gzip, xz, zip, zst};
use super::run;

fn bases() -> Vec<Vec<u8>> {
    let tar = Tar::new()
        .dir("d")
        .file("d/a", b"hello")
        .symlink("l", "d/a")
        .hardlink("h", "d/a")
        .pax(b'x', &[("path", "d/long name"), ("mtime", "5.5")])
        .file("x", b"y")
        .gnu_long(b'L', b"other/name")
        .file("o", b"z")
        .end();
    let entries = [
        ZipEntry::stored("d/", b""),
        ZipEntry::stored("d/a", b"hello").with_descriptor(true),
        ZipEntry::deflated("b", b"hello hello hello"),
        ZipEntry::zstd("c", b"hello hello hello"),
    ];
    vec![
        tar.clone(),
        gzip(&tar),
        zst(&tar),
        xz(&tar),
        zip(&entries),
        super::hostile::sparse(&[(0, 2), (6, 3)], 10),
    ]
}

fn small() -> ExtractOptions {
    ExtractOptions::new().with_limits(Limits::default().with_total_bytes(1 << 20).with_entries(100))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let (_dir, _any) = run(&bytes, &small());
    }

    #[test]
    fn flipped_and_cut(
        base in 0..6usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        fix_sums in any::<bool>(),
    ) {
        let mut bytes = bases().swap_remove(base);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if fix_sums && base == 0 {
            for block in bytes.as_chunks_mut::<512>().0 {
                if block[257..262] == *b"ustar" {
                    super::build::seal(block);
                }
            }
        }
        let (_dir, _any) = run(&bytes, &small());
    }
}
