//! A backend that fakes steps, scripts people and keeps a history.

use super::MemoryHost;
use super::clock::Clock;
use crate::workflow::{
    ApprovalRequest, Backend, ChildCall, Command, Decision, InlineCall, ModuleCall, Request, RunInfo,
    Session, StepError, StepErrorKind, StepFailure, StepKey, StepOptions,
};
use crate::{Fingerprint, ModuleContext, ModuleInfo, ModuleKind, ModuleOutput, StepIdentity, Workspace};
use futures::FutureExt;
use futures::future::{Either, LocalBoxFuture, select};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A call that a fake answers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FakeCall {
    /// The step.
    pub key: StepKey,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The module's configuration; null for closures.
    pub config: Value,
}

pub(super) type FakeAnswer = Rc<dyn Fn(&FakeCall) -> Result<ModuleOutput, StepFailure>>;

#[derive(Clone)]
pub(super) struct Fake {
    pub(super) pattern: String,
    pub(super) takes: Duration,
    pub(super) answer: FakeAnswer,
}

/// What people and the outside world do.
#[derive(Clone, Default)]
pub(super) struct Script {
    pub(super) fakes: Vec<Fake>,
    pub(super) decisions: BTreeMap<String, Decision>,
    pub(super) signals: BTreeMap<String, Vec<Value>>,
    pub(super) cancel_at: Option<Duration>,
}

/// One finished request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: StepKey,
    pub(super) kind: &'static str,
    pub(super) fingerprint: Fingerprint,
    pub(super) result: Result<Value, StepError>,
}

#[derive(Clone)]
pub(super) struct TestBackend {
    pub(super) state: Rc<State>,
}

pub(super) struct State {
    info: RunInfo,
    script: Script,
    workspace: Workspace,
    pub(super) clock: Clock,
    pub(super) host: Arc<MemoryHost>,
    recorded: BTreeMap<StepKey, Entry>,
    pub(super) history: RefCell<Vec<Entry>>,
    pub(super) started: RefCell<Vec<StepKey>>,
    signals_taken: RefCell<BTreeMap<String, usize>>,
    pub(super) waiting: RefCell<BTreeSet<String>>,
    /// Real work under way, during which virtual time stands still.
    pub(super) in_flight: Cell<u32>,
    replayed: Cell<usize>,
}

/// Milliseconds since 1970 at which virtual time begins.
const EPOCH_MS: u64 = 1_700_000_000_000;

impl TestBackend {
    pub(super) fn new(info: RunInfo, script: Script, workspace: Workspace, recorded: &[Entry]) -> Self {
        let recorded = recorded.iter().map(|entry| (entry.key.clone(), entry.clone())).collect();
        let state = State {
            info,
            script,
            workspace,
            clock: Clock::default(),
            host: Arc::default(),
            recorded,
            history: RefCell::default(),
            started: RefCell::default(),
            signals_taken: RefCell::default(),
            waiting: RefCell::default(),
            in_flight: Cell::new(0),
            replayed: Cell::new(0),
        };
        Self { state: Rc::new(state) }
    }

    async fn carry_out(self, request: Request) -> Result<Value, StepError> {
        let Request { key, fingerprint, command, options, detached } = request;
        if let Some(entry) = self.state.recorded.get(&key) {
            if entry.fingerprint != fingerprint {
                let message = "the workflow asks for something else than the history holds";
                return Err(StepError::new(key, StepErrorKind::NonDeterminism, message));
            }
            self.state.replayed.set(self.state.replayed.get() + 1);
            self.state.history.borrow_mut().push(entry.clone());
            if let Command::Signal { name } = &command {
                *self.state.signals_taken.borrow_mut().entry(name.clone()).or_insert(0) += 1;
            }
            return entry.result.clone();
        }
        let kind = command.kind();
        self.state.started.borrow_mut().push(key.clone());
        let cancelled = || StepError::new(key.clone(), StepErrorKind::Cancelled, "");
        let result = match self.state.script.cancel_at.filter(|_| !detached) {
            Some(moment) if moment <= self.state.clock.now() => Err(cancelled()),
            Some(moment) => {
                let cancel = pin!(self.state.clock.until(moment));
                match select(pin!(self.work(&key, command, options)), cancel).await {
                    Either::Left((result, _)) => result,
                    Either::Right(_) => Err(cancelled()),
                }
            }
            None => self.work(&key, command, options).await,
        };
        let entry = Entry { key, kind, fingerprint, result: result.clone() };
        self.state.history.borrow_mut().push(entry);
        result
    }

