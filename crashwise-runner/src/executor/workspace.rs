//! Where the tree that a run looks at comes from.

use async_trait::async_trait;
use crashwise_core::archive::{ExtractOptions, extract_file};
use crashwise_core::workflow::StepFailure;
use crashwise_core::{Fingerprint, Isolation, RunId, Target, TemporaryFolder, Workspace, error_chain};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A tree, and what has to stay as long as somebody looks at it.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) workspace: Workspace,
    /// Goes away with the run.
    _unpacked: Option<Arc<TemporaryFolder>>,
}

impl Prepared {
    /// A tree that keeps itself for as long as it is looked at.
    #[cfg(feature = "workspace")]
    pub(crate) fn kept(workspace: Workspace) -> Self {
        Self { workspace, _unpacked: None }
    }

    fn in_place(root: &Path) -> Self {
        Self { workspace: Workspace::in_place(root), _unpacked: None }
    }
}

/// Makes the tree that a run looks at.
#[async_trait]
pub(crate) trait WorkspaceSource: Send + Sync + fmt::Debug {
    /// The tree of a run. Called once per run and process, before its first step.
    async fn prepare(
        &self,
        run: &RunId,
        target: &Target,
        isolation: Isolation,
    ) -> Result<Prepared, StepFailure>;

    /// Identifies the content of a target, for results that other runs may use. `None` when it cannot be told.
    async fn content(&self, target: &Target) -> Option<Fingerprint>;
}

/// Directories where they are, archives unpacked into a folder that goes away with the run.
#[derive(Debug)]
pub(crate) struct InPlace;

#[async_trait]
impl WorkspaceSource for InPlace {
    async fn prepare(&self, _: &RunId, target: &Target, _: Isolation) -> Result<Prepared, StepFailure> {
        let problem = match target {
            Target::Directory(path) => match tokio::fs::metadata(path).await {
                Ok(metadata) if metadata.is_dir() => return Ok(Prepared::in_place(path)),
                Ok(_) => "is not a directory".to_owned(),
                Err(error) => format!("cannot be read: {error}"),
            },
            Target::Archive(path) => {
                let path = path.clone();
                let unpacked = tokio::task::spawn_blocking(move || unpack(&path)).await;
                match unpacked {
                    Ok(Ok(prepared)) => return Ok(prepared),
                    Ok(Err(problem)) => format!("cannot be unpacked: {problem}"),
                    Err(error) => format!("cannot be unpacked: {error}"),
                }
            }
            _ => "is in a store, and this runner has none".to_owned(),
        };
        Err(StepFailure::fatal(format!("target {target} {problem}")))
    }

    async fn content(&self, target: &Target) -> Option<Fingerprint> {
        match target {
            Target::Stored(id) => Some(Fingerprint::of(["stored", id.as_str()])),
            Target::Directory(path) | Target::Archive(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || super::content::of(&path).ok()).await.ok().flatten()
            }
            _ => None,
        }
    }
}

/// Unpacks an archive into a folder of its own.
fn unpack(archive: &Path) -> Result<Prepared, String> {
    let folder = TemporaryFolder::new("workspace").map_err(|error| error.to_string())?;
    let tree = folder.path().join("tree");
    extract_file(archive, &tree, &ExtractOptions::new()).map_err(|error| error_chain(&error))?;
    Ok(Prepared { workspace: Workspace::owned(tree), _unpacked: Some(Arc::new(folder)) })
}
