//! Trees from the cache of workspaces.

use super::workspace::{InPlace, Prepared, WorkspaceSource};
use async_trait::async_trait;
use crashwise_core::cache::{Cache, CacheError, Request};
use crashwise_core::store::Store;
use crashwise_core::workflow::{StepErrorKind, StepFailure};
use crashwise_core::{Fingerprint, Isolation, ObjectUrl, RunId, Target, error_chain};
use std::fmt;
use std::sync::Arc;
use tokio::sync::OnceCell;

pub(crate) type OpenCache = Arc<dyn Fn() -> Result<Cache, CacheError> + Send + Sync>;
type AnyError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type OpenStore = Arc<dyn Fn(&ObjectUrl) -> Result<Store, AnyError> + Send + Sync>;

/// Every kind of target, in the mode that the workflow asks for. The tree goes with the last clone of its workspace.
pub(crate) struct Cached {
    open: OpenCache,
    opened: OnceCell<Cache>,
    /// Where targets without a place are.
    store: Option<Store>,
    /// Opens the bucket of an object.
    bucket: Option<OpenStore>,
}

impl Cached {
    /// The cache is opened when it is first needed.
    pub(crate) fn new(open: OpenCache, store: Option<Store>, bucket: Option<OpenStore>) -> Self {
        Self { open, opened: OnceCell::new(), store, bucket }
    }

    async fn cache(&self) -> Result<&Cache, StepFailure> {
        self.opened
            .get_or_try_init(async || {
                let open = Arc::clone(&self.open);
                // Opening removes what is too old.
                match tokio::task::spawn_blocking(move || open()).await {
                    Ok(opened) => opened.map_err(|error| failure(&error)),
                    Err(error) => Err(StepFailure::fatal(format!("open the cache: {error}"))),
                }
            })
            .await
    }

    /// The store of a target, as far as it needs one.
    fn store(&self, target: &Target) -> Result<Option<Store>, StepFailure> {
        let Target::Object(url) = target else { return Ok(self.store.clone()) };
        let Some(open) = &self.bucket else { return Ok(None) };
        let opened = open(url);
        opened.map(Some).map_err(|error| {
            StepFailure::fatal(format!("open the store of {url}: {}", error_chain(error.as_ref())))
        })
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("cache", &self.opened)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

fn failure(error: &CacheError) -> StepFailure {
    let kind = if error.is_retryable() { StepErrorKind::Transient } else { StepErrorKind::Failed };
    StepFailure::new(kind, error_chain(error))
}

#[async_trait]
impl WorkspaceSource for Cached {
    async fn prepare(
        &self,
        run: &RunId,
        target: &Target,
        isolation: Isolation,
    ) -> Result<Prepared, StepFailure> {
        if let (Target::Directory(_), Isolation::Shared) = (target, isolation) {
            // Nothing is copied, so nothing is cached.
            return InPlace.prepare(run, target, isolation).await;
        }
        let mut request = Request::new(target.clone(), run.clone(), isolation);
        if let Some(store) = self.store(target)? {
            request = request.with_store(store);
        }
        let lease = self.cache().await?.acquire(&request).await.map_err(|error| failure(&error))?;
        Ok(Prepared::kept(lease.into_workspace()))
    }

    async fn content(&self, target: &Target) -> Option<Fingerprint> {
        let Target::Object(url) = target else { return InPlace.content(target).await };
        let (_, id) = self.store(target).ok()??.find(url.key()).await.ok()?;
        Some(Fingerprint::of(["stored", id.as_str()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crashwise_core::archive::{PackOptions, pack};
    use crashwise_core::cache::CacheConfig;
    use std::fs;

    #[tokio::test]
    async fn a_run_gets_its_own_tree_of_an_archive_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("main.c"), "int main() {}").unwrap();
        let archive = dir.path().join("target");
        pack(&tree, fs::File::create(&archive).unwrap(), &PackOptions::new()).unwrap();
        let cache = Cache::open(CacheConfig::new(dir.path().join("cache"))).unwrap();
        let source = Cached::new(Arc::new(move || Ok(cache.clone())), None, None);
        let target = Target::Archive(archive);
        let workspace =
            source.prepare(&RunId::generate(), &target, Isolation::Isolated).await.unwrap().workspace;
        let root = workspace.root().to_owned();
        assert_eq!(fs::read_to_string(root.join("main.c")).unwrap(), "int main() {}");
        let clone = workspace.clone();
        drop(workspace);
        assert!(root.exists());
        // Removing happens in the background.
        drop(clone);
        while root.exists() {
            tokio::task::yield_now().await;
        }
        let missing = Target::Archive(dir.path().join("none"));
        let failure = source.prepare(&RunId::generate(), &missing, Isolation::Shared).await.unwrap_err();
        assert_eq!(failure.kind(), StepErrorKind::Failed);
        assert!(failure.message().contains("none"), "{}", failure.message());
    }
}
