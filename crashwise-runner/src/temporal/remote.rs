//! Files of a run between this machine and the store.

use crate::results::{Elsewhere, ResultStore};
use crashwise_core::store::{Store, StoreError};
use crashwise_core::{ArtifactRef, ModuleOutput, RunId};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The files of one run in the store.
#[derive(Debug)]
pub(super) struct Remote {
    store: Store,
    root: RunId,
    /// Digests of files that are in the store for sure.
    there: Mutex<BTreeSet<String>>,
    /// Files that were stored on this machine and not uploaded yet.
    fresh: Mutex<Vec<ArtifactRef>>,
}

impl Remote {
    pub(super) fn new(store: Store, root: RunId) -> Self {
        Self { store, root, there: Mutex::default(), fresh: Mutex::default() }
    }

    pub(super) fn root(&self) -> &RunId {
        &self.root
    }

    /// Uploads the files of an output.
    pub(super) async fn upload(
        &self,
        results: &ResultStore,
        output: &ModuleOutput,
    ) -> Result<(), StoreError> {
        for artifact in output.findings.iter().chain(&output.artifacts) {
            self.upload_file(results, artifact).await?;
        }
        Ok(())
    }

    /// Uploads what steps have stored so far, so that a later attempt finds it on another machine.
    pub(super) async fn upload_fresh(&self, results: &ResultStore) -> Result<(), StoreError> {
        let fresh = std::mem::take(&mut *lock(&self.fresh));
        for artifact in &fresh {
            self.upload_file(results, artifact).await?;
        }
        Ok(())
    }

    async fn upload_file(&self, results: &ResultStore, artifact: &ArtifactRef) -> Result<(), StoreError> {
        if lock(&self.there).contains(&artifact.digest) {
            return Ok(());
        }
        let Some(file) = results.file(artifact) else {
            // An output may name a file of an earlier step, which is there already.
            return Ok(());
        };
        self.store.put_artifact(&self.root, &artifact.name, &file).await?;
        lock(&self.there).insert(artifact.digest.clone());
        Ok(())
    }

    /// Downloads a file, unless it is here.
    pub(super) async fn download(
        &self,
        results: &ResultStore,
        artifact: &ArtifactRef,
        from: &RunId,
    ) -> io::Result<()> {
        if results.file(artifact).is_some() {
            return Ok(());
        }
        let place = tempfile::tempdir_in(results.scratch()?)?;
        let file = place.path().join("file");
        self.store.fetch_artifact(from, artifact, &file).await.map_err(|error| {
            io::Error::other(format!("{}: {}", artifact.name, crashwise_core::error_chain(&error)))
        })?;
        results.take(artifact, &file)
    }
}

impl Elsewhere for Remote {
    fn fetch(&self, artifact: &ArtifactRef, into: &Path) -> io::Result<()> {
        // The caller may be a task of a runtime, which must not wait itself.
        std::thread::scope(|scope| {
            let fetching = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime
                    .block_on(self.store.fetch_artifact(&self.root, artifact, into))
                    .map_err(|error| io::Error::other(crashwise_core::error_chain(&error)))
            });
            fetching.join().unwrap_or_else(|_| Err(io::Error::other("fetching a file panicked")))
        })
    }

    fn stored(&self, artifact: &ArtifactRef) {
        lock(&self.fresh).push(artifact.clone());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
