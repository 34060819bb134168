//! Getting a target into the cache, once for all who ask.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use super::acquire::{Source, blocking_cache, copy_archive, hash_file};
use super::event::CacheEvent;
use super::lock::Hold;
use super::meta::Meta;
use super::staging::Staging;
use super::{CacheError, Inner};
use crate::archive::extract_into;
use crate::workspace::{CopyOnWrite, tree};
use crate::{Isolation, TargetId};

impl Inner {
    /// Makes sure that a tree of the target is there: `{id}/workspace` or `{id}/shared/workspace`.
    pub(super) async fn ensure_tree(
        self: &Arc<Self>,
        id: &TargetId,
        source: &Source,
        mode: Isolation,
        tree: &Path,
    ) -> Result<(), CacheError> {
        let lock = if tree.exists() {
            None
        } else if self.writable {
            self.wait(id, &self.layout.fill_lock(id), Hold::Exclusive, || tree.exists()).await?
        } else {
            return Err(CacheError::ReadOnly(id.clone()));
        };
        let Some(lock) = lock else {
            self.tell_hit(id, mode);
            return Ok(());
        };
        self.miss(id, source, mode);
        self.fetch(id, source).await?;
        let (cache, id) = (Arc::clone(self), id.clone());
        blocking_cache(tree, move || {
            let _lock = lock;
            cache.with_room(&id, || cache.make_tree(&id, mode))?;
            cache.evict(false).map(|_| ())
        })
        .await
    }

    /// Makes sure that the archive of the target is there.
    pub(super) async fn ensure_blob(
        self: &Arc<Self>,
        id: &TargetId,
        source: &Source,
        mode: Isolation,
    ) -> Result<(), CacheError> {
        let blob = self.layout.blob(id);
        if !self.writable {
            return Err(CacheError::ReadOnly(id.clone()));
        }
        if self.is_checked(id) {
            self.tell_hit(id, mode);
            return Ok(());
        }
        let lock = self.wait(id, &self.layout.fill_lock(id), Hold::Exclusive, || false).await?;
        if blob.exists() {
            self.tell_hit(id, mode);
        } else {
            self.miss(id, source, mode);
        }
        self.fetch(id, source).await?;
        drop(lock);
        Ok(())
    }

    fn miss(&self, id: &TargetId, source: &Source, mode: Isolation) {
        let from = match source {
            Source::Store(Some(store)) => store.to_string(),
            Source::Store(None) => "nowhere".to_owned(),
            Source::File(path) => path.display().to_string(),
        };
        self.tell(&CacheEvent::Miss { target: id.clone(), mode, from });
    }

    /// Fetches the archive unless a sound one is there. The fill lock is held.
    async fn fetch(self: &Arc<Self>, id: &TargetId, source: &Source) -> Result<(), CacheError> {
        let blob = self.layout.blob(id);
        if blob.exists() {
            let (cache, target) = (Arc::clone(self), id.clone());
            if blocking_cache(&blob, move || cache.check_blob(&target)).await? {
                return Ok(());
            }
            self.tell(&CacheEvent::Damaged { target: id.clone() });
            if let Some(trash) = self.layout.trash(&blob)? {
                tree::remove(&trash);
            }
        }
        match self.fetch_new(id, source).await {
            Err(error) if error.is_full() => {
                let cache = Arc::clone(self);
                blocking_cache(&blob, move || cache.evict_all().map(|_| ())).await?;
                self.fetch_new(id, source).await.map_err(|error| full(id, error))
            }
            // A store tells damage apart from absence; once more is what helps against it.
            Err(CacheError::Store { source: error, .. })
                if error.kind() == crate::store::StoreErrorKind::Damaged =>
            {
                self.tell(&CacheEvent::Damaged { target: id.clone() });
                self.fetch_new(id, source).await.map_err(|error| match error {
                    CacheError::Store { source, .. }
                        if source.kind() == crate::store::StoreErrorKind::Damaged =>
                    {
                        CacheError::Damaged(id.clone())
                    }
                    other => other,
                })
            }
            other => other,
        }
    }

    async fn fetch_new(self: &Arc<Self>, id: &TargetId, source: &Source) -> Result<(), CacheError> {
        let staging = Staging::new(&self.layout)?;
        let file = staging.path().join("target");
        self.counts.downloads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let hash = match source {
            Source::Store(None) => return Err(CacheError::NoStore(id.clone())),
            Source::Store(Some(store)) => {
                let fetched = store.fetch_target(id, &file).await;
                fetched.map_err(|source| CacheError::Store { target: id.clone(), source })?.hash
            }
            Source::File(path) => {
                let (from, to) = (path.clone(), file.clone());
                blocking_cache(path, move || {
                    copy_archive(&from, &to).map_err(CacheError::io(&from))?;
                    hash_file(&to).map_err(CacheError::io(&to))
                })
                .await?
            }
        };
        if matches!(source, Source::File(_)) && hash != id.as_str() {
            return Err(CacheError::Damaged(id.clone()));
        }
        let (cache, id) = (Arc::clone(self), id.clone());
        blocking_cache(&file.clone(), move || {
            let mut permissions = fs::metadata(&file).map_err(CacheError::io(&file))?.permissions();
            permissions.set_readonly(true);
            fs::set_permissions(&file, permissions).map_err(CacheError::io(&file))?;
            let meta = Meta { hash: Some(hash), ..Meta::read(&cache.layout, &id) };
            meta.write(&cache.layout, &id, staging.path())?;
            // Not synced: what a power cut leaves of it fails its checksum before it is used again.
            let blob = cache.layout.blob(&id);
            fs::rename(&file, &blob).map_err(CacheError::io(&blob))
        })
        .await
    }

