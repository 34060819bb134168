//! Workspaces of runs, and the cache on disk that makes them cheap.
//!
//! ```text
//! {cache}/{target_id}/{run_id}/{target, workspace/}    isolated, copy-on-write: the run's own tree
//! {cache}/{target_id}/{target, workspace/}             shared: one read-only tree
//! {cache}/{target_id}/shared/{target, workspace/}      what copy-on-write runs copy from
//! {cache}/.crashwise/                                  archives, locks, and what is being made or removed
//! ```
//!
//! - A target in use is never evicted, whichever process uses it: a use holds a kernel lock, which ends with its process.
//! - However many callers ask for a target at once, it is downloaded and extracted once.
//! - Entries are made beside, synced, and appear by one rename: after a crash there is the old entry or the new one.
//!   The next [`Cache::open`] removes what dead processes left.
//! - When a target was last used is the time of its lock file, so it survives restarts and needs no access times.
//!
//! ```
//! use crashwise_core::cache::{Cache, CacheConfig, Request};
//! use crashwise_core::{Isolation, RunId, Target};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let dir = tempfile::tempdir()?;
//! std::fs::create_dir(dir.path().join("project"))?;
//! let cache = Cache::open(CacheConfig::new(dir.path().join("cache"))).unwrap();
//!
//! let target = Target::Directory(dir.path().join("project"));
//! let lease = cache.acquire(&Request::new(target, RunId::generate(), Isolation::Isolated)).await.unwrap();
//! std::fs::write(lease.workspace().root().join("scratch"), "only this run sees it")?;
//! assert!(!dir.path().join("project/scratch").exists());
//! lease.release().await.unwrap();
//! # Ok::<_, std::io::Error>(())
//! # }).unwrap();
//! ```

mod acquire;
mod config;
mod control;
mod error;
mod event;
mod evict;
mod fill;
mod inspect;
mod lease;
mod lock;
mod meta;
mod staging;
#[cfg(all(test, unix))]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

pub use self::acquire::Request;
pub use self::config::{CacheClock, CacheConfig, CacheListener, InvalidCacheVariable};
use self::control::Layout;
pub use self::error::CacheError;
use self::event::Counts;
pub use self::event::{CacheCounters, CacheEvent};
pub use self::evict::Pruned;
pub use self::inspect::{CacheEntry, CacheInfo, Damage};
use self::lease::Ending;
pub use self::lease::Lease;
use self::staging::Staging;
use crate::TargetId;
use crate::workspace::CopyOnWrite;

/// A cache directory, open in this process. Clones share it; other processes may have it open, too.
#[derive(Debug, Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: CacheConfig,
    layout: Layout,
    writable: bool,
    counts: Counts,
    way: OnceLock<CopyOnWrite>,
    /// Leases of runs, whose trees are removed when they end.
    ending: Ending,
    /// Archives that this process has checked, with their length and time then.
    checked: Mutex<HashMap<TargetId, (u64, SystemTime)>>,
}

impl Cache {
    /// Opens a cache, creating it if it is not there, removes what dead processes left and evicts what is too old or
    /// too much. Inside a tokio runtime eviction then repeats by itself. Blocks for as long as removing takes.
    ///
    /// A directory that cannot be written is opened all the same: it serves the shared trees it has.
    pub fn open(config: CacheConfig) -> Result<Self, CacheError> {
        let layout = Layout { root: config.directory.clone() };
        let writable = layout.create()?;
        let inner = Inner {
            config,
            layout,
            writable,
            counts: Counts::default(),
            way: OnceLock::new(),
            ending: Ending::default(),
            checked: Mutex::default(),
        };
        let cache = Self { inner: Arc::new(inner) };
        if writable {
            cache.inner.layout.clean()?;
            if cache.inner.config.evicts {
                cache.inner.evict(false)?;
                cache.repeat();
            }
        }
        Ok(cache)
    }

    /// Evicts now and then for as long as the cache is open.
    fn repeat(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (cache, interval) = (Arc::downgrade(&self.inner), self.inner.config.interval);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                let Some(cache) = cache.upgrade() else { return };
                // A failure is met again by whoever needs the room, and told there.
                let _ = tokio::task::spawn_blocking(move || cache.evict(false)).await;
            }
        });
    }

    /// Waits until the trees of all runs are removed, but no longer than this, and two seconds for those who still hold a
    /// lease; whether they are. A program calls it before it ends, because what is left then stays until the next start.
    /// Blocks.
    #[must_use = "what is left stays until the next start"]
    pub fn settle(&self, most: Duration) -> bool {
        self.inner.ending.wait(most)
    }

    /// What happened since it was opened here.
    #[must_use]
    pub fn counters(&self) -> CacheCounters {
        self.inner.counts.read()
    }

    /// How copy-on-write runs get their tree; tried out once.
    #[must_use]
    pub fn copy_on_write(&self) -> CopyOnWrite {
        self.inner.way()
    }
}

impl Inner {
    fn tell(&self, event: &CacheEvent) {
        self.counts.count(event);
        if let Some(listener) = &self.config.listener {
            listener(event);
        }
    }

    fn way(&self) -> CopyOnWrite {
        let probe = || CopyOnWrite::probe(Staging::new(&self.layout).ok()?.path()).ok();
        *self.way.get_or_init(|| probe().unwrap_or(CopyOnWrite::Copy))
    }
}
