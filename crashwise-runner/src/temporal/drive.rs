//! Carries out one hosted run, from its begin to what is kept of it.

use super::again::{Snapshot, carry_on, keep};
use super::backend::TemporalBackend;
use super::hosted::{Hosted, paged};
use super::messages::{DefinitionText, Ended, Kept, Order, PAYLOAD, RELEASE, Step};
use crate::RunStatus;
use crate::definition::{Definition, Source};
use crate::engine::{Known, panic_text};
use crashwise_core::error_chain;
use crashwise_core::workflow::{Session, StepKey, WorkflowError};
use futures::FutureExt;
use futures::future::{Either, select};
use serde_json::Value;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use temporalio_common::MemoValue;
use temporalio_sdk::{ApplicationFailure, WorkflowContext, WorkflowResult, WorkflowTermination};

/// How long a workflow that is being stopped may take, cleanup left out: its steps hear of it with their next heartbeat.
const STOP_LIMIT: Duration = Duration::from_secs(6);

/// How the workflow's code ended.
enum Body {
    Returned(Result<Value, WorkflowError>),
    Panicked(String),
    /// It was dropped, because it did not end when it was stopped.
    Dropped,
    /// It goes on in a new history.
    Full(Snapshot),
}

pub(super) async fn carry_out(
    ctx: &mut WorkflowContext<Hosted>,
    backend: TemporalBackend,
) -> WorkflowResult<Ended> {
    let order = backend.order().clone();
    let known = match own(ctx, &order) {
        Ok(known) => known,
        Err(problem) => {
            let failure = ApplicationFailure::builder(problem).type_name("refused".to_owned());
            return Err(failure.non_retryable(true).build().into());
        }
    };
    let before = order.carried.as_ref().and_then(|carried| carried.started_ms);
    let started_ms = before.unwrap_or_else(|| backend.now_ms());
    backend.take_over().await?;
    let session = Session::new(known.code, Rc::new(backend.clone()));
    let body = {
        let run = AssertUnwindSafe(session.run(order.params.clone())).catch_unwind();
        let control = pin!(control(ctx, &backend));
        let relay = pin!(backend.relay());
        let rest = pin!(backend.show_rest());
        let control = select(control, select(relay, rest));
        let full = pin!(backend.wait_for(Hosted::can_be_carried_on));
        match select(run.boxed_local(), select(control, full)).await {
            Either::Left((Ok(result), _)) => Body::Returned(result),
            Either::Left((Err(panic), _)) => Body::Panicked(panic_text(panic.as_ref())),
            Either::Right((Either::Left(_), _)) => Body::Dropped,
            // What waits is asked while it still does.
            Either::Right((Either::Right(_), _waiting)) => Body::Full(Snapshot::of(&backend)),
        }
    };
    if let Body::Full(snapshot) = body {
        return carry_on(ctx, &backend, snapshot, started_ms).await;
    }
    if matches!(body, Body::Returned(Ok(_))) {
        // A pause holds back the end as well.
        backend.wait_for(|hosted| !hosted.paused || hosted.stopping.is_some()).await;
    }
    let stopped = ctx.state(|hosted| hosted.stopping);
    let failed_step = match &body {
        Body::Returned(Err(WorkflowError::Rejected { approval, .. })) => asked(ctx, approval),
        Body::Returned(Err(error)) => error.step().map(|step| step.step.clone()),
        _ => None,
    };
    let (mut status, mut output, mut error) = match (body, stopped) {
        (_, Some(status)) => (status, Value::Null, None),
        (Body::Returned(Ok(output)), None) => (RunStatus::Completed, output, None),
        (Body::Returned(Err(error)), None) => (RunStatus::Failed, Value::Null, Some(error_chain(&error))),
        (Body::Panicked(text), None) => {
            (RunStatus::Failed, Value::Null, Some(format!("workflow panicked: {text}")))
        }
        (Body::Dropped | Body::Full(_), None) => (RunStatus::Cancelled, Value::Null, None),
    };
    // Steps that nobody waits for any more are stopped; none begins now.
    backend.stop_steps("nobody waits for it any more");
    session.unwind(status == RunStatus::Completed).await;
    let bytes = output.to_string().len();
    if bytes > PAYLOAD / 2 {
        error = Some(format!(
            "the output of the workflow has {bytes} bytes, and Temporal carries {}: keep it as an artifact",
            PAYLOAD / 2
        ));
        (status, output) = (RunStatus::Failed, Value::Null);
    }
    let duration_ms = backend.now_ms().saturating_sub(started_ms);
    let mut ended = Ended { status, output, error, failed_step, started_ms, duration_ms, pages: 0 };
    keep_all(ctx, &backend, &mut ended).await?;
    if order.parent.is_some() {
        return Ok(ended);
    }
    match ended.status {
        RunStatus::Completed => Ok(ended),
        RunStatus::Cancelled => Err(WorkflowTermination::cancelled()),
        status => {
            // The list of runs has no other place for it.
            let word = MemoValue::new(status.as_str().to_owned());
            ctx.upsert_memo([("status", Some(word))])?;
            let message = ended.error.unwrap_or_else(|| status.ended().to_owned());
            let failure = ApplicationFailure::builder(message).type_name(status.as_str().to_owned());
            Err(failure.non_retryable(true).build().into())
        }
    }
}

