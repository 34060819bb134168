//! What happens in a cache.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Isolation, TargetId};

/// Something that happened. Its `Display` is the line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheEvent {
    /// What was asked for was there.
    Hit {
        /// The target.
        target: TargetId,
        /// The mode it was asked for in.
        mode: Isolation,
    },
    /// A copy-on-write run found the tree it copies from.
    SharedHit {
        /// The target.
        target: TargetId,
    },
    /// It was not there and is being fetched.
    Miss {
        /// The target.
        target: TargetId,
        /// The mode it was asked for in.
        mode: Isolation,
        /// Where it comes from.
        from: String,
    },
    /// A target was removed.
    Evicted {
        /// The target.
        target: TargetId,
        /// Bytes freed.
        bytes: u64,
    },
    /// A cached archive did not match its checksum and is fetched again.
    Damaged {
        /// The target.
        target: TargetId,
    },
}

fn mode_name(mode: Isolation) -> &'static str {
    match mode {
        Isolation::Isolated => "isolated",
        Isolation::Shared => "shared",
        Isolation::CopyOnWrite => "copy-on-write",
    }
}

impl fmt::Display for CacheEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hit { target, mode } => write!(f, "Cache HIT: {target} (mode: {})", mode_name(*mode)),
            Self::SharedHit { target } => write!(f, "Copy-on-write: Shared cache HIT for {target}"),
            Self::Miss { target, mode, from } => {
                write!(f, "Cache MISS: {target} (mode: {}), downloading from {from}...", mode_name(*mode))
            }
            Self::Evicted { target, .. } => write!(f, "Evicted from cache: {target}"),
            Self::Damaged { target } => write!(f, "Damaged in cache: {target}, fetching again"),
        }
    }
}

/// Counts of one process since it opened the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheCounters {
    /// Hits, those of copy-on-write sources included.
    pub hits: u64,
    /// Of these, hits of copy-on-write sources.
    pub shared_hits: u64,
    /// Misses.
    pub misses: u64,
    /// Evictions.
    pub evictions: u64,
    /// Downloads, or copies of a local archive.
    pub downloads: u64,
    /// Extractions.
    pub extractions: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) hits: AtomicU64,
    pub(super) shared_hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) evictions: AtomicU64,
    pub(super) downloads: AtomicU64,
    pub(super) extractions: AtomicU64,
}

impl Counts {
    pub(super) fn count(&self, event: &CacheEvent) {
        let add = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match event {
            CacheEvent::Hit { .. } => add(&self.hits),
            CacheEvent::SharedHit { .. } => add(&self.hits) + add(&self.shared_hits),
            CacheEvent::Miss { .. } => add(&self.misses),
            CacheEvent::Evicted { .. } => add(&self.evictions),
            CacheEvent::Damaged { .. } => 0,
        };
    }

    pub(super) fn read(&self) -> CacheCounters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheCounters {
            hits: get(&self.hits),
            shared_hits: get(&self.shared_hits),
            misses: get(&self.misses),
            evictions: get(&self.evictions),
            downloads: get(&self.downloads),
            extractions: get(&self.extractions),
        }
    }
}
