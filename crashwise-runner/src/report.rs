//! What a run did.

use crate::journal::{Outcome, Payload, RunEnd, StepEnd, Submission};
use crate::results::ResultStore;
use crashwise_core::workflow::{StepError, StepErrorKind, StepKey};
use crashwise_core::{
    ArtifactRef, Coverage, CoverageStatus, Finding, Gap, GapReason, ModuleOutput, RunId, SeverityCounts,
    Target, merge_findings, rules_of,
};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::time::Duration;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It waits for its turn.
    Pending,
    /// It works, sleeps, or waits for a person or a signal.
    Running,
    /// Nothing of it runs, and nothing begins until it is resumed.
    Paused,
    /// It has an output.
    Completed,
    /// It has no output.
    Failed,
    /// It was stopped by request.
    Cancelled,
    /// It was stopped by its deadline.
    TimedOut,
}

impl RunStatus {
    /// All, in the order of a run's life.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Running,
        Self::Paused,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
    ];

    /// Whether the run is over.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::TimedOut)
    }

    /// The word used in every report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
        }
    }

    /// The status of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// The verb of a sentence about a run that ended so.
    pub(crate) const fn ended(self) -> &'static str {
        match self {
            Self::TimedOut => "ran out of time",
            Self::Cancelled => "was cancelled",
            Self::Failed => "failed",
            Self::Completed => "completed",
            Self::Pending | Self::Running | Self::Paused => "has not ended",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepStatus {
    /// It has a result.
    Completed,
    /// Its result was taken from the cache.
    Cached,
    /// Its condition did not hold.
    Skipped,
    /// It has no result.
    Failed,
    /// It ran out of time.
    TimedOut,
    /// It was stopped.
    Cancelled,
}

impl StepStatus {
    /// The word used in every report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Cached => "cached",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for StepStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a result that was taken from the cache comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CacheHit {
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// What it took to make it, in milliseconds.
    pub cost_ms: u64,
}

impl CacheHit {
    pub(crate) fn new(made_ms: u64, cost_ms: u64) -> Self {
        Self { made_ms, cost_ms }
    }
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepReport {
    /// Its name path, e.g. `fuzz/0/afl`.
    pub key: StepKey,
    /// `module`, `closure`, `child`, `approval`, `signal`, `sleep` or `skip`.
    pub kind: String,
    /// The module or child workflow; empty for the others.
    pub module: String,
    /// The version of the module or child workflow.
    pub version: String,
    /// How it ended.
    pub status: StepStatus,
    /// Attempts made.
    pub attempts: u32,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// How long it took, with all attempts and the waits between them.
    pub duration: Duration,
    /// Why it has no result.
    pub error: Option<StepError>,
    /// What it looked at; for modules, closures and children.
    pub coverage: Option<Coverage>,
    /// What it found.
    pub counts: SeverityCounts,
    /// Its findings, one JSON object a line; a child has one per step of its own.
    pub findings: Vec<ArtifactRef>,
    /// Files it stored.
    pub artifacts: Vec<ArtifactRef>,
    /// Where its result comes from, when it was taken from the cache.
    pub cached: Option<CacheHit>,
    /// Whether it is cleanup.
    pub cleanup: bool,
    /// The run that it started, for children.
    pub child: Option<RunId>,
    #[serde(default)]
    pub(crate) index: u32,
}

/// What a report says of the output of a module or closure. Of a closure that found nothing there is only a summary.
#[derive(Deserialize)]
pub(crate) struct Found {
    #[allow(dead_code, reason = "what has none is of another form")]
    summary: IgnoredAny,
    #[serde(default)]
    counts: SeverityCounts,
    #[serde(default)]
    findings: Option<ArtifactRef>,
    #[serde(default)]
    artifacts: Vec<ArtifactRef>,
    #[serde(default)]
    coverage: Coverage,
}

impl Found {
    /// What a step found, unless its result has another form.
    pub(crate) fn of<V: Payload>(end: &StepEnd<V>) -> Option<Self> {
        match &end.outcome {
            Outcome::Value { value, .. } if matches!(&*end.kind, "module" | "closure") => value.part(),
            _ => None,
        }
    }

    /// Whether it is what a step has that found nothing and stored nothing.
    pub(crate) fn is_nothing(&self) -> bool {
        self.counts == SeverityCounts::default()
            && self.findings.is_none()
            && self.artifacts.is_empty()
            && self.coverage == Coverage::new()
    }
}

impl From<ModuleOutput> for Found {
    fn from(output: ModuleOutput) -> Self {
        let ModuleOutput { counts, findings, artifacts, coverage, .. } = output;
        Self { summary: IgnoredAny, counts, findings, artifacts, coverage }
    }
}

impl StepReport {
    /// The report of a step that ended; none for values that need no work.
    #[cfg(any(feature = "temporal", test))]
    pub(crate) fn of<V: Payload>(end: &StepEnd<V>) -> Option<Self> {
        Self::with_found(end, Found::of(end))
    }

    /// The same with what its module or closure found at hand.
    pub(crate) fn with_found<V>(end: &StepEnd<V>, found: Option<Found>) -> Option<Self> {
        if matches!(&*end.kind, "now" | "random" | "record" | "patched") {
            return None;
        }
        let mut report = Self {
            key: end.key.clone(),
            kind: end.kind.clone().into_owned(),
            module: end.module.clone(),
            version: end.version.clone(),
            status: StepStatus::Completed,
            attempts: end.attempts,
            started_ms: end.started_ms,
            duration: Duration::from_millis(end.duration_ms),
            error: None,
            coverage: None,
            counts: SeverityCounts::default(),
            findings: Vec::new(),
            artifacts: Vec::new(),
            cached: end.cached,
            cleanup: end.cleanup,
            child: end.child.clone(),
            index: end.index,
        };
        let (partial, child) = match &end.outcome {
            Outcome::Value { child, .. } => {
                report.status = match &*end.kind {
                    "skip" => StepStatus::Skipped,
                    _ if end.cached.is_some() => StepStatus::Cached,
                    _ => StepStatus::Completed,
                };
                (None, child)
            }
            Outcome::Error { error, partial, child } => {
                report.status = match error.kind {
                    StepErrorKind::TimedOut => StepStatus::TimedOut,
                    StepErrorKind::Cancelled => StepStatus::Cancelled,
                    _ => StepStatus::Failed,
                };
                report.error = Some(error.clone());
                (partial.as_deref().cloned().map(Found::from), child)
            }
        };
        if let Some(found) = found.or(partial) {
            report.coverage = Some(found.coverage);
            report.counts = found.counts;
            report.findings.extend(found.findings);
            report.artifacts = found.artifacts;
        }
        if let Some(child) = child.as_deref() {
            report.coverage = Some(child.coverage.clone());
            report.counts = child.counts;
            report.findings.clone_from(&child.findings);
            report.artifacts.clone_from(&child.artifacts);
        }
        Some(report)
    }

    /// Adds what this step covered, or failed to cover, to the coverage of the run.
    fn cover(&self, whole: &mut Coverage) {
        let part = self.coverage.clone().unwrap_or_default();
        whole.merge(part);
        let Some(error) = &self.error else { return };
        // Cleanup looks at nothing, and a closure that lost a race was not going to.
        let stopped_closure = self.kind == "closure" && error.kind == StepErrorKind::Cancelled;
        if self.cleanup || stopped_closure || !matches!(self.kind.as_str(), "module" | "closure" | "child") {
            return;
        }
        let reason = match error.kind {
            StepErrorKind::TimedOut => GapReason::TimedOut,
            StepErrorKind::Panicked => GapReason::Panicked,
            StepErrorKind::Cancelled => GapReason::Cancelled,
            StepErrorKind::ToolMissing => GapReason::ToolMissing,
            _ => GapReason::Failed,
        };
        let mut detail = self.module.clone();
        if !error.message.is_empty() {
            if !detail.is_empty() {
                detail.push_str(": ");
            }
            detail.push_str(&error.message);
        }
        whole.push(Gap::new(format!("step {}", self.key), reason, detail));
    }
}

/// What a run did.
#[derive(Clone)]
#[non_exhaustive]
pub struct RunReport {
    /// The run.
    pub run_id: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// The workflow's version.
    pub workflow_version: String,
    /// What it looked at.
    pub target: Target,
    /// How it ended.
    pub status: RunStatus,
    /// Its output; null unless it completed.
    pub output: Value,
    /// Why it has no output.
    pub error: Option<String>,
    /// What it found, findings that several steps report counted once.
    pub counts: SeverityCounts,
    /// What it looked at and what it did not. Never complete when a step of a module failed, failed unless it completed.
    pub coverage: Coverage,
    /// Its steps in the order in which they began.
    pub steps: Vec<StepReport>,
    /// When it was asked for, in milliseconds since 1970.
    pub submitted_ms: u64,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// How long it took from its begin.
    pub duration: Duration,
    pub(crate) store: ResultStore,
}

impl RunReport {
    pub(crate) fn new(
        submission: &Submission,
        end: RunEnd,
        steps: Vec<StepReport>,
        store: ResultStore,
    ) -> Self {
        Self {
            run_id: submission.id.clone(),
            workflow: submission.workflow.clone(),
            workflow_version: submission.version.clone(),
            target: submission.target.clone(),
            status: end.status,
            output: end.output,
            error: end.error,
            counts: end.counts,
            coverage: end.coverage,
            steps,
            submitted_ms: submission.at_ms,
            started_ms: end.started_ms,
            duration: Duration::from_millis(end.duration_ms),
            store,
        }
    }

    /// The findings of all steps, sorted by place and rule, each once.
    pub fn findings(&self) -> io::Result<impl Iterator<Item = io::Result<Finding>> + use<>> {
        findings(&self.store, &self.steps)
    }

    /// The stored file of a name; of several steps that stored one, the last.
    pub fn artifact(&self, name: &str) -> Option<&ArtifactRef> {
        self.artifacts().filter(|artifact| artifact.name == name).last()
    }

    /// All files that steps stored.
    pub fn artifacts(&self) -> impl Iterator<Item = &ArtifactRef> {
        self.steps.iter().flat_map(|step| &step.artifacts)
    }

    /// Opens a stored file.
    pub fn open(&self, artifact: &ArtifactRef) -> io::Result<Box<dyn Read + Send>> {
        self.store.open(artifact)
    }

    /// The step of a key.
    pub fn step(&self, key: &str) -> Option<&StepReport> {
        self.steps.iter().find(|step| step.key.as_str() == key)
    }
}

impl fmt::Debug for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunReport")
            .field("run_id", &self.run_id)
            .field("workflow", &self.workflow)
            .field("status", &self.status)
            .field("error", &self.error)
            .field("counts", &self.counts)
            .field("coverage", &self.coverage)
            .field("steps", &self.steps)
            .field("duration", &self.duration)
            .finish_non_exhaustive()
    }
}

