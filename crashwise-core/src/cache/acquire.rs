//! From a request to a lease.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::CacheEvent;
use super::lease::Lease;
use super::lock::{Hold, Lock};
use super::meta;
use super::staging::Staging;
use super::{Cache, CacheError, Inner};
use crate::store::Store;
use crate::workspace::tree::{self, Contents, Scope};
use crate::workspace::{CopyOnWrite, Workspace};
use crate::{Isolation, RunId, Target, TargetId};

/// A run that needs a workspace.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    pub(super) target: Target,
    pub(super) run: RunId,
    pub(super) mode: Isolation,
    pub(super) store: Option<Store>,
}

impl Request {
    /// What to look at, for which run, in which mode.
    #[must_use]
    pub fn new(target: Target, run: RunId, mode: Isolation) -> Self {
        Self { target, run, mode, store: None }
    }

    /// Where [`Target::Stored`] is fetched from. For a [`Target::Object`] it is the bucket of its URL.
    #[must_use]
    pub fn with_store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }
}

/// Where the archive of a target comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Store(Option<Store>),
    File(PathBuf),
}

/// How long to wait between two looks at a lock; doubled up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

impl Cache {
    /// Gets the workspace of a run. It stays until the lease is released or dropped.
    ///
    /// A local directory in [`Shared`](Isolation::Shared) mode is used in place, nothing is copied.
    ///
    /// # Errors
    ///
    /// See [`CacheError`]. The cache is sound after every one of them.
    pub async fn acquire(&self, request: &Request) -> Result<Lease, CacheError> {
        let name = request.run.as_str();
        if ["workspace", "target", "shared"].iter().any(|folder| name.eq_ignore_ascii_case(folder)) {
            return Err(CacheError::ReservedRun(request.run.clone()));
        }
        let cache = &self.inner;
        match &request.target {
            Target::Directory(path) if request.mode == Isolation::Shared => {
                std::fs::read_dir(path).map_err(CacheError::io(path))?;
                Ok(Lease::in_place(Workspace::in_place(path)))
            }
            Target::Directory(path) => cache.directory(path, request).await,
            Target::Archive(path) => {
                let (file, at) = (path.clone(), path.clone());
                let hash = blocking(path, move || hash_file(&file)).await?;
                let id = TargetId::new(hash).map_err(|error| CacheError::io(&at)(io::Error::other(error)))?;
                cache.archive(&id, &Source::File(path.clone()), request).await
            }
            Target::Stored(id) => cache.archive(id, &Source::Store(request.store.clone()), request).await,
            Target::Object(url) => {
                let store = request.store.as_ref().ok_or_else(|| CacheError::NoStoreFor(url.clone()))?;
                let found = store.find(url.key()).await;
                let (store, id) = found.map_err(|source| CacheError::Object { url: url.clone(), source })?;
                cache.archive(&id, &Source::Store(Some(store)), request).await
            }
        }
    }
}

impl Inner {
    /// A copy of a local directory for one run.
    async fn directory(self: &Arc<Self>, path: &Path, request: &Request) -> Result<Lease, CacheError> {
        let path = path.canonicalize().map_err(CacheError::io(path))?;
        let hash = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
        let id = TargetId::new(format!("dir-{}", &hash[..32]))
            .map_err(|error| CacheError::io(&path)(io::Error::other(error)))?;
        let lock = self.lease_target(&id).await?;
        let way = match request.mode {
            Isolation::CopyOnWrite => self.way(),
            _ => CopyOnWrite::Reflink,
        };
        self.run_tree(&id, lock, request, way, move |staging, way| {
            way.apply(&path, staging.path(), Scope::Project).map_err(CacheError::io(&path))
        })
        .await
    }

    /// A tree from an archive.
    async fn archive(
        self: &Arc<Self>,
        id: &TargetId,
        source: &Source,
        request: &Request,
    ) -> Result<Lease, CacheError> {
        let lock = self.lease_target(id).await?;
        match request.mode {
            Isolation::Shared => {
                let tree = self.layout.target(id).join("workspace");
                self.ensure_tree(id, source, request.mode, &tree).await?;
                Ok(Lease::of_target(Workspace::in_place(tree), id.clone(), lock))
            }
            Isolation::CopyOnWrite => {
                let base = self.layout.target(id).join("shared").join("workspace");
                self.ensure_tree(id, source, request.mode, &base).await?;
                let cache = Arc::clone(self);
                let target = id.clone();
                self.run_tree(id, lock, request, self.way(), move |staging, way| {
                    cache.link_blob(&target, staging)?;
                    way.apply(&base, staging.path(), Scope::Whole).map_err(CacheError::io(&base))
                })
                .await
            }
            Isolation::Isolated => {
                self.ensure_blob(id, source, request.mode).await?;
                let cache = Arc::clone(self);
                let target = id.clone();
                self.run_tree(id, lock, request, CopyOnWrite::Copy, move |staging, way| {
                    cache.extract(&target, staging, way)?;
                    Ok(way)
                })
                .await
            }
        }
    }

