//! Steps that wait: for time, for a signal, for a person.

use super::state::{Doing, RunState};
use super::step::{Begin, Underway};
use super::{after, at, millis};
use crate::RunEventKind;
use crate::journal::Event;
use crashwise_core::workflow::{ApprovalRequest, StepError, StepErrorKind, StepKey};
use serde_json::Value;
use std::rc::Rc;
use std::time::Duration;

pub(super) async fn sleep(run: Rc<RunState>, step: Begin, time: Duration) -> Result<Value, StepError> {
    if run.stopping.get().is_some() {
        return Err(step.cancelled(&run));
    }
    let left = time_left(&run, &step.key, time);
    let underway = Underway::new(&run, step, String::new());
    let _waiting = run.doing(Doing::Timer);
    tokio::select! {
        biased;
        () = run.stop.cancelled() => underway.cancelled().await,
        () = at(after(left)) => underway.value(Value::Null).await,
    }
}

/// What is left of a wait. The first time it is journaled until when it lasts; after a restart, what the time of day says,
/// but never more than the whole.
fn time_left(run: &RunState, key: &StepKey, time: Duration) -> Duration {
    let now = run.now_ms();
    let known = run.memo.borrow_mut().until.remove(key);
    if let Some(until) = known {
        return Duration::from_millis(until.saturating_sub(now)).min(time);
    }
    run.note(Event::Waiting { key: key.clone(), until_ms: now.saturating_add(millis(time)) });
    time
}

pub(super) async fn signal(run: Rc<RunState>, step: Begin, name: String) -> Result<Value, StepError> {
    if run.stopping.get().is_some() {
        return Err(step.cancelled(&run));
    }
    run.note(Event::StepStarted {
        key: step.key.clone(),
        fp: step.fingerprint.clone(),
        kind: step.kind.to_owned(),
        module: name.clone(),
    });
    let underway = Underway::new(&run, step, name.clone());
    let arrived = {
        let _waiting = run.doing(Doing::Waiting);
        tokio::select! {
            biased;
            () = run.stop.cancelled() => None,
            value = run.until(|run| run.mailbox.borrow_mut().take_signal(&name)) => Some(value),
        }
    };
    match arrived {
        Some(value) => underway.value(value).await,
        None => underway.cancelled().await,
    }
}

pub(super) async fn approval(
    run: Rc<RunState>,
    step: Begin,
    request: ApprovalRequest,
) -> Result<Value, StepError> {
    if run.stopping.get().is_some() {
        return Err(step.cancelled(&run));
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
    run.note(Event::ApprovalRequested {
        key: step.key.clone(),
        until_ms: left.map(|left| now.saturating_add(millis(left))),
        request: request.clone(),
    });
    let underway = Underway::new(&run, step, request.name.clone());
    let decided = {
        let _waiting = run.doing(Doing::Waiting);
        tokio::select! {
            biased;
            () = run.stop.cancelled() => None,
            decision = run.until(|run| run.mailbox.borrow_mut().take_decision(&request.name)) => Some(Some(decision)),
            () = at(left.and_then(after)) => Some(None),
        }
    };
    match decided {
        None => underway.cancelled().await,
        Some(Some(decision)) => match serde_json::to_value(decision) {
            Ok(value) => underway.value(value).await,
            Err(error) => {
                let error = underway.step.error(StepErrorKind::Failed, error.to_string());
                underway.fail(error).await
            }
        },
        Some(None) => {
            let message = format!("nobody decided on {:?} in time", request.name);
            let error = underway.step.error(StepErrorKind::TimedOut, message);
            underway.fail(error).await
        }
    }
}
