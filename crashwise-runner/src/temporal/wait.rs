//! Steps that wait: for time, for a signal, for a person.

use super::backend::TemporalBackend;
use super::underway::Underway;
use crate::engine::millis;
use crashwise_core::workflow::{ApprovalRequest, StepError, StepErrorKind};
use futures::future::{Either, select};
use serde_json::Value;
use std::pin::pin;
use std::time::Duration;

pub(super) async fn sleep(
    run: &TemporalBackend,
    mut step: Underway,
    time: Duration,
) -> Result<Value, StepError> {
    if run.is_stopped() {
        return step.cancelled();
    }
    let time = run.rest_of(step.key(), time);
    step.begin_until(|counts| &mut counts.timers, Some(run.now_ms().saturating_add(millis(time))));
    let token = step.token();
    let (timer, stopped) = (pin!(run.timer(time)), pin!(token.token().cancelled()));
    let over = matches!(select(stopped, timer).await, Either::Right(_));
    if over { step.value(Value::Null) } else { step.cancelled() }
}

pub(super) async fn signal(run: &TemporalBackend, mut step: Underway) -> Result<Value, StepError> {
    if run.is_stopped() {
        return step.cancelled();
    }
    step.begin(|counts| &mut counts.waiting);
    let name = step.module().to_owned();
    let token = step.token();
    loop {
        let arrived = pin!(run.wait_for(|hosted| hosted.mailbox.has_signal(&name)));
        let stopped = pin!(token.token().cancelled());
        if let Either::Left(_) = select(stopped, arrived).await {
            return step.cancelled();
        }
        // Another part of the workflow may have been faster.
        if let Some(value) = run.ctx().state_mut(|hosted| hosted.mailbox.take_signal(&name)) {
            return step.value(value);
        }
    }
}

pub(super) async fn approval(
    run: &TemporalBackend,
    mut step: Underway,
    request: ApprovalRequest,
) -> Result<Value, StepError> {
    if run.is_stopped() {
        return step.cancelled();
    }
    let ApprovalRequest { name, timeout, .. } = request.clone();
    let timeout = timeout.map(|time| run.rest_of(step.key(), time));
    step.begin_until(
        |counts| &mut counts.waiting,
        timeout.map(|time| run.now_ms().saturating_add(millis(time))),
    );
    let asked = Asked::new(run, &step, request);
    let token = step.token();
    let limit = pin!(async {
        match timeout {
            Some(time) => run.timer(time).await,
            None => std::future::pending().await,
        }
    });
    let decided = pin!(async {
        loop {
            run.wait_for(|hosted| hosted.mailbox.has_decision(&name)).await;
            if let Some(decision) = run.ctx().state_mut(|hosted| hosted.mailbox.take_decision(&name)) {
                return decision;
            }
        }
    });
    let stopped = pin!(token.token().cancelled());
    let outcome = select(stopped, select(decided, limit)).await;
    drop(asked);
    match outcome {
        Either::Left(_) => step.cancelled(),
        Either::Right((Either::Left((decision, _)), _)) => match serde_json::to_value(&decision) {
            Ok(value) => {
                run.ctx().state_mut(|hosted| hosted.decided.push(name.clone()));
                step.set_decision(decision);
                step.value(value)
            }
            Err(error) => {
                let error = step.error(StepErrorKind::Failed, error.to_string());
                step.fail(error)
            }
        },
        Either::Right((Either::Right(_), _)) => {
            let message = format!("nobody decided on {name:?} in time");
            let error = step.error(StepErrorKind::TimedOut, message);
            step.fail(error)
        }
    }
}

/// A question that is shown until this is dropped.
struct Asked {
    run: TemporalBackend,
    key: crashwise_core::workflow::StepKey,
}

impl Asked {
    fn new(run: &TemporalBackend, step: &Underway, request: ApprovalRequest) -> Self {
        run.ctx().state_mut(|hosted| {
            hosted.decided.retain(|name| *name != request.name);
            hosted.asking.insert(step.key().clone(), request)
        });
        Self { run: run.clone(), key: step.key().clone() }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.run.ctx().state_mut(|hosted| hosted.asking.remove(&self.key));
    }
}
