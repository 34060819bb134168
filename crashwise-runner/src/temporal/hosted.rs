//! The one workflow type that Temporal knows: it hosts any workflow of ours.

use super::backend::TemporalBackend;
use super::closures::Closures;
use super::drive;
use super::messages::{Doings, Ended, Going, Line, Order, PAGE, Step};
use crate::RunStatus;
use crate::engine::{Known, Mailbox};
use crashwise_core::workflow::{ApprovalRequest, Decision, StepKey};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{SyncWorkflowContext, WorkflowContext, WorkflowContextView, WorkflowResult};

/// What a worker can host.
#[derive(Clone)]
pub(crate) struct Repertoire {
    pub(crate) workflows: Arc<BTreeMap<String, Known>>,
    pub(crate) modules: crashwise_core::ModuleRegistry,
    pub(crate) closures: Closures,
}

/// Steps that ended. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Steps(Arc<Mutex<StepList>>);

#[derive(Default)]
pub(super) struct StepList {
    /// Those that something is told of.
    pub(super) told: Vec<Step>,
    /// The others: times, random numbers, who won a race.
    pub(super) quiet: Vec<Step>,
}

impl Steps {
    pub(super) fn lock(&self) -> MutexGuard<'_, StepList> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StepList {
    pub(super) fn push(&mut self, step: Step) {
        match &*step.end.kind {
            "now" | "random" | "record" | "patched" => self.quiet.push(step),
            _ => self.told.push(step),
        }
    }

    /// All of them, those that are told of first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Step> {
        self.told.iter().chain(&self.quiet)
    }
}

/// What parts of a workflow are doing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) steps: u32,
    pub(crate) cleanup: u32,
    pub(crate) timers: u32,
    pub(crate) waiting: u32,
    pub(crate) children: u32,
}

/// Hosts one of our workflows.
#[workflow]
pub(crate) struct Hosted {
    pub(super) repertoire: Repertoire,
    pub(super) paused: bool,
    /// The status that a run which is being stopped will have.
    pub(super) stopping: Option<RunStatus>,
    pub(super) mailbox: Mailbox,
    pub(super) decided: Vec<String>,
    pub(super) asking: BTreeMap<StepKey, ApprovalRequest>,
    pub(super) going: BTreeMap<StepKey, Going>,
    pub(super) counts: Counts,
    /// Steps that ended. Beside the state, because a step that is dropped ends while the state may be in use.
    pub(super) steps: Steps,
    /// Whether the history is so long that the run goes on in a new one as soon as nothing runs.
    pub(super) full: bool,
}

impl Hosted {
    pub(crate) fn new(repertoire: Repertoire) -> Self {
        Self {
            repertoire,
            paused: false,
            stopping: None,
            mailbox: Mailbox::default(),
            decided: Vec::new(),
            asking: BTreeMap::new(),
            going: BTreeMap::new(),
            counts: Counts::default(),
            steps: Steps::default(),
            full: false,
        }
    }

    /// Whether the time of the run counts against its deadline.
    pub(super) fn counts_time(&self) -> bool {
        let Counts { steps, cleanup, timers, waiting, children } = self.counts;
        let working = steps + cleanup > 0;
        let only_people = waiting > 0 && !working && timers == 0 && children == 0;
        !self.at_rest() && !only_people
    }

    /// Whether the run can go on in a new history now.
    pub(super) fn can_be_carried_on(&self) -> bool {
        let Counts { steps, cleanup, children, .. } = self.counts;
        self.full && steps + cleanup + children == 0 && !self.paused && self.stopping.is_none()
    }

    /// Whether the run is paused, and nothing of it goes on any more.
    pub(super) fn at_rest(&self) -> bool {
        self.paused && self.counts.steps + self.counts.cleanup == 0 && self.stopping.is_none()
    }
}

#[workflow_methods(factory_only)]
impl Hosted {
    #[run(name = "crashwise")]
    pub(crate) async fn run(ctx: &mut WorkflowContext<Self>, order: Order) -> WorkflowResult<Ended> {
        let backend = TemporalBackend::new(ctx.clone(), order);
        drive::carry_out(ctx, backend).await
    }

    #[signal]
    pub(crate) fn pause(&mut self, _ctx: &mut SyncWorkflowContext<Self>) {
        self.paused = true;
    }

    #[signal]
    pub(crate) fn resume(&mut self, _ctx: &mut SyncWorkflowContext<Self>) {
        self.paused = false;
    }

    #[signal]
    pub(crate) fn stop(&mut self, _ctx: &mut SyncWorkflowContext<Self>) {
        self.stopping.get_or_insert(RunStatus::Cancelled);
    }

    #[signal]
    pub(crate) fn decide(&mut self, _ctx: &mut SyncWorkflowContext<Self>, answer: (String, Decision)) {
        if !self.mailbox.has_decision(&answer.0) {
            self.mailbox.put_decision(&answer.0, answer.1);
        }
    }

    #[signal]
    pub(crate) fn signal(&mut self, _ctx: &mut SyncWorkflowContext<Self>, signal: (String, Value)) {
        self.mailbox.put_signal(&signal.0, signal.1);
    }

    #[query]
    pub(crate) fn status(&self, _ctx: &WorkflowContextView) -> Doings {
        Doings {
            paused: self.paused,
            at_rest: self.at_rest(),
            stopping: self.stopping.is_some(),
            done: self.steps.lock().told.len(),
            going: self.going.values().take(500).cloned().collect(),
            approvals: self.asking.values().take(100).cloned().collect(),
            decided: self.decided.clone(),
        }
    }

    /// The steps that ended, from one on, as many as fit.
    #[query]
    pub(crate) fn steps(&self, _ctx: &WorkflowContextView, from: usize) -> Vec<Line> {
        let steps = self.steps.lock();
        let mut size = 0;
        let lines = steps.told.iter().skip(from).filter_map(Step::line);
        // At least one, or what follows is never told.
        let fits = lines.enumerate().take_while(|(n, line)| {
            size += serde_json::to_vec(line).map_or(PAGE, |json| json.len());
            *n == 0 || size <= PAGE
        });
        fits.map(|(_, line)| line).collect()
    }
}

/// Splits steps so that each page fits a payload.
pub(super) fn paged(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    let mut rest = steps;
    std::iter::from_fn(move || {
        let mut size = 0;
        let fits = rest.iter().take_while(|step| {
            size += serde_json::to_vec(step).map_or(PAGE, |json| json.len());
            size <= PAGE
        });
        let count = fits.count().max(1).min(rest.len());
        let (page, left) = rest.split_at(count);
        rest = left;
        (!page.is_empty()).then_some(page)
    })
}
