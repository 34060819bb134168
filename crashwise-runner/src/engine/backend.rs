//! What workflow code asks for, carried out.

use super::child::child;
use super::core::OnChange;
use super::memo::Asked;
use super::state::RunState;
use super::step::{Begin, Underway};
use super::wait::{approval, signal, sleep};
use super::waker::Own;
use super::work::module_step;
use crate::RunEventKind;
use crate::executor::Work;
use crate::journal::{Event, Outcome};
use crashwise_core::workflow::{
    Backend, Command, InlineCall, ModuleCall, Request, RunInfo, StepError, StepErrorKind, StepFailure,
    StepKey, StepOptions,
};
use crashwise_core::{AnyModule, Fingerprint};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::Value;
use std::future::ready;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// The engine as the workflow of one run sees it.
pub(crate) struct RunBackend(pub(crate) Rc<RunState>);

impl Backend for RunBackend {
    fn run_info(&self) -> &RunInfo {
        &self.0.info
    }

    fn execute(&self, request: Request) -> LocalBoxFuture<'static, Result<Value, StepError>> {
        execute(Rc::clone(&self.0), request)
    }

    fn recall(&self, key: &StepKey) -> Option<Value> {
        self.0.memo.borrow().peek(key)
    }
}

/// Looks the command up in the journal, at once, and gives a future that holds no more than it takes to carry it out: many
/// runs wait for long.
fn execute(run: Rc<RunState>, request: Request) -> LocalBoxFuture<'static, Result<Value, StepError>> {
    let Request { key, mut fingerprint, command, options, detached, .. } = request;
    let mut module = None;
    if let Command::Module(call) = &command {
        let found = find_module(&run, call);
        if let (Ok(found), None) = (&found, &call.module) {
            // A module that the workflow knows by name only: what it is today is part of what is asked.
            let info = found.info();
            let rules = info.rules_digest.as_deref().unwrap_or_default();
            fingerprint = Fingerprint::of([fingerprint.as_str(), &info.version, rules]);
        }
        module = Some(found);
    }
    let asked = run.memo.borrow_mut().ask(&key);
    match asked {
        Asked::Stored(stored) if stored.fp == fingerprint => {
            let fp = stored.fp.clone();
            let result = stored.result(&key, &command);
            if let (Command::Patched { .. }, Ok(value)) = (&command, &result) {
                run.memo.borrow_mut().keep(&key, fp, value.clone());
            }
            return ready(result).boxed_local();
        }
        Asked::Stored(_) if run.core.on_change == OnChange::Fail => {
            let message = format!("the code now asks for another {} there", command.kind());
            return ready(Err(StepError::new(key, StepErrorKind::NonDeterminism, message))).boxed_local();
        }
        Asked::Again => {
            let message = "a step with this name is part of the run already";
            return ready(Err(StepError::new(key, StepErrorKind::NonDeterminism, message))).boxed_local();
        }
        Asked::Stored(_) | Asked::New => {}
    }
    let check_wakers = run.core.check_wakers;
    let step = Begin { kind: command.kind(), key, fingerprint, detached };
    let work = perform(run, step, command, module, options);
    if check_wakers { Own::new(work).boxed_local() } else { work }
}

/// Carries out a command of which the journal holds no result. Each kind is a future of its own, so that a step that waits
/// for days does not take the room of one that runs.
fn perform(
    run: Rc<RunState>,
    step: Begin,
    command: Command,
    module: Option<Result<Arc<dyn AnyModule>, StepFailure>>,
    options: StepOptions,
) -> LocalBoxFuture<'static, Result<Value, StepError>> {
    let value = match command {
        Command::Module(call) => {
            let name = call.name.clone();
            return match module {
                Some(Ok(module)) => {
                    let work = Work::Module(module, Arc::new(call.config));
                    module_step(run, step, name, work, options).boxed_local()
                }
                Some(Err(failure)) => async move { not_begun(&run, step, name, failure).await }.boxed_local(),
                None => ready(Err(step.error(StepErrorKind::NotFound, "no such module"))).boxed_local(),
            };
        }
        Command::Inline(InlineCall(closure)) => {
            return module_step(run, step, String::new(), Work::Closure(closure), options).boxed_local();
        }
        Command::Sleep(time) => return sleep(&run, step, time),
        Command::Signal { name } => return signal(&run, step, name),
        Command::Approval(request) => return approval(&run, step, request),
        Command::Child(call) => return child(run, step, call).boxed_local(),
        Command::Skip => {
            run.tell(|| RunEventKind::StepSkipped { step: step.key.clone() });
            noted(&run, step, Value::Null)
        }
        Command::Now => {
            let now = run.now_ms();
            noted(&run, step, now.into())
        }
        Command::Random => noted(&run, step, random().into()),
        Command::Record(value) => noted(&run, step, value),
        Command::Patched { .. } => {
            let fresh = !run.memo.borrow().is_replaying();
            let (key, fp) = (step.key.clone(), step.fingerprint.clone());
            let value = noted(&run, step, fresh.into());
            run.memo.borrow_mut().keep(&key, fp, value.clone());
            value
        }
        _ => {
            let message = "the in-process engine does not know this command";
            return ready(Err(step.error(StepErrorKind::Unsupported, message))).boxed_local();
        }
    };
    ready(Ok(value)).boxed_local()
}

/// Journals a value that needs no work. It rides along with the next event that somebody waits for: what follows from
/// it can only become durable after it.
fn noted(run: &Rc<RunState>, step: Begin, value: Value) -> Value {
    let mut underway = Underway::new(run, step, String::new());
    let end = underway.end(Outcome::Value { value: value.clone(), child: None });
    run.report(&end, None);
    run.note(|| Event::StepEnded(Box::new(end)));
    value
}

/// A step that cannot begin. It is part of the history: what was not looked at is not clean.
async fn not_begun(
    run: &Rc<RunState>,
    step: Begin,
    module: String,
    failure: StepFailure,
) -> Result<Value, StepError> {
    let mut underway = Underway::new(run, step, module);
    underway.attempts = 0;
    let error = failure.at(underway.step.key.clone(), 0);
    run.tell(|| RunEventKind::StepFailed {
        step: underway.step.key.clone(),
        module: underway.module.clone(),
        kind: error.kind,
        error: error.message.clone(),
    });
    underway.fail(error).await
}

fn find_module(run: &RunState, call: &ModuleCall) -> Result<Arc<dyn AnyModule>, StepFailure> {
    match &call.module {
        Some(module) => Ok(Arc::clone(module)),
        None => run
            .core
            .modules
            .find(&call.name)
            .cloned()
            .map_err(|unknown| StepFailure::new(StepErrorKind::NotFound, unknown.to_string())),
    }
}

/// 64 random bits.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(Instant::now())
}