pub(crate) type FindingReader = BufReader<Box<dyn Read + Send>>;

fn findings(
    store: &ResultStore,
    steps: &[StepReport],
) -> io::Result<crashwise_core::MergedFindings<FindingReader>> {
    let readers = steps
        .iter()
        .flat_map(|step| &step.findings)
        .map(|artifact| store.open(artifact).map(BufReader::new))
        .collect::<io::Result<Vec<_>>>()?;
    Ok(merge_findings(readers))
}

/// The end of a run that has none yet: nothing of it can be relied on.
#[cfg(feature = "local")]
pub(crate) fn unfinished(
    submission: &Submission,
    status: RunStatus,
    started_ms: Option<u64>,
    steps: &[StepReport],
) -> RunEnd {
    let started_ms = started_ms.unwrap_or(submission.at_ms);
    let last =
        steps.iter().map(|step| step.started_ms.saturating_add(crate::engine::millis(step.duration))).max();
    RunEnd {
        status,
        output: Value::Null,
        error: None,
        failed_step: None,
        counts: sum(steps),
        coverage: coverage(&submission.workflow, status, Some("the run has not ended"), steps),
        started_ms,
        duration_ms: last.unwrap_or(started_ms).saturating_sub(started_ms),
    }
}

/// The steps in the order in which they were asked for; of a step that was carried out again, its last end.
#[cfg(feature = "temporal")]
pub(crate) fn in_order(steps: Vec<StepReport>) -> Vec<StepReport> {
    let mut last: std::collections::BTreeMap<StepKey, StepReport> = std::collections::BTreeMap::new();
    for step in steps {
        last.insert(step.key.clone(), step);
    }
    let mut steps: Vec<StepReport> = last.into_values().collect();
    steps.sort_by_key(|step| step.index);
    steps
}

