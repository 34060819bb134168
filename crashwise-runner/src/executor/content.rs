//! Identifies the content of a file or of a tree.

use crashwise_core::Fingerprint;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

/// The most entries of a tree whose content is told.
const ENTRIES: usize = 2_000_000;

/// A digest over names, kinds and bytes of everything below a path. Links count by where they point and are not followed.
/// Whatever cannot be read is an error: then nobody can tell whether the content is the same.
pub(super) fn of(path: &Path) -> io::Result<Fingerprint> {
    let mut hasher = blake3::Hasher::new();
    let mut entries = 0;
    // Depth is bounded by the heap, not by the stack.
    let mut waiting = vec![path.to_owned()];
    while let Some(next) = waiting.pop() {
        entries += 1;
        if entries > ENTRIES {
            return Err(io::Error::other("the tree has too many entries"));
        }
        let metadata = fs::symlink_metadata(&next)?;
        let name = next.strip_prefix(path).unwrap_or(&next);
        part(&mut hasher, kind(&metadata)?, name.as_os_str().as_encoded_bytes());
        if metadata.is_symlink() {
            part(&mut hasher, b"to", fs::read_link(&next)?.as_os_str().as_encoded_bytes());
        } else if metadata.is_dir() {
            let mut below =
                fs::read_dir(&next)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
            // The last is taken first, so the order of names is turned round.
            below.sort_by(|a, b| b.cmp(a));
            waiting.append(&mut below);
        } else {
            let mut content = blake3::Hasher::new();
            content.update_reader(File::open(&next)?)?;
            part(&mut hasher, b"is", content.finalize().as_bytes());
        }
    }
    Ok(Fingerprint::of(["content", hasher.finalize().to_hex().as_str()]))
}

fn kind(metadata: &Metadata) -> io::Result<&'static [u8]> {
    if metadata.is_symlink() {
        Ok(b"link")
    } else if metadata.is_dir() {
        Ok(b"folder")
    } else if metadata.is_file() {
        Ok(b"file")
    } else {
        Err(io::Error::other("a special file has no content that could be told"))
    }
}

fn part(hasher: &mut blake3::Hasher, kind: &[u8], bytes: &[u8]) {
    for part in [kind, bytes] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_told_by_names_kinds_and_bytes() {
        let tree = |files: &[(&str, &str)]| {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            of(folder.path()).unwrap()
        };
        let first = tree(&[("a/b.py", "x"), ("c.py", "y")]);
        assert_eq!(first, tree(&[("c.py", "y"), ("a/b.py", "x")]));
        for other in
            [&[("a/b.py", "x")][..], &[("a/b.py", "y"), ("c.py", "x")], &[("ab.py", "x"), ("c.py", "y")]]
        {
            assert_ne!(first, tree(other));
        }
        assert!(of(Path::new("/does/not/exist")).is_err());
    }
}
