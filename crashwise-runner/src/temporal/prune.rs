//! Letting go of runs of a cluster.

use super::cluster::Cluster;
use super::error::ClusterError;
use crate::{Pruned, RunFilter};
use crashwise_core::RunId;
use futures::StreamExt;
use std::collections::BTreeSet;
use temporalio_client::WorkflowListOptions;
use temporalio_client::tonic::{Code, IntoRequest};
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::workflowservice::v1::DeleteWorkflowExecutionRequest;

impl Cluster {
    /// Lets go of runs that ended before a time (milliseconds since 1970), with their children and what the store holds of
    /// them. The server deletes their histories in its own time.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Unreachable`], [`ClusterError::Denied`] when the credentials do not suffice, [`ClusterError::Store`].
    pub async fn prune(&self, ended_before_ms: u64) -> Result<Pruned, ClusterError> {
        let runs = self.list(&RunFilter::new().with_limit(0)).await?;
        let old = runs.iter().filter(|run| run.ended_ms.is_some_and(|ended| ended < ended_before_ms));
        let mut pruned = Pruned::default();
        for run in old {
            let family = self.family(&run.run_id).await?;
            // While the server still knows a run, what is left of it when this is cut short is found by the next one.
            let ids: BTreeSet<&RunId> = family.iter().map(|(id, _)| id).collect();
            for id in &ids {
                let (files, bytes) = self.store.delete_results(id).await?;
                (pruned.files, pruned.bytes) = (pruned.files + files, pruned.bytes + bytes);
            }
            pruned.runs += ids.len() as u64;
            for (id, history) in &family {
                self.delete_history(id, history).await?;
            }
        }
        Ok(pruned)
    }

    /// A run and its children, each with every one of its histories; the run itself comes last.
    async fn family(&self, head: &RunId) -> Result<Vec<(RunId, String)>, ClusterError> {
        let query = format!("WorkflowType = 'crashwise' AND RootWorkflowId = '{head}'");
        let mut executions = self.client.list_workflows(query, WorkflowListOptions::default());
        let mut family = Vec::new();
        while let Some(execution) = executions.next().await {
            let execution = execution.map_err(|error| self.listing(error))?;
            if let Ok(id) = RunId::new(execution.id()) {
                family.push((id, execution.run_id().to_owned()));
            }
        }
        family.sort_by_key(|(id, _)| id == head);
        Ok(family)
    }

    /// Has the server delete a history.
    async fn delete_history(&self, id: &RunId, history: &str) -> Result<(), ClusterError> {
        let execution = WorkflowExecution { workflow_id: id.to_string(), run_id: history.to_owned() };
        let request = DeleteWorkflowExecutionRequest {
            namespace: self.namespace.clone(),
            workflow_execution: Some(execution),
        };
        let mut service = self.client.connection().workflow_service();
        match service.delete_workflow_execution(request.into_request()).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::NotFound => Ok(()),
            Err(status) => Err(self.status("deleting a run failed", status)),
        }
    }
}