    /// Whether the archive is the one that was fetched.
    pub(super) fn check_blob(&self, id: &TargetId) -> Result<bool, CacheError> {
        let blob = self.layout.blob(id);
        let expected = match Meta::read(&self.layout, id).hash {
            Some(hash) => hash,
            // Without a record only an id that is the hash itself can vouch for it.
            None => id.as_str().to_owned(),
        };
        let stamp = stamp(&blob);
        let sound = hash_file(&blob).map_err(CacheError::io(&blob))? == expected;
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        match stamp.filter(|_| sound) {
            Some(stamp) => checked.insert(id.clone(), stamp),
            None => checked.remove(id),
        };
        Ok(sound)
    }

    /// Whether this process has checked the archive and nothing has touched it since.
    fn is_checked(&self, id: &TargetId) -> bool {
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.get(id).is_some_and(|&before| stamp(&self.layout.blob(id)) == Some(before))
    }

    /// Extracts the archive to `staging/workspace`, beside a link to it, where it can be copied in this way.
    pub(super) fn extract(
        &self,
        id: &TargetId,
        staging: &Staging,
        way: CopyOnWrite,
    ) -> Result<(), CacheError> {
        self.link_blob(id, staging)?;
        let blob = self.layout.blob(id);
        let workspace = staging.path().join("workspace");
        way.make_base(&workspace).map_err(CacheError::io(&workspace))?;
        let file = fs::File::open(&blob).map_err(CacheError::io(&blob))?;
        self.counts.extractions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        extract_into(file, &workspace, &self.config.extract)
            .map_err(|source| CacheError::Archive { target: id.clone(), source })?;
        Ok(())
    }

    fn make_tree(&self, id: &TargetId, mode: Isolation) -> Result<(), CacheError> {
        let staging = Staging::new(&self.layout)?;
        let way = if mode == Isolation::CopyOnWrite { self.way() } else { CopyOnWrite::Copy };
        self.extract(id, &staging, way)?;
        let workspace = staging.path().join("workspace");
        if mode == Isolation::Shared {
            tree::seal(&workspace).map_err(CacheError::io(&workspace))?;
        }
        let census = tree::census(&workspace).map_err(CacheError::io(&workspace))?;
        let mut meta = Meta::read(&self.layout, id);
        let dir = self.layout.target(id);
        if mode == Isolation::Shared {
            meta.workspace = Some(census);
            meta.write(&self.layout, id, staging.path())?;
            // `target` comes first: the presence of `workspace` is what says that both are there.
            self.publish(id, &staging.path().join("target"), &dir.join("target"))?;
            self.publish_lasting(id, &workspace, &dir.join("workspace"))
        } else {
            meta.base = Some(census);
            meta.write(&self.layout, id, staging.path())?;
            self.publish_lasting(id, staging.path(), &dir.join("shared"))
        }
    }

    /// Gives a staged tree its place for good: all of it is on the disk before it becomes visible.
    fn publish_lasting(&self, id: &TargetId, from: &Path, to: &Path) -> Result<(), CacheError> {
        let (root, dir) = (&self.layout.root, self.layout.target(id));
        if self.config.durable {
            tree::sync(root).map_err(CacheError::io(root))?;
        }
        self.publish(id, from, to)?;
        if self.config.durable {
            tree::sync_names(&dir).map_err(CacheError::io(&dir))?;
        }
        Ok(())
    }

    /// Gives a staged file or tree its place. The tree of a run needs no more than this: whatever a power cut leaves
    /// of it, its run has ended.
    pub(super) fn publish(&self, id: &TargetId, from: &Path, to: &Path) -> Result<(), CacheError> {
        tree::make_movable(from);
        let dir = self.layout.target(id);
        // The directory goes with the last run in it, which may be right now: before it is renamed into, or between finding that
        // it exists and seeing what it is.
        let went = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) && from.exists()
        };
        let mut tries = 0;
        loop {
            match fs::create_dir_all(&dir).and_then(|()| fs::rename(from, to)) {
                Err(error) if tries < 10 && went(&error) => {
                    // Removing it may take longer than trying.
                    std::thread::sleep(Duration::from_millis(tries));
                    tries += 1;
                }
                done => return done.map_err(CacheError::io(to)),
            }
        }
    }

    /// Does something that needs room; if the disk is full, evicts everything unused and tries once more.
    pub(super) fn with_room<T>(
        &self,
        id: &TargetId,
        work: impl Fn() -> Result<T, CacheError>,
    ) -> Result<T, CacheError> {
        match work() {
            Err(error) if error.is_full() => {
                self.evict_all()?;
                work().map_err(|error| full(id, error))
            }
            other => other,
        }
    }
}

/// What changes when a file is written.
fn stamp(path: &Path) -> Option<(u64, SystemTime)> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.len(), meta.modified().ok()?))
}

fn full(id: &TargetId, error: CacheError) -> CacheError {
    if error.is_full() { CacheError::Full { target: id.clone(), source: Box::new(error) } } else { error }
}
