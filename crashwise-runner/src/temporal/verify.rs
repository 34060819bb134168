//! Whether what is kept of a run is what was written.

use super::error::ClusterError;
use super::fetch;
use super::handle::ClusterRun;
use crate::RunnerError;
use crashwise_core::{ArtifactRef, error_chain};
use std::collections::BTreeMap;

/// What a look at all that is kept of a run told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Steps of its record.
    pub steps: usize,
    /// Files, each of which was read as a whole.
    pub files: usize,
    /// What is missing or has changed.
    pub problems: Vec<String>,
}

impl ClusterRun {
    /// Reads the record of a run that is over, and each of its files, and compares them with their hashes.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownRun`], [`RunnerError::WrongState`] when the run goes on, and when the store is away.
    pub async fn verify(&self) -> Result<Checked, ClusterError> {
        let status = self.status().await?;
        if !status.is_final() {
            let (id, wanted) = (self.id.clone(), "verified");
            return Err(RunnerError::WrongState { id, status, wanted }.into());
        }
        let mut checked = Checked::default();
        let store = &self.cluster.store;
        let kept = async {
            let record = fetch::kept(store, &self.id).await?;
            let whole = fetch::steps(store, &self.id).await?;
            Ok::<_, ClusterError>(record.zip(whole))
        };
        let (record, whole) = match kept.await {
            Ok(Some(((record, _), whole))) => (record, whole),
            Ok(None) => {
                checked.problems.push("the store holds nothing of it".to_owned());
                return Ok(checked);
            }
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => {
                checked.problems.push(error.chain());
                return Ok(checked);
            }
        };
        checked.steps = whole.steps.len();
        let files = whole.steps.iter().flat_map(|step| step.findings.iter().chain(&step.artifacts));
        let files: BTreeMap<&str, &ArtifactRef> = files.map(|file| (file.digest.as_str(), file)).collect();
        let folder =
            tempfile::tempdir().map_err(|error| ClusterError::io("making room for files failed", error))?;
        for file in files.into_values() {
            let into = folder.path().join("file");
            match store.fetch_artifact(&record.order.root, file, &into).await {
                Ok(()) => checked.files += 1,
                Err(error) if error.is_retryable() => return Err(error.into()),
                Err(error) => checked.problems.push(format!("{}: {}", file.name, error_chain(&error))),
            }
            // It may not have arrived.
            let _ = std::fs::remove_file(&into);
        }
        Ok(checked)
    }
}
