//! What travels between client, workflow and worker. All of it is small: findings and files are references.

use crate::engine::Mailbox;
use crate::journal::{Outcome, StepEnd};
use crate::{RunStatus, StepReport};
use crashwise_core::workflow::{ApprovalRequest, Decision, StepError, StepErrorKind, StepKey};
use crashwise_core::{ArtifactRef, Isolation, ModuleOutput, RunId, Stats, Target};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// The most bytes of a payload. The server refuses more than twice as much.
pub(crate) const PAYLOAD: usize = 1 << 20;

/// The most bytes of one page of steps, and of what a step hands to its workflow without going through the store.
pub(crate) const PAGE: usize = 256 << 10;

/// The queue whose workers serve a vertical.
///
/// ```
/// assert_eq!(crashwise_runner::temporal::queue_of("rust"), "rust-queue");
/// ```
pub fn queue_of(vertical: &str) -> String {
    format!("{vertical}-queue")
}

/// The release that this is, which client and worker tell each other.
pub(crate) const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// The input of a hosted workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) run: RunId,
    /// The run at the top, below which the files of all are kept.
    pub(crate) root: RunId,
    pub(crate) parent: Option<RunId>,
    pub(crate) workflow: String,
    pub(crate) version: String,
    /// The release of the client.
    pub(crate) release: String,
    pub(crate) params: Value,
    /// Where workers find what is looked at.
    pub(crate) target: Target,
    /// What is looked at, as it was asked for.
    pub(crate) asked: Target,
    /// What that is called over runs.
    pub(crate) project: String,
    /// How the tree is shared with others, and whether the client said so.
    pub(crate) isolation: Isolation,
    pub(crate) isolation_asked: Option<Isolation>,
    pub(crate) vertical: String,
    pub(crate) timeout: Option<Duration>,
    pub(crate) use_cache: bool,
    /// Whether processes need the whole of their sandbox.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) require_sandbox: bool,
    pub(crate) priority: i32,
    pub(crate) submitted_ms: u64,
    /// Workflows as data, which workers need not have.
    #[serde(default)]
    pub(crate) definitions: Vec<DefinitionText>,
    /// The events of a history after which the run goes on in a new one.
    #[serde(default = "history")]
    pub(crate) history: u32,
    /// The run whose results this one took over, when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) forked_from: Option<RunId>,
    /// What was done already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) carried: Option<Box<Carried>>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The events of a history after which a run goes on in a new one. The server warns at 10,240 and ends a run at 51,200.
pub(crate) const HISTORY: u32 = 10_000;

fn history() -> u32 {
    HISTORY
}

/// What a run takes over: from its own earlier history, or from another run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// Names of the pages of steps, below the run in the store.
    pub(crate) pages: Vec<String>,
    pub(crate) mailbox: Mailbox,
    pub(crate) decided: Vec<String>,
    /// Steps that wait: since when, and until when.
    pub(crate) waiting: Vec<(StepKey, u64, Option<u64>)>,
    /// When the run began, and what is left of its time.
    pub(crate) started_ms: Option<u64>,
    pub(crate) left: Option<Duration>,
}

/// A workflow as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DefinitionText {
    pub(crate) metadata: (String, String),
    pub(crate) workflow: (String, String),
}

/// The end of a hosted workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) status: RunStatus,
    #[serde(default)]
    pub(crate) output: Value,
    #[serde(default)]
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) failed_step: Option<StepKey>,
    pub(crate) started_ms: u64,
    pub(crate) duration_ms: u64,
    /// How many pages of steps are in the store beside the record.
    pub(crate) pages: usize,
}

/// What is kept of a run in the store, beside its steps and files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) order: Order,
    pub(crate) ended: Ended,
    /// The steps that are on no page.
    #[serde(default)]
    pub(crate) steps: Vec<Step>,
    /// What arrived and nobody asked for.
    #[serde(default)]
    pub(crate) mailbox: Mailbox,
}

