//! What workflow code asks for, carried out.

use super::core::Begun;
use super::live::{Live, Progress};
use super::memo::Stored;
use super::state::{Doing, RunState};
use super::waker::Own;
use super::{after, at, millis};
use crate::executor::{self, Ended, Work};
use crate::journal::{ChildFound, Event, Outcome, StepEnd, Submission};
use crate::{RunEventKind, RunReport, RunStatus};
use crashwise_core::workflow::{
    ApprovalRequest, Backend, ChildCall, Command, InlineCall, ModuleCall, Request, RunInfo, StepError,
    StepErrorKind, StepFailure, StepKey, StepOptions,
};
use crashwise_core::{AnyModule, Fingerprint, RunId};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::Value;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The engine as the workflow of one run sees it.
pub(crate) struct RunBackend(pub(crate) Rc<RunState>);

impl Backend for RunBackend {
    fn run_info(&self) -> &RunInfo {
        &self.0.info
    }

    fn execute(&self, request: Request) -> LocalBoxFuture<'static, Result<Value, StepError>> {
        let work = execute(Rc::clone(&self.0), request).boxed_local();
        if self.0.core.check_wakers { Own(work).boxed_local() } else { work }
    }

    fn recall(&self, key: &StepKey) -> Option<Value> {
        self.0.memo.borrow().peek(key)?.result.clone().ok()
    }
}

async fn execute(run: Rc<RunState>, request: Request) -> Result<Value, StepError> {
    let Request { key, mut fingerprint, command, options, detached, .. } = request;
    let mut module = None;
    if let Command::Module(call) = &command {
        let found = find_module(&run, call);
        if let (Ok(found), None) = (&found, &call.module) {
            // A module that the workflow knows by name only: what it is today is part of what is asked.
            let info = found.info();
            let rules = info.rules_digest.as_deref().unwrap_or_default();
            fingerprint = Fingerprint::of([fingerprint.as_str(), &info.version, rules]);
        }
        module = Some(found);
    }
    let stored = run.memo.borrow_mut().take(&key);
    if let Some(Stored { fp, result }) = stored {
        if fp != fingerprint {
            let message = format!("the code now asks for another {} there", command.kind());
            return Err(StepError::new(key, StepErrorKind::NonDeterminism, message));
        }
        if let (Command::Patched { .. }, Ok(value)) = (&command, &result) {
            run.memo.borrow_mut().keep(key.clone(), fp, value.clone());
        }
        run.asked.borrow_mut().insert(key);
        return result;
    }
    if !run.asked.borrow_mut().insert(key.clone()) {
        let message = "a step with this name is part of the run already";
        return Err(StepError::new(key, StepErrorKind::NonDeterminism, message));
    }
    let step = Begin { kind: command.kind(), key, fingerprint, detached };
    match command {
        Command::Module(call) => {
            let name = call.name.clone();
            let module = match module {
                Some(Ok(module)) => module,
                Some(Err(failure)) => return not_begun(&run, step, name, failure).await,
                None => return Err(step.error(StepErrorKind::NotFound, "no such module")),
            };
            module_step(run, step, name, Work::Module(module, Arc::new(call.config)), options).await
        }
        Command::Inline(InlineCall(closure)) => {
            module_step(run, step, String::new(), Work::Closure(closure), options).await
        }
        Command::Skip => {
            run.tell(|| RunEventKind::StepSkipped { step: step.key.clone() });
            Ok(noted(&run, step, Value::Null))
        }
        Command::Now => {
            let now = run.now_ms();
            Ok(noted(&run, step, now.into()))
        }
        Command::Random => Ok(noted(&run, step, random().into())),
        Command::Record(value) => Ok(noted(&run, step, value)),
        Command::Patched { .. } => {
            let fresh = !run.memo.borrow().is_replaying();
            let (key, fp) = (step.key.clone(), step.fingerprint.clone());
            let value = noted(&run, step, fresh.into());
            run.memo.borrow_mut().keep(key, fp, value.clone());
            Ok(value)
        }
        Command::Sleep(time) => sleep(run, step, time).await,
        Command::Signal { name } => signal(run, step, name).await,
        Command::Approval(request) => approval(run, step, request).await,
        Command::Child(call) => child(run, step, call).await,
        _ => Err(step.error(StepErrorKind::Unsupported, "the in-process engine does not know this command")),
    }
}

