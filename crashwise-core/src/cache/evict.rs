//! Eviction: by age, then by least recent use, never of what is in use.

use std::time::SystemTime;

use super::event::CacheEvent;
use super::lock::{Hold, Lock};
use super::meta;
use super::{Cache, CacheError, Inner};
use crate::TargetId;
use crate::workspace::{overlay, tree};

/// What was, or would be, evicted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Pruned {
    /// The targets, least recently used first.
    pub targets: Vec<TargetId>,
    /// Their bytes on the disk.
    pub bytes: u64,
    /// Targets that are in use and stayed, although they are too old or too much.
    pub in_use: Vec<TargetId>,
}

/// A target that could be evicted.
struct Candidate {
    last_used: SystemTime,
    target: TargetId,
    bytes: u64,
}

impl Cache {
    /// Evicts what is too old, then the least recently used until the cache is a tenth below its greatest size. With
    /// `dry_run` nothing is removed. Blocks for as long as removing takes.
    pub fn prune(&self, dry_run: bool) -> Result<Pruned, CacheError> {
        self.inner.evict(dry_run)
    }

    /// Evicts everything that is not in use. Blocks for as long as removing takes.
    pub fn clear(&self) -> Result<Pruned, CacheError> {
        self.inner.evict_all()
    }
}

impl Inner {
    pub(super) fn evict(&self, dry_run: bool) -> Result<Pruned, CacheError> {
        let now = (self.config.clock)();
        let ttl = self.config.ttl.duration();
        // A stamp from the future has no age yet.
        let is_old =
            |candidate: &Candidate| now.duration_since(candidate.last_used).is_ok_and(|age| age > ttl);
        self.evict_where(dry_run, self.config.max_size.bytes(), is_old)
    }

    pub(super) fn evict_all(&self) -> Result<Pruned, CacheError> {
        self.evict_where(false, 0, |_| true)
    }

    fn evict_where(
        &self,
        dry_run: bool,
        most: u64,
        is_old: impl Fn(&Candidate) -> bool,
    ) -> Result<Pruned, CacheError> {
        let mut pruned = Pruned::default();
        if !self.writable && !dry_run {
            return Ok(pruned);
        }
        // One at a time is enough, and two would both count the same bytes.
        let gc = self.layout.gc_lock();
        let _gc = if dry_run {
            None
        } else {
            match Lock::try_take(&gc, Hold::Exclusive)? {
                Some(lock) => Some(lock),
                None => return Ok(pruned),
            }
        };
        let mut candidates: Vec<_> = self
            .layout
            .targets()?
            .into_iter()
            .map(|target| Candidate {
                last_used: meta::last_used(&self.layout, &target),
                bytes: meta::size(&self.layout, &target),
                target,
            })
            .collect();
        candidates.sort_by(|a, b| (a.last_used, &a.target).cmp(&(b.last_used, &b.target)));
        let mut total: u64 = candidates.iter().map(|candidate| candidate.bytes).sum();
        let goal = if total > most { most - most / 10 } else { most };
        for candidate in candidates {
            if !is_old(&candidate) && total <= goal {
                continue;
            }
            let removed = if dry_run {
                Lock::try_take(&self.layout.use_lock(&candidate.target), Hold::Exclusive)?.is_some()
            } else {
                self.remove_target(&candidate.target, candidate.bytes)?
            };
            if removed {
                total = total.saturating_sub(candidate.bytes);
                pruned.bytes += candidate.bytes;
                pruned.targets.push(candidate.target);
            } else {
                pruned.in_use.push(candidate.target);
            }
        }
        Ok(pruned)
    }

    /// Removes all of a target, unless it is in use.
    pub(super) fn remove_target(&self, target: &TargetId, bytes: u64) -> Result<bool, CacheError> {
        let use_path = self.layout.use_lock(target);
        let Some(unused) = Lock::try_take(&use_path, Hold::Exclusive)? else { return Ok(false) };
        let dir = self.layout.target(target);
        // A killed run may have left its mount.
        overlay::unmount_below(&dir);
        let mut trash = Vec::new();
        for path in [dir, self.layout.blob(target), self.layout.meta(target)] {
            trash.extend(self.layout.trash(&path)?);
        }
        let fill_path = self.layout.fill_lock(target);
        if let Some(fill) = Lock::try_take(&fill_path, Hold::Exclusive)? {
            fill.remove(&fill_path);
        }
        unused.remove(&use_path);
        for path in trash {
            tree::remove(&path);
        }
        self.tell(&CacheEvent::Evicted { target: target.clone(), bytes });
        Ok(true)
    }
}