/// The findings of all steps, those of several steps counted several times.
pub(crate) fn sum(steps: &[StepReport]) -> SeverityCounts {
    let mut sum = SeverityCounts::default();
    for step in steps {
        sum.merge(step.counts);
    }
    sum
}

/// The findings of all steps by severity, suppressed ones left out, those of several steps counted once.
pub(crate) fn count(store: &ResultStore, steps: &[StepReport]) -> io::Result<SeverityCounts> {
    let mut sources = steps.iter().filter(|step| !step.findings.is_empty());
    match (sources.next(), sources.next()) {
        (None, _) => return Ok(SeverityCounts::default()),
        (Some(only), None) if only.findings.len() == 1 => return Ok(only.counts),
        _ => {}
    }
    if !share_rules(store, steps)? {
        return Ok(sum(steps));
    }
    let mut counts = SeverityCounts::default();
    for finding in findings(store, steps)? {
        let finding = finding?;
        if finding.suppressions.is_empty() {
            counts.add(finding.severity);
        }
    }
    Ok(counts)
}

/// Whether two steps may have found the same: only then are there findings of a rule in both.
fn share_rules(store: &ResultStore, steps: &[StepReport]) -> io::Result<bool> {
    const MOST: usize = 10_000;
    let mut known = BTreeSet::new();
    for step in steps {
        let mut of_step = BTreeSet::new();
        for artifact in &step.findings {
            match rules_of(BufReader::with_capacity(64 << 10, store.open(artifact)?), MOST)? {
                Some(rules) => of_step.extend(rules),
                None => return Ok(true),
            }
        }
        if !known.is_disjoint(&of_step) {
            return Ok(true);
        }
        known.append(&mut of_step);
    }
    Ok(false)
}