/// A step of which nothing is journaled yet.
struct Begin {
    kind: &'static str,
    key: StepKey,
    fingerprint: Fingerprint,
    detached: bool,
}

impl Begin {
    fn error(&self, kind: StepErrorKind, message: impl Into<String>) -> StepError {
        StepError::new(self.key.clone(), kind, message).with_attempts(0)
    }

    fn cancelled(&self, run: &RunState) -> StepError {
        self.error(StepErrorKind::Cancelled, why_stopped(run))
    }
}

/// Why steps of a run are being stopped.
pub(crate) fn why_stopped(run: &RunState) -> &'static str {
    match run.stopping.get() {
        Some(RunStatus::TimedOut) => "the run ran out of time",
        Some(_) => "the run was cancelled",
        None => "nobody waits for it any more",
    }
}

/// Journals a value that needs no work. It rides along with the next event that somebody waits for: what follows from
/// it can only become durable after it.
fn noted(run: &Rc<RunState>, step: Begin, value: Value) -> Value {
    let mut underway = Underway::new(run, step, String::new());
    let end = underway.end(Outcome::Value { value: value.clone(), child: None });
    run.report(&end);
    run.note(Event::StepEnded(Box::new(end)));
    value
}

/// A step that was underway. Dropped without an end, it is journaled as cancelled.
struct Underway<'r> {
    run: &'r Rc<RunState>,
    step: Begin,
    module: String,
    version: String,
    index: u32,
    attempts: u32,
    started_ms: u64,
    started: Instant,
    child: Option<RunId>,
    over: bool,
}

impl<'r> Underway<'r> {
    fn new(run: &'r Rc<RunState>, step: Begin, module: String) -> Self {
        Self {
            run,
            step,
            module,
            version: String::new(),
            index: run.take_index(),
            attempts: 1,
            started_ms: run.now_ms(),
            started: Instant::now(),
            child: None,
            over: false,
        }
    }

    fn end(&mut self, outcome: Outcome) -> StepEnd {
        self.over = true;
        StepEnd {
            key: self.step.key.clone(),
            fp: self.step.fingerprint.clone(),
            index: self.index,
            kind: self.step.kind.to_owned(),
            module: std::mem::take(&mut self.module),
            version: std::mem::take(&mut self.version),
            attempts: self.attempts,
            started_ms: self.started_ms,
            duration_ms: millis(self.started.elapsed()),
            cached: false,
            cleanup: self.step.detached,
            child: self.child.take(),
            outcome,
        }
    }

    /// Journals the end and waits until it is durable.
    async fn finish(mut self, outcome: Outcome) -> Result<Value, StepError> {
        let result = match &outcome {
            Outcome::Value { value, .. } => Ok(value.clone()),
            Outcome::Error { error, .. } => Err(error.clone()),
        };
        let end = self.end(outcome);
        let run = self.run;
        run.report(&end);
        run.keep(Event::StepEnded(Box::new(end))).await;
        result
    }

    async fn value(self, value: Value) -> Result<Value, StepError> {
        self.finish(Outcome::Value { value, child: None }).await
    }

    async fn fail(self, error: StepError) -> Result<Value, StepError> {
        self.finish(Outcome::Error { error, partial: None, child: None }).await
    }

    async fn cancelled(self) -> Result<Value, StepError> {
        let error = self.step.cancelled(self.run);
        self.fail(error).await
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        // A run that this process gives up goes on elsewhere: its steps did not end.
        if self.over || self.run.halted.get() {
            return;
        }
        let error = self.step.cancelled(self.run).with_attempts(self.attempts);
        let end = self.end(Outcome::Error { error, partial: None, child: None });
        self.run.report(&end);
        self.run.note(Event::StepEnded(Box::new(end)));
    }
}

