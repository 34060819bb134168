//! The seam between workflows and engines.

use super::{AnyWorkflow, StepError, StepFailure, StepKey, StepOptions};
use crate::{AnyModule, Fingerprint, ModuleContext, RunId};
use futures::future::{BoxFuture, LocalBoxFuture};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// What an engine does for a workflow. The in-process engine, Temporal and the test harness are backends.
pub trait Backend {
    /// The run that is being orchestrated.
    fn run_info(&self) -> &RunInfo;

    /// Carries out a request, or returns the stored result when the journal holds one for its key. Dropping the future
    /// stops the work. The value is: for modules and closures a [`crate::ModuleOutput`]; for children their output; for
    /// approvals a [`Decision`]; for signals their payload; for time milliseconds since 1970; for the others see
    /// [`Command`].
    fn execute(&self, request: Request) -> LocalBoxFuture<'static, Result<Value, StepError>>;

    /// The result that the journal holds for a key, without carrying anything out.
    fn recall(&self, key: &StepKey) -> Option<Value>;
}

/// The run that a workflow orchestrates.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunInfo {
    /// The run.
    pub run: RunId,
    /// The workflow's name.
    pub workflow: String,
}

impl RunInfo {
    /// A run of a workflow.
    pub fn new(run: RunId, workflow: impl Into<String>) -> Self {
        Self { run, workflow: workflow.into() }
    }
}

/// Something that a workflow asks of an engine.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request {
    /// Where in the workflow.
    pub key: StepKey,
    /// What: another fingerprint under a known key means that the code has changed.
    pub fingerprint: Fingerprint,
    /// What to do.
    pub command: Command,
    /// How.
    pub options: StepOptions,
    /// Cleanup: carried out also when the run is cancelled.
    pub detached: bool,
}

impl Request {
    /// A request with default options.
    pub fn new(key: StepKey, command: Command) -> Self {
        let fingerprint = command.fingerprint();
        Self { key, fingerprint, command, options: StepOptions::default(), detached: false }
    }
}

/// What a workflow can ask for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Command {
    /// Run a module.
    Module(ModuleCall),
    /// Run a closure.
    Inline(InlineCall),
    /// Note that a step's condition did not hold. Value: null.
    Skip,
    /// Wait. Value: null.
    Sleep(Duration),
    /// Wait for a signal.
    Signal {
        /// Name of the signal.
        name: String,
    },
    /// Wait for a person.
    Approval(ApprovalRequest),
    /// Run another workflow.
    Child(ChildCall),
    /// The time. Value: milliseconds since 1970, the same on replay.
    Now,
    /// Randomness. Value: a 64-bit number, the same on replay.
    Random,
    /// Keep a value. Value: the value first kept under this key.
    Record(Value),
    /// Ask whether this run began with the code of a patch. Value: true, or false for runs that passed this point before.
    Patched {
        /// Id of the patch.
        id: String,
    },
}

impl Command {
    /// A word for histories: `module`, `closure`, `sleep`, ...
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Module(_) => "module",
            Self::Inline(_) => "closure",
            Self::Skip => "skip",
            Self::Sleep(_) => "sleep",
            Self::Signal { .. } => "signal",
            Self::Approval(_) => "approval",
            Self::Child(_) => "child",
            Self::Now => "now",
            Self::Random => "random",
            Self::Record(_) => "record",
            Self::Patched { .. } => "patched",
        }
    }

    /// Identifies what is asked for. Recorded values are not part of it: the first one wins.
    fn fingerprint(&self) -> Fingerprint {
        let kind = self.kind();
        match self {
            Self::Module(call) => {
                Fingerprint::of([kind, &call.name, &call.version, &call.rules, &canonical(&call.config)])
            }
            Self::Child(call) => Fingerprint::of([kind, &call.name, &canonical(&call.params)]),
            Self::Signal { name } | Self::Patched { id: name } => Fingerprint::of([kind, name]),
            Self::Sleep(time) => Fingerprint::of([kind, &time.as_nanos().to_string()]),
            // Most steps of long runs are of this kind.
            Self::Inline(_) => {
                static CLOSURE: LazyLock<Fingerprint> = LazyLock::new(|| Fingerprint::of(["closure"]));
                CLOSURE.clone()
            }
            Self::Approval(_) | Self::Skip | Self::Now | Self::Random | Self::Record(_) => {
                Fingerprint::of([kind])
            }
        }
    }
}

/// A call of a module.
pub struct ModuleCall {
    /// Name of the module.
    pub name: String,
    /// Its version; empty when only the name is known here.
    pub version: String,
    /// Digest of its rules; may be empty.
    pub rules: String,
    /// Its configuration.
    pub config: Value,
    /// The module, when the workflow holds it; else the engine finds it by name.
    pub module: Option<Arc<dyn AnyModule>>,
}

impl ModuleCall {
    /// A call of a module that the workflow holds.
    pub fn of(module: Arc<dyn AnyModule>, config: Value) -> Self {
        let info = module.info();
        Self {
            name: info.name,
            version: info.version,
            rules: info.rules_digest.unwrap_or_default(),
            config,
            module: Some(module),
        }
    }

    /// A call of a module that the engine finds by name.
    pub fn named(name: impl Into<String>, config: Value) -> Self {
        Self { name: name.into(), version: String::new(), rules: String::new(), config, module: None }
    }
}

impl fmt::Debug for ModuleCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleCall")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// A closure that an engine can call once per attempt.
pub type InlineStep =
    Arc<dyn Fn(ModuleContext) -> BoxFuture<'static, Result<Value, StepFailure>> + Send + Sync>;

/// A call of a closure.
#[derive(Clone)]
pub struct InlineCall(pub InlineStep);

impl fmt::Debug for InlineCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InlineCall")
    }
}

/// A run of another workflow as part of this one.
pub struct ChildCall {
    /// Name of the workflow.
    pub name: String,
    /// Its parameters.
    pub params: Value,
    /// The workflow, when the parent holds it; else the engine finds it by name.
    pub workflow: Option<Arc<dyn AnyWorkflow>>,
}

impl fmt::Debug for ChildCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildCall")
            .field("name", &self.name)
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalRequest {
    /// Name of the approval.
    pub name: String,
    /// What is asked.
    pub prompt: String,
    /// How long to wait; none means for ever.
    pub timeout: Option<Duration>,
}

/// The answer of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// Yes or no.
    pub approved: bool,
    /// Who said it.
    pub by: String,
    /// Why.
    #[serde(default)]
    pub comment: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// JSON with sorted keys, whatever order its maps keep.
fn canonical(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(sorted).collect(),
            Value::Object(entries) => {
                let sorted: std::collections::BTreeMap<_, _> =
                    entries.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
                sorted.into_iter().collect()
            }
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}