/// The code of a workflow: as data if that came with the order, else the worker's own.
pub(super) fn find(ctx: &WorkflowContext<Hosted>, order: &Order, name: &str) -> Result<Known, String> {
    let repertoire = ctx.state(|hosted| hosted.repertoire.clone());
    let is_it = |text: &&DefinitionText| name_of(&text.metadata.1).as_deref() == Some(name);
    if let Some(text) = order.definitions.iter().find(is_it) {
        let others = order.definitions.iter().filter_map(|text| name_of(&text.metadata.1));
        let metadata = (&*text.metadata.0, &*text.metadata.1);
        let source = Source::new(metadata, (&text.workflow.0, &text.workflow.1))
            .with_workflows(repertoire.workflows.keys().cloned().chain(others));
        let definition = Definition::parse(&source, &repertoire.modules)
            .map_err(|problems| format!("workflow {name:?} cannot run on this worker: {problems}"))?;
        return Known::new(Arc::new(definition)).map_err(|error| error.chain());
    }
    let known = repertoire.workflows.get(name);
    known.cloned().ok_or_else(|| format!("the worker has no workflow {name:?}"))
}

/// The code of the run's own workflow, in the version that was asked for.
fn own(ctx: &WorkflowContext<Hosted>, order: &Order) -> Result<Known, String> {
    if newer(&order.release, RELEASE) {
        return Err(format!(
            "the run was asked for by release {}, this worker is of release {RELEASE}: start workers of the same release",
            order.release
        ));
    }
    let known = find(ctx, order, &order.workflow)?;
    let version = known.metadata.version.to_string();
    if order.version == version {
        Ok(known)
    } else {
        Err(format!(
            "the run asks for version {} of workflow {:?}, this worker has {version}: start workers of the same release",
            order.version, order.workflow
        ))
    }
}

fn name_of(metadata: &str) -> Option<String> {
    crashwise_core::Metadata::from_checked_yaml("metadata.yaml", metadata).ok().map(|metadata| metadata.name)
}

/// Whether a release comes after another; what is no version does not.
fn newer(one: &str, other: &str) -> bool {
    match (one.parse::<semver::Version>(), other.parse::<semver::Version>()) {
        (Ok(one), Ok(other)) => (one.major, one.minor) > (other.major, other.minor),
        _ => false,
    }
}

/// The step of the last approval of a name.
fn asked(ctx: &WorkflowContext<Hosted>, name: &str) -> Option<StepKey> {
    let steps = ctx.state(|hosted| hosted.steps.clone());
    let steps = steps.lock();
    let approval = |step: &&Step| step.end.kind == "approval" && step.end.module == name;
    steps.told.iter().rfind(approval).map(|step| step.end.key.clone())
}

/// Waits until the run is asked to stop or out of time, stops its steps, and completes when the workflow had its time to end.
async fn control(ctx: &WorkflowContext<Hosted>, backend: &TemporalBackend) {
    let stop = {
        let by_signal = pin!(backend.wait_for(|hosted| hosted.stopping.is_some()));
        let by_server = pin!(ctx.cancelled());
        let asked = select(by_signal, by_server);
        let deadline = pin!(backend.deadline());
        match select(asked, deadline).await {
            Either::Left(_) => RunStatus::Cancelled,
            Either::Right(_) => RunStatus::TimedOut,
        }
    };
    ctx.state_mut(|hosted| hosted.stopping.get_or_insert(stop).to_owned());
    backend.stop_steps(backend.why_stopped());
    backend.timer(STOP_LIMIT).await;
    // Cleanup that the workflow itself waits for is let finish.
    backend.wait_for(|hosted| hosted.counts.cleanup == 0).await;
}

/// Hands steps and end to the store, also when the run was cancelled.
async fn keep_all(
    ctx: &WorkflowContext<Hosted>,
    backend: &TemporalBackend,
    ended: &mut Ended,
) -> Result<(), ApplicationFailure> {
    let order = Order { carried: None, ..backend.order().clone() };
    let steps: Vec<Step> = backend.steps().lock().iter().cloned().collect();
    let mut pages: Vec<&[Step]> = paged(&steps).collect();
    let last = pages.pop().unwrap_or_default().to_vec();
    ended.pages = pages.len();
    for (n, page) in pages.into_iter().enumerate() {
        let content = serde_json::to_value(page).map_err(ApplicationFailure::non_retryable)?;
        keep(ctx, &order, &format!("steps-{n}.json"), content).await?;
    }
    let mailbox = ctx.state(|hosted| hosted.mailbox.clone());
    let kept = Kept { order: order.clone(), ended: ended.clone(), steps: last, mailbox };
    let kept = serde_json::to_value(kept).map_err(ApplicationFailure::non_retryable)?;
    keep(ctx, &order, super::RECORD, kept).await
}
