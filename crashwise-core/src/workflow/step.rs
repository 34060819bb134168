//! Steps: what is done, and how.

use super::backend::{ApprovalRequest, Command, Decision, InlineCall, ModuleCall, Request};
use super::context::{decode, encode};
use super::session::When;
use super::{Retry, StepError, StepFailure, StepKey, StepOptions, WorkflowContext, WorkflowError};
use crate::{AnyModule, Module, ModuleContext, ModuleOutput, Span};
use futures::FutureExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A step that is being described. [`Step::call`] or [`Step::run`] carries it out.
#[derive(Debug)]
#[must_use = "a step does nothing until `call` or `run` is awaited"]
pub struct Step<'c> {
    cx: &'c WorkflowContext,
    key: StepKey,
    options: StepOptions,
    cleanup: Option<InlineCall>,
}

impl<'c> Step<'c> {
    pub(super) fn new(cx: &'c WorkflowContext, key: StepKey) -> Self {
        Self { cx, key, options: StepOptions::default(), cleanup: None }
    }

    /// Sets all options at once.
    pub fn options(mut self, options: StepOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets when it is tried again.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.options.retry = retry;
        self
    }

    /// Sets the most time for one attempt.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.options.timeout = Some(Span::new(time));
        self
    }

    /// Sets the most time for all attempts and the waits between them.
    pub fn total_timeout(mut self, time: Duration) -> Self {
        self.options.total_timeout = Some(Span::new(time));
        self
    }

    /// Sets the most time between two heartbeats.
    pub fn heartbeat_timeout(mut self, time: Duration) -> Self {
        self.options.heartbeat_timeout = Some(Span::new(time));
        self
    }

    /// Takes a stored result with the same fingerprint, also of another run.
    pub fn cached(mut self) -> Self {
        self.options.cached = true;
        self
    }

    /// Never runs it twice.
    pub fn at_most_once(mut self) -> Self {
        self.options.at_most_once = true;
        self.options.retry = Retry::never();
        self
    }

    /// Sets the vertical whose workers run it.
    pub fn queue(mut self, vertical: impl Into<String>) -> Self {
        self.options.queue = Some(vertical.into());
        self
    }

    /// Higher goes first among waiting steps.
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = priority;
        self
    }

    /// Carries it out only if the condition holds; that it was skipped is part of the history.
    pub fn when(self, condition: bool) -> OptionalStep<'c> {
        OptionalStep { step: self, condition }
    }

    /// Registers work that tidies up when the step fails or the run is cancelled while it runs.
    pub fn cleanup<F, Fut>(mut self, work: F) -> Self
    where
        F: Fn(ModuleContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), StepFailure>> + Send + 'static,
    {
        self.cleanup = Some(inline(work));
        self
    }

    /// Runs a module with a typed configuration.
    pub async fn call<M: Module>(self, module: M, config: M::Config) -> Result<ModuleOutput, StepError> {
        let config = encode(&self.key, &config)?;
        self.module(ModuleCall::of(Arc::new(module), config)).await
    }

    /// Runs a module of which the type is not known here.
    pub async fn call_any(
        self,
        module: Arc<dyn AnyModule>,
        config: Value,
    ) -> Result<ModuleOutput, StepError> {
        self.module(ModuleCall::of(module, config)).await
    }

    /// Runs a module that the engine knows by name.
    pub async fn call_named(self, module: &str, config: Value) -> Result<ModuleOutput, StepError> {
        self.module(ModuleCall::named(module, config)).await
    }

    async fn module(self, call: ModuleCall) -> Result<ModuleOutput, StepError> {
        let key = self.key.clone();
        let value = self.execute(Command::Module(call)).boxed_local().await?;
        decode(&key, value)
    }

    /// Runs a closure, once per attempt. It may report findings like a module.
    pub async fn run<T, F, Fut>(self, work: F) -> Result<T, StepError>
    where
        T: Serialize + DeserializeOwned + 'static,
        F: Fn(ModuleContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, StepFailure>> + Send + 'static,
    {
        let key = self.key.clone();
        // On the heap only while it goes on: the workflow's own future keeps room for its largest step all the time.
        let value = self.execute(Command::Inline(inline(work))).boxed_local().await?;
        let kept: KeptOfClosure = decode(&key, value)?;
        decode(&key, kept.summary.output)
    }

    async fn execute(self, command: Command) -> Result<Value, StepError> {
        let Self { cx, key, options, cleanup } = self;
        let cleanup = cleanup.map(|work| (key.child("cleanup"), work));
        if let Some((key, work)) = &cleanup {
            cx.push_deferred(key.clone(), When::Failure, work.clone());
        }
        let mut request = Request::new(key, command);
        request.options = options;
        let result = cx.backend.execute(request).await;
        if let Some((key, work)) = cleanup {
            cx.deferred.borrow_mut().retain(|deferred| deferred.key != key);
            if result.is_err() {
                let mut request = Request::new(key, Command::Inline(work));
                request.detached = true;
                // The step's own error is the one to report; the engine keeps the cleanup's in the history.
                let _ = cx.backend.execute(request).await;
            }
        }
        result
    }
}