    async fn work(&self, key: &StepKey, command: Command, options: StepOptions) -> Result<Value, StepError> {
        let state = &self.state;
        match command {
            Command::Module(call) => self.attempts(key, Work::Module(call), options).await,
            Command::Inline(call) => self.attempts(key, Work::Inline(call), options).await,
            Command::Skip => Ok(Value::Null),
            Command::Sleep(time) => {
                state.clock.until(state.clock.now() + time).await;
                Ok(Value::Null)
            }
            Command::Signal { name } => self.signal(&name).await,
            Command::Approval(request) => self.approval(key, request).await,
            Command::Child(call) => self.child(key, call).await,
            Command::Now => Ok((EPOCH_MS + millis(state.clock.now())).into()),
            Command::Random => {
                // The same number in every test, and another one for every step.
                let digits = Fingerprint::of([key.as_str()]);
                Ok(u64::from_str_radix(&digits.as_str()[..16], 16).unwrap_or_default().into())
            }
            Command::Record(value) => Ok(value),
            // Whatever was recorded has been asked for again: this point was not passed before.
            Command::Patched { .. } => Ok((state.replayed.get() == state.recorded.len()).into()),
        }
    }

    async fn attempts(&self, key: &StepKey, work: Work, options: StepOptions) -> Result<Value, StepError> {
        let clock = &self.state.clock;
        let give_up = options.total_timeout.map(|time| clock.now() + time.duration());
        let mut attempt = 1;
        loop {
            let limit =
                options.timeout.map(|time| clock.now() + time.duration()).into_iter().chain(give_up).min();
            let result = match limit {
                None => self.attempt(key, &work, attempt).await,
                Some(limit) => {
                    let running = pin!(self.attempt(key, &work, attempt));
                    match select(running, pin!(clock.until(limit))).await {
                        Either::Left((result, _)) => result,
                        Either::Right(_) => Err(StepFailure::new(StepErrorKind::TimedOut, "")),
                    }
                }
            };
            let failure = match result {
                Ok(output) => return Ok(output),
                Err(failure) => failure,
            };
            let wait = options.retry.wait(attempt, 0.5);
            let late = give_up.is_some_and(|limit| clock.now() + wait >= limit);
            if late || !options.retry.again(attempt, failure.kind()) {
                return Err(failure.at(key.clone(), attempt));
            }
            clock.until(clock.now() + wait).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, key: &StepKey, work: &Work, attempt: u32) -> Result<Value, StepFailure> {
        let fake = self.state.script.fakes.iter().rev().find(|fake| key.matches(&fake.pattern));
        if let Some(fake) = fake {
            if !fake.takes.is_zero() {
                self.state.clock.until(self.state.clock.now() + fake.takes).await;
            }
            let config = match work {
                Work::Module(call) => call.config.clone(),
                Work::Inline(_) => Value::Null,
            };
            let output = (fake.answer)(&FakeCall { key: key.clone(), attempt, config })?;
            return Ok(serde_json::to_value(output)?);
        }
        let _running = Running::new(&self.state.in_flight);
        let info = work.info(key)?;
        let identity =
            StepIdentity::new(self.state.info.run.clone(), self.state.info.workflow.clone(), key.as_str())
                .with_attempt(attempt);
        let host = Arc::new(MemoryHost::new());
        let workspace = self.state.workspace.clone();
        let cx = ModuleContext::new(identity, &info, workspace, Arc::<MemoryHost>::clone(&host));
        let mut output = ModuleOutput::new(info.name, info.version);
        match work {
            Work::Inline(call) => output.summary.output = (call.0)(cx.clone()).await?,
            Work::Module(call) => {
                let Some(module) = &call.module else {
                    let message = format!("the test fakes no step {key} and holds no module {:?}", call.name);
                    return Err(StepFailure::new(StepErrorKind::NotFound, message));
                };
                let ran = module.run_json(&cx, call.config.clone()).await;
                output.summary = ran.map_err(|error| StepFailure::from_module(&error))?;
            }
        }
        for finding in host.findings() {
            output.counts.add(finding.severity);
            // The test keeps findings of all steps in one place; memory cannot fail.
            let _ = crate::ModuleHost::report(&*self.state.host, finding);
        }
        output.artifacts = cx.take_artifacts();
        output.coverage = cx.take_coverage();
        Ok(serde_json::to_value(output)?)
    }

    async fn signal(&self, name: &str) -> Result<Value, StepError> {
        let taken = {
            let mut taken = self.state.signals_taken.borrow_mut();
            let count = taken.entry(name.to_owned()).or_insert(0);
            *count += 1;
            *count - 1
        };
        if let Some(value) = self.state.script.signals.get(name).and_then(|values| values.get(taken)) {
            return Ok(value.clone());
        }
        self.state.waiting.borrow_mut().insert(format!("signal {name:?}"));
        std::future::pending().await
    }

    async fn approval(&self, key: &StepKey, request: ApprovalRequest) -> Result<Value, StepError> {
        if let Some(decision) = self.state.script.decisions.get(&request.name) {
            let decision = Decision { at_ms: EPOCH_MS + millis(self.state.clock.now()), ..decision.clone() };
            return serde_json::to_value(decision)
                .map_err(|error| StepError::new(key.clone(), StepErrorKind::Storage, error.to_string()));
        }
        if let Some(time) = request.timeout {
            self.state.clock.until(self.state.clock.now() + time).await;
            return Err(StepError::new(key.clone(), StepErrorKind::TimedOut, "nobody decided"));
        }
        self.state.waiting.borrow_mut().insert(format!("approval {:?}", request.name));
        std::future::pending().await
    }

    async fn child(&self, key: &StepKey, call: ChildCall) -> Result<Value, StepError> {
        if let Some(fake) = self.state.script.fakes.iter().rev().find(|fake| key.matches(&fake.pattern)) {
            let config = call.params.clone();
            let answer = (fake.answer)(&FakeCall { key: key.clone(), attempt: 1, config });
            return answer.map(|output| output.summary.output).map_err(|failure| failure.at(key.clone(), 1));
        }
        let Some(workflow) = call.workflow else {
            let message = format!("the test fakes no child {key} and holds no workflow {:?}", call.name);
            return Err(StepError::new(key.clone(), StepErrorKind::NotFound, message));
        };
        let backend = Nested { parent: self.clone(), key: key.clone() };
        let session = Session::new(workflow, Rc::new(backend));
        let result = session.run(call.params).await;
        session.unwind(result.is_ok()).await;
        result.map_err(|error| StepError::new(key.clone(), StepErrorKind::Child, crate::error_chain(&error)))
    }
}

impl Backend for TestBackend {
    fn run_info(&self) -> &RunInfo {
        &self.state.info
    }

