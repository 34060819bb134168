//! Modules and workflows for the tests.

use crashwise_core::workflow::{Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{
    Finding, Gap, GapReason, Location, Metadata, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind,
    ModuleRegistry, Position, RelPath, RuleId, Severity, Summary, Target, async_trait,
};
use crashwise_runner::{Runner, RunnerBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub type Params = BTreeMap<String, Value>;
type Code = dyn Fn(WorkflowContext) -> futures::future::LocalBoxFuture<'static, Result<Value, WorkflowError>>
    + Send
    + Sync;

/// A step that writes a word.
pub type Written<T> = futures::future::BoxFuture<'static, Result<T, crashwise_core::workflow::StepFailure>>;

/// A workflow whose code is a closure.
#[derive(Clone)]
pub struct Script {
    pub metadata: Metadata,
    code: Arc<Code>,
}

impl Script {
    pub fn new<F, Fut>(code: F) -> Self
    where
        F: Fn(WorkflowContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Value, WorkflowError>> + 'static,
    {
        Self::named("script", code)
    }

    pub fn named<F, Fut>(name: &str, code: F) -> Self
    where
        F: Fn(WorkflowContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Value, WorkflowError>> + 'static,
    {
        let metadata = Metadata::new(name, semver::Version::new(1, 0, 0), "For a test.");
        Self { metadata, code: Arc::new(move |cx| Box::pin(code(cx))) }
    }
}

impl Workflow for Script {
    type Params = Params;
    type Output = Value;

    fn metadata(&self) -> Metadata {
        let mut metadata = self.metadata.clone();
        metadata.parameters =
            serde_json::json!({"type": "object", "properties": {"depth": {"type": "integer", "default": 3}}});
        metadata
    }

    async fn run(&self, cx: &WorkflowContext, _: Params) -> Result<Value, WorkflowError> {
        (self.code)(cx.clone()).await
    }
}

/// What a [`Probe`] does.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeConfig {
    /// Findings to report, one per line number.
    pub lines: Vec<u32>,
    /// Milliseconds to take, while it listens to being stopped.
    pub takes_ms: u64,
    /// Whether it does not listen.
    pub deaf: bool,
    /// Attempts that fail in a way that may pass.
    pub flaky: u32,
    pub fails: bool,
    pub panics: bool,
    pub gap: bool,
    /// A file that it reads beside the workspace.
    pub rules: Option<PathBuf>,
}

/// A module that does what it is told, and counts its runs.
#[derive(Default)]
pub struct Probe {
    pub runs: Arc<AtomicU32>,
    pub at_once: Arc<AtomicU32>,
    pub most_at_once: Arc<AtomicU32>,
}

#[async_trait]
impl Module for Probe {
    type Config = ProbeConfig;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new("probe", "1.0.0", ModuleKind::Scanner, "Does what it is told")
    }

    fn reads(&self, config: &ProbeConfig) -> Vec<PathBuf> {
        config.rules.iter().cloned().collect()
    }

    async fn run(&self, cx: &ModuleContext, config: ProbeConfig) -> Result<Summary, ModuleError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        let left = Leave(Arc::clone(&self.at_once));
        for line in &config.lines {
            let place = Location::new(RelPath::new("src/a.py").map_err(ModuleError::failed)?)
                .with_start(Position::new(*line, 1).ok_or_else(|| ModuleError::failed("line 0"))?);
            let rule = RuleId::new("probe/line").map_err(ModuleError::failed)?;
            cx.report(Finding::new(rule, format!("line {line}"), Severity::High).with_location(place))?;
            cx.covered("lines", 1);
        }
        if config.gap {
            cx.not_covered(Gap::new("b.py", GapReason::TooLarge, ""));
        }
        if config.takes_ms > 0 {
            let time = Duration::from_millis(config.takes_ms);
            if config.deaf {
                tokio::time::sleep(time).await;
            } else {
                tokio::select! { () = cx.cancelled() => {}, () = tokio::time::sleep(time) => {} }
            }
        }
        drop(left);
        assert!(!config.panics, "probe panics");
        if config.fails {
            return Err(ModuleError::failed("probe fails"));
        }
        if cx.identity().attempt <= config.flaky {
            return Err(ModuleError::transient("probe is flaky", "not yet"));
        }
        Ok(Summary::new().with("lines", config.lines.len()))
    }
}

struct Leave(Arc<AtomicU32>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A list of words that steps and cleanups write to.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub fn add(&self, word: impl Into<String>) {
        self.0.lock().unwrap().push(word.into());
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn count(&self, word: &str) -> usize {
        self.all().iter().filter(|other| *other == word).count()
    }

    /// Work that writes a word and then takes until the gate is open.
    pub fn held<T: Clone + Send + Sync + 'static>(
        &self,
        word: &str,
        gate: &Arc<AtomicBool>,
        value: T,
    ) -> impl Fn(ModuleContext) -> Written<T> + Send + Sync + 'static {
        let (write, gate) = (self.writer(word, value), Arc::clone(gate));
        move |cx| {
            let (written, gate) = (write(cx), Arc::clone(&gate));
            Box::pin(async move {
                let value = written.await?;
                while !gate.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Ok(value)
            })
        }
    }

    /// Work that writes a word.
    pub fn writer<T: Clone + Send + Sync + 'static>(
        &self,
        word: &str,
        value: T,
    ) -> impl Fn(ModuleContext) -> Written<T> + Send + Sync + 'static {
        let (notes, word) = (self.clone(), word.to_owned());
        move |_| {
            let (notes, word, value) = (notes.clone(), word.clone(), value.clone());
            Box::pin(async move {
                notes.add(word);
                Ok(value)
            })
        }
    }
}

pub fn modules() -> (ModuleRegistry, Arc<Probe>) {
    let probe = Arc::new(Probe::default());
    let mut registry = ModuleRegistry::new();
    registry.add(Arc::clone(&probe)).unwrap();
    (registry, probe)
}

pub fn builder() -> (RunnerBuilder, Arc<Probe>) {
    let (registry, probe) = modules();
    (Runner::builder().modules(registry), probe)
}

pub fn here() -> Target {
    Target::Directory(env!("CARGO_MANIFEST_DIR").into())
}

/// Waits until something is so; fails after a minute.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}

/// Fails unless something takes less than `limit`. A machine with much else to do may be late once, so that ten tries may
/// be made; an engine that does not keep to its time is late each time.
pub async fn within(limit: Duration, mut attempt: impl AsyncFnMut() -> Duration) {
    let mut quickest = attempt().await;
    for _ in 0..9 {
        if quickest >= limit {
            quickest = quickest.min(attempt().await);
        }
    }
    assert!(quickest < limit, "{quickest:?} at best, {limit:?} are allowed");
}

/// Keeps a value in workflow code, to show that it may be `!Send`.
pub fn not_send() -> Rc<()> {
    Rc::new(())
}