/// A step that cannot begin. It is part of the history: what was not looked at is not clean.
async fn not_begun(
    run: &Rc<RunState>,
    step: Begin,
    module: String,
    failure: StepFailure,
) -> Result<Value, StepError> {
    let mut underway = Underway::new(run, step, module);
    underway.attempts = 0;
    let error = failure.at(underway.step.key.clone(), 0);
    run.tell(|| RunEventKind::StepFailed {
        step: underway.step.key.clone(),
        module: underway.module.clone(),
        kind: error.kind,
        error: error.message.clone(),
    });
    underway.fail(error).await
}

fn find_module(run: &RunState, call: &ModuleCall) -> Result<Arc<dyn AnyModule>, StepFailure> {
    match &call.module {
        Some(module) => Ok(Arc::clone(module)),
        None => run
            .core
            .modules
            .find(&call.name)
            .cloned()
            .map_err(|unknown| StepFailure::new(StepErrorKind::NotFound, unknown.to_string())),
    }
}

async fn module_step(
    run: Rc<RunState>,
    step: Begin,
    module: String,
    work: Work,
    options: StepOptions,
) -> Result<Value, StepError> {
    // A step that does not begin leaves no trace: asked again after a restart, it may begin.
    if step.detached {
        // Cleanup is not held up by a pause or by other runs.
    } else if !run.may_work().await {
        return Err(step.cancelled(&run));
    }
    let _busy = run.doing(if step.detached { Doing::Cleanup } else { Doing::Step });
    let crashed = run.memo.borrow_mut().begun.remove(&step.key).is_some();
    let mut underway = Underway::new(&run, step, module);
    if crashed && options.at_most_once {
        let message = "a crash left it open whether it ran";
        let error = underway.step.error(StepErrorKind::OutcomeUnknown, message).with_attempts(1);
        return underway.fail(error).await;
    }
    let event = Event::StepStarted {
        key: underway.step.key.clone(),
        fp: underway.step.fingerprint.clone(),
        kind: underway.step.kind.to_owned(),
        module: underway.module.clone(),
    };
    if options.at_most_once {
        run.keep(event).await;
    } else {
        run.note(event);
    }
    let place = executor::Place {
        key: &underway.step.key,
        kind: underway.step.kind,
        detached: underway.step.detached,
    };
    let Ended { result, attempts, version, partial } = executor::run(&run, place, &work, &options).await;
    underway.attempts = attempts;
    underway.version = version;
    let duration = underway.started.elapsed();
    match result {
        Ok(output) => {
            run.tell(|| RunEventKind::StepCompleted {
                step: underway.step.key.clone(),
                module: underway.module.clone(),
                counts: output.counts,
                duration,
                cached: false,
            });
            match serde_json::to_value(output) {
                Ok(value) => underway.value(value).await,
                Err(error) => {
                    let error = underway
                        .step
                        .error(StepErrorKind::Failed, format!("its output is not JSON: {error}"));
                    underway.fail(error).await
                }
            }
        }
        Err(failure) => {
            let error = failure.at(underway.step.key.clone(), attempts);
            run.tell(|| RunEventKind::StepFailed {
                step: underway.step.key.clone(),
                module: underway.module.clone(),
                kind: error.kind,
                error: error.message.clone(),
            });
            underway.finish(Outcome::Error { error, partial, child: None }).await
        }
    }
}

async fn sleep(run: Rc<RunState>, step: Begin, time: Duration) -> Result<Value, StepError> {
    if run.stopping.get().is_some() {
        return Err(step.cancelled(&run));
    }
    let left = time_left(&run, &step.key, time);
    let underway = Underway::new(&run, step, String::new());
    let _waiting = run.doing(Doing::Timer);
    tokio::select! {
        biased;
        () = run.stop.cancelled() => underway.cancelled().await,
        () = at(after(left)) => underway.value(Value::Null).await,
    }
}

