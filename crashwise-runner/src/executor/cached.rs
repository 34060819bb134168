//! Trees from the cache of workspaces.

use super::workspace::{InPlace, Prepared, WorkspaceSource};
use async_trait::async_trait;
use crashwise_core::cache::{Cache, Request};
use crashwise_core::store::Store;
use crashwise_core::workflow::{StepErrorKind, StepFailure};
use crashwise_core::{Fingerprint, Isolation, RunId, Target, error_chain};

/// Every kind of target, in the mode that the workflow asks for. The tree goes with the last clone of its workspace.
#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) cache: Cache,
    pub(crate) store: Option<Store>,
}

#[async_trait]
impl WorkspaceSource for Cached {
    async fn prepare(
        &self,
        run: &RunId,
        target: &Target,
        isolation: Isolation,
    ) -> Result<Prepared, StepFailure> {
        let mut request = Request::new(target.clone(), run.clone(), isolation);
        if let Some(store) = &self.store {
            request = request.with_store(store.clone());
        }
        match self.cache.acquire(&request).await {
            Ok(lease) => Ok(Prepared::kept(lease.into_workspace())),
            Err(error) => {
                let kind =
                    if error.is_retryable() { StepErrorKind::Transient } else { StepErrorKind::Failed };
                Err(StepFailure::new(kind, error_chain(&error)))
            }
        }
    }

    async fn content(&self, target: &Target) -> Option<Fingerprint> {
        InPlace.content(target).await
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
        let source = Cached { cache: cache.clone(), store: None };
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
