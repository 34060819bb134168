//! Where targets, results, corpora and cached artifacts are kept: a directory, memory, or an S3-compatible service.
//!
//! ```
//! use crashwise_core::store::Store;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let dir = tempfile::tempdir()?;
//! let file = dir.path().join("target.tar");
//! std::fs::write(&file, b"an archive")?;
//!
//! let store = Store::memory();
//! let id = store.put_target(&file).await.unwrap();
//! let fetched = store.fetch_target(&id, &dir.path().join("copy")).await.unwrap();
//! assert_eq!(fetched.size, 10);
//! # Ok::<_, std::io::Error>(())
//! # }).unwrap();
//! ```

mod corpus;
mod download;
mod error;
mod lifetime;
#[cfg(feature = "s3")]
mod s3;
#[cfg(test)]
pub(crate) mod tests;
mod upload;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

pub use self::corpus::{Corpus, CorpusId, KnownCrash, Unpacked};
pub use self::download::Fetched;
pub use self::error::{StoreError, StoreErrorKind};
pub use self::lifetime::{Lifetimes, Swept};
#[cfg(feature = "s3")]
pub use self::s3::{InvalidS3Config, S3Config};
use crate::{ArtifactRef, InvalidId, RelPath, RunId, TargetId};

/// Objects of four kinds, each below a prefix of its own:
///
/// | key | what | lifetime |
/// |---|---|---|
/// | `targets/{target_id}/target` | an archive, as uploaded | 7 days |
/// | `results/{run_id}/{name}` | findings, reports, artifacts | 30 days |
/// | `cache/{name}` | what can be computed again | 3 days |
/// | `corpora/{project}/{target}/{name}` | inputs of a fuzz target, and its known crashes | without end |
///
/// Clones share the connection.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    base: Key,
    found: Option<Arc<Found>>,
}

/// An object that was found by its key and is a target by the id it got.
#[derive(Debug)]
struct Found {
    id: TargetId,
    key: Key,
    e_tag: Option<String>,
}

/// The prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Prefix {
    /// Archives of targets.
    Targets,
    /// What runs found.
    Results,
    /// What can be computed again.
    Cache,
    /// Inputs of fuzz targets and known crashes.
    Corpora,
}

impl Prefix {
    /// All of them.
    pub const ALL: [Prefix; 4] = [Prefix::Targets, Prefix::Results, Prefix::Cache, Prefix::Corpora];

    /// The first part of the key.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Prefix::Targets => "targets",
            Prefix::Results => "results",
            Prefix::Cache => "cache",
            Prefix::Corpora => "corpora",
        }
    }
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Object {
    /// Its key below the store's base, for example `results/{run_id}/results.sarif`.
    pub key: String,
    /// Bytes.
    pub size: u64,
}

