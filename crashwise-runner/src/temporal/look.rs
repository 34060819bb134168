//! Looking at runs of a cluster.

use super::cluster::Cluster;
use super::error::ClusterError;
use super::handle::{ClusterRun, status_of};
use super::messages::{Going, Pulse};
use crate::engine::millis;
use crate::{LatestStats, OpenStep, RunEvent, RunEventKind, RunFilter, RunSummary, StepReport};
use crashwise_core::RunId;
use crashwise_core::workflow::{ApprovalRequest, Decision, StepKey};
use futures::StreamExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use temporalio_client::errors::ClientError;
use temporalio_client::{Memo, WorkflowExecutionDescription, WorkflowExecutionStatus, WorkflowListOptions};
use temporalio_common::data_converters::{SerializationContextData, WorkflowSerializationContext};

/// How many runs are looked through at most.
const LOOKED_THROUGH: usize = 10_000;

impl Cluster {
    /// A run by its id, whether it goes on or not. That there is one shows when something is asked of it.
    pub fn run(&self, id: &RunId) -> ClusterRun {
        ClusterRun::new(self.clone(), id.clone())
    }

    /// Runs, newest first. The server forgets runs some time after their end.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Unreachable`].
    pub async fn list(&self, filter: &RunFilter) -> Result<Vec<RunSummary>, ClusterError> {
        let mut runs =
            self.client.list_workflows("WorkflowType = 'crashwise'", WorkflowListOptions::default());
        let mut found = Vec::new();
        let mut seen = 0;
        while let Some(run) = runs.next().await {
            let run = run.map_err(|error| self.listing(error))?;
            seen += 1;
            let told = Told {
                id: run.id(),
                status: run.status(),
                memo: run.memo(),
                parent: run.parent_id(),
                started: run.start_time(),
                closed: run.close_time(),
            };
            let Some(summary) = told.summary() else { continue };
            let fits = summary.parent == filter.parent
                && filter.workflow.as_ref().is_none_or(|name| *name == summary.workflow)
                && filter.status.is_none_or(|status| status == summary.status);
            if fits {
                found.push(summary);
            }
            let enough = filter.limit != 0 && found.len() >= filter.limit as usize;
            if enough || seen >= LOOKED_THROUGH {
                break;
            }
        }
        Ok(found)
    }

    /// The runs whose id begins so.
    ///
    /// # Errors
    ///
    /// As [`Self::list`].
    pub async fn matching(&self, begin: &str) -> Result<Vec<RunId>, ClusterError> {
        if !begin.is_empty() && begin.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            let query = format!("WorkflowType = 'crashwise' AND WorkflowId STARTS_WITH '{begin}'");
            let mut runs = self.client.list_workflows(query, WorkflowListOptions::default());
            let mut found = Vec::new();
            while let Some(run) = runs.next().await {
                let run = run.map_err(|error| self.listing(error))?;
                found.extend(RunId::new(run.id()).ok().filter(|id| !found.contains(id)));
                if found.len() >= 100 {
                    break;
                }
            }
            return Ok(found);
        }
        Ok(Vec::new())
    }

    pub(super) fn listing(&self, error: ClientError) -> ClusterError {
        match error {
            ClientError::Rpc(status) => self.status("listing runs failed", status),
            other => ClusterError::server("listing runs failed", other),
        }
    }
}

/// What a run did and does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Look {
    /// A line about it.
    pub summary: RunSummary,
    /// The steps that ended.
    pub steps: Vec<StepReport>,
    /// How long it took, when it is over.
    pub duration: Duration,
    /// The approvals that are waited for.
    pub waiting: Vec<ApprovalRequest>,
    /// What was decided, by step.
    pub decisions: Vec<(StepKey, Decision)>,
    /// The steps that go on.
    pub open: Vec<OpenStep>,
    /// Their newest statistics.
    pub stats: Vec<LatestStats>,
}

impl Look {
    /// What happened, in order, as far as the steps tell.
    pub fn events(&self) -> Vec<RunEvent> {
        let summary = &self.summary;
        let event = |at_ms, kind| RunEvent { run_id: summary.run_id.clone(), at_ms, kind };
        let started = |key: &StepKey, kind: &str, module: &str| RunEventKind::StepStarted {
            step: key.clone(),
            kind: kind.to_owned(),
            module: module.to_owned(),
            attempt: 1,
        };
        let mut events = Vec::new();
        for step in &self.steps {
            let ended_ms = step.started_ms.saturating_add(millis(step.duration));
            if matches!(step.kind.as_str(), "module" | "closure" | "child") {
                events.push(event(step.started_ms, started(&step.key, &step.kind, &step.module)));
            }
            let decision = self.decisions.iter().find(|(key, _)| *key == step.key);
            let decision = decision.map(|(_, decision)| decision.clone());
            events.extend(super::watch::ended(step, decision).map(|kind| event(ended_ms, kind)));
        }
        for open in &self.open {
            if matches!(open.kind.as_str(), "module" | "closure" | "child") {
                events.push(event(open.since_ms, started(&open.key, &open.kind, &open.module)));
            }
        }
        for asked in &self.waiting {
            let (name, prompt) = (asked.name.clone(), asked.prompt.clone());
            events.push(event(
                asked_at(&self.open, name.as_str()),
                RunEventKind::ApprovalRequested { name, prompt },
            ));
        }
        events.sort_by_key(|event| event.at_ms);
        events
    }
}