    fn execute(&self, request: Request) -> LocalBoxFuture<'static, Result<Value, StepError>> {
        self.clone().carry_out(request).boxed_local()
    }

    fn recall(&self, key: &StepKey) -> Option<Value> {
        self.state.recorded.get(key).and_then(|entry| entry.result.as_ref().ok().cloned())
    }
}

/// A child's steps, under the key of the child in the parent's history.
struct Nested {
    parent: TestBackend,
    key: StepKey,
}

impl Nested {
    fn below(&self, key: &StepKey) -> StepKey {
        StepKey::from_text(format!("{}/{}", self.key, key))
    }
}

impl Backend for Nested {
    fn run_info(&self) -> &RunInfo {
        self.parent.run_info()
    }

    fn execute(&self, mut request: Request) -> LocalBoxFuture<'static, Result<Value, StepError>> {
        request.key = self.below(&request.key);
        self.parent.execute(request)
    }

    fn recall(&self, key: &StepKey) -> Option<Value> {
        self.parent.recall(&self.below(key))
    }
}

enum Work {
    Module(ModuleCall),
    Inline(InlineCall),
}

impl Work {
    fn info(&self, key: &StepKey) -> Result<ModuleInfo, StepFailure> {
        match self {
            Self::Inline(_) => Ok(ModuleInfo::new("closure", "0.0.0", ModuleKind::Analyzer, "a closure")),
            Self::Module(ModuleCall { module: Some(module), .. }) => Ok(module.info()),
            Self::Module(call) => {
                let message = format!("the test fakes no step {key} and holds no module {:?}", call.name);
                Err(StepFailure::new(StepErrorKind::NotFound, message))
            }
        }
    }
}

/// Counts real work while it runs, also when it is dropped.
struct Running<'c>(&'c Cell<u32>);

impl<'c> Running<'c> {
    fn new(count: &'c Cell<u32>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
