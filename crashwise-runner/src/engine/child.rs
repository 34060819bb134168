//! Steps that are runs of other workflows.

use super::core::{Begun, Known};
use super::live::{Live, Progress};
use super::millis;
use super::state::RunState;
use super::step::{Begin, Underway};
use crate::failpoint;
use crate::journal::{ChildFound, Event, Outcome, Submission};
use crate::{JournalError, RunEventKind, RunReport, RunStatus};
use crashwise_core::workflow::{ChildCall, StepError, StepErrorKind, StepFailure, StepKey};
use crashwise_core::{Fingerprint, RunId};
use serde_json::Value;
use std::rc::Rc;
use std::sync::Arc;

pub(super) async fn child(run: Rc<RunState>, step: Begin, call: ChildCall) -> Result<Value, StepError> {
    if !run
        .until(
            |run| {
                if run.stopping.get().is_some() { Some(false) } else { (!run.paused.get()).then_some(true) }
            },
        )
        .await
    {
        return Err(step.cancelled(&run));
    }
    let mut underway = Underway::new(&run, step, call.name.clone());
    failpoint::pass("before child");
    let live = match begin_child(&run, &underway.step.key, call).await {
        Ok(live) => live,
        Err(ChildProblem::Step(failure)) => {
            let error = failure.at(underway.step.key.clone(), 0);
            return underway.fail(error).await;
        }
        Err(ChildProblem::Journal(error)) => return run.break_off(error).await,
    };
    failpoint::pass("after child");
    underway.child = Some(live.submission.id.clone());
    underway.version.clone_from(&live.submission.version);
    run.note(|| Event::StepStarted {
        key: underway.step.key.clone(),
        fp: underway.step.fingerprint.clone(),
        kind: underway.step.kind.into(),
        module: underway.module.clone(),
    });
    run.tell(|| RunEventKind::ChildStarted {
        step: underway.step.key.clone(),
        child: live.submission.id.clone(),
    });
    let _watched = ChildGuard::new(&run, &live);
    let mut progress = live.watch();
    let ended = loop {
        let now = progress.now();
        run.change();
        match now {
            Progress::Ended(report) => break report,
            // The process is giving up this run as well.
            Progress::Lost(_) => std::future::pending().await,
            Progress::At(_) => {}
        }
        progress.changed().await;
    };
    let found = Some(Box::new(ChildFound::of(&ended)));
    let message = ended.error.clone().unwrap_or_default();
    let outcome = match ended.status {
        RunStatus::Completed => Outcome::Value { value: ended.output.clone(), child: found },
        RunStatus::Cancelled if run.stopping.get().is_some() => {
            Outcome::Error { error: underway.step.cancelled(&run), partial: None, child: found }
        }
        status => {
            let message = format!("{status}{}{message}", if message.is_empty() { "" } else { ": " });
            let error = underway.step.error(StepErrorKind::Child, message).with_attempts(1);
            Outcome::Error { error, partial: None, child: found }
        }
    };
    underway.finish(outcome).await
}

enum ChildProblem {
    Step(StepFailure),
    Journal(JournalError),
}

async fn begin_child(run: &Rc<RunState>, key: &StepKey, call: ChildCall) -> Result<Arc<Live>, ChildProblem> {
    let known = match call.workflow {
        Some(code) => Known::new(code),
        None => run.core.known(&call.name).cloned(),
    };
    let refused = |kind, error: String| ChildProblem::Step(StepFailure::new(kind, error));
    let known = known.map_err(|error| refused(StepErrorKind::NotFound, error.chain()))?;
    let params = known
        .metadata
        .check_parameters(call.params)
        .map_err(|problems| refused(StepErrorKind::Config, problems.to_string()))?;
    let parent = &run.live.submission;
    let submission = Arc::new(Submission {
        id: child_id(&parent.id, key).map_err(|error| refused(StepErrorKind::Failed, error.to_string()))?,
        workflow: known.metadata.name.clone(),
        version: known.metadata.version.to_string(),
        target: parent.target.clone(),
        params: params.into(),
        timeout_ms: known.metadata.requirements.resources.timeout.map(|limit| millis(limit.duration())),
        priority: parent.priority,
        use_cache: parent.use_cache,
        require_sandbox: parent.require_sandbox,
        isolation: parent.isolation,
        idempotency_key: None,
        parent: Some(parent.id.clone()),
        forked_from: None,
        at_ms: run.now_ms(),
    });
    let cancel = run.stop.child_token();
    match run.core.begin(Arc::clone(&submission), known.clone(), cancel.clone()).await {
        Ok(Begun::New(live) | Begun::Exists { live: Some(live), .. }) => Ok(live),
        // It was begun before a restart.
        Ok(Begun::Exists { live: None, .. }) => Ok(run.core.carry_on(submission, known, cancel, None)),
        Err(error) => Err(ChildProblem::Journal(error)),
    }
}

/// The id of a child: the same each time the parent comes by, and sorted by the time of its parent.
pub(crate) fn child_id(parent: &RunId, key: &StepKey) -> Result<RunId, crashwise_core::InvalidId> {
    let time: String = parent.as_str().chars().take(13).collect();
    let digest = Fingerprint::of(["child", parent.as_str(), key.as_str()]);
    RunId::new(format!("{time}-{}", &digest.as_str()[..20]))
}

impl ChildFound {
    fn of(report: &RunReport) -> Self {
        Self {
            coverage: report.coverage.clone(),
            counts: report.counts,
            findings: report.steps.iter().flat_map(|step| step.findings.clone()).collect(),
            artifacts: report.artifacts().cloned().collect(),
        }
    }
}

/// A child that the run waits for. Dropped before the child ended, it cancels it.
struct ChildGuard<'r> {
    run: &'r Rc<RunState>,
    live: Arc<Live>,
}

impl<'r> ChildGuard<'r> {
    fn new(run: &'r Rc<RunState>, live: &Arc<Live>) -> Self {
        run.children.borrow_mut().push(Arc::clone(live));
        Self { run, live: Arc::clone(live) }
    }
}

impl Drop for ChildGuard<'_> {
    fn drop(&mut self) {
        self.run.children.borrow_mut().retain(|child| !Arc::ptr_eq(child, &self.live));
        if !self.run.halted.get() {
            self.live.cancel.cancel();
        }
    }
}
