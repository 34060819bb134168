//! What is known of a cached target. Advisory: the tree itself is the truth, and this can be made again from it.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::control::Layout;
use super::error::CacheError;
use super::lock::Lock;
use crate::TargetId;
use crate::workspace::tree::{self, Census};

/// Sizes and checksum of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Meta {
    /// BLAKE3 of the archive.
    pub(super) hash: Option<String>,
    /// What the tree of `shared` mode held when it was published.
    pub(super) workspace: Option<Census>,
    /// The same of the copy-on-write source.
    pub(super) base: Option<Census>,
}

impl Meta {
    /// Reads it; damaged or missing is the same as nothing known.
    pub(super) fn read(layout: &Layout, target: &TargetId) -> Self {
        fs::read(layout.meta(target))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Writes it in one step.
    pub(super) fn write(&self, layout: &Layout, target: &TargetId, staging: &Path) -> Result<(), CacheError> {
        let beside = staging.join("meta.json");
        let path = layout.meta(target);
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        fs::write(&beside, bytes).map_err(CacheError::io(&beside))?;
        fs::rename(&beside, &path).map_err(CacheError::io(&path))
    }
}

/// Bytes that a target takes on the disk, trees of runs not counted: they belong to whoever runs.
pub(super) fn size(layout: &Layout, target: &TargetId) -> u64 {
    let meta = Meta::read(layout, target);
    let dir = layout.target(target);
    let tree = |census: Option<Census>, path: &Path| match census {
        Some(census) if path.exists() => census.allocated,
        _ => tree::census(path).map_or(0, |census| census.allocated),
    };
    let blob = tree::census(&layout.blob(target)).map_or(0, |census| census.allocated);
    blob + tree(meta.workspace, &dir.join("workspace"))
        + tree(meta.base, &dir.join("shared").join("workspace"))
}

/// When a target was last used: the time of its lock file, which every use moves forward.
pub(super) fn last_used(layout: &Layout, target: &TargetId) -> SystemTime {
    fs::metadata(layout.use_lock(target)).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Notes a use. A clock that went backwards does not make a target look older.
pub(super) fn touch(lock: &Lock, now: SystemTime) {
    let file = lock.file();
    if file.metadata().and_then(|meta| meta.modified()).is_ok_and(|before| before < now) {
        // A read-only cache cannot note it and need not: it does not evict.
        let _ = file.set_modified(now);
    }
}
