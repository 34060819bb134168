//! Versions that were withdrawn from the registry of Rust crates, by a copy of its index.
//!
//! The copy is a folder in the layout of the sparse index (`se/rd/serde`), or cargo's own cache of it.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Most bytes of the entry of one crate; the largest real ones have some million.
const MAX_ENTRY: u64 = 64 << 20;

/// A copy of the index.
#[derive(Debug)]
pub(super) struct Index {
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Release<'a> {
    #[serde(borrow)]
    vers: Cow<'a, str>,
    #[serde(default)]
    yanked: bool,
}

impl Index {
    /// An index below a folder; cargo's cache may lie in `.cache` in it.
    ///
    /// # Errors
    /// If there is no such folder.
    pub(super) fn open(folder: &Path) -> std::io::Result<Self> {
        if !std::fs::metadata(folder)?.is_dir() {
            return Err(std::io::ErrorKind::NotADirectory.into());
        }
        let cache = folder.join(".cache");
        Ok(Self { folder: if cache.is_dir() { cache } else { folder.to_owned() } })
    }

    /// Whether a version was withdrawn; `None` if the index does not hold it.
    ///
    /// # Errors
    /// If an entry is there and cannot be read.
    pub(super) fn is_yanked(&self, name: &str, version: &str) -> std::io::Result<Option<bool>> {
        let Some(place) = place(name) else { return Ok(None) };
        let file = match File::open(self.folder.join(place)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        if file.take(MAX_ENTRY + 1).read_to_end(&mut bytes)? as u64 > MAX_ENTRY {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        let version = without_build(version);
        let finder = memchr::memmem::Finder::new(version);
        // Lines in the index, texts between zeros in the cache; whatever is no release there is a header.
        for part in bytes.split(|byte| matches!(byte, b'\n' | 0)) {
            if part.first() == Some(&b'{') && finder.find(part).is_some() {
                let release: Release<'_> = serde_json::from_slice(part).map_err(std::io::Error::other)?;
                if without_build(&release.vers) == version {
                    return Ok(Some(release.yanked));
                }
            }
        }
        Ok(None)
    }
}

/// The version without build metadata, of which the registry admits one only.
fn without_build(version: &str) -> &str {
    version.split('+').next().unwrap_or(version)
}

/// Where the entry of a crate lies: `1/a`, `2/ab`, `3/a/abc`, `ab/cd/abcd`.
fn place(name: &str) -> Option<PathBuf> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 128 || !name.bytes().all(is_plain) {
        return None;
    }
    let name = name.to_ascii_lowercase();
    Some(match name.len() {
        1 | 2 => PathBuf::from(name.len().to_string()).join(&name),
        3 => Path::new("3").join(&name[..1]).join(&name),
        _ => Path::new(&name[..2]).join(&name[2..4]).join(&name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_index_and_of_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let write = |place: &str, content: &[u8]| {
            let path = folder.path().join(place);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        write(
            "de/ep/deep",
            b"{\"vers\":\"1.0.0\",\"yanked\":true}\n{\"vers\":\"1.1.0+x\",\"yanked\":false}\n",
        );
        write("3/a/abc", b"\x03\x02\0\0\0etag: x\x001.0.0\0{\"vers\":\"1.0.0\",\"yanked\":true}\0");
        write("2/xy", b"{\"vers\": 1.0.0}\n");
        let index = Index::open(folder.path()).unwrap();
        for (name, version, expect) in [
            ("deep", "1.0.0", Some(true)),
            ("Deep", "1.1.0", Some(false)),
            ("deep", "9.0.0", None),
            ("abc", "1.0.0", Some(true)),
            ("none", "1.0.0", None),
            ("../../etc/passwd", "1.0.0", None),
        ] {
            assert_eq!(index.is_yanked(name, version).unwrap(), expect, "{name} {version}");
        }
        assert!(index.is_yanked("xy", "1.0.0").is_err());
        assert!(Index::open(&folder.path().join("absent")).is_err());
    }
}