/// What is left of a wait. The first time it is journaled until when it lasts; after a restart, what the time of day says,
/// but never more than the whole.
fn time_left(run: &RunState, key: &StepKey, time: Duration) -> Duration {
    let now = run.now_ms();
    let known = run.memo.borrow_mut().until.remove(key);
    if let Some(until) = known {
        return Duration::from_millis(until.saturating_sub(now)).min(time);
    }
    run.note(Event::Waiting { key: key.clone(), until_ms: now.saturating_add(millis(time)) });
    time
}

async fn signal(run: Rc<RunState>, step: Begin, name: String) -> Result<Value, StepError> {
    if run.stopping.get().is_some() {
        return Err(step.cancelled(&run));
    }
    let underway = Underway::new(&run, step, name.clone());
    let arrived = {
        let _waiting = run.doing(Doing::Waiting);
        tokio::select! {
            biased;
            () = run.stop.cancelled() => None,
            value = run.until(|run| run.mailbox.borrow_mut().take_signal(&name)) => Some(value),
        }
    };
    match arrived {
        Some(value) => underway.value(value).await,
        None => underway.cancelled().await,
    }
}

async fn approval(run: Rc<RunState>, step: Begin, request: ApprovalRequest) -> Result<Value, StepError> {
    if run.stopping.get().is_some() {
        return Err(step.cancelled(&run));
    }
    let now = run.now_ms();
    let known = run.memo.borrow_mut().until.remove(&step.key);
    let left = request.timeout.map(|time| match known {
        Some(until) => Duration::from_millis(until.saturating_sub(now)).min(time),
        None => time,
    });
    run.tell(|| RunEventKind::ApprovalRequested {
        name: request.name.clone(),
        prompt: request.prompt.clone(),
    });
    run.note(Event::ApprovalRequested {
        key: step.key.clone(),
        until_ms: left.map(|left| now.saturating_add(millis(left))),
        request: request.clone(),
    });
    let underway = Underway::new(&run, step, request.name.clone());
    let decided = {
        let _waiting = run.doing(Doing::Waiting);
        tokio::select! {
            biased;
            () = run.stop.cancelled() => None,
            decision = run.until(|run| run.mailbox.borrow_mut().take_decision(&request.name)) => Some(Some(decision)),
            () = at(left.and_then(after)) => Some(None),
        }
    };
    match decided {
        None => underway.cancelled().await,
        Some(Some(decision)) => match serde_json::to_value(decision) {
            Ok(value) => underway.value(value).await,
            Err(error) => {
                let error = underway.step.error(StepErrorKind::Failed, error.to_string());
                underway.fail(error).await
            }
        },
        Some(None) => {
            let message = format!("nobody decided on {:?} in time", request.name);
            let error = underway.step.error(StepErrorKind::TimedOut, message);
            underway.fail(error).await
        }
    }
}

