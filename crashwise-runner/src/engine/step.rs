//! A step from its begin to its end in the journal.

use super::millis;
use super::state::RunState;
use crate::journal::{Event, Outcome, StepEnd};
use crate::{CacheHit, RunStatus};
use crashwise_core::workflow::{StepError, StepErrorKind, StepKey};
use crashwise_core::{Coverage, Fingerprint, ModuleOutput, RunId, SeverityCounts};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::{Map, Value};
use std::rc::Rc;
use std::time::Instant;

/// A step of which nothing is journaled yet.
pub(super) struct Begin {
    pub(super) kind: &'static str,
    pub(super) key: StepKey,
    pub(super) fingerprint: Fingerprint,
    pub(super) detached: bool,
}

impl Begin {
    pub(super) fn error(&self, kind: StepErrorKind, message: impl Into<String>) -> StepError {
        StepError::new(self.key.clone(), kind, message).with_attempts(0)
    }

    pub(super) fn cancelled(&self, run: &RunState) -> StepError {
        self.error(StepErrorKind::Cancelled, why_stopped(run))
    }
}

/// Why steps of a run are being stopped.
pub(crate) fn why_stopped(run: &RunState) -> &'static str {
    match run.stopping.get() {
        Some(RunStatus::TimedOut) => "the run ran out of time",
        Some(_) => "the run was cancelled",
        None => "nobody waits for it any more",
    }
}

/// A step that was begun. Dropped without an end, it is journaled as cancelled.
pub(super) struct Underway {
    pub(super) run: Rc<RunState>,
    pub(super) step: Begin,
    pub(super) module: String,
    pub(super) version: String,
    pub(super) index: u32,
    pub(super) attempts: u32,
    pub(super) started_ms: u64,
    pub(super) started: Instant,
    pub(super) child: Option<RunId>,
    pub(super) cached: Option<CacheHit>,
    pub(super) over: bool,
}

impl Underway {
    pub(super) fn new(run: &Rc<RunState>, step: Begin, module: String) -> Self {
        Self {
            run: Rc::clone(run),
            step,
            module,
            version: String::new(),
            index: run.take_index(),
            attempts: 1,
            started_ms: run.now_ms(),
            started: Instant::now(),
            child: None,
            cached: None,
            over: false,
        }
    }

    pub(super) fn end(&mut self, outcome: Outcome) -> StepEnd {
        self.over = true;
        StepEnd {
            key: self.step.key.clone(),
            fp: self.step.fingerprint.clone(),
            index: self.index,
            kind: self.step.kind.into(),
            module: std::mem::take(&mut self.module),
            version: std::mem::take(&mut self.version),
            attempts: self.attempts,
            started_ms: self.started_ms,
            duration_ms: millis(self.started.elapsed()),
            cached: self.cached,
            used_ms: Some(millis(self.run.used())),
            cleanup: self.step.detached,
            child: self.child.take(),
            outcome,
        }
    }

    /// Journals the end and waits until it is durable.
    pub(super) async fn finish(self, outcome: Outcome) -> Result<Value, StepError> {
        self.finish_with(outcome, None).await
    }

    async fn finish_with(
        mut self,
        outcome: Outcome,
        output: Option<ModuleOutput>,
    ) -> Result<Value, StepError> {
        let end = Box::new(self.end(outcome));
        let run = Rc::clone(&self.run);
        drop(self);
        run.report(&end, output);
        let event = Event::StepEnded(end);
        run.keep(&event).await;
        let Event::StepEnded(end) = event else { unreachable!("it was made above") };
        match end.outcome {
            Outcome::Value { value, .. } => Ok(value),
            Outcome::Error { error, .. } => Err(error),
        }
    }

    pub(super) fn value(self, value: Value) -> LocalBoxFuture<'static, Result<Value, StepError>> {
        self.finish(Outcome::Value { value, child: None }).boxed_local()
    }

    pub(super) fn output(
        self,
        mut output: ModuleOutput,
    ) -> LocalBoxFuture<'static, Result<Value, StepError>> {
        let value =
            if self.step.kind == "closure" { of_closure(&mut output) } else { serde_json::to_value(&output) };
        match value {
            Ok(value) => self.finish_with(Outcome::Value { value, child: None }, Some(output)).boxed_local(),
            Err(error) => {
                let error =
                    self.step.error(StepErrorKind::Failed, format!("its output is not JSON: {error}"));
                self.fail(error)
            }
        }
    }

    pub(super) fn fail(self, error: StepError) -> LocalBoxFuture<'static, Result<Value, StepError>> {
        self.finish(Outcome::Error { error, partial: None, child: None }).boxed_local()
    }

    pub(super) fn cancelled(self) -> LocalBoxFuture<'static, Result<Value, StepError>> {
        let error = self.step.cancelled(&self.run);
        self.fail(error)
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        // A run that this process gives up goes on elsewhere: its steps did not end.
        if self.over || self.run.halted.get() {
            return;
        }
        let error = self.step.cancelled(&self.run).with_attempts(self.attempts);
        let end = self.end(Outcome::Error { error, partial: None, child: None });
        self.run.report(&end, None);
        self.run.note(|| Event::StepEnded(Box::new(end)));
    }
}

/// A value with one name in it.
pub(super) fn object(name: &str, value: Value) -> Value {
    let mut map = Map::new();
    map.insert(name.to_owned(), value);
    Value::Object(map)
}

/// The output of a closure as it is journaled: of one that found nothing, which most do, only its result.
fn of_closure(output: &mut ModuleOutput) -> serde_json::Result<Value> {
    let is_plain = output.module.is_empty()
        && output.version.is_empty()
        && output.counts == SeverityCounts::default()
        && output.findings.is_none()
        && output.artifacts.is_empty()
        && output.coverage == Coverage::new()
        && output.summary.values.is_empty();
    if !is_plain {
        return serde_json::to_value(&*output);
    }
    Ok(object("summary", object("output", output.summary.output.take())))
}
