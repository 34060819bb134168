//! Runs that take over what was done: in their own earlier history, or by another run.

use super::activities::Activities;
use super::backend::{TemporalBackend, root_cause};
use super::hosted::{Hosted, paged};
use super::messages::{Ended, Going, KeepTask, Order, PAYLOAD, RecallTask, Step};
use super::queue_of;
use crashwise_core::Fingerprint;
use crashwise_core::workflow::{StepError, StepErrorKind, StepKey};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use temporalio_common::RetryPolicy;
use temporalio_sdk::{
    ActivityOptions, ApplicationFailure, ContinueAsNewOptions, WorkflowCancellationToken, WorkflowContext,
    WorkflowResult,
};

/// The bytes of results that go to the server at once: closures that follow each other hand in together what they give, and a
/// message holds 4 MB.
const AT_ONCE: usize = 1 << 20;

/// The bytes of new results in a history beyond which the run goes on in a new one, as it does when there are many events.
const NEW: usize = 8 << 20;

/// The most bytes of results that a run takes along into a new history.
const TAKEN_ALONG: usize = 16 << 20;

/// The bytes of results in a history beyond which no step begins. The server ends a run at 50 MB, and results are in a history
/// twice: as they come, and as they are kept at its end.
const MOST_BYTES: usize = 20 << 20;

/// The events of a history beyond which no step begins: the server ends a run at 51,200.
const MOST_EVENTS: u32 = 45_000;

/// What a run takes over, as far as its workflow has not asked for it yet.
#[derive(Default)]
pub(super) struct Past {
    results: HashMap<StepKey, (Fingerprint, Result<Value, StepError>)>,
    /// Steps that wait: since when, and until when.
    waiting: HashMap<StepKey, (u64, Option<u64>)>,
    /// How many steps were taken over: those that are told of, and the others.
    told: usize,
    quiet: usize,
    /// The events of the history when everything was taken over.
    events: u32,
    /// The bytes of these results, and of all results so far.
    taken: usize,
    bytes: usize,
    /// The bytes of the results that the server has for certain.
    handed_in: usize,
    /// How many of the steps that are told of, and of the others, are in that.
    weighed: (usize, usize),
}

impl Past {
    /// The value under a key.
    pub(super) fn value(&self, key: &StepKey) -> Option<Value> {
        self.results.get(key)?.1.as_ref().ok().cloned()
    }
}

impl TemporalBackend {
    /// Reads what was done before.
    pub(super) async fn take_over(&self) -> Result<(), ApplicationFailure> {
        let order = self.order();
        let Some(carried) = order.carried.as_deref() else { return Ok(()) };
        let mut next = 0;
        for name in &carried.pages {
            let task = RecallTask { run: order.run.clone(), name: name.clone() };
            let read = self.ctx().execute_activity(Activities::recall, task, options(order, name)).await;
            let page = read.map_err(|error| ApplicationFailure::non_retryable(root_cause(&error)))?;
            let page: Vec<Step> = serde_json::from_value(page).map_err(ApplicationFailure::non_retryable)?;
            let (mut past, steps) = (self.past().borrow_mut(), self.steps());
            for step in page {
                next = next.max(step.end.index + 1);
                if let Some(result) = step.result() {
                    past.results.insert(step.end.key.clone(), (step.end.fp.clone(), result));
                }
                steps.lock().push(step);
            }
        }
        self.first_index(next);
        self.weigh();
        let (told, quiet) = {
            let steps = self.steps();
            let steps = steps.lock();
            (steps.told.len(), steps.quiet.len())
        };
        let mut past = self.past().borrow_mut();
        (past.told, past.quiet, past.events) = (told, quiet, self.ctx().history_length());
        (past.taken, past.handed_in) = (past.bytes, past.bytes);
        past.waiting =
            carried.waiting.iter().map(|(key, since, until)| (key.clone(), (*since, *until))).collect();
        drop(past);
        self.ctx().state_mut(|hosted| {
            let later = std::mem::replace(&mut hosted.mailbox, carried.mailbox.clone());
            hosted.mailbox.append(later);
            hosted.decided.clone_from(&carried.decided);
        });
        Ok(())
    }

    /// The result under a key that was taken over.
    pub(super) fn known(
        &self,
        key: &StepKey,
        fingerprint: &Fingerprint,
        kind: &str,
    ) -> Option<Result<Value, StepError>> {
        let (known, result) = self.past().borrow_mut().results.remove(key)?;
        if known == *fingerprint {
            return Some(result);
        }
        let message = format!("the code now asks for another {kind} there");
        Some(Err(StepError::new(key.clone(), StepErrorKind::NonDeterminism, message)))
    }

    /// Since when a step waits that waited before.
    pub(super) fn waiting_since(&self, key: &StepKey) -> Option<u64> {
        Some(self.past().borrow().waiting.get(key)?.0)
    }

    /// What is left of the time of a step that waits.
    pub(super) fn rest_of(&self, key: &StepKey, time: Duration) -> Duration {
        match self.past().borrow().waiting.get(key) {
            Some((_, Some(until))) => Duration::from_millis(until.saturating_sub(self.now_ms())),
            _ => time,
        }
    }

