//! What is in a cache, and whether it is sound.

use std::path::PathBuf;
use std::time::SystemTime;

use super::lock::{Hold, Lock};
use super::meta::{self, Meta};
use super::staging::Staging;
use super::{Cache, CacheError, Inner};
use crate::workspace::CopyOnWrite;
use crate::workspace::tree::{self, Census};
use crate::{ByteSize, Span, TargetId};

/// A cache at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheInfo {
    /// Where it is.
    pub directory: PathBuf,
    /// Targets in it.
    pub targets: usize,
    /// Their bytes on the disk.
    pub bytes: u64,
    /// The size above which it evicts.
    pub max_size: ByteSize,
    /// How long an unused target stays.
    pub ttl: Span,
    /// Whether anything can be added.
    pub writable: bool,
    /// How copy-on-write runs get their tree.
    pub copy_on_write: CopyOnWrite,
}

/// One cached target.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheEntry {
    /// The target.
    pub target: TargetId,
    /// Bytes on the disk.
    pub bytes: u64,
    /// When it was last used.
    pub last_used: SystemTime,
    /// Whether it is in use now.
    pub in_use: bool,
}

/// A target that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The target.
    pub target: TargetId,
    /// What is damaged: `archive`, `workspace` or `shared`.
    pub part: &'static str,
    /// Whether it was removed, so that the next use fetches it again; one in use stays.
    pub removed: bool,
}

impl Cache {
    /// The cache at a glance.
    pub fn info(&self) -> Result<CacheInfo, CacheError> {
        let entries = self.list()?;
        let config = &self.inner.config;
        Ok(CacheInfo {
            directory: config.directory.clone(),
            targets: entries.len(),
            bytes: entries.iter().map(|entry| entry.bytes).sum(),
            max_size: config.max_size,
            ttl: config.ttl,
            writable: self.inner.writable,
            copy_on_write: self.copy_on_write(),
        })
    }

    /// All targets, the most recently used first.
    pub fn list(&self) -> Result<Vec<CacheEntry>, CacheError> {
        let layout = &self.inner.layout;
        let mut entries = Vec::new();
        for target in layout.targets()? {
            let lock = layout.use_lock(&target);
            let in_use = lock.exists() && Lock::try_take(&lock, Hold::Exclusive)?.is_none();
            let (bytes, last_used) = (meta::size(layout, &target), meta::last_used(layout, &target));
            entries.push(CacheEntry { target, bytes, last_used, in_use });
        }
        entries.sort_by(|a, b| (b.last_used, &a.target).cmp(&(a.last_used, &b.target)));
        Ok(entries)
    }

    /// Checks every archive by its checksum and every tree by its number of entries and bytes; with `deep` trees are
    /// compared with their archive byte by byte. What is damaged is removed. Blocks for as long as reading takes.
    pub fn verify(&self, deep: bool) -> Result<Vec<Damage>, CacheError> {
        let mut damages = Vec::new();
        for target in self.inner.layout.targets()? {
            let broken = {
                let Some(_use) = Lock::try_take(&self.inner.layout.use_lock(&target), Hold::Shared)? else {
                    continue;
                };
                self.inner.damaged_part(&target, deep)?
            };
            if let Some(part) = broken {
                let bytes = meta::size(&self.inner.layout, &target);
                let removed = self.inner.writable && self.inner.remove_target(&target, bytes)?;
                damages.push(Damage { target, part, removed });
            }
        }
        Ok(damages)
    }
}

impl Inner {
    fn damaged_part(&self, id: &TargetId, deep: bool) -> Result<Option<&'static str>, CacheError> {
        let dir = self.layout.target(id);
        let trees = [("workspace", dir.join("workspace")), ("shared", dir.join("shared").join("workspace"))];
        let has_tree = trees.iter().any(|(_, tree)| tree.exists());
        let has_blob = self.layout.blob(id).exists();
        if has_blob && !self.check_blob(id)? {
            return Ok(Some("archive"));
        }
        if has_tree && !has_blob {
            return Ok(Some("archive"));
        }
        let meta = Meta::read(&self.layout, id);
        let same = |tree: &PathBuf, known: Option<Census>| {
            known.is_none_or(|known| tree::census(tree).is_ok_and(|now| now.is_like(&known)))
        };
        for ((part, tree), known) in trees.iter().zip([meta.workspace, meta.base]) {
            if tree.exists() && !same(tree, known) {
                return Ok(Some(part));
            }
        }
        if deep && has_tree {
            let staging = Staging::new(&self.layout)?;
            self.extract(id, &staging, CopyOnWrite::Copy)?;
            let fresh = staging.path().join("workspace");
            let expected = tree::digest(&fresh).map_err(CacheError::io(&fresh))?;
            for (part, tree) in &trees {
                if tree.exists() && tree::digest(tree).map_err(CacheError::io(tree))? != expected {
                    return Ok(Some(part));
                }
            }
        }
        Ok(None)
    }
}
