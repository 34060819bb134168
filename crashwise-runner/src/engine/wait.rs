//! Steps that wait: for time, for a signal, for a person. Their futures hold little, because many runs wait for long.

use super::state::{Doing, RunState};
use super::step::{Begin, Underway};
use super::{after, at, millis};
use crate::RunEventKind;
use crate::failpoint;
use crate::journal::Event;
use crashwise_core::workflow::{ApprovalRequest, StepError, StepErrorKind, StepKey};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::Value;
use std::future::ready;
use std::rc::Rc;
use std::time::Duration;

type Waiting = LocalBoxFuture<'static, Result<Value, StepError>>;

pub(super) fn sleep(run: &Rc<RunState>, step: Begin, time: Duration) -> Waiting {
    if run.stopping.get().is_some() {
        return ready(Err(step.cancelled(run))).boxed_local();
    }
    let left = time_left(run, &step.key, time);
    let underway = Underway::new(run, step, String::new());
    async move {
        let waiting = underway.run.doing(Doing::Timer);
        let stopped = tokio::select! {
            biased;
            () = underway.run.stop.cancelled() => true,
            () = at(after(left)) => false,
        };
        drop(waiting);
        if stopped { underway.cancelled() } else { underway.value(Value::Null) }.await
    }
    .boxed_local()
}

/// What is left of a wait. The first time it is journaled until when it lasts; after a restart, what the time of day says,
/// but never more than the whole.
fn time_left(run: &RunState, key: &StepKey, time: Duration) -> Duration {
    let now = run.now_ms();
    let known = run.memo.borrow_mut().until.remove(key);
    if let Some(until) = known {
        return Duration::from_millis(until.saturating_sub(now)).min(time);
    }
    failpoint::pass("before timer");
    run.note(|| Event::Waiting { key: key.clone(), until_ms: now.saturating_add(millis(time)) });
    failpoint::pass("after timer");
    time
}

pub(super) fn signal(run: &Rc<RunState>, step: Begin, name: String) -> Waiting {
    if run.stopping.get().is_some() {
        return ready(Err(step.cancelled(run))).boxed_local();
    }
    run.note(|| Event::StepStarted {
        key: step.key.clone(),
        fp: step.fingerprint.clone(),
        kind: step.kind.into(),
        module: name.clone(),
    });
    let underway = Underway::new(run, step, name);
    async move {
        let waiting = underway.run.doing(Doing::Waiting);
        let arrived = tokio::select! {
            biased;
            () = underway.run.stop.cancelled() => None,
            value = underway.run.until(|run| run.mailbox.borrow_mut().take_signal(&underway.module)) => Some(value),
        };
        drop(waiting);
        match arrived {
            Some(value) => underway.value(value),
            None => underway.cancelled(),
        }
        .await
    }
    .boxed_local()
}

pub(super) fn approval(run: &Rc<RunState>, step: Begin, request: ApprovalRequest) -> Waiting {
    if run.stopping.get().is_some() {
        return ready(Err(step.cancelled(run))).boxed_local();
    }
    let now = run.now_ms();
    let known = run.memo.borrow_mut().until.remove(&step.key);
    let left = request.timeout.map(|time| match known {
        Some(until) => Duration::from_millis(until.saturating_sub(now)).min(time),
        None => time,
    });
    run.tell(|| RunEventKind::ApprovalRequested {
        name: request.name.clone(),
        prompt: request.prompt.clone(),
    });
    let underway = Underway::new(run, step, request.name.clone());
    run.note(|| Event::ApprovalRequested {
        key: underway.step.key.clone(),
        until_ms: left.map(|left| now.saturating_add(millis(left))),
        request,
    });
    decide(underway, left).boxed_local()
}

async fn decide(underway: Underway, left: Option<Duration>) -> Result<Value, StepError> {
    let waiting = underway.run.doing(Doing::Waiting);
    let decided = tokio::select! {
        biased;
        () = underway.run.stop.cancelled() => None,
        decision = underway.run.until(|run| run.mailbox.borrow_mut().take_decision(&underway.module)) => {
            Some(Some(decision))
        }
        () = at(left.and_then(after)) => Some(None),
    };
    drop(waiting);
    match decided {
        None => underway.cancelled(),
        Some(Some(decision)) => match serde_json::to_value(decision) {
            Ok(value) => underway.value(value),
            Err(error) => {
                let error = underway.step.error(StepErrorKind::Failed, error.to_string());
                underway.fail(error)
            }
        },
        Some(None) => {
            let message = format!("nobody decided on {:?} in time", underway.module);
            let error = underway.step.error(StepErrorKind::TimedOut, message);
            underway.fail(error)
        }
    }
    .await
}
