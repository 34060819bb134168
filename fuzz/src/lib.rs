//! What the fuzz targets share.

use crashwise_core::archive::{ArchiveErrorKind, ExtractOptions, Limits, extract};
use std::fs;
use std::io::Cursor;
use std::path::Path;

/// Extracts what may be an archive. Refused, it leaves nothing behind; accepted, it made nothing but files, directories
/// and links that stay inside.
pub fn archive(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let limits = Limits::default().with_entries(200).with_total_bytes(1 << 20).with_file_bytes(1 << 20);
    let tree = dir.path().join("tree");
    match extract(Cursor::new(bytes), &tree, &ExtractOptions::new().with_limits(limits)) {
        Ok(_) => check(&tree, &tree.canonicalize().expect("it is there")),
        Err(error) => {
            if let ArchiveErrorKind::Io(cause) = error.kind() {
                panic!("{error}: {cause}");
            }
            assert_eq!(fs::read_dir(dir.path()).expect("still there").count(), 0, "{error} left something");
        }
    }
}

fn check(dir: &Path, root: &Path) {
    for entry in fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        let meta = fs::symlink_metadata(&path).expect("there");
        if meta.is_symlink() {
            if let Ok(end) = path.canonicalize() {
                assert!(end.starts_with(root), "{} leads to {}", path.display(), end.display());
            }
        } else if meta.is_dir() {
            check(&path, root);
        } else {
            assert!(meta.is_file(), "{}", path.display());
        }
    }
}

/// Puts right checksums into everything that looks like a tar header, which chance would hardly find.
pub fn seal(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes
}

/// The bytes behind what says their format.
pub fn with_magic(magic: &[u8], bytes: &[u8]) -> Vec<u8> {
    [magic, bytes.strip_prefix(magic).unwrap_or(bytes)].concat()
}
