//! Carries out steps: attempts with limits, retries with waits, panics caught, modules that do not stop left behind.

mod attempt;
#[cfg(feature = "workspace")]
mod cached;
mod content;
mod host;
mod stage;
mod workspace;

pub(crate) use attempt::Work;
#[cfg(feature = "workspace")]
pub(crate) use cached::{Cached, OpenCache, OpenStore};
#[cfg(feature = "temporal")]
pub(crate) use host::{Beat, first_beat};
pub(crate) use stage::Stage;
pub(crate) use workspace::{InPlace, Prepared, WorkspaceSource};

use crate::RunEventKind;
use crate::engine::{RunState, after, at, millis, why_stopped};
use crate::journal::Event;
pub(crate) use attempt::{Attempt, Finished};
use crashwise_core::workflow::{
    Command, ModuleCall, Request, StepErrorKind, StepFailure, StepKey, StepOptions,
};
use crashwise_core::{AnyModule, CancellationToken, Fingerprint, ModuleOutput, Target};
use futures::FutureExt;
use serde_json::Value;
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Where in a run a step is.
pub(crate) struct Place<'p> {
    pub(crate) key: &'p StepKey,
    pub(crate) kind: &'static str,
    pub(crate) detached: bool,
}

/// What came of a step.
pub(crate) struct Ended {
    pub(crate) result: Result<ModuleOutput, StepFailure>,
    pub(crate) attempts: u32,
    pub(crate) version: String,
    /// What a step without a result found before it failed.
    pub(crate) partial: Option<Box<ModuleOutput>>,
}

/// Carries out a step.
pub(crate) async fn run(run: &Rc<RunState>, place: Place<'_>, work: &Work, options: &StepOptions) -> Ended {
    let stop = if place.detached { CancellationToken::new() } else { run.stop.clone() };
    let info = work.info(&**run);
    let mut ended = Ended {
        result: Err(StepFailure::new(StepErrorKind::Cancelled, why_stopped(run))),
        attempts: 0,
        version: if work.is_module() { info.version.clone() } else { String::new() },
        partial: None,
    };
    let queue = options.queue.as_deref().unwrap_or(&run.vertical);
    let _place = match run.core.verticals.get(queue) {
        Some(places) if !place.detached => {
            tokio::select! {
                biased;
                () = stop.cancelled() => return ended,
                taken = places.take(options.priority).boxed_local() => Some(taken),
            }
        }
        _ => None,
    };
    let whole = options
        .total_timeout
        .map(crashwise_core::Span::duration)
        .or_else(|| (place.detached && options.timeout.is_none()).then_some(run.core.cleanup_limit));
    let last_moment = whole.and_then(after);
    let mut heartbeat = None;
    loop {
        ended.attempts += 1;
        run.tell(|| RunEventKind::StepStarted {
            step: place.key.clone(),
            kind: place.kind.to_owned(),
            module: if work.is_module() { info.name.clone() } else { String::new() },
            attempt: ended.attempts,
        });
        let limit = options.timeout.and_then(|limit| after(limit.duration()));
        let attempt = Attempt {
            stage: &**run,
            key: place.key,
            number: ended.attempts,
            info: &info,
            stop: &stop,
            limit: earlier(limit, last_moment),
            limit_text: limit_text(options, limit, last_moment),
            silence: options.heartbeat_timeout.map(crashwise_core::Span::duration),
            heartbeat: heartbeat.take(),
            beat: host::first_beat(),
        };
        let Finished { result, found, heartbeat: left } = attempt.carry_out(work).await;
        heartbeat = left;
        let failure = match result {
            Ok(summary) => {
                let mut output = found;
                output.summary = summary;
                ended.result = Ok(output);
                ended.partial = None;
                return ended;
            }
            Err(failure) => failure,
        };
        if found.counts.total() > 0
            || found.findings.is_some()
            || !found.artifacts.is_empty()
            || found.coverage != crashwise_core::Coverage::new()
        {
            ended.partial = Some(Box::new(found));
        }
        let wait = options.retry.wait(ended.attempts, fraction());
        let too_late = last_moment.is_some_and(|moment| after(wait).is_none_or(|next| next >= moment));
        if stop.is_cancelled() || !options.retry.again(ended.attempts, failure.kind()) || too_late {
            ended.result = Err(failure);
            return ended;
        }
        let error = failure.at(place.key.clone(), ended.attempts);
        run.tell(|| RunEventKind::StepRetried {
            step: place.key.clone(),
            attempt: ended.attempts,
            error: error.message.clone(),
            wait,
        });
        run.note(|| Event::StepRetried { key: place.key.clone(), error, wait_ms: millis(wait) });
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                ended.result = Err(StepFailure::new(StepErrorKind::Cancelled, why_stopped(run)));
                return ended;
            }
            () = at(after(wait)) => {}
        }
    }
}

/// Under which key other runs find the result of a module: its name, version, rules and configuration, what it looks at, and
/// what it reads beside it. `content` identifies what the run looks at, and is asked only if the module does.
pub(crate) async fn cache_key(
    step: &StepKey,
    module: &Arc<dyn AnyModule>,
    config: &Value,
    content: impl Future<Output = Option<Fingerprint>>,
    workspaces: &dyn WorkspaceSource,
) -> Option<Fingerprint> {
    let info = module.info();
    let content = if info.requires_workspace { content.await? } else { Fingerprint::of(["none"]) };
    // With defaults filled in, so that it does not matter who wrote them down.
    let config = module.check_config(config.clone()).ok()?;
    let mut read = Vec::new();
    for path in module.reads(&config) {
        read.push(workspaces.content(&Target::from_path(path).ok()?).await?);
    }
    let asked = ModuleCall::of(Arc::clone(module), config);
    let asked = Request::new(step.clone(), Command::Module(asked)).fingerprint;
    let parts = ["cache", asked.as_str(), content.as_str()];
    Some(Fingerprint::of(parts.into_iter().chain(read.iter().map(Fingerprint::as_str))))
}

pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

fn limit_text(options: &StepOptions, limit: Option<Instant>, last: Option<Instant>) -> Cow<'static, str> {
    match (options.timeout, options.total_timeout) {
        (_, Some(whole)) if last.is_some_and(|last| limit.is_none_or(|limit| last <= limit)) => {
            format!("not done within {whole}").into()
        }
        (Some(attempt), _) => format!("not done within {attempt}").into(),
        _ => "not done within the limit for cleanup".into(),
    }
}

/// A random number from 0 to 1, for jitter.
fn fraction() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(Instant::now()) >> 32;
    f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(u32::MAX)
}
