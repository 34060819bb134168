//! Our seam for engines, over the context of a Temporal workflow.

use super::activities::Activities;
use super::again::Past;
use super::hosted::{Hosted, Steps};
use super::messages::{ClosureTask, ModuleTask, Order, Place, StepDone, StepNotDone};
use super::queue_of;
use super::underway::{CancelOnDrop, Underway};
use crate::RunStatus;
use crate::engine::millis;
use crashwise_core::workflow::{
    Backend, ChildCall, Command, InlineCall, ModuleCall, Request, Retry, RunInfo, StepError, StepErrorKind,
    StepKey, StepOptions,
};
use crashwise_core::{Fingerprint, RunId};
use futures::FutureExt;
use futures::future::{Either, LocalBoxFuture, select};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::error::Error;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::IncomingError;
use temporalio_common::{MemoValue, Priority, RetryPolicy, UntypedActivity};
use temporalio_sdk::{
    ActivityCancellationType, ActivityCloseTimeouts, ActivityExecutionError, ActivityOptions,
    LocalActivityOptions, SignalWorkflowOptions, TimeoutType, TimerOptions, WaitConditionOptions,
    WorkflowCancellationToken, WorkflowContext,
};

/// How long the worker of a step may be silent before it is taken for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The most time of a step that has no limit of its own.
const LONGEST: Duration = Duration::from_hours(30 * 24);

/// What the server waits longer than the worker, which asks a step to stop and keeps what it found.
const SLACK: Duration = Duration::from_secs(10);

/// How often a step is begun again that was lost with its worker or its store.
const LOST: u32 = 50;

#[derive(Clone)]
pub(super) struct TemporalBackend {
    inner: Rc<Inner>,
}

struct Inner {
    ctx: WorkflowContext<Hosted>,
    order: Order,
    info: RunInfo,
    /// What the steps hang from; cleanup does not.
    group: WorkflowCancellationToken,
    /// What nothing but the end of the run stops.
    forever: WorkflowCancellationToken,
    why: Cell<&'static str>,
    next_index: Cell<u32>,
    asked: RefCell<BTreeSet<StepKey>>,
    children: RefCell<BTreeSet<RunId>>,
    past: RefCell<Past>,
    /// What was left of the run's time when it was last counted, and since when it counts.
    left: Cell<Option<Duration>>,
    counting_since: Cell<Option<u64>>,
}

impl TemporalBackend {
    pub(super) fn new(ctx: WorkflowContext<Hosted>, order: Order) -> Self {
        let info = RunInfo::new(order.run.clone(), order.workflow.clone());
        let left = order.carried.as_ref().map_or(order.timeout, |carried| carried.left);
        Self {
            inner: Rc::new(Inner {
                ctx,
                order,
                info,
                group: WorkflowCancellationToken::new(),
                forever: WorkflowCancellationToken::new(),
                why: Cell::new("nobody waits for it any more"),
                next_index: Cell::default(),
                asked: RefCell::default(),
                children: RefCell::default(),
                past: RefCell::default(),
                left: Cell::new(left),
                counting_since: Cell::default(),
            }),
        }
    }

    pub(super) fn ctx(&self) -> &WorkflowContext<Hosted> {
        &self.inner.ctx
    }

    pub(super) fn order(&self) -> &Order {
        &self.inner.order
    }

    pub(super) fn now_ms(&self) -> u64 {
        let now = self.ctx().workflow_time().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        now.map_or(0, millis)
    }

    pub(super) fn take_index(&self) -> u32 {
        self.inner.next_index.replace(self.inner.next_index.get() + 1)
    }

