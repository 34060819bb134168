//! What an attempt of a step needs of the engine that carries it out.

use crate::results::ResultStore;
use crashwise_core::workflow::{RunInfo, StepFailure};
use crashwise_core::{StatsFeed, Workspace};
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;

/// What an attempt of a step needs of the engine that carries it out.
pub(crate) trait Stage {
    /// Where findings and files are kept.
    fn results(&self) -> &ResultStore;
    /// Where statistics go.
    fn stats(&self) -> &StatsFeed;
    /// The run.
    fn info(&self) -> &Arc<RunInfo>;
    /// The version of its workflow.
    fn workflow_version(&self) -> &str;
    /// What the target is called over runs.
    fn project(&self) -> String;
    /// Whether processes need the whole of their sandbox.
    fn requires_sandbox(&self) -> bool;
    /// Where the work runs.
    fn pool(&self) -> &Handle;
    /// When the run is out of time.
    fn deadline(&self) -> Option<Instant>;
    /// Why steps are being stopped.
    fn why_stopped(&self) -> &'static str;
    /// The tree that the run looks at.
    fn workspace(&self) -> impl Future<Output = Result<Workspace, StepFailure>>;
}
