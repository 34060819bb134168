//! Following a run of a cluster.

use super::error::ClusterError;
use super::handle::ClusterRun;
use super::messages::{Doings, Line, Pulse, queue_of};
use crate::engine::millis;
use crate::{RunEvent, RunEventKind, RunReport, StepReport, StepStatus};
use crashwise_core::StatsEvent;
use crashwise_core::workflow::{Decision, StepKey};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// How often the run is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// How long nobody may take the run up before it is said why.
const QUIET: Duration = Duration::from_secs(5);

/// Something about a run that is being followed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Seen {
    /// Something happened in it.
    Event(Box<RunEvent>),
    /// Newest statistics of a step.
    Stats(Box<StatsEvent>),
    /// Why it does not go on, as far as that can be told.
    Stuck(String),
}

impl ClusterRun {
    /// Like [`ClusterRun::wait`], and tells meanwhile what happens. What happens between two looks may come together.
    ///
    /// # Errors
    ///
    /// As [`ClusterRun::wait`].
    pub async fn follow(&self, mut tell: impl FnMut(Seen)) -> Result<RunReport, ClusterError> {
        let waiting = self.wait();
        let mut waiting = std::pin::pin!(waiting);
        let mut follower = Follower::new(self);
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let report = loop {
            tokio::select! {
                report = &mut waiting => break report,
                _ = tick.tick() => {}
            }
            tokio::select! {
                report = &mut waiting => break report,
                () = follower.look(&mut tell) => {}
            }
        };
        if let Ok(report) = &report {
            let lines = report.steps.iter().filter(|step| !follower.over.contains(&step.key)).cloned();
            for report in lines.collect::<Vec<_>>() {
                follower.ended(&Line { report, decision: None, whole: None }, &mut tell);
            }
        }
        report
    }
}

/// What is told of a step that ended.
pub(super) fn ended(report: &StepReport, decision: Option<Decision>) -> Option<RunEventKind> {
    let (step, module) = (report.key.clone(), report.module.clone());
    if let Some(decision) = decision {
        return Some(RunEventKind::ApprovalDecided { name: module, decision });
    }
    if report.status == StepStatus::Skipped {
        return Some(RunEventKind::StepSkipped { step });
    }
    if !matches!(report.kind.as_str(), "module" | "closure" | "child") {
        return None;
    }
    Some(match &report.error {
        Some(error) => {
            RunEventKind::StepFailed { step, module, kind: error.kind, error: error.message.clone() }
        }
        None => RunEventKind::StepCompleted {
            step,
            module,
            counts: report.counts,
            duration: report.duration,
            cached: report.cached.is_some(),
        },
    })
}

struct Follower<'r> {
    run: &'r ClusterRun,
    done: usize,
    going: BTreeSet<StepKey>,
    over: BTreeSet<StepKey>,
    asked: BTreeSet<String>,
    paused: bool,
    stats: BTreeMap<String, Pulse>,
    workflow: String,
    vertical: Option<String>,
    quiet_since: Instant,
    said: Option<String>,
}

impl<'r> Follower<'r> {
    fn new(run: &'r ClusterRun) -> Self {
        Self {
            run,
            done: 0,
            going: BTreeSet::new(),
            over: BTreeSet::new(),
            asked: BTreeSet::new(),
            paused: false,
            stats: BTreeMap::new(),
            workflow: String::new(),
            vertical: None,
            quiet_since: Instant::now(),
            said: None,
        }
    }

    fn event(&self, kind: RunEventKind) -> Seen {
        let at_ms = UNIX_EPOCH.elapsed().map_or(0, millis);
        Seen::Event(Box::new(RunEvent { run_id: self.run.id().clone(), at_ms, kind }))
    }

    async fn look(&mut self, tell: &mut impl FnMut(Seen)) {
        // What cannot be looked at now can be later; the wait for the end says when it is too much.
        match self.run.doings().await {
            Ok(doings) => {
                self.quiet_since = Instant::now();
                self.lines(&doings, tell).await;
                self.doings(&doings, tell);
            }
            Err(ClusterError::NoAnswer { .. }) => self.stuck(tell).await,
            Err(_) => return,
        }
        self.pending(tell).await;
    }

    async fn lines(&mut self, doings: &Doings, tell: &mut impl FnMut(Seen)) {
        while self.done < doings.done {
            let Ok(lines) = self.run.lines(self.done).await else { return };
            if lines.is_empty() {
                return;
            }
            for line in &lines {
                self.ended(line, tell);
                self.done += 1;
            }
        }
    }

    fn doings(&mut self, doings: &Doings, tell: &mut impl FnMut(Seen)) {
        for going in &doings.going {
            if !matches!(going.kind.as_str(), "module" | "closure" | "child")
                || !self.going.insert(going.key.clone())
            {
                continue;
            }
            let (step, kind, module) = (going.key.clone(), going.kind.clone(), going.module.clone());
            tell(self.event(RunEventKind::StepStarted { step, kind, module, attempt: 1 }));
        }
        let asked: BTreeSet<String> = doings.approvals.iter().map(|asked| asked.name.clone()).collect();
        for asked in doings.approvals.iter().filter(|asked| !self.asked.contains(&asked.name)) {
            let (name, prompt) = (asked.name.clone(), asked.prompt.clone());
            tell(self.event(RunEventKind::ApprovalRequested { name, prompt }));
        }
        self.asked = asked;
        if doings.at_rest != self.paused {
            self.paused = doings.at_rest;
            tell(self.event(if self.paused { RunEventKind::RunPaused } else { RunEventKind::RunResumed }));
        }
    }

    fn ended(&mut self, line: &Line, tell: &mut impl FnMut(Seen)) {
        let report = &line.report;
        self.going.remove(&report.key);
        self.over.insert(report.key.clone());
        if let Some(kind) = ended(report, line.decision.clone()) {
            tell(self.event(kind));
        }
    }

    /// Retries and statistics, from what the server knows of the steps that run.
    async fn pending(&mut self, tell: &mut impl FnMut(Seen)) {
        let Ok(described) = self.run.describe().await else { return };
        if self.workflow.is_empty() {
            self.workflow = described.memo().get::<String>("workflow").ok().flatten().unwrap_or_default();
            self.vertical = described.task_queue().strip_suffix("-queue").map(str::to_owned);
        }
        for (step, pulse) in self.run.pulses(&described).await {
            if self.stats.get(&step) == Some(&pulse) {
                continue;
            }
            if let Some(stats) = pulse.stats.clone() {
                let (run_id, workflow_type) = (self.run.id().clone(), self.workflow.clone());
                tell(Seen::Stats(Box::new(StatsEvent { run_id, workflow_type, step: step.clone(), stats })));
            }
            self.stats.insert(step, pulse);
        }
    }

    /// Nobody answers for the run: perhaps there is nobody.
    async fn stuck(&mut self, tell: &mut impl FnMut(Seen)) {
        if self.quiet_since.elapsed() < QUIET {
            return;
        }
        let Some(vertical) = &self.vertical else { return };
        let said = match self.run.cluster.check_workers(vertical, &[]).await {
            Err(error) => error.chain(),
            Ok(()) => format!("the workers of {:?} have not taken the run up yet", queue_of(vertical)),
        };
        if self.said.as_ref() != Some(&said) {
            tell(Seen::Stuck(said.clone()));
            self.said = Some(said);
        }
    }
}