    /// Why steps are being stopped.
    pub(super) fn why_stopped(&self) -> &'static str {
        match self.ctx().state(|hosted| hosted.stopping) {
            Some(RunStatus::TimedOut) => "the run ran out of time",
            Some(_) => "the run was cancelled",
            None => self.inner.why.get(),
        }
    }

    /// Has all steps stopped but cleanup.
    pub(super) fn stop_steps(&self, why: &'static str) {
        self.inner.why.set(why);
        self.inner.group.cancel_with_reason(why);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.inner.group.is_cancelled()
    }

    pub(super) fn group(&self) -> &WorkflowCancellationToken {
        &self.inner.group
    }

    /// Waits until a condition holds, whatever is cancelled.
    pub(super) async fn wait_for(&self, condition: impl FnMut(&Hosted) -> bool) {
        let options = WaitConditionOptions::builder().cancellation_token(self.inner.forever.clone()).build();
        // What it hangs from is never cancelled.
        let _ = self.ctx().wait_condition_with_options(condition, options).await;
    }

    /// Waits for a time, whatever is cancelled. Dropped, it gives up its timer.
    pub(super) async fn timer(&self, time: Duration) {
        let token = CancelOnDrop::new(&self.inner.forever);
        let options = TimerOptions::builder(time).cancellation_token(token.token().clone()).build();
        self.ctx().timer(options).await;
    }

    /// Completes when the run is out of time. Counted is the time in which it works or sleeps.
    pub(super) async fn deadline(&self) {
        loop {
            let Some(left) = self.inner.left.get() else { return std::future::pending().await };
            self.wait_for(Hosted::counts_time).await;
            self.inner.counting_since.set(Some(self.now_ms()));
            let rest = pin!(self.wait_for(|hosted| !hosted.counts_time()));
            let timer = pin!(self.timer(left));
            if let Either::Left(_) = select(timer, rest).await {
                return;
            }
            self.inner.left.set(self.left());
            self.inner.counting_since.set(None);
        }
    }

    /// What is left of the run's time.
    pub(super) fn left(&self) -> Option<Duration> {
        let since = self.inner.counting_since.get();
        let used = since.map_or(0, |since| self.now_ms().saturating_sub(since));
        Some(self.inner.left.get()?.saturating_sub(Duration::from_millis(used)))
    }

    /// Passes pause and resume on to the children, for ever.
    pub(super) async fn relay(&self) {
        let mut told = false;
        loop {
            self.wait_for(|hosted| hosted.paused != told).await;
            told = !told;
            let children: Vec<RunId> = self.inner.children.borrow().iter().cloned().collect();
            for child in children {
                let handle = self.ctx().external_workflow(child.as_str(), None);
                // A child that ended meanwhile has nothing to pause.
                if told {
                    let _ = handle.signal(Hosted::pause, (), SignalWorkflowOptions::default()).await;
                } else {
                    let _ = handle.signal(Hosted::resume, (), SignalWorkflowOptions::default()).await;
                }
            }
        }
    }

    /// Lets the list of runs say whether the run is paused, for ever.
    pub(super) async fn show_rest(&self) {
        let mut shown = false;
        loop {
            self.wait_for(|hosted| hosted.at_rest() != shown).await;
            shown = !shown;
            let word = shown.then(|| MemoValue::new(RunStatus::Paused.as_str().to_owned()));
            // What cannot be shown is no reason to stop.
            let _ = self.ctx().upsert_memo([("status", word)]);
        }
    }

    pub(super) fn past(&self) -> &RefCell<Past> {
        &self.inner.past
    }

    pub(super) fn steps(&self) -> Steps {
        self.ctx().state(|hosted| hosted.steps.clone())
    }

    pub(super) fn first_index(&self, index: u32) {
        self.inner.next_index.set(index);
    }

    pub(super) fn child_began(&self, run: RunId) {
        self.inner.children.borrow_mut().insert(run);
    }

    pub(super) fn child_ended(&self, run: &RunId) {
        self.inner.children.borrow_mut().remove(run);
    }

    /// Whether steps may begin now, waited for while the run is paused. `false` when it is being stopped.
    pub(super) async fn may_work(&self) -> bool {
        if self.ctx().state(|hosted| hosted.paused && hosted.stopping.is_none()) {
            let go_on = pin!(self.wait_for(|hosted| !hosted.paused || hosted.stopping.is_some()));
            let stopped = pin!(self.group().cancelled());
            select(go_on, stopped).await;
        }
        !self.is_stopped() && self.ctx().state(|hosted| hosted.stopping.is_none())
    }

    async fn carry_out(self, request: Request) -> Result<Value, StepError> {
        let Request { key, fingerprint, command, options, detached, .. } = request;
        if !self.inner.asked.borrow_mut().insert(key.clone()) {
            let message = "a step with this name is part of the run already";
            return Err(StepError::new(key, StepErrorKind::NonDeterminism, message));
        }
        if let Some(known) = self.known(&key, &fingerprint, command.kind()) {
            return known;
        }
        if !detached
            && !matches!(
                command,
                Command::Now | Command::Random | Command::Record(_) | Command::Patched { .. } | Command::Skip
            )
        {
            self.room(&key).await?;
        }
        let underway = |module: &str| {
            Underway::new(&self, key.clone(), fingerprint.clone(), command.kind(), module, detached)
        };
        match command {
            Command::Now => underway("").value(self.now_ms().into()),
            Command::Random => {
                // The same for the same run and step, which is all that replay needs.
                let digits = Fingerprint::of(["random", self.order().run.as_str(), key.as_str()]);
                underway("").value(u64::from_str_radix(&digits.as_str()[..16], 16).unwrap_or_default().into())
            }
            Command::Record(ref value) => underway("").value(value.clone()),
            Command::Patched { ref id } => underway("").value(self.ctx().patched(id).into()),
            Command::Skip => underway("").value(Value::Null),
            Command::Module(ref call) => {
                if !detached && !self.may_work().await {
                    return Err(self.cancelled(&key));
                }
                let step = underway(&call.name);
                let Command::Module(call) = command else { return Err(self.cancelled(&key)) };
                self.module(step, call, &options).await
            }
            Command::Inline(_) => {
                if !detached && !self.may_work().await {
                    return Err(self.cancelled(&key));
                }
                let step = underway("");
                let Command::Inline(call) = command else { return Err(self.cancelled(&key)) };
                self.closure(step, call, &options).await
            }
            Command::Child(ref call) => {
                if !self.may_work().await {
                    return Err(self.cancelled(&key));
                }
                let step = underway(&call.name);
                let Command::Child(ChildCall { name, params, .. }) = command else {
                    return Err(self.cancelled(&key));
                };
                super::child::carry_out(&self, step, name, params).await
            }
            Command::Sleep(time) => super::wait::sleep(&self, underway(""), time).await,
            Command::Signal { ref name } => super::wait::signal(&self, underway(name)).await,
            Command::Approval(ref asked) => {
                let (step, asked) = (underway(&asked.name), asked.clone());
                super::wait::approval(&self, step, asked).await
            }
            other => {
                let message = format!("Temporal runs do not support {}", other.kind());
                Err(StepError::new(key, StepErrorKind::Unsupported, message))
            }
        }
    }

    pub(super) fn cancelled(&self, key: &StepKey) -> StepError {
        StepError::new(key.clone(), StepErrorKind::Cancelled, self.why_stopped()).with_attempts(0)
    }

    fn place(&self, step: &Underway, options: &StepOptions) -> Place {
        let order = self.order();
        Place {
            run: order.run.clone(),
            root: order.root.clone(),
            workflow: order.workflow.clone(),
            workflow_version: order.version.clone(),
            step: step.key().clone(),
            target: order.target.clone(),
            project: order.project.clone(),
            isolation: order.isolation,
            timeout: options.timeout.map(crashwise_core::Span::duration),
            total_timeout: options.total_timeout.map(crashwise_core::Span::duration),
            silence: options.heartbeat_timeout.map(crashwise_core::Span::duration),
            cleanup: step.is_cleanup(),
            require_sandbox: order.require_sandbox,
        }
    }

    async fn module(
        &self,
        mut step: Underway,
        call: ModuleCall,
        options: &StepOptions,
    ) -> Result<Value, StepError> {
        let order = self.order();
        let vertical = options.queue.as_deref().unwrap_or(&order.vertical).to_owned();
        let task = ModuleTask {
            place: self.place(&step, options),
            module: call.name.clone(),
            version: call.version,
            rules: call.rules,
            config: call.config,
            cached: options.cached && !options.at_most_once && order.use_cache && !order.require_sandbox,
        };
        let limit = options.timeout.map_or(LONGEST, |time| time.duration() + SLACK);
        let timeouts = match options.total_timeout {
            None => ActivityCloseTimeouts::StartToClose(limit),
            Some(total) => ActivityCloseTimeouts::ScheduleAndStartToClose {
                schedule_to_close: total.duration() + SLACK,
                start_to_close: limit.min(total.duration() + SLACK),
            },
        };
        let token = step.token();
        step.begin(|counts| &mut counts.steps);
        let converter = self.ctx().payload_converter().clone();
        let mut lost = 0;
        loop {
            let id = if lost == 0 { step.key().to_string() } else { format!("{} again {lost}", step.key()) };
            let activity = ActivityOptions::with_close_timeouts(timeouts)
                .activity_id(id)
                .task_queue(queue_of(&vertical))
                .heartbeat_timeout(HEARTBEAT)
                .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
                .cancellation_token(token.token().clone())
                .retry_policy(policy(&options.retry))
                .maybe_priority(priority(order.priority.saturating_add(options.priority)))
                .summary(step.key().as_str())
                .build();
            let raw = RawValue::from_value(&task, &converter);
            let error = match self
                .ctx()
                .execute_activity(UntypedActivity::new(call.name.clone()), raw, activity)
                .await
            {
                Ok(raw) => return step.done(raw.to_value::<StepDone>(&converter)),
                Err(error) => explain(&error),
            };
            let NotDone { mut failure, worker_lost } = error;
            if worker_lost && options.at_most_once {
                failure.kind = StepErrorKind::OutcomeUnknown;
                "a crash left it open whether it ran".clone_into(&mut failure.message);
                failure.again = false;
            }
            if !failure.again || lost >= LOST || token.token().is_cancelled() {
                return step.not_done(failure);
            }
            lost += 1;
            let wait = Duration::from_secs(u64::from(lost.min(10)));
            let (timer, stopped) = (pin!(self.timer(wait)), pin!(token.token().cancelled()));
            if let Either::Right(_) = select(timer, stopped).await {
                return step.cancelled();
            }
        }
    }

    async fn closure(
        &self,
        mut step: Underway,
        call: InlineCall,
        options: &StepOptions,
    ) -> Result<Value, StepError> {
        let place = self.ctx().state(|hosted| hosted.repertoire.closures.put(call.0));
        let task = ClosureTask { token: place.token, place: self.place(&step, options) };
        let token = step.token();
        if step.is_cleanup() {
            step.begin(|counts| &mut counts.cleanup);
        } else {
            step.begin(|counts| &mut counts.steps);
        }
        let limit = options.timeout.map_or(LONGEST, |time| time.duration() + SLACK);
        let total = options.total_timeout.map_or(LONGEST, |time| time.duration() + SLACK);
        let activity = LocalActivityOptions::builder()
            .activity_id(step.key().to_string())
            .retry_policy(policy(&options.retry))
            .cancel_type(ActivityCancellationType::WaitCancellationCompleted)
            .start_to_close_timeout(limit)
            .schedule_to_close_timeout(total)
            .cancellation_token(token.token().clone())
            .summary(step.key().to_string())
            .build();
        match self.ctx().execute_local_activity(Activities::closure, task, activity).await {
            Ok(done) => step.done(done),
            Err(error) => step.not_done(explain(&error).failure),
        }
    }
}

