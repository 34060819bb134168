//! One run of one workflow against one backend, for engines.

use super::backend::{Backend, Command, InlineCall, Request};
use super::{AnyWorkflow, StepError, StepKey, WorkflowContext, WorkflowError};
use serde_json::Value;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// Work registered for the end of a run.
pub(super) struct Deferred {
    pub(super) key: StepKey,
    pub(super) when: When,
    pub(super) work: InlineCall,
}

/// At which ends of a run deferred work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Always,
    Failure,
}

/// One run of one workflow against one backend. An engine polls [`Session::run`], may drop that future when a cancelled
/// workflow does not end, and calls [`Session::unwind`] in any case.
pub struct Session {
    workflow: Arc<dyn AnyWorkflow>,
    cx: WorkflowContext,
}

impl Session {
    /// A session that has not begun.
    pub fn new(workflow: Arc<dyn AnyWorkflow>, backend: Rc<dyn Backend>) -> Self {
        Self { workflow, cx: WorkflowContext::new(backend) }
    }

    /// Runs the workflow from the top.
    pub async fn run(&self, params: Value) -> Result<Value, WorkflowError> {
        self.workflow.run_json(&self.cx, params).await
    }

    /// Does the deferred work, last registered first, and returns the errors it met.
    pub async fn unwind(&self, succeeded: bool) -> Vec<StepError> {
        let mut errors = Vec::new();
        loop {
            let last = self.cx.deferred.borrow_mut().pop();
            let Some(Deferred { key, when, work }) = last else { return errors };
            if succeeded && when == When::Failure {
                continue;
            }
            let mut request = Request::new(key, Command::Inline(work));
            request.detached = true;
            if let Err(error) = self.cx.backend.execute(request).await {
                errors.push(error);
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("cx", &self.cx).finish_non_exhaustive()
    }
}