    /// Lets a step begin while the history is short. Where it is not, the run goes on in a new one when nothing runs any more,
    /// and the step waits for that.
    pub(super) async fn room(&self, key: &StepKey) -> Result<(), StepError> {
        let events = self.ctx().history_length();
        self.weigh();
        let (begun, taken, bytes, handed_in) = {
            let past = self.past().borrow();
            (past.events, past.taken, past.bytes, past.handed_in)
        };
        if bytes - handed_in > AT_ONCE {
            self.past().borrow_mut().handed_in = bytes;
            // What waits for the server has handed in everything before.
            let _ = self.ctx().timer(Duration::from_millis(1)).await;
        }
        if events.saturating_sub(begun) <= self.order().history && bytes - taken <= NEW {
            return Ok(());
        }
        let too_much = bytes > TAKEN_ALONG;
        if too_much && (events > MOST_EVENTS || bytes > MOST_BYTES) {
            let message = format!(
                "the history of the run has {events} events with {} MiB of results, and that is too large to go on in a new one: let the workflow run parts of it as children",
                bytes >> 20
            );
            return Err(StepError::new(key.clone(), StepErrorKind::Unsupported, message).with_attempts(0));
        }
        if !too_much {
            self.ctx().state_mut(|hosted| hosted.full = true);
            self.wait_for(|hosted| hosted.stopping.is_some()).await;
        }
        Ok(())
    }
}

impl TemporalBackend {
    /// Counts the bytes of the results that came since it was last asked.
    fn weigh(&self) {
        let steps = self.steps();
        let (steps, mut past) = (steps.lock(), self.past().borrow_mut());
        let (told, quiet) = past.weighed;
        past.bytes +=
            steps.told.iter().skip(told).chain(steps.quiet.iter().skip(quiet)).map(bytes_of).sum::<usize>();
        past.weighed = (steps.told.len(), steps.quiet.len());
    }
}

/// What is done when a history is full, before the workflow's code is let go.
pub(super) struct Snapshot {
    steps: Vec<Step>,
    waiting: Vec<(StepKey, u64, Option<u64>)>,
}

impl Snapshot {
    pub(super) fn of(backend: &TemporalBackend) -> Self {
        let (told, quiet) = {
            let past = backend.past().borrow();
            (past.told, past.quiet)
        };
        let steps = backend.steps();
        let steps = steps.lock();
        let new = steps.told.iter().skip(told).chain(steps.quiet.iter().skip(quiet));
        let going = backend.ctx().state(|hosted| hosted.going.values().cloned().collect::<Vec<Going>>());
        Self {
            steps: new.cloned().collect(),
            waiting: going.into_iter().map(|going| (going.key, going.since_ms, going.until_ms)).collect(),
        }
    }
}

/// Goes on in a new history.
pub(super) async fn carry_on(
    ctx: &WorkflowContext<Hosted>,
    backend: &TemporalBackend,
    snapshot: Snapshot,
    started_ms: u64,
) -> WorkflowResult<Ended> {
    let mut order = backend.order().clone();
    let mut carried = order.carried.take().unwrap_or_default();
    let left = backend.left();
    for page in paged(&snapshot.steps) {
        let name = page_name(carried.pages.len());
        let content = serde_json::to_value(page).map_err(ApplicationFailure::non_retryable)?;
        keep(ctx, &order, &name, content).await?;
        carried.pages.push(name);
    }
    // From here on nothing is waited for, so that no signal is lost.
    carried.waiting = snapshot.waiting;
    carried.started_ms = Some(started_ms);
    carried.left = left;
    (carried.mailbox, carried.decided) = ctx.state(|hosted| (hosted.mailbox.clone(), hosted.decided.clone()));
    order.carried = Some(carried);
    let bytes = serde_json::to_vec(&order).map_or(usize::MAX, |json| json.len());
    if bytes > PAYLOAD {
        let message = format!(
            "the run waits for nothing of what it was sent, {bytes} bytes, and cannot take it along into a new history"
        );
        return Err(ApplicationFailure::builder(message).non_retryable(true).build().into());
    }
    match ctx.continue_as_new(order, ContinueAsNewOptions::default())? {}
}

/// The name of a page of steps that are taken over.
pub(super) fn page_name(number: usize) -> String {
    format!("taken-{number}.json")
}

fn bytes_of(step: &Step) -> usize {
    serde_json::to_vec(step).map_or(0, |json| json.len())
}

/// Keeps something of a run in the store, whatever is cancelled and however long that takes.
pub(super) async fn keep(
    ctx: &WorkflowContext<Hosted>,
    order: &Order,
    name: &str,
    content: Value,
) -> Result<(), ApplicationFailure> {
    let task = KeepTask { run: order.run.clone(), name: name.to_owned(), content };
    let kept = ctx.execute_activity(Activities::keep, task, options(order, name)).await;
    kept.map_err(|error| ApplicationFailure::non_retryable(root_cause(&error)))
}

fn options(order: &Order, name: &str) -> ActivityOptions {
    let policy = RetryPolicy::builder()
        .initial_interval(Duration::from_secs(1))
        .maximum_interval(Duration::from_secs(10))
        .maximum_attempts(0)
        .build();
    ActivityOptions::with_start_to_close_timeout(Duration::from_mins(1))
        .activity_id(name.to_owned())
        .task_queue(queue_of(&order.vertical))
        .cancellation_token(WorkflowCancellationToken::new())
        .retry_policy(policy)
        .build()
}
