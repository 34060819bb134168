//! Trees in the making, recognisable as garbage when their maker dies.

use std::fs;
use std::path::{Path, PathBuf};

use super::control::Layout;
use super::error::CacheError;
use super::lock::{Hold, Lock};
use crate::workspace::{overlay, tree};

/// A directory that is removed when this is dropped, or by the next start.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    owner: PathBuf,
    _lock: Lock,
}

impl Staging {
    pub(super) fn new(layout: &Layout) -> Result<Self, CacheError> {
        loop {
            let path = layout.control("staging").join(uuid::Uuid::now_v7().to_string());
            let owner = path.with_extension("own");
            let Some(lock) = Lock::try_take(&owner, Hold::Exclusive)? else { continue };
            fs::create_dir(&path).map_err(CacheError::io(&path))?;
            return Ok(Self { path, owner, _lock: lock });
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // An overlay whose run failed to come about.
        overlay::unmount_below(&self.path);
        tree::remove(&self.path);
        let _ = fs::remove_file(&self.owner);
    }
}
