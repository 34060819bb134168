//! Replays recorded histories against today's code.

use super::closures::Closures;
use super::error::ClusterError;
use super::hosted::{Hosted, Repertoire};
use crate::RunnerError;
use crate::engine::Known;
use crashwise_core::ModuleRegistry;
use crashwise_core::workflow::AnyWorkflow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use temporalio_client::WorkflowHistory;
use temporalio_sdk::workflow_replayer::{WorkflowReplayer, WorkflowReplayerOptions};

/// Replays histories that [`super::ClusterRun::history`] recorded, without a server: workflow code that would not go on with
/// a run of an earlier release is found before it is released.
pub struct Replayer {
    repertoire: Repertoire,
}

impl Replayer {
    /// A replayer of workflows.
    ///
    /// # Errors
    ///
    /// When the metadata of a workflow is not usable, or two have one name.
    pub fn new(
        workflows: impl IntoIterator<Item = Arc<dyn AnyWorkflow>>,
        modules: ModuleRegistry,
    ) -> Result<Self, RunnerError> {
        let mut known = BTreeMap::new();
        for code in workflows {
            let workflow = Known::new(code)?;
            let name = workflow.metadata.name.clone();
            if known.insert(name.clone(), workflow).is_some() {
                return Err(RunnerError::DuplicateWorkflow { name });
            }
        }
        let (workflows, closures) = (Arc::new(known), Closures::default());
        Ok(Self { repertoire: Repertoire { workflows, modules, closures } })
    }

    /// Replays a history.
    ///
    /// # Errors
    ///
    /// When the code asks for something else than the history holds, or the history cannot be read.
    pub async fn replay(&self, history: &[u8]) -> Result<(), ClusterError> {
        let unreadable = |error| ClusterError::server("the history cannot be read", error);
        let history = WorkflowHistory::from_json(history).map_err(unreadable)?;
        let repertoire = self.repertoire.clone();
        let options = WorkflowReplayerOptions::new()
            .register_workflow_with_factory(move || Hosted::new(repertoire.clone()))
            .map_err(|error| ClusterError::server("the workflow could not be registered", error))?;
        let replayer = WorkflowReplayer::new(options.build())
            .map_err(|error| ClusterError::server("the replay could not be begun", error))?;
        let done = replayer.replay_workflow(history).await;
        done.map(drop).map_err(|error| ClusterError::server("the code does not fit the history", error))
    }
}

impl fmt::Debug for Replayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replayer")
            .field("workflows", &self.repertoire.workflows.keys())
            .finish_non_exhaustive()
    }
}
