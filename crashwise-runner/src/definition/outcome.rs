//! What expressions see of a step that is over.

use super::check::Action;
use crashwise_core::workflow::{Decision, StepError};
use crashwise_core::{ModuleOutput, SeverityCounts};
use serde_json::{Value, json};

/// How a step ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    /// `completed`, `failed`, `skipped` or `rejected`.
    pub(super) status: &'static str,
    /// What expressions see.
    pub(super) value: Value,
}

impl Outcome {
    pub(super) fn succeeded(&self) -> bool {
        self.status == "completed"
    }

    pub(super) fn module(output: &ModuleOutput) -> Self {
        let artifacts: Vec<&str> = output.artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
        let value = json!({
            "status": "completed",
            "error": "",
            "module": output.module,
            "version": output.version,
            "summary": output.summary.values,
            "output": output.summary.output,
            "counts": counts(output.counts),
            "coverage": {"status": output.coverage.status, "looked_at": output.coverage.looked_at},
            "artifacts": artifacts,
        });
        Self { status: "completed", value }
    }

    pub(super) fn workflow(output: &Value) -> Self {
        Self { status: "completed", value: json!({"status": "completed", "error": "", "output": output}) }
    }

    pub(super) fn approval(decision: &Decision) -> Self {
        let status = if decision.approved { "completed" } else { "rejected" };
        let value = json!({
            "status": status, "error": "", "approved": decision.approved, "by": decision.by,
            "comment": decision.comment, "at_ms": decision.at_ms,
        });
        Self { status, value }
    }

    pub(super) fn signal(payload: &Value) -> Self {
        Self { status: "completed", value: json!({"status": "completed", "error": "", "payload": payload}) }
    }

    pub(super) fn sleep() -> Self {
        Self { status: "completed", value: json!({"status": "completed", "error": ""}) }
    }

    pub(super) fn failed(action: &Action, error: &StepError) -> Self {
        Self::without_result(action, false, "failed", &error.to_string())
    }

    pub(super) fn skipped(action: &Action, repeats: bool) -> Self {
        Self::without_result(action, repeats, "skipped", "")
    }

    /// The same fields as with a result, empty, so that expressions need not ask which of them are there.
    fn without_result(action: &Action, repeats: bool, status: &'static str, error: &str) -> Self {
        let mut value = match action {
            _ if repeats => json!({"items": [], "counts": counts(SeverityCounts::default())}),
            Action::Module(module) => {
                let info = module.info();
                json!({
                    "module": info.name, "version": info.version, "summary": {}, "output": null,
                    "counts": counts(SeverityCounts::default()),
                    "coverage": {"status": "failed", "looked_at": {}}, "artifacts": [],
                })
            }
            Action::Workflow(_) => json!({"output": null}),
            Action::Approval(_) => json!({"approved": false, "by": "", "comment": "", "at_ms": 0}),
            Action::Signal(_) => json!({"payload": null}),
            Action::Sleep(_) => json!({}),
        };
        value["status"] = status.into();
        value["error"] = error.into();
        Self { status, value }
    }

    /// The outcomes of all items of a list.
    pub(super) fn items(outcomes: Vec<Self>) -> Self {
        let status = if outcomes.iter().all(Self::succeeded) { "completed" } else { "failed" };
        let mut sum = serde_json::Map::new();
        for (name, none) in counts(SeverityCounts::default()).as_object().into_iter().flatten() {
            let of =
                |outcome: &Self| outcome.value["counts"][name].as_u64().or(none.as_u64()).unwrap_or_default();
            sum.insert(name.clone(), outcomes.iter().map(of).sum::<u64>().into());
        }
        let items: Vec<Value> = outcomes.into_iter().map(|outcome| outcome.value).collect();
        let value = json!({"status": status, "error": "", "items": items, "counts": sum});
        Self { status, value }
    }
}

fn counts(counts: SeverityCounts) -> Value {
    json!({
        "critical": counts.critical, "high": counts.high, "medium": counts.medium, "low": counts.low,
        "info": counts.info, "total": counts.total(),
    })
}

/// The fields that a step has in expressions.
pub(super) fn fields(kind: &str, repeats: bool) -> &'static [&'static str] {
    match kind {
        _ if repeats => &["status", "error", "items", "counts"],
        "module" => {
            &["status", "error", "module", "version", "summary", "output", "counts", "coverage", "artifacts"]
        }
        "workflow" => &["status", "error", "output"],
        "approval" => &["status", "error", "approved", "by", "comment", "at_ms"],
        "signal" => &["status", "error", "payload"],
        _ => &["status", "error"],
    }
}