impl Backend for TemporalBackend {
    fn run_info(&self) -> &RunInfo {
        &self.inner.info
    }

    fn execute(&self, request: Request) -> LocalBoxFuture<'static, Result<Value, StepError>> {
        self.clone().carry_out(request).boxed_local()
    }

    fn recall(&self, key: &StepKey) -> Option<Value> {
        // Beside what was taken over: Temporal resolves futures in the order of its history, so the same contender wins again.
        self.inner.past.borrow().value(key)
    }
}

fn policy(retry: &Retry) -> RetryPolicy {
    RetryPolicy::builder()
        .initial_interval(retry.initial_interval.duration().max(Duration::from_millis(1)))
        .backoff_coefficient(retry.backoff_coefficient.max(1.0))
        .maximum_interval(retry.maximum_interval.duration().max(retry.initial_interval.duration()))
        .maximum_attempts(retry.maximum_attempts.max(1))
        .non_retryable_error_types(
            retry
                .non_retryable
                .iter()
                .filter_map(|kind| serde_json::to_value(kind).ok()?.as_str().map(str::to_owned)),
        )
        .build()
}

/// Temporal knows five priorities, and 3 is the usual one.
fn priority(ours: i32) -> Option<Priority> {
    let mut priority = Priority::default();
    priority.priority_key = u32::try_from(3 - ours.clamp(-2, 2)).ok();
    (ours != 0).then_some(priority)
}

