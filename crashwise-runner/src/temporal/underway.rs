//! A step of a hosted workflow, from its begin to its line.

use super::backend::TemporalBackend;
use super::hosted::Counts;
use super::messages::{Going, Step, StepDone, StepNotDone};
use crate::CacheHit;
use crate::journal::{Outcome, StepEnd};
use crashwise_core::workflow::{Decision, StepError, StepErrorKind, StepKey};
use crashwise_core::{ArtifactRef, Fingerprint, RunId};
use serde_json::Value;
use temporalio_sdk::WorkflowCancellationToken;

/// A token that is cancelled when this is dropped.
pub(super) struct CancelOnDrop(WorkflowCancellationToken);

impl CancelOnDrop {
    pub(super) fn new(parent: &WorkflowCancellationToken) -> Self {
        Self(parent.child_token())
    }

    pub(super) fn token(&self) -> &WorkflowCancellationToken {
        &self.0
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

type Count = fn(&mut Counts) -> &mut u32;

/// A step that was begun. Dropped without an end, it was cancelled.
pub(super) struct Underway {
    backend: TemporalBackend,
    key: StepKey,
    fingerprint: Fingerprint,
    kind: &'static str,
    module: String,
    version: String,
    cleanup: bool,
    index: u32,
    attempts: u32,
    started_ms: u64,
    cached: Option<CacheHit>,
    child: Option<RunId>,
    decision: Option<Decision>,
    whole: Option<ArtifactRef>,
    counted: Option<Count>,
    /// How many steps had ended when it began.
    after: usize,
    over: bool,
}

impl Underway {
    pub(super) fn new(
        backend: &TemporalBackend,
        key: StepKey,
        fingerprint: Fingerprint,
        kind: &'static str,
        module: &str,
        cleanup: bool,
    ) -> Self {
        let since = backend.waiting_since(&key);
        Self {
            key,
            fingerprint,
            kind,
            module: module.to_owned(),
            version: String::new(),
            cleanup,
            index: backend.take_index(),
            attempts: 1,
            started_ms: since.unwrap_or_else(|| backend.now_ms()),
            cached: None,
            child: None,
            decision: None,
            whole: None,
            counted: None,
            after: backend.steps().lock().told.len(),
            over: false,
            backend: backend.clone(),
        }
    }

    pub(super) fn key(&self) -> &StepKey {
        &self.key
    }

    pub(super) fn module(&self) -> &str {
        &self.module
    }

    pub(super) fn is_cleanup(&self) -> bool {
        self.cleanup
    }

    /// What the work of the step hangs from. It stops when what is returned is dropped.
    pub(super) fn token(&self) -> CancelOnDrop {
        if self.cleanup {
            CancelOnDrop::new(&WorkflowCancellationToken::new())
        } else {
            CancelOnDrop::new(self.backend.group())
        }
    }

    pub(super) fn begin(&mut self, count: Count) {
        self.begin_until(count, None);
    }

    /// Shows that the step goes on.
    pub(super) fn begin_until(&mut self, count: Count, until_ms: Option<u64>) {
        let going = Going {
            key: self.key.clone(),
            kind: self.kind.into(),
            module: self.module.clone(),
            since_ms: self.started_ms,
            until_ms,
        };
        self.counted = Some(count);
        self.backend.ctx().state_mut(|hosted| {
            hosted.going.insert(self.key.clone(), going);
            *count(&mut hosted.counts) += 1;
        });
    }

    pub(super) fn set_child(&mut self, run: RunId, version: String) {
        self.child = Some(run);
        self.version = version;
    }

    pub(super) fn set_decision(&mut self, decision: Decision) {
        self.decision = Some(decision);
    }

    pub(super) fn error(&self, kind: StepErrorKind, message: impl Into<String>) -> StepError {
        StepError::new(self.key.clone(), kind, message).with_attempts(self.attempts)
    }

    /// The result of a module or closure.
    pub(super) fn done(mut self, done: StepDone) -> Result<Value, StepError> {
        self.attempts = done.attempts;
        self.cached = done.cached;
        self.whole = done.whole;
        if !done.output.module.is_empty() {
            self.version.clone_from(&done.output.version);
        }
        match serde_json::to_value(&done.output) {
            Ok(value) => self.value(value),
            Err(error) => {
                let error = self.error(StepErrorKind::Failed, format!("its output is not JSON: {error}"));
                self.fail(error)
            }
        }
    }

    pub(super) fn not_done(mut self, mut failure: StepNotDone) -> Result<Value, StepError> {
        self.attempts = failure.attempts;
        self.version.clone_from(&failure.version);
        let partial = failure.partial.take();
        if failure.kind == StepErrorKind::Cancelled && failure.message.is_empty() {
            self.backend.why_stopped().clone_into(&mut failure.message);
        }
        let error = failure.error(&self.key);
        if let Some(partial) = partial {
            self.whole.clone_from(&partial.whole);
            let partial = Some(Box::new(partial.output));
            return self.end(Outcome::Error { error, partial, child: None });
        }
        self.fail(error)
    }

    pub(super) fn value(self, value: Value) -> Result<Value, StepError> {
        self.end(Outcome::Value { value, child: None })
    }

    pub(super) fn fail(self, error: StepError) -> Result<Value, StepError> {
        self.end(Outcome::Error { error, partial: None, child: None })
    }

    pub(super) fn cancelled(self) -> Result<Value, StepError> {
        let error = self.error(StepErrorKind::Cancelled, self.backend.why_stopped());
        self.fail(error)
    }

    fn end(mut self, outcome: Outcome) -> Result<Value, StepError> {
        self.over(&outcome);
        match outcome {
            Outcome::Value { value, .. } => Ok(value),
            Outcome::Error { error, .. } => Err(error),
        }
    }

    fn over(&mut self, outcome: &Outcome) {
        self.over = true;
        let now = self.backend.now_ms();
        let end = StepEnd {
            key: self.key.clone(),
            fp: self.fingerprint.clone(),
            index: self.index,
            kind: self.kind.into(),
            module: std::mem::take(&mut self.module),
            version: std::mem::take(&mut self.version),
            attempts: if self.cached.is_some() { 0 } else { self.attempts },
            started_ms: self.started_ms,
            duration_ms: now.saturating_sub(self.started_ms),
            cached: self.cached,
            used_ms: None,
            cleanup: self.cleanup,
            child: self.child.take(),
            outcome: outcome.clone(),
        };
        let (decision, whole) = (self.decision.take(), self.whole.take());
        self.backend.steps().lock().push(Step { end, decision, whole, after: self.after });
        let (key, counted) = (&self.key, self.counted.take());
        self.backend.ctx().state_mut(|hosted| {
            hosted.going.remove(key);
            if let Some(count) = counted {
                *count(&mut hosted.counts) -= 1;
            }
        });
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        if !self.over {
            let error = self.error(StepErrorKind::Cancelled, self.backend.why_stopped());
            self.over(&Outcome::Error { error, partial: None, child: None });
        }
    }
}
