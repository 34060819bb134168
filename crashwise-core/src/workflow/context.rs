//! What workflow code sees.

use super::backend::{Backend, ChildCall, Command, InlineCall, Request, RunInfo};
use super::session::{Deferred, When};
use super::step::{ApprovalStep, Step, inline};
use super::{AnyWorkflow, StepError, StepErrorKind, StepFailure, StepKey, Workflow};
use crate::ModuleContext;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What workflow code sees: steps, time, people, other workflows. Clones share their scope.
///
/// Holds an `Rc`, so that workflow code cannot be moved to another thread.
#[derive(Clone)]
pub struct WorkflowContext {
    pub(super) backend: Rc<dyn Backend>,
    pub(super) deferred: Rc<RefCell<Vec<Deferred>>>,
    scope: StepKey,
    used: Rc<RefCell<HashMap<Box<str>, u32>>>,
}

impl WorkflowContext {
    pub(super) fn new(backend: Rc<dyn Backend>) -> Self {
        Self { backend, deferred: Rc::default(), scope: StepKey::root(), used: Rc::default() }
    }

    /// The run being orchestrated.
    pub fn run_info(&self) -> &RunInfo {
        self.backend.run_info()
    }

    /// The key that the next use of a name in this scope gets.
    pub(super) fn key(&self, name: &str) -> StepKey {
        let mut used = self.used.borrow_mut();
        let count = match used.get_mut(name) {
            Some(count) => {
                *count += 1;
                *count
            }
            None => *used.entry(name.into()).or_insert(1),
        };
        self.scope.nth_child(name, count)
    }

    /// A scope of its own for a parallel branch, so that its steps' keys do not depend on the others.
    #[must_use]
    pub fn branch(&self, name: &str) -> Self {
        self.scoped(self.key(name))
    }

    pub(super) fn scoped(&self, scope: StepKey) -> Self {
        Self {
            backend: Rc::clone(&self.backend),
            deferred: Rc::clone(&self.deferred),
            scope,
            used: Rc::default(),
        }
    }

    /// A step; what it does follows: [`Step::call`] a module, or [`Step::run`] a closure.
    pub fn step(&self, name: &str) -> Step<'_> {
        Step::new(self, self.key(name))
    }

    /// Waits. Survives restarts on engines that do.
    pub async fn sleep(&self, time: Duration) -> Result<(), StepError> {
        self.ask(self.key("sleep"), Command::Sleep(time)).await.map(drop)
    }

    /// The time in milliseconds since 1970, the same on replay.
    pub async fn now_ms(&self) -> Result<u64, StepError> {
        let key = self.key("now");
        let value = self.ask(key.clone(), Command::Now).await?;
        decode(&key, value)
    }

    /// A random number, the same on replay.
    pub async fn random(&self) -> Result<u64, StepError> {
        let key = self.key("random");
        let value = self.ask(key.clone(), Command::Random).await?;
        decode(&key, value)
    }

    /// Keeps a value in the journal; on replay the one first kept comes back.
    pub async fn checkpoint<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        value: &T,
    ) -> Result<T, StepError> {
        let key = self.key(name);
        let value = encode(&key, value)?;
        let kept = self.ask(key.clone(), Command::Record(value)).await?;
        decode(&key, kept)
    }

    /// Whether this run reaches this point with the code of patch `id` for the first time. Runs that passed it before the
    /// patch existed get `false` for ever, so they finish under the old branch of an `if`.
    pub async fn patched(&self, id: &str) -> Result<bool, StepError> {
        let key = StepKey::root().child(&format!("patched:{id}"));
        let value = self.ask(key.clone(), Command::Patched { id: id.to_owned() }).await?;
        decode(&key, value)
    }

    /// Waits for the next signal of a name and takes its payload.
    pub async fn signal<T: DeserializeOwned>(&self, name: &str) -> Result<T, StepError> {
        let key = self.key(&format!("signal:{name}"));
        let value = self.ask(key.clone(), Command::Signal { name: name.to_owned() }).await?;
        decode(&key, value)
    }

    /// A question to a person; [`ApprovalStep::decide`] waits for the answer.
    pub fn approval(&self, name: &str) -> ApprovalStep<'_> {
        ApprovalStep::new(self, self.key(name), name)
    }

    /// Runs another workflow as part of this one, on the same target.
    pub async fn child<W: Workflow>(
        &self,
        name: &str,
        workflow: W,
        params: W::Params,
    ) -> Result<W::Output, StepError> {
        let key = self.key(name);
        let params = encode(&key, &params)?;
        let workflow: Arc<dyn AnyWorkflow> = Arc::new(workflow);
        let call = ChildCall { name: workflow.metadata().name, params, workflow: Some(workflow) };
        let value = self.ask(key.clone(), Command::Child(call)).await?;
        decode(&key, value)
    }

    /// Runs another workflow that the engine knows by name.
    pub async fn child_named(&self, name: &str, workflow: &str, params: Value) -> Result<Value, StepError> {
        let call = ChildCall { name: workflow.to_owned(), params, workflow: None };
        self.ask(self.key(name), Command::Child(call)).await
    }

    /// Registers work for the end of the run, whatever its end: last registered, first run, also after cancel.
    pub fn defer<F, Fut>(&self, name: &str, work: F)
    where
        F: Fn(ModuleContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), StepFailure>> + Send + 'static,
    {
        self.push_deferred(self.branch("cleanup").key(name), When::Always, inline(work));
    }

    /// Registers work that undoes what was done, for when the run fails or is cancelled: last registered, first run.
    pub fn compensate<F, Fut>(&self, name: &str, work: F)
    where
        F: Fn(ModuleContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), StepFailure>> + Send + 'static,
    {
        self.push_deferred(self.branch("cleanup").key(name), When::Failure, inline(work));
    }

    pub(super) fn push_deferred(&self, key: StepKey, when: When, work: InlineCall) {
        self.deferred.borrow_mut().push(Deferred { key, when, work });
    }

    pub(super) async fn ask(&self, key: StepKey, command: Command) -> Result<Value, StepError> {
        self.backend.execute(Request::new(key, command)).await
    }
}

impl fmt::Debug for WorkflowContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowContext").field("scope", &self.scope).finish_non_exhaustive()
    }
}

pub(super) fn encode<T: Serialize>(key: &StepKey, value: &T) -> Result<Value, StepError> {
    serde_json::to_value(value).map_err(|error| {
        StepError::new(key.clone(), StepErrorKind::Config, format!("value is not JSON: {error}"))
    })
}

pub(super) fn decode<T: DeserializeOwned>(key: &StepKey, value: Value) -> Result<T, StepError> {
    serde_json::from_value(value).map_err(|error| {
        let message = format!("the stored result has another type: {error}");
        StepError::new(key.clone(), StepErrorKind::NonDeterminism, message)
    })
}