    /// Takes the lease of a target and notes the use.
    async fn lease_target(&self, id: &TargetId) -> Result<Lock, CacheError> {
        let path = self.layout.use_lock(id);
        if !self.writable && !path.exists() {
            return Err(CacheError::ReadOnly(id.clone()));
        }
        // Whoever removes the target holds this for a moment only.
        let lock = self.wait(id, &path, Hold::Shared, || false).await?.ok_or(CacheError::Busy(id.clone()))?;
        meta::touch(&lock, (self.config.clock)());
        Ok(lock)
    }

    /// Waits for a lock, or until `done`, for which there is no lock to give.
    pub(super) async fn wait(
        &self,
        id: &TargetId,
        path: &Path,
        hold: Hold,
        done: impl Fn() -> bool,
    ) -> Result<Option<Lock>, CacheError> {
        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            if done() {
                return Ok(None);
            }
            if let Some(lock) = Lock::try_take(path, hold)? {
                // It may have been done between the look and the lock.
                return Ok(if done() { None } else { Some(lock) });
            }
            if start.elapsed() > self.config.patience {
                return Err(CacheError::Busy(id.clone()));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Makes the tree of one run, unless another lease of the same run has made it.
    async fn run_tree(
        self: &Arc<Self>,
        id: &TargetId,
        lock: Lock,
        request: &Request,
        way: CopyOnWrite,
        make: impl Fn(&Staging, CopyOnWrite) -> Result<CopyOnWrite, CacheError> + Send + 'static,
    ) -> Result<Lease, CacheError> {
        if !self.writable {
            return Err(CacheError::ReadOnly(id.clone()));
        }
        let run = request.run.as_str();
        // What is there without a user was left by a dead process.
        self.layout.remove_run(id, run)?;
        let run_path = self.layout.run_lock(id, run);
        let run_lock =
            self.wait(id, &run_path, Hold::Shared, || false).await?.ok_or(CacheError::Busy(id.clone()))?;
        let place = self.layout.run(id, &request.run);
        let ready = place.join("workspace");
        let fill_path = run_path.with_extension("fill");
        let mut used = way;
        if let Some(fill) = self.wait(id, &fill_path, Hold::Exclusive, || ready.exists()).await? {
            let cache = Arc::clone(self);
            let (target, to) = (id.clone(), place.clone());
            used = blocking_cache(&place, move || {
                let done = cache.with_room(&target, || {
                    let staging = Staging::new(&cache.layout)?;
                    let used = make(&staging, way)?;
                    cache.publish(&target, staging.path(), &to)?;
                    Ok(used)
                });
                fill.remove(&fill_path);
                done
            })
            .await?;
        }
        let workspace = Workspace::owned(ready);
        Ok(Lease::of_run(workspace, Arc::clone(self), (id.clone(), run.to_owned()), (lock, run_lock), used))
    }

    /// Links the archive beside a tree, or copies it where there are no links. It is read-only.
    pub(super) fn link_blob(&self, id: &TargetId, staging: &Staging) -> Result<(), CacheError> {
        let (blob, to) = (self.layout.blob(id), staging.path().join("target"));
        std::fs::hard_link(&blob, &to)
            .or_else(|_| std::fs::copy(&blob, &to).map(|_| ()))
            .map_err(CacheError::io(&blob))
    }

    pub(super) fn tell_hit(&self, id: &TargetId, mode: Isolation) {
        let target = id.clone();
        self.tell(&match mode {
            Isolation::CopyOnWrite => CacheEvent::SharedHit { target },
            _ => CacheEvent::Hit { target, mode },
        });
    }
}

/// The BLAKE3 hash of a file, in hexadecimal digits.
pub(super) fn hash_file(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, CacheError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(CacheError::io(path))
}

/// Runs work that blocks; a panic in it is an error.
pub(super) async fn blocking_cache<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, CacheError> + Send + 'static,
) -> Result<T, CacheError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(CacheError::io(path)(io::Error::other(error))),
    }
}

/// Copies a local archive into the cache.
pub(super) fn copy_archive(from: &Path, to: &Path) -> io::Result<()> {
    tree::copy(from, to, Contents::Reflink, Scope::Whole).or_else(|_| {
        tree::remove(to);
        std::fs::copy(from, to).map(|_| ())
    })
}