fn asked_at(open: &[OpenStep], name: &str) -> u64 {
    open.iter().find(|step| step.module == name).map_or(u64::MAX, |step| step.since_ms)
}

impl ClusterRun {
    /// What the run did and does. Of one that goes on, as far as a worker tells.
    ///
    /// # Errors
    ///
    /// [`crate::RunnerError::UnknownRun`], [`ClusterError::Unreachable`], [`ClusterError::NoAnswer`], and for runs that are
    /// over as [`ClusterRun::report`].
    pub async fn look(&self) -> Result<Look, ClusterError> {
        let summary = self.summary().await?;
        let mut look = Look {
            summary,
            steps: Vec::new(),
            duration: Duration::ZERO,
            waiting: Vec::new(),
            decisions: Vec::new(),
            open: Vec::new(),
            stats: Vec::new(),
        };
        if look.summary.status.is_final() {
            match super::fetch::steps(&self.cluster.store, &self.id).await? {
                Some(kept) => {
                    look.summary.error = kept.ended.error;
                    look.duration = Duration::from_millis(kept.ended.duration_ms);
                    (look.steps, look.decisions) = (kept.steps, kept.decisions);
                }
                None => look.summary.error = self.report().await?.error,
            }
            return Ok(look);
        }
        let doings = self.doings().await?;
        while look.steps.len() < doings.done {
            let lines = self.lines(look.steps.len()).await?;
            if lines.is_empty() {
                break;
            }
            for line in lines {
                look.decisions.extend(line.decision.map(|decision| (line.report.key.clone(), decision)));
                look.steps.push(line.report);
            }
        }
        look.steps = crate::report::in_order(look.steps);
        look.waiting = doings.approvals;
        look.open = doings.going.into_iter().map(OpenStep::from).collect();
        let now = UNIX_EPOCH.elapsed().map_or(0, millis);
        let pulses = self.pulses(&self.describe().await?).await.into_iter();
        look.stats = pulses
            .filter_map(|(step, pulse)| Some(LatestStats { step, at_ms: now, stats: pulse.stats? }))
            .collect();
        Ok(look)
    }

    /// The newest heartbeats of the steps that run.
    pub(super) async fn pulses(&self, described: &WorkflowExecutionDescription) -> Vec<(String, Pulse)> {
        let converter = self.cluster.data_converter();
        let context = SerializationContextData::Workflow(WorkflowSerializationContext::new());
        let mut pulses = Vec::new();
        for pending in &described.raw().pending_activities {
            let payload = pending.heartbeat_details.as_ref().and_then(|details| details.payloads.first());
            let Some(payload) = payload else { continue };
            if let Ok(pulse) = converter.from_payload::<Pulse>(&context, payload.clone()).await {
                pulses.push((pending.activity_id.clone(), pulse));
            }
        }
        pulses
    }

    /// A line about the run.
    ///
    /// # Errors
    ///
    /// [`crate::RunnerError::UnknownRun`], [`ClusterError::Unreachable`].
    pub async fn summary(&self) -> Result<RunSummary, ClusterError> {
        let run = self.describe().await?;
        let told = Told {
            id: run.id(),
            status: run.status(),
            memo: run.memo(),
            parent: run.parent_id(),
            started: run.start_time(),
            closed: run.close_time(),
        };
        told.summary().ok_or_else(|| crate::RunnerError::UnknownRun { id: self.id.clone() }.into())
    }
}

impl From<Going> for OpenStep {
    fn from(going: Going) -> Self {
        let Going { key, kind, module, since_ms, until_ms } = going;
        Self { key, kind, module, since_ms, until_ms }
    }
}

/// What the server tells of a run.
struct Told<'a> {
    id: &'a str,
    status: WorkflowExecutionStatus,
    memo: Memo,
    parent: Option<&'a str>,
    started: Option<SystemTime>,
    closed: Option<SystemTime>,
}

impl Told<'_> {
    fn summary(self) -> Option<RunSummary> {
        if self.status == WorkflowExecutionStatus::ContinuedAsNew {
            // It goes on in another history, which is listed itself.
            return None;
        }
        let text = |key: &str| self.memo.get::<String>(key).ok().flatten();
        let ms = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, millis);
        let word = text("status");
        let status = status_of(self.status, word.as_deref());
        let submitted_ms = self.memo.get::<u64>("submitted_ms").ok().flatten();
        let started_ms = self.started.map_or(0, ms);
        let ended_ms = self.closed.map(ms).filter(|_| status.is_final());
        Some(RunSummary {
            run_id: RunId::new(self.id).ok()?,
            workflow: text("workflow").unwrap_or_default(),
            workflow_version: text("version").unwrap_or_default(),
            target: text("target").unwrap_or_default(),
            status,
            // The cluster carries it out as soon as a worker has room.
            owned: !status.is_final(),
            error: (self.status == WorkflowExecutionStatus::Terminated)
                .then(|| "terminated by way of the server".to_owned()),
            parent: self.parent.filter(|parent| !parent.is_empty()).and_then(|id| RunId::new(id).ok()),
            forked_from: text("forked_from").and_then(|id| RunId::new(id).ok()),
            submitted_ms: submitted_ms.unwrap_or(started_ms),
            updated_ms: ended_ms.unwrap_or(started_ms),
            ended_ms,
        })
    }
}
