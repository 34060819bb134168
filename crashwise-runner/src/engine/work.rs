//! Steps that run a module or a closure.

use super::millis;
use super::state::{Doing, RunState};
use super::step::{Begin, Underway};
use crate::executor::{self, Ended, Work};
use crate::journal::{Cached, Event, Outcome};
use crate::{CacheHit, RunEventKind};
use crashwise_core::workflow::{StepError, StepErrorKind, StepOptions};
use crashwise_core::{CoverageStatus, Fingerprint, ModuleOutput, Summary};
use futures::FutureExt;
use serde::Deserialize;
use serde_json::Value;
use std::rc::Rc;
use std::time::Duration;

pub(super) async fn module_step(
    run: Rc<RunState>,
    step: Begin,
    module: String,
    work: Work,
    options: StepOptions,
) -> Result<Value, StepError> {
    // A step that does not begin leaves no trace: asked again after a restart, it may begin.
    // Cleanup is not held up by a pause or by other runs. What is rare is on the heap, here and below: many steps go on at
    // once, and each would keep room for it.
    if !step.detached && !run.works() && !run.may_work().boxed_local().await {
        return Err(step.cancelled(&run));
    }
    let _busy = run.doing(if step.detached { Doing::Cleanup } else { Doing::Step });
    let crashed = run.memo.borrow_mut().take_begun(&step.key);
    let mut underway = Underway::new(&run, step, module);
    if crashed && options.at_most_once {
        let known = run.core.reconcile.as_ref().and_then(|tell| tell(&run.info.run, &underway.step.key));
        if let Some(output) = known {
            let mut summary = Summary::new();
            summary.output = output;
            let mut output = ModuleOutput::default();
            output.module.clone_from(&underway.module);
            output.summary = summary;
            return underway.output(output).await;
        }
        let message = "a crash left it open whether it ran";
        let error = underway.step.error(StepErrorKind::OutcomeUnknown, message).with_attempts(1);
        return underway.fail(error).await;
    }
    let event = || Event::StepStarted {
        key: underway.step.key.clone(),
        fp: underway.step.fingerprint.clone(),
        kind: underway.step.kind.into(),
        module: underway.module.clone(),
    };
    if options.at_most_once {
        run.keep(&event()).boxed_local().await;
    } else {
        run.note(event);
    }
    let cache_key = if options.cached {
        cache_key(&run, &underway.step, &work, &options).boxed_local().await
    } else {
        None
    };
    if let Some(key) = &cache_key
        && let Some(hit) = cached(&run, key).boxed_local().await
    {
        underway.cached = Some(CacheHit::new(hit.made_ms, hit.cost_ms));
        underway.attempts = 0;
        run.tell(|| RunEventKind::StepCompleted {
            step: underway.step.key.clone(),
            module: underway.module.clone(),
            counts: hit.output.counts,
            duration: underway.started.elapsed(),
            cached: true,
        });
        underway.version.clone_from(&hit.output.version);
        return underway.output(hit.output).await;
    }
    let place = executor::Place {
        key: &underway.step.key,
        kind: underway.step.kind,
        detached: underway.step.detached,
    };
    let Ended { result, attempts, version, partial } = executor::run(&run, place, &work, &options).await;
    underway.attempts = attempts;
    underway.version = version;
    let duration = underway.started.elapsed();
    match result {
        Ok(output) => {
            run.tell(|| RunEventKind::StepCompleted {
                step: underway.step.key.clone(),
                module: underway.module.clone(),
                counts: output.counts,
                duration,
                cached: false,
            });
            let result = underway.output(output).await;
            if let (Some(key), Ok(value)) = (cache_key, &result) {
                keep_for_others(&run, &key, value, duration);
            }
            result
        }
        Err(failure) => {
            let error = failure.at(underway.step.key.clone(), attempts);
            run.tell(|| RunEventKind::StepFailed {
                step: underway.step.key.clone(),
                module: underway.module.clone(),
                kind: error.kind,
                error: error.message.clone(),
            });
            underway.finish(Outcome::Error { error, partial, child: None }).boxed_local().await
        }
    }
}

/// Under which key other runs find the result. Closures have none: what they capture cannot be told.
async fn cache_key(run: &RunState, step: &Begin, work: &Work, options: &StepOptions) -> Option<Fingerprint> {
    let Work::Module(module, config) = work else { return None };
    if options.at_most_once || !run.live.submission.takes_cached() {
        return None;
    }
    executor::cache_key(&step.key, module, config, run.content(), &*run.core.workspaces).await
}

struct Hit {
    output: ModuleOutput,
    made_ms: u64,
    cost_ms: u64,
}

/// The result of another run, if its files are all there. A cache that cannot be read is an empty one.
async fn cached(run: &RunState, key: &Fingerprint) -> Option<Hit> {
    let found = run.core.journal.cached(key).await.ok().flatten()?;
    let output = ModuleOutput::deserialize(&found.value).ok()?;
    let files = output.findings.iter().chain(&output.artifacts);
    let there = files.into_iter().all(|file| run.core.results.open(file).is_ok());
    there.then_some(Hit { output, made_ms: found.made_ms, cost_ms: found.cost_ms })
}

/// Keeps a result for other runs, if it covers all that it should.
fn keep_for_others(run: &RunState, key: &Fingerprint, value: &Value, cost: Duration) {
    let Ok(output) = ModuleOutput::deserialize(value) else { return };
    if output.coverage.status != CoverageStatus::Complete {
        return;
    }
    let result = Cached { value: value.clone(), made_ms: run.now_ms(), cost_ms: millis(cost) };
    run.core.journal.cache(key, &output.module, result);
}