struct NotDone {
    failure: StepNotDone,
    worker_lost: bool,
}

/// Our failure behind Temporal's.
fn explain(error: &ActivityExecutionError) -> NotDone {
    let failure = |kind, message: String, again| StepNotDone {
        kind,
        message,
        attempts: 1,
        version: String::new(),
        again,
        partial: None,
    };
    if let Some(IncomingError::Application(known)) = error.reason() {
        if let Ok(Some(details)) = known.details::<StepNotDone>() {
            return NotDone { failure: details, worker_lost: false };
        }
        // A worker that does not know the module; another one may.
        if known.type_name() == Some("NotFoundError") {
            let message = "the worker has no such module: start workers of the same release".to_owned();
            return NotDone { failure: failure(StepErrorKind::NotFound, message, false), worker_lost: false };
        }
    }
    if let Some(cancelled) = error.as_cancelled() {
        if let Ok(Some(details)) = cancelled.details::<StepNotDone>() {
            return NotDone { failure: details, worker_lost: false };
        }
        return NotDone {
            failure: failure(StepErrorKind::Cancelled, String::new(), false),
            worker_lost: false,
        };
    }
    if let Some(timeout) = error.as_timeout() {
        let worker_lost = matches!(timeout.timeout_type(), TimeoutType::Heartbeat);
        let message = if worker_lost {
            format!("its worker was silent for {} s", HEARTBEAT.as_secs())
        } else {
            "not done in time, and its worker did not say so".to_owned()
        };
        return NotDone { failure: failure(StepErrorKind::TimedOut, message, worker_lost), worker_lost };
    }
    NotDone { failure: failure(StepErrorKind::Failed, root_cause(error), false), worker_lost: false }
}

/// The text of the innermost cause: the outer ones only say that something failed.
pub(super) fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
