//! What steps did, as it is kept while a run goes on: small, because runs wait for long and may have many steps.

use crate::journal::{KINDS, Outcome, Payload, StepEnd};
use crate::report::Found;
use crate::{CacheHit, StepReport, StepStatus};
use crashwise_core::workflow::{StepError, StepKey};
use crashwise_core::{ArtifactRef, Coverage, RunId, SeverityCounts};
use std::collections::HashMap;
use std::time::Duration;

/// A [`StepReport`] without the room for what most steps do not have.
#[derive(Debug, Clone)]
pub(crate) struct StepLine {
    key: StepKey,
    kind: &'static str,
    status: StepStatus,
    cleanup: bool,
    /// It covered all that it looked at, which was nothing.
    covers: bool,
    attempts: u32,
    index: u32,
    started_ms: u64,
    duration: Duration,
    more: Option<Box<More>>,
}

#[derive(Debug, Clone)]
struct More {
    /// Where it is a word that this version does not know.
    kind: Option<String>,
    module: String,
    version: String,
    error: Option<StepError>,
    coverage: Option<Coverage>,
    counts: SeverityCounts,
    findings: Vec<ArtifactRef>,
    artifacts: Vec<ArtifactRef>,
    cached: Option<CacheHit>,
    child: Option<RunId>,
}

impl StepLine {
    /// What is kept of a step that ended; nothing of values that need no work.
    pub(crate) fn of<V: Payload>(end: &StepEnd<V>) -> Option<Self> {
        Self::with_found(end, Found::of(end))
    }

    /// The same with what its module or closure found at hand.
    pub(crate) fn with_found<V>(end: &StepEnd<V>, found: Option<Found>) -> Option<Self> {
        // Most steps of long runs are closures of which there is nothing to say.
        let is_plain = end.kind == "closure"
            && matches!(end.outcome, Outcome::Value { child: None, .. })
            && end.module.is_empty()
            && end.version.is_empty()
            && end.cached.is_none()
            && end.child.is_none();
        if !is_plain || found.as_ref().is_some_and(|found| !found.is_nothing()) {
            return StepReport::with_found(end, found).map(Self::from);
        }
        Some(Self {
            key: end.key.clone(),
            kind: "closure",
            status: StepStatus::Completed,
            cleanup: end.cleanup,
            covers: found.is_some(),
            attempts: end.attempts,
            index: end.index,
            started_ms: end.started_ms,
            duration: Duration::from_millis(end.duration_ms),
            more: None,
        })
    }

    /// Whether it is the approval of a name.
    pub(crate) fn is_approval(&self, name: &str) -> bool {
        self.kind == "approval" && self.more.as_ref().is_some_and(|more| more.module == name)
    }

    pub(crate) fn key(&self) -> &StepKey {
        &self.key
    }

    fn report(&self) -> StepReport {
        let mut report = StepReport {
            key: self.key.clone(),
            kind: self.kind.to_owned(),
            module: String::new(),
            version: String::new(),
            status: self.status,
            attempts: self.attempts,
            started_ms: self.started_ms,
            duration: self.duration,
            error: None,
            coverage: self.covers.then(Coverage::new),
            counts: SeverityCounts::default(),
            findings: Vec::new(),
            artifacts: Vec::new(),
            cached: None,
            cleanup: self.cleanup,
            child: None,
            index: self.index,
        };
        if let Some(more) = self.more.as_deref().cloned() {
            if let Some(kind) = more.kind {
                report.kind = kind;
            }
            report.module = more.module;
            report.version = more.version;
            report.error = more.error;
            report.coverage = more.coverage;
            report.counts = more.counts;
            report.findings = more.findings;
            report.artifacts = more.artifacts;
            report.cached = more.cached;
            report.child = more.child;
        }
        report
    }
}