impl Store {
    /// A store over any implementation of [`ObjectStore`].
    #[must_use]
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, base: Key::default(), found: None }
    }

    /// A directory, created if it is missing. Objects are written durably and appear whole.
    pub fn local(directory: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory).map_err(|error| StoreError::io(directory.display(), error))?;
        let objects = LocalFileSystem::new_with_prefix(directory)
            .map_err(|error| StoreError::new(&directory.display().to_string(), &error))?;
        Ok(Self::new(Arc::new(objects.with_fsync(true))))
    }

    /// Memory of this process.
    #[must_use]
    pub fn memory() -> Self {
        Self::new(Arc::new(InMemory::new()))
    }

    /// All keys below one more prefix, so that several stores share a bucket.
    #[must_use]
    pub fn with_base(mut self, base: &str) -> Self {
        self.base = Key::from(base);
        self
    }

    /// Uploads an archive under the hash of its bytes, unless it is there already.
    ///
    /// # Errors
    ///
    /// An upload that failed half-way is aborted; nothing becomes visible.
    pub async fn put_target(&self, file: &Path) -> Result<TargetId, StoreError> {
        upload::target(self, file).await
    }

    /// Downloads a target into a new file, in pieces side by side, and verifies it on arrival.
    ///
    /// A connection that breaks is resumed where it broke, as often as there was progress in between.
    ///
    /// # Errors
    ///
    /// [`Damaged`](StoreErrorKind::Damaged) when the bytes do not match the id (if that is a BLAKE3 hash, as ids of
    /// [`put_target`](Self::put_target) are) or the declared size. The file is removed on every error.
    pub async fn fetch_target(&self, id: &TargetId, into: &Path) -> Result<Fetched, StoreError> {
        download::target(self, id, into).await
    }

    /// Finds an object by its key, wherever somebody put it. The store that is returned also holds it as a target, by
    /// the id that is returned: the hash of its content if the key says that, as those of
    /// [`put_target`](Self::put_target) do, else a name for this version of this object.
    pub async fn find(&self, key: &str) -> Result<(Self, TargetId), StoreError> {
        let key = self.key(key);
        let meta = self.objects.head(&key).await.map_err(|error| StoreError::new(key.as_ref(), &error))?;
        let parts: Vec<_> = key.parts().collect();
        let named = match parts.as_slice() {
            [.., prefix, id, name] if prefix.as_ref() == "targets" && name.as_ref() == "target" => {
                TargetId::new(id.as_ref()).ok().filter(is_content_hash)
            }
            _ => None,
        };
        let id = match named {
            Some(id) => id,
            None => version_id(&self.objects.to_string(), &meta)
                .map_err(|_| StoreError::of(StoreErrorKind::Config, &key))?,
        };
        let found = Found { id: id.clone(), key, e_tag: meta.e_tag };
        Ok((Self { found: Some(Arc::new(found)), ..self.clone() }, id))
    }

    /// Whether a target is there.
    pub async fn has_target(&self, id: &TargetId) -> Result<bool, StoreError> {
        self.has(&self.target_key(id)).await
    }

    /// Deletes a target; one that is not there is fine.
    pub async fn delete_target(&self, id: &TargetId) -> Result<(), StoreError> {
        let key = self.target_key(id);
        match self.objects.delete(&key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StoreError::new(key.as_ref(), &error)),
        }
    }

    /// Stores one result of a run.
    pub async fn put_result(&self, run: &RunId, name: &RelPath, bytes: Vec<u8>) -> Result<(), StoreError> {
        let key = self.result_key(run, name);
        self.objects.put(&key, bytes.into()).await.map_err(|error| StoreError::new(key.as_ref(), &error))?;
        Ok(())
    }

    /// One result of a run, refused if it is larger than `most` bytes.
    pub async fn result(&self, run: &RunId, name: &RelPath, most: u64) -> Result<Vec<u8>, StoreError> {
        let key = self.result_key(run, name);
        download::small(self, &key, most).await
    }

    /// Deletes everything that is kept of a run. Gives the number of objects and their bytes.
    pub async fn delete_results(&self, run: &RunId) -> Result<(u64, u64), StoreError> {
        let key = self.key(&format!("results/{run}"));
        let failed = |error| StoreError::new(key.as_ref(), &error);
        let found: Vec<ObjectMeta> = self.objects.list(Some(&key)).try_collect().await.map_err(failed)?;
        let (mut objects, mut bytes) = (0, 0);
        for meta in found {
            match self.objects.delete(&meta.location).await {
                Ok(()) => (objects, bytes) = (objects + 1, bytes + meta.size),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok((objects, bytes))
    }

    /// Stores a file of a run below `results/{run_id}/artifacts/`, under the hash of its bytes, unless it is there already.
    pub async fn put_artifact(
        &self,
        run: &RunId,
        name: &str,
        file: &Path,
    ) -> Result<ArtifactRef, StoreError> {
        let size = std::fs::metadata(file).map_err(|error| StoreError::io(file.display(), error))?.len();
        let digest = upload::content(self, file, |hash| self.artifact_key(run, hash)).await?;
        Ok(ArtifactRef { name: name.to_owned(), digest, size })
    }

    /// Downloads a file of a run into a new file and verifies it on arrival; what does not arrive whole is removed.
    ///
    /// # Errors
    ///
    /// As [`fetch_target`](Self::fetch_target).
    pub async fn fetch_artifact(
        &self,
        run: &RunId,
        artifact: &ArtifactRef,
        into: &Path,
    ) -> Result<(), StoreError> {
        let key = self.artifact_key(run, &artifact.digest);
        download::content(self, &key, None, Some(&artifact.digest), into).await.map(drop)
    }

    /// Lets a run have a file of another one too, without downloading it.
    pub async fn share_artifact(&self, from: &RunId, to: &RunId, digest: &str) -> Result<(), StoreError> {
        let (from, to) = (self.artifact_key(from, digest), self.artifact_key(to, digest));
        self.objects.copy(&from, &to).await.map_err(|error| StoreError::new(from.as_ref(), &error))
    }

    /// Stores something that can be computed again, as `cache/{name}`.
    pub async fn put_cached(&self, name: &RelPath, bytes: Vec<u8>) -> Result<(), StoreError> {
        let key = self.key(&format!("cache/{name}"));
        self.objects.put(&key, bytes.into()).await.map_err(|error| StoreError::new(key.as_ref(), &error))?;
        Ok(())
    }

    /// What [`put_cached`](Self::put_cached) stored, refused if it is larger than `most` bytes.
    pub async fn cached(&self, name: &RelPath, most: u64) -> Result<Vec<u8>, StoreError> {
        download::small(self, &self.key(&format!("cache/{name}")), most).await
    }

    /// All objects of a kind, sorted by key.
    pub async fn list(&self, prefix: Prefix) -> Result<Vec<Object>, StoreError> {
        self.list_below(prefix.as_str()).await
    }

    async fn list_below(&self, below: &str) -> Result<Vec<Object>, StoreError> {
        let key = self.key(below);
        let mut objects: Vec<_> = self
            .objects
            .list(Some(&key))
            .map_ok(|meta| Object { key: self.below_base(&meta.location), size: meta.size })
            .try_collect()
            .await
            .map_err(|error| StoreError::new(key.as_ref(), &error))?;
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    async fn has(&self, key: &Key) -> Result<bool, StoreError> {
        match self.objects.head(key).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(StoreError::new(key.as_ref(), &error)),
        }
    }

    fn key(&self, below: &str) -> Key {
        self.base.parts().chain(Key::from(below).parts()).collect()
    }

    fn below_base(&self, key: &Key) -> String {
        let text = key.as_ref();
        text.strip_prefix(self.base.as_ref()).unwrap_or(text).trim_start_matches('/').to_owned()
    }

    fn target_key(&self, id: &TargetId) -> Key {
        if let Some(found) = &self.found
            && found.id == *id
        {
            return found.key.clone();
        }
        self.key(&format!("targets/{id}/target"))
    }

    fn artifact_key(&self, run: &RunId, digest: &str) -> Key {
        self.key(&format!("results/{run}/artifacts/{digest}"))
    }

    fn result_key(&self, run: &RunId, name: &RelPath) -> Key {
        self.key(&format!("results/{run}/{name}"))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("objects", &self.objects.to_string())
            .field("base", &self.base)
            .field("found", &self.found)
            .finish()
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.objects.fmt(f)
    }
}

/// Names one version of an object whose content is not known: the same until it is replaced.
fn version_id(store: &str, meta: &ObjectMeta) -> Result<TargetId, InvalidId> {
    let mut hasher = blake3::Hasher::new();
    let (size, time) = (meta.size.to_string(), meta.last_modified.timestamp_micros().to_string());
    let tags = [&meta.e_tag, &meta.version].map(|tag| tag.as_deref().unwrap_or_default());
    for part in [store, meta.location.as_ref(), tags[0], tags[1], &size, &time] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    TargetId::new(format!("obj-{}", &hasher.finalize().to_hex()[..32]))
}

/// Whether an id is the hash of the content, so that it can be verified.
fn is_content_hash(id: &TargetId) -> bool {
    id.as_str().len() == 64 && id.as_str().bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
