//! Letting go of runs of a cluster.

use super::cluster::Cluster;
use super::error::ClusterError;
use crate::RunFilter;
use crashwise_core::RunId;
use futures::StreamExt;
use std::collections::BTreeSet;
use temporalio_client::WorkflowListOptions;
use temporalio_client::tonic::{Code, IntoRequest};
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::workflowservice::v1::DeleteWorkflowExecutionRequest;

/// What was let go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Runs, children included.
    pub runs: u64,
    /// Objects of the store.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

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
            let family = self.delete_family(&run.run_id).await?;
            pruned.runs += family.len() as u64;
            for id in &family {
                let (files, bytes) = self.store.delete_results(id).await?;
                (pruned.files, pruned.bytes) = (pruned.files + files, pruned.bytes + bytes);
            }
        }
        Ok(pruned)
    }

    /// Has the server delete all histories of a run and of its children.
    async fn delete_family(&self, head: &RunId) -> Result<BTreeSet<RunId>, ClusterError> {
        let query = format!("WorkflowType = 'crashwise' AND RootWorkflowId = '{head}'");
        let mut executions = self.client.list_workflows(query, WorkflowListOptions::default());
        let mut family = BTreeSet::new();
        while let Some(execution) = executions.next().await {
            let execution = execution.map_err(|error| self.listing(error))?;
            family.extend(RunId::new(execution.id()));
            let request = DeleteWorkflowExecutionRequest {
                namespace: self.namespace.clone(),
                workflow_execution: Some(WorkflowExecution {
                    workflow_id: execution.id().to_owned(),
                    run_id: execution.run_id().to_owned(),
                }),
            };
            let mut service = self.client.connection().workflow_service();
            match service.delete_workflow_execution(request.into_request()).await {
                Ok(_) => {}
                Err(status) if status.code() == Code::NotFound => {}
                Err(status) => return Err(self.status("deleting a run failed", status)),
            }
        }
        Ok(family)
    }
}