async fn child(run: Rc<RunState>, step: Begin, call: ChildCall) -> Result<Value, StepError> {
    if !run
        .until(
            |run| {
                if run.stopping.get().is_some() { Some(false) } else { (!run.paused.get()).then_some(true) }
            },
        )
        .await
    {
        return Err(step.cancelled(&run));
    }
    let mut underway = Underway::new(&run, step, call.name.clone());
    let live = match begin_child(&run, &underway.step.key, call).await {
        Ok(live) => live,
        Err(ChildProblem::Step(failure)) => {
            let error = failure.at(underway.step.key.clone(), 0);
            return underway.fail(error).await;
        }
        Err(ChildProblem::Journal(error)) => return run.break_off(error).await,
    };
    underway.child = Some(live.submission.id.clone());
    underway.version.clone_from(&live.submission.version);
    run.note(Event::StepStarted {
        key: underway.step.key.clone(),
        fp: underway.step.fingerprint.clone(),
        kind: underway.step.kind.to_owned(),
        module: underway.module.clone(),
    });
    run.tell(|| RunEventKind::ChildStarted {
        step: underway.step.key.clone(),
        child: live.submission.id.clone(),
    });
    let _watched = ChildGuard::new(&run, &live);
    let mut progress = live.watch();
    let ended = loop {
        let now = progress.borrow_and_update().clone();
        run.change();
        match now {
            Progress::Ended(report) => break report,
            // The process is giving up this run as well.
            Progress::Lost(_) => std::future::pending().await,
            Progress::At(_) => {}
        }
        if progress.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let found = Some(Box::new(ChildFound::of(&ended)));
    let message = ended.error.clone().unwrap_or_default();
    let outcome = match ended.status {
        RunStatus::Completed => Outcome::Value { value: ended.output.clone(), child: found },
        RunStatus::Cancelled if run.stopping.get().is_some() => {
            Outcome::Error { error: underway.step.cancelled(&run), partial: None, child: found }
        }
        status => {
            let message = format!("{status}{}{message}", if message.is_empty() { "" } else { ": " });
            let error = underway.step.error(StepErrorKind::Child, message).with_attempts(1);
            Outcome::Error { error, partial: None, child: found }
        }
    };
    underway.finish(outcome).await
}

enum ChildProblem {
    Step(StepFailure),
    Journal(crate::JournalError),
}

async fn begin_child(run: &Rc<RunState>, key: &StepKey, call: ChildCall) -> Result<Arc<Live>, ChildProblem> {
    let known = match call.workflow {
        Some(code) => super::core::Known::new(code),
        None => run.core.known(&call.name).cloned(),
    };
    let refused = |kind, error: String| ChildProblem::Step(StepFailure::new(kind, error));
    let known = known.map_err(|error| refused(StepErrorKind::NotFound, error.chain()))?;
    let params = known
        .metadata
        .check_parameters(call.params)
        .map_err(|problems| refused(StepErrorKind::Config, problems.to_string()))?;
    let parent = &run.live.submission;
    let submission = Submission {
        id: child_id(&parent.id, key).map_err(|error| refused(StepErrorKind::Failed, error.to_string()))?,
        workflow: known.metadata.name.clone(),
        version: known.metadata.version.to_string(),
        target: parent.target.clone(),
        params,
        timeout_ms: known.metadata.requirements.resources.timeout.map(|limit| millis(limit.duration())),
        priority: parent.priority,
        use_cache: parent.use_cache,
        idempotency_key: None,
        parent: Some(parent.id.clone()),
        at_ms: run.now_ms(),
    };
    let cancel = run.stop.child_token();
    match run.core.begin(submission.clone(), known.clone(), cancel.clone()).await {
        Ok(Begun::New(live) | Begun::Exists { live: Some(live), .. }) => Ok(live),
        // It was begun before a restart.
        Ok(Begun::Exists { live: None, .. }) => Ok(run.core.carry_on(submission, known, cancel)),
        Err(error) => Err(ChildProblem::Journal(error)),
    }
}

/// The id of a child: the same each time the parent comes by, and sorted by the time of its parent.
fn child_id(parent: &RunId, key: &StepKey) -> Result<RunId, crashwise_core::InvalidId> {
    let time: String = parent.as_str().chars().take(13).collect();
    let digest = Fingerprint::of(["child", parent.as_str(), key.as_str()]);
    RunId::new(format!("{time}-{}", &digest.as_str()[..20]))
}

impl ChildFound {
    fn of(report: &RunReport) -> Self {
        Self {
            coverage: report.coverage.clone(),
            counts: report.counts,
            findings: report.steps.iter().flat_map(|step| step.findings.clone()).collect(),
            artifacts: report.artifacts().cloned().collect(),
        }
    }
}

/// A child that the run waits for. Dropped before the child ended, it cancels it.
struct ChildGuard<'r> {
    run: &'r Rc<RunState>,
    live: Arc<Live>,
}

impl<'r> ChildGuard<'r> {
    fn new(run: &'r Rc<RunState>, live: &Arc<Live>) -> Self {
        run.children.borrow_mut().push(Arc::clone(live));
        Self { run, live: Arc::clone(live) }
    }
}

impl Drop for ChildGuard<'_> {
    fn drop(&mut self) {
        self.run.children.borrow_mut().retain(|child| !Arc::ptr_eq(child, &self.live));
        if !self.run.halted.get() {
            self.live.cancel.cancel();
        }
    }
}

/// 64 random bits.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(Instant::now())
}