impl From<StepReport> for StepLine {
    fn from(report: StepReport) -> Self {
        let StepReport { key, kind, module, version, status, attempts, started_ms, duration, .. } = report;
        let StepReport {
            error, coverage, counts, findings, artifacts, cached, cleanup, child, index, ..
        } = report;
        let known = KINDS.into_iter().find(|word| *word == kind);
        let covers = coverage.as_ref().is_some_and(|coverage| *coverage == Coverage::new());
        let is_plain = known.is_some()
            && module.is_empty()
            && version.is_empty()
            && error.is_none()
            && (covers || coverage.is_none())
            && counts == SeverityCounts::default()
            && findings.is_empty()
            && artifacts.is_empty()
            && cached.is_none()
            && child.is_none();
        let kind_text = known.is_none().then_some(kind);
        let more = (!is_plain).then(|| {
            let kind = kind_text;
            Box::new(More {
                kind,
                module,
                version,
                error,
                coverage,
                counts,
                findings,
                artifacts,
                cached,
                child,
            })
        });
        let kind = known.unwrap_or_default();
        Self { key, kind, status, cleanup, covers, attempts, index, started_ms, duration, more }
    }
}

/// The steps in the order in which they were asked for. Of one that was carried out again, the last time.
pub(crate) fn in_order(lines: &[StepLine]) -> Vec<StepReport> {
    let last: HashMap<&StepKey, usize, foldhash::fast::RandomState> =
        lines.iter().enumerate().map(|(at, line)| (&line.key, at)).collect();
    let is_last = |(at, line): &(usize, &StepLine)| last.get(&line.key) == Some(at);
    let mut kept: Vec<&StepLine> = lines.iter().enumerate().filter(is_last).map(|(_, line)| line).collect();
    kept.sort_by(|a, b| a.index.cmp(&b.index).then_with(|| a.key.cmp(&b.key)));
    kept.into_iter().map(StepLine::report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crashwise_core::workflow::StepErrorKind;
    use crashwise_core::{Fingerprint, ModuleOutput};
    use serde_json::{Value, json};

    fn end(key: &str, kind: &str, index: u32, outcome: Outcome) -> StepReport {
        let end: StepEnd = StepEnd {
            key: StepKey::from_text(key),
            fp: Fingerprint::of([kind]),
            index,
            kind: kind.to_owned().into(),
            module: if kind == "closure" { String::new() } else { "m".to_owned() },
            version: String::new(),
            attempts: 2,
            started_ms: 3,
            duration_ms: 4,
            cached: None,
            used_ms: None,
            cleanup: index == 3,
            child: None,
            outcome,
        };
        let report = StepReport::of(&end).unwrap();
        assert_eq!(StepLine::of(&end).unwrap().report(), report, "also without the detour");
        report
    }

    #[test]
    fn what_is_kept_says_the_same() {
        let value = |value: Value| Outcome::Value { value, child: None };
        let mut output = ModuleOutput::new("m", "1");
        let plain = serde_json::to_value(&output).unwrap();
        output.coverage.add("files", 3);
        let covering = serde_json::to_value(&output).unwrap();
        let error = StepError::new(StepKey::from_text("e"), StepErrorKind::TimedOut, "late");
        let steps = [
            end("a", "closure", 0, value(plain.clone())),
            end("b", "closure", 1, value(covering)),
            end("c", "approval", 2, value(json!({}))),
            end("d", "closure", 3, value(json!("of another form"))),
            end("e", "module", 4, Outcome::Error { error, partial: None, child: None }),
            end("f", "word of the future", 5, value(plain)),
            end("g", "closure", 6, value(json!({"summary": {"output": 1}}))),
            end("h", "closure", 7, value(json!({}))),
        ];
        let lines: Vec<StepLine> = steps.iter().cloned().map(StepLine::from).collect();
        assert!(lines[0].more.is_none() && lines[1].more.is_some());
        assert!(lines[2].is_approval("m") && !lines[2].is_approval("n") && !lines[0].is_approval(""));
        assert_eq!(in_order(&lines), steps);
        // In any order, and the last of two that have one key.
        let mut lines: Vec<StepLine> = steps.iter().rev().cloned().map(StepLine::from).collect();
        lines.insert(0, end("a", "sleep", 9, value(Value::Null)).into());
        assert_eq!(in_order(&lines), steps);
    }
}
