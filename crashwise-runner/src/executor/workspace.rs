//! Where the tree that a run looks at comes from.

use async_trait::async_trait;
use crashwise_core::workflow::StepFailure;
use crashwise_core::{Fingerprint, Isolation, RunId, Target, Workspace};
use std::fmt;

/// Makes the tree that a run looks at.
#[async_trait]
pub(crate) trait WorkspaceSource: Send + Sync + fmt::Debug {
    /// The tree of a run. Called once per run and process, before its first step.
    async fn prepare(
        &self,
        run: &RunId,
        target: &Target,
        isolation: Isolation,
    ) -> Result<Workspace, StepFailure>;

    /// Identifies the content of a target, for results that other runs may use. `None` when it cannot be told.
    async fn content(&self, target: &Target) -> Option<Fingerprint>;
}

/// Directories where they are.
#[derive(Debug)]
pub(crate) struct InPlace;

#[async_trait]
impl WorkspaceSource for InPlace {
    async fn prepare(&self, _: &RunId, target: &Target, _: Isolation) -> Result<Workspace, StepFailure> {
        let path = match target {
            Target::Directory(path) => path,
            other => return Err(StepFailure::fatal(format!("target {other} is not a directory"))),
        };
        let problem = match tokio::fs::metadata(path).await {
            Ok(metadata) if metadata.is_dir() => return Ok(Workspace::in_place(path)),
            Ok(_) => "is not a directory".to_owned(),
            Err(error) => format!("cannot be read: {error}"),
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