/// The coverage of a run that ended with a status.
pub(crate) fn coverage(
    workflow: &str,
    status: RunStatus,
    error: Option<&str>,
    steps: &[StepReport],
) -> Coverage {
    let says = |step: &&StepReport| {
        step.error.is_some() || step.coverage.as_ref().is_some_and(|part| *part != Coverage::new())
    };
    let mut in_order: Vec<&StepReport> = steps.iter().filter(says).collect();
    in_order.sort_by(|a, b| a.key.cmp(&b.key));
    let mut whole = Coverage::new();
    for step in in_order {
        step.cover(&mut whole);
    }
    let mut analyses = steps
        .iter()
        .filter(|step| !step.cleanup && matches!(step.kind.as_str(), "module" | "child"))
        .peekable();
    if analyses.peek().is_some() && analyses.all(|step| step.error.is_some()) && whole.looked_at.is_empty() {
        whole.status = CoverageStatus::Failed;
    }
    if status != RunStatus::Completed {
        let reason = match status {
            RunStatus::TimedOut => GapReason::TimedOut,
            RunStatus::Cancelled => GapReason::Cancelled,
            _ => GapReason::Failed,
        };
        whole.push(Gap::new(format!("workflow {workflow}"), reason, error.unwrap_or_default()));
        whole.status = CoverageStatus::Failed;
    }
    whole.sort();
    whole
}
