//! What a run is doing right now.

use super::RunStore;
use crate::RunnerError;
use crate::journal::{Event, Outcome, Record};
use crashwise_core::RunId;
use crashwise_core::workflow::{Decision, StepKey};
use serde::{Deserialize, Serialize};

/// A step that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OpenStep {
    /// Its name path.
    pub key: StepKey,
    /// `module`, `inline`, `child`, `approval`, `signal` or `sleep`.
    pub kind: String,
    /// The module, child workflow, approval or signal; empty for the others.
    pub module: String,
    /// When it began, in milliseconds since 1970.
    pub since_ms: u64,
    /// Until when it waits at most, in milliseconds since 1970.
    pub until_ms: Option<u64>,
}

impl RunStore {
    /// The steps of a run that have begun and not ended, in the order in which they began. Of a run that nobody carries
    /// out: those that its last owner left open.
    ///
    /// # Errors
    ///
    /// As [`Self::history`].
    pub fn open_steps(&self, run: &RunId) -> Result<Vec<OpenStep>, RunnerError> {
        let summary = self.summary(run)?;
        if summary.status.is_final() {
            return Ok(Vec::new());
        }
        Ok(open(self.records(run)?.1))
    }

    /// The answers that a run's approvals got: who said what, when and why.
    ///
    /// # Errors
    ///
    /// As [`Self::history`].
    pub fn decisions(&self, run: &RunId) -> Result<Vec<(StepKey, Decision)>, RunnerError> {
        let (_, records) = self.records(run)?;
        let decided = records.into_iter().filter_map(|record| match record.event {
            Event::StepEnded(end) if end.kind == "approval" => match end.outcome {
                Outcome::Value { value, .. } => Some((end.key, Decision::deserialize(value).ok()?)),
                Outcome::Error { .. } => None,
            },
            _ => None,
        });
        Ok(decided.collect())
    }
}

fn open(records: Vec<Record>) -> Vec<OpenStep> {
    let mut steps: Vec<OpenStep> = Vec::new();
    for Record { at_ms, event, .. } in records {
        let step = match event {
            Event::StepStarted { key, kind, module, .. } => {
                OpenStep { key, kind: kind.into_owned(), module, since_ms: at_ms, until_ms: None }
            }
            Event::Waiting { key, until_ms } => OpenStep {
                key,
                kind: "sleep".to_owned(),
                module: String::new(),
                since_ms: at_ms,
                until_ms: Some(until_ms),
            },
            Event::ApprovalRequested { key, request, until_ms } => {
                OpenStep { key, kind: "approval".to_owned(), module: request.name, since_ms: at_ms, until_ms }
            }
            Event::StepEnded(end) => {
                steps.retain(|step| step.key != end.key);
                continue;
            }
            _ => continue,
        };
        match steps.iter_mut().find(|known| known.key == step.key) {
            // A wait that goes on after a restart began when it first did.
            Some(known) if known.kind == step.kind && step.until_ms.is_some() => {
                known.until_ms = step.until_ms;
            }
            Some(known) => *known = step,
            None => steps.push(step),
        }
    }
    steps
}