/// A step of a hosted workflow that ended, with all that another run needs to take it over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) end: StepEnd,
    /// What was decided, for approvals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decision: Option<Decision>,
    /// The whole output of a module, where it was too large to travel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) whole: Option<ArtifactRef>,
    /// How many steps had ended when it began.
    #[serde(default)]
    pub(crate) after: usize,
}

impl Step {
    /// What is told of it; nothing of values that need no work.
    pub(crate) fn line(&self) -> Option<Line> {
        let report = StepReport::of(&self.end)?;
        Some(Line { report, decision: self.decision.clone(), whole: self.whole.clone() })
    }

    /// What the workflow got from it. A step that was stopped did not end by itself.
    pub(crate) fn result(&self) -> Option<Result<Value, StepError>> {
        match &self.end.outcome {
            Outcome::Value { value, .. } => Some(Ok(value.clone())),
            Outcome::Error { error, .. } if error.kind == StepErrorKind::Cancelled => None,
            Outcome::Error { error, .. } => Some(Err(error.clone())),
        }
    }
}

/// One step of a hosted workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) report: StepReport,
    /// What was decided, for approvals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decision: Option<Decision>,
    /// The whole output of a module, where it was too large to travel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) whole: Option<ArtifactRef>,
}

/// A step that goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Going {
    pub(crate) key: StepKey,
    pub(crate) kind: String,
    pub(crate) module: String,
    pub(crate) since_ms: u64,
    pub(crate) until_ms: Option<u64>,
}

/// What a run is doing, for the query `status`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Doings {
    pub(crate) paused: bool,
    /// Whether nothing of a paused run goes on any more.
    pub(crate) at_rest: bool,
    pub(crate) stopping: bool,
    pub(crate) done: usize,
    pub(crate) going: Vec<Going>,
    pub(crate) approvals: Vec<ApprovalRequest>,
    /// Approvals that were decided before they were asked for.
    pub(crate) decided: Vec<String>,
}

/// The input of a module's activity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ModuleTask {
    pub(crate) place: Place,
    pub(crate) module: String,
    /// Version and rules that the workflow expects; empty where it knows the name only.
    pub(crate) version: String,
    pub(crate) rules: String,
    pub(crate) config: Value,
    pub(crate) cached: bool,
}

/// Where an attempt belongs, and how long it may take.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) run: RunId,
    pub(crate) root: RunId,
    pub(crate) workflow: String,
    pub(crate) workflow_version: String,
    pub(crate) step: StepKey,
    pub(crate) target: Target,
    /// What the target is called over runs.
    pub(crate) project: String,
    pub(crate) isolation: Isolation,
    pub(crate) timeout: Option<Duration>,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) silence: Option<Duration>,
    pub(crate) cleanup: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) require_sandbox: bool,
}

/// The input of the local activity that runs a closure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ClosureTask {
    /// Where the closure waits, see [`super::closures::Closures`].
    pub(crate) token: u64,
    pub(crate) place: Place,
}

/// What an activity hands to its workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StepDone {
    pub(crate) output: ModuleOutput,
    pub(crate) attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) whole: Option<ArtifactRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cached: Option<crate::CacheHit>,
}

/// How an activity failed, as the details of its failure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StepNotDone {
    pub(crate) kind: StepErrorKind,
    pub(crate) message: String,
    pub(crate) attempts: u32,
    /// The version of the module.
    #[serde(default)]
    pub(crate) version: String,
    /// Whether it was no fault of the step: its worker stopped, or the store was away.
    #[serde(default)]
    pub(crate) again: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) partial: Option<Box<StepDone>>,
}

impl StepNotDone {
    pub(crate) fn error(self, key: &StepKey) -> StepError {
        StepError::new(key.clone(), self.kind, self.message).with_attempts(self.attempts)
    }
}

/// The details of a heartbeat: what a later attempt goes on from, and the newest statistics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pulse {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) details: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stats: Option<Stats>,
}

/// The input of the activity that reads what was kept of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RecallTask {
    pub(crate) run: RunId,
    pub(crate) name: String,
}

/// The input of the activity that keeps something of a run in the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeepTask {
    pub(crate) run: RunId,
    pub(crate) name: String,
    pub(crate) content: Value,
}
