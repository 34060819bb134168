//! Steps that are runs of other workflows.

use super::backend::{TemporalBackend, root_cause};
use super::hosted::Hosted;
use super::messages::{Ended, Order};
use super::underway::Underway;
use crate::RunStatus;
use crate::engine::child_id;
use crashwise_core::workflow::{StepError, StepErrorKind};
use serde_json::Value;
use temporalio_sdk::{ChildWorkflowCancellationType, ChildWorkflowOptions, ParentClosePolicy};

pub(super) async fn carry_out(
    run: &TemporalBackend,
    mut step: Underway,
    workflow: String,
    params: Value,
) -> Result<Value, StepError> {
    let parent = run.order();
    let child = match super::drive::find(run.ctx(), parent, &workflow) {
        Ok(known) => known,
        Err(problem) => {
            let error = step.error(StepErrorKind::NotFound, problem).with_attempts(0);
            return step.fail(error);
        }
    };
    let metadata = &child.metadata;
    let id = child_id(&parent.run, step.key());
    let (id, params) = match (id, metadata.check_parameters(params)) {
        (Ok(id), Ok(params)) => (id, params),
        (Err(error), _) => {
            let error = step.error(StepErrorKind::Failed, error.to_string()).with_attempts(0);
            return step.fail(error);
        }
        (_, Err(problems)) => {
            let error = step.error(StepErrorKind::Config, problems.to_string()).with_attempts(0);
            return step.fail(error);
        }
    };
    step.set_child(id.clone(), metadata.version.to_string());
    let order = Order {
        run: id.clone(),
        parent: Some(parent.run.clone()),
        workflow: metadata.name.clone(),
        version: metadata.version.to_string(),
        params,
        timeout: metadata.requirements.resources.timeout.map(crashwise_core::Span::duration),
        vertical: metadata.vertical.clone(),
        submitted_ms: run.now_ms(),
        forked_from: None,
        carried: None,
        isolation: parent.isolation_asked.unwrap_or(metadata.workspace_isolation),
        ..parent.clone()
    };
    let token = step.token();
    let options = ChildWorkflowOptions::builder()
        .workflow_id(id.as_str().to_owned())
        .task_queue(super::queue_of(&order.vertical))
        .cancellation_token(token.token().clone())
        .cancel_type(ChildWorkflowCancellationType::WaitCancellationCompleted)
        .parent_close_policy(ParentClosePolicy::RequestCancel)
        .static_summary(format!("{} of {}", order.workflow, parent.run))
        .build();
    step.begin(|counts| &mut counts.children);
    run.child_began(id.clone());
    let ended: Result<Ended, String> = async {
        let started = run.ctx().start_child_workflow(Hosted::run, order, options).await;
        let child = started.map_err(|error| root_cause(&error))?;
        child.result().await.map_err(|error| root_cause(&error))
    }
    .await;
    run.child_ended(&id);
    let ended = match ended {
        Ok(ended) => ended,
        Err(_) if token.token().is_cancelled() => return step.cancelled(),
        Err(message) => {
            let error = step.error(StepErrorKind::Child, message);
            return step.fail(error);
        }
    };
    let message = ended.error.clone().unwrap_or_default();
    match ended.status {
        RunStatus::Completed => step.value(ended.output),
        RunStatus::Cancelled if run.is_stopped() => step.cancelled(),
        status => {
            let message = format!("{status}{}{message}", if message.is_empty() { "" } else { ": " });
            let error = step.error(StepErrorKind::Child, message);
            step.fail(error)
        }
    }
}