/// A step with a condition. Gives `None` when the condition does not hold.
#[derive(Debug)]
#[must_use = "a step does nothing until `call` or `run` is awaited"]
pub struct OptionalStep<'c> {
    step: Step<'c>,
    condition: bool,
}

impl OptionalStep<'_> {
    /// Runs a module with a typed configuration.
    pub async fn call<M: Module>(
        self,
        module: M,
        config: M::Config,
    ) -> Result<Option<ModuleOutput>, StepError> {
        if self.condition { self.step.call(module, config).await.map(Some) } else { self.skip().await }
    }

    /// Runs a module that the engine knows by name.
    pub async fn call_named(self, module: &str, config: Value) -> Result<Option<ModuleOutput>, StepError> {
        if self.condition { self.step.call_named(module, config).await.map(Some) } else { self.skip().await }
    }

    /// Runs a closure, once per attempt.
    pub async fn run<T, F, Fut>(self, work: F) -> Result<Option<T>, StepError>
    where
        T: Serialize + DeserializeOwned + 'static,
        F: Fn(ModuleContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, StepFailure>> + Send + 'static,
    {
        if self.condition { self.step.run(work).await.map(Some) } else { self.skip().await }
    }

    async fn skip<T>(self) -> Result<Option<T>, StepError> {
        self.step.cx.ask(self.step.key, Command::Skip).await.map(|_| None)
    }
}

/// A question to a person that is being described.
#[derive(Debug)]
#[must_use = "nobody is asked until `decide` is awaited"]
pub struct ApprovalStep<'c> {
    cx: &'c WorkflowContext,
    key: StepKey,
    request: ApprovalRequest,
}

impl<'c> ApprovalStep<'c> {
    pub(super) fn new(cx: &'c WorkflowContext, key: StepKey, name: &str) -> Self {
        let request = ApprovalRequest { name: name.to_owned(), prompt: String::new(), timeout: None };
        Self { cx, key, request }
    }

    /// Says what is asked.
    pub fn prompt(mut self, text: impl Into<String>) -> Self {
        self.request.prompt = text.into();
        self
    }

    /// Sets how long to wait; then the step fails with `timed_out`.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.request.timeout = Some(time);
        self
    }

    /// Waits for the answer, yes or no.
    pub async fn decide(self) -> Result<Decision, StepError> {
        let value = self.cx.ask(self.key.clone(), Command::Approval(self.request)).await?;
        decode(&self.key, value)
    }

    /// Waits for a yes; a no is an error.
    pub async fn granted(self) -> Result<Decision, WorkflowError> {
        let approval = self.request.name.clone();
        let decision = self.decide().await?;
        if decision.approved {
            Ok(decision)
        } else {
            Err(WorkflowError::Rejected { approval, by: decision.by, comment: decision.comment })
        }
    }
}

/// What is of interest in the [`ModuleOutput`] of a closure.
#[derive(Deserialize)]
struct KeptOfClosure {
    summary: Kept,
}

#[derive(Deserialize)]
struct Kept {
    #[serde(default)]
    output: Value,
}

/// Erases the type of a closure's result.
pub(super) fn inline<T, F, Fut>(work: F) -> InlineCall
where
    T: Serialize + 'static,
    F: Fn(ModuleContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, StepFailure>> + Send + 'static,
{
    InlineCall(Arc::new(move |cx| {
        let running = work(cx);
        async move { Ok(serde_json::to_value(running.await?)?) }.boxed()
    }))
}
