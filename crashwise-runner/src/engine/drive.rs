//! Carries out one run, from its turn to its report.

use super::backend::RunBackend;
use super::core::{Core, Known};
use super::live::{Command, Commands, Control, Live, Progress};
use super::state::{Doing, RunState};
use super::waker::Watched;
use super::{after, at, millis};
use crate::failpoint;
use crate::journal::{Event, RunEnd, Taken};
use crate::{RunEventKind, RunReport, RunStatus, RunnerError, report, steps};
use crashwise_core::error_chain;
use crashwise_core::workflow::{Session, StepKey, WorkflowError};
use futures::FutureExt;
use serde_json::Value;
use std::any::Any;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

/// How long a workflow that is being stopped may take, cleanup left out. Steps take one second of it at most.
const STOP_LIMIT: Duration = Duration::from_millis(1500);

/// Carries out a run that the journal holds.
pub(crate) async fn carry_out(
    core: Arc<Core>,
    live: Arc<Live>,
    workflow: Known,
    mut commands: Commands,
    taken: Option<Taken>,
) {
    let id = live.submission.id.clone();
    let lost = |error: RunnerError| {
        live.set(Progress::Lost(Box::new(error)));
        core.ended(&id);
    };
    let (log, mut past) = match taken {
        Some(Taken { log, past }) => (log, past),
        None => match core.journal.take(&id).await {
            Ok(Some(Taken { log, past })) => (log, past),
            Ok(None) => return lost(RunnerError::UnknownRun { id: id.clone() }),
            Err(error) => return lost(RunnerError::storage("taking a run from the journal failed", error)),
        },
    };
    if let Some(end) = past.finished.take() {
        // Somebody waits for a run that ended before this process began.
        let steps = steps::in_order(&past.steps);
        let report = RunReport::new(&live.submission, *end, steps, core.results.clone());
        live.set(Progress::Ended(Arc::new(report)));
        return core.ended(&id);
    }
    let (began, stopping) = (past.began, past.stopping);
    let run = RunState::new(Arc::clone(&core), Arc::clone(&live), &workflow.metadata, log, past);
    let workflow_name = workflow.metadata.name.clone();
    if began {
        run.tell(|| RunEventKind::RunRecovered { workflow: workflow_name });
    } else {
        run.tell(|| RunEventKind::RunQueued { workflow: workflow_name });
    }
    if let Some(status) = stopping {
        run.begin_stop(status, true);
    }
    let session = Session::new(workflow.code, Rc::new(RunBackend(Rc::clone(&run))));
    let driver = Driver { run: &run, session: &session };
    let ended = driver.drive(&mut commands, began).await;
    // Nobody takes commands from here on.
    drop(commands);
    match ended {
        Ok(report) => live.set(Progress::Ended(Arc::new(report))),
        Err(error) => {
            run.halted.set(true);
            return lost(error);
        }
    }
    core.ended(&id);
}

struct Driver<'d> {
    run: &'d Rc<RunState>,
    session: &'d Session,
}

/// How the workflow's code ended.
enum Body {
    Returned(Result<Value, WorkflowError>),
    Panicked(String),
    /// It was dropped, because it did not end when it was stopped.
    Dropped,
    /// It waits for something that a replay cannot repeat.
    Foreign,
}

impl Driver<'_> {
    async fn drive(&self, commands: &mut Commands, began: bool) -> Result<RunReport, RunnerError> {
        let run = self.run;
        if !self.turn(commands, began).boxed_local().await? {
            // It was stopped before it began: there is nothing to undo.
            let status = run.stopping.get().unwrap_or(RunStatus::Cancelled);
            return self.finish(status, Value::Null, None, None).boxed_local().await;
        }
        let body = self.body(commands).await?;
        run.count_time(false);
        let stopped = run.stopping.get();
        let failed_step = match &body {
            Body::Returned(Err(WorkflowError::Rejected { approval, .. })) => self.approval(approval),
            Body::Returned(Err(error)) => error.step().map(|step| step.step.clone()),
            _ => None,
        };
        let (status, output, error) = match (body, stopped) {
            (_, Some(status)) => (status, Value::Null, None),
            (Body::Returned(Ok(output)), None) => (RunStatus::Completed, output, None),
            (Body::Returned(Err(error)), None) => (RunStatus::Failed, Value::Null, Some(error_chain(&error))),
            (Body::Panicked(text), None) => {
                (RunStatus::Failed, Value::Null, Some(format!("workflow panicked: {text}")))
            }
            (Body::Foreign, None) => (RunStatus::Failed, Value::Null, Some(FOREIGN.to_owned())),
            (Body::Dropped, None) => (RunStatus::Cancelled, Value::Null, None),
        };
        if stopped.is_none() {
            // Steps that nobody waits for any more have been dropped with the workflow; none begins now.
            run.stop.cancel();
        }
        self.unwind(commands, status == RunStatus::Completed).boxed_local().await?;
        self.finish(status, output, error, failed_step).boxed_local().await
    }

    /// The step of the last approval of a name.
    fn approval(&self, name: &str) -> Option<StepKey> {
        let steps = self.run.live.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.iter().rfind(|step| step.is_approval(name)).map(|step| step.key().clone())
    }

    /// Waits until it is the run's turn. `false` when it is stopped before it began.
    async fn turn(&self, commands: &mut Commands, began: bool) -> Result<bool, RunnerError> {
        let run = self.run;
        if run.paused.get() && run.stopping.get().is_none() {
            run.set_status(RunStatus::Paused);
        }
        loop {
            if run.stopping.get().is_some() && !began {
                return Ok(false);
            }
            tokio::select! {
                biased;
                () = run.core.closing.cancelled() => return Err(RunnerError::Closed),
                command = commands.next() => self.obey(command).boxed_local().await?,
                () = run.live.cancel.cancelled(), if run.stopping.get().is_none() => {
                    run.begin_stop(RunStatus::Cancelled, false);
                }
                _ = run.may_work() => {
                    if run.stopping.get().is_some() && !began {
                        continue;
                    }
                    let now = run.now_ms();
                    if run.started_ms.get().is_none() {
                        run.started_ms.set(Some(now));
                        run.began.set(Some(Instant::now()));
                    }
                    run.note(|| Event::Started { used_ms: Some(millis(run.used())) });
                    run.set_status(RunStatus::Running);
                    run.tell(|| RunEventKind::RunStarted { workflow: run.info.workflow.clone() });
                    return Ok(true);
                }
            }
            if run.paused.get() && run.stopping.get().is_none() {
                run.set_status(RunStatus::Paused);
            }
        }
    }

    /// Polls the workflow to its end.
    async fn body(&self, commands: &mut Commands) -> Result<Body, RunnerError> {
        let run = self.run;
        let params = run.live.submission.params.value();
        let mut body = AssertUnwindSafe(self.session.run(params)).catch_unwind().boxed_local();
        let mut watched = run.core.check_wakers.then(Watched::new);
        let mut give_up: Option<Instant> = None;
        run.count_time(true);
        loop {
            if let Some(error) = run.broken() {
                run.halted.set(true);
                return Err(RunnerError::storage("the journal could not be written", error));
            }
            if run.stopping.get().is_some() && give_up.is_none() {
                give_up = after(STOP_LIMIT);
            }
            let deadline = if run.stopping.get().is_none() { run.deadline() } else { None };
            tokio::select! {
                biased;
                () = run.core.closing.cancelled() => {
                    run.halted.set(true);
                    return Err(RunnerError::Closed);
                }
                command = commands.next() => self.obey(command).boxed_local().await?,
                () = run.live.cancel.cancelled(), if run.stopping.get().is_none() => {
                    run.begin_stop(RunStatus::Cancelled, false);
                }
                // Nothing has a deadline that is being stopped.
                () = at(deadline.or(give_up)) => {
                    if run.stopping.get().is_none() {
                        run.begin_stop(RunStatus::TimedOut, false);
                        continue;
                    }
                    // Cleanup that the workflow itself waits for is let finish; it has a limit of its own.
                    if run.count(Doing::Cleanup) == 0 {
                        return Ok(Body::Dropped);
                    }
                    give_up = after(Duration::from_millis(50));
                }
                result = poll_fn(|task| {
                    let poll = match &mut watched {
                        Some(watched) => watched.poll(body.as_mut(), task),
                        None => body.as_mut().poll(task),
                    };
                    if poll.is_pending() {
                        run.settle();
                    }
                    match poll {
                        Poll::Ready(result) => Poll::Ready(Some(result)),
                        // What the deadline is depends on what the workflow does now.
                        Poll::Pending if run.deadline() != deadline && run.stopping.get().is_none() => Poll::Ready(None),
                        Poll::Pending => Poll::Pending,
                    }
                }) => {
                    if watched.as_ref().is_some_and(Watched::saw_foreign) {
                        return Ok(Body::Foreign);
                    }
                    if let Some(result) = result {
                        // A pause holds back the end as well.
                        if result.is_ok() && run.stopping.get().is_none() && run.paused.get() {
                            self.paused_end(commands).boxed_local().await?;
                        }
                        return Ok(match result {
                            Ok(result) => Body::Returned(result),
                            Err(panic) => Body::Panicked(panic_text(panic.as_ref())),
                        });
                    }
                }
                () = run.changed() => {}
            }
        }
    }

    /// The workflow has returned while a pause was asked for: the run ends when it is resumed or stopped.
    async fn paused_end(&self, commands: &mut Commands) -> Result<(), RunnerError> {
        let run = self.run;
        run.settle();
        while run.paused.get() && run.stopping.get().is_none() {
            tokio::select! {
                biased;
                () = run.core.closing.cancelled() => {
                    run.halted.set(true);
                    return Err(RunnerError::Closed);
                }
                command = commands.next() => self.obey(command).boxed_local().await?,
                () = run.live.cancel.cancelled() => run.begin_stop(RunStatus::Cancelled, false),
            }
        }
        run.settle();
        Ok(())
    }

    /// Does the deferred work. Nothing cuts it short but its own limits and the end of the process.
    async fn unwind(&self, commands: &mut Commands, succeeded: bool) -> Result<(), RunnerError> {
        let run = self.run;
        failpoint::pass("before cleanup");
        let mut work = AssertUnwindSafe(self.session.unwind(succeeded)).catch_unwind().boxed_local();
        loop {
            if let Some(error) = run.broken() {
                run.halted.set(true);
                return Err(RunnerError::storage("the journal could not be written", error));
            }
            tokio::select! {
                biased;
                () = run.core.closing.cancelled() => {
                    run.halted.set(true);
                    return Err(RunnerError::Closed);
                }
                command = commands.next() => {
                    if matches!(command.control, Control::Cancel) && !succeeded {
                        drop(command.done.send(Ok(())));
                        continue;
                    }
                    let id = run.info.run.clone();
                    let wanted = command.control.wanted();
                    let status = if succeeded { RunStatus::Completed } else { RunStatus::Failed };
                    drop(command.done.send(Err(RunnerError::WrongState { id, status, wanted })));
                }
                // The errors are in the history of the steps.
                _ = &mut work => {
                    failpoint::pass("after cleanup");
                    return Ok(());
                }
                () = run.changed() => {}
            }
        }
    }

    /// Journals the end and makes the report.
    async fn finish(
        &self,
        status: RunStatus,
        output: Value,
        error: Option<String>,
        failed_step: Option<StepKey>,
    ) -> Result<RunReport, RunnerError> {
        let run = self.run;
        let submission = &run.live.submission;
        let steps = std::mem::take(&mut *run.live.steps.lock().unwrap_or_else(PoisonError::into_inner));
        let steps = steps::in_order(&steps);
        let store = run.core.results.clone();
        let counted = if steps.iter().any(|step| !step.findings.is_empty()) {
            let (store, steps) = (store.clone(), steps.clone());
            run.core.pool.handle().spawn_blocking(move || report::count(&store, &steps)).await
        } else {
            Ok(report::count(&store, &steps))
        };
        let (mut status, mut output, mut error) = (status, output, error);
        let counts = match counted {
            Ok(Ok(counts)) => counts,
            Ok(Err(problem)) => {
                // Findings that cannot be read are not a result.
                error = Some(format!("findings of the steps cannot be read: {problem}"));
                if status == RunStatus::Completed {
                    status = RunStatus::Failed;
                    output = Value::Null;
                }
                report::sum(&steps)
            }
            Err(_) => return Err(RunnerError::Closed),
        };
        let now = run.now_ms();
        let started_ms = run.started_ms.get().unwrap_or(now);
        let end = RunEnd {
            status,
            coverage: report::coverage(&submission.workflow, status, error.as_deref(), &steps),
            output,
            error,
            failed_step,
            counts,
            started_ms,
            duration_ms: run.took().map_or_else(|| now.saturating_sub(started_ms), millis),
        };
        failpoint::pass("before finish");
        if let Err(error) = run.try_keep(&Event::Finished(Box::new(end.clone()))).await {
            return Err(RunnerError::storage("the journal could not be written", error));
        }
        failpoint::pass("after finish");
        run.tell(|| RunEventKind::RunFinished { status: end.status, error: end.error.clone() });
        Ok(RunReport::new(submission, end, steps, store))
    }

    /// Does what somebody asks of the run, and says so when it is journaled.
    async fn obey(&self, command: Box<Command>) -> Result<(), RunnerError> {
        let run = self.run;
        let Command { control, done } = *command;
        failpoint::pass("before command");
        let result = match self.event_of(&control) {
            Err(refused) => Err(refused),
            Ok(None) => Ok(()),
            Ok(Some(event)) => match run.try_keep(&event).await {
                Ok(()) => {
                    failpoint::pass("after command");
                    self.apply(control);
                    Ok(())
                }
                Err(error) => {
                    run.halted.set(true);
                    let error = RunnerError::storage("the journal could not be written", error);
                    drop(done.send(Err(error.clone())));
                    return Err(error);
                }
            },
        };
        drop(done.send(result));
        Ok(())
    }

    fn event_of(&self, control: &Control) -> Result<Option<Event>, RunnerError> {
        let run = self.run;
        let wrong =
            |status| RunnerError::WrongState { id: run.info.run.clone(), status, wanted: control.wanted() };
        Ok(Some(match control {
            Control::Pause if run.stopping.get().is_some() => return Err(wrong(RunStatus::Running)),
            Control::Pause if run.paused.get() => return Ok(None),
            Control::Pause => Event::PauseRequested,
            Control::Resume if !run.paused.get() => return Err(wrong(RunStatus::Running)),
            Control::Resume => Event::Resumed,
            Control::Cancel if run.stopping.get().is_some() => return Ok(None),
            Control::Cancel => Event::Stopping { status: RunStatus::Cancelled },
            Control::Signal { name, value } => Event::Signalled { name: name.clone(), value: value.clone() },
            Control::Decide { name, .. } if run.mailbox.borrow().has_decision(name) => {
                return Err(RunnerError::AlreadyDecided { id: run.info.run.clone(), name: name.clone() });
            }
            Control::Decide { name, decision } => {
                Event::Decided { name: name.clone(), decision: decision.clone() }
            }
        }))
    }

    fn apply(&self, control: Control) {
        let run = self.run;
        match control {
            Control::Pause | Control::Resume => {
                let paused = matches!(control, Control::Pause);
                run.paused.set(paused);
                let children = run.children.borrow().clone();
                for child in children {
                    let control = control.clone();
                    tokio::task::spawn_local(async move {
                        // A child that ended meanwhile has nothing to pause.
                        let _ = child.control(control).await;
                    });
                }
                if !paused && run.started_ms.get().is_none() {
                    run.set_status(RunStatus::Pending);
                }
            }
            Control::Cancel => run.begin_stop(RunStatus::Cancelled, true),
            Control::Signal { name, value } => {
                run.tell(|| RunEventKind::SignalReceived { name: name.clone() });
                run.mailbox.borrow_mut().put_signal(&name, value);
            }
            Control::Decide { name, decision } => {
                run.tell(|| RunEventKind::ApprovalDecided { name: name.clone(), decision: decision.clone() });
                run.mailbox.borrow_mut().put_decision(&name, decision);
            }
        }
        run.change();
    }
}

const FOREIGN: &str = "workflow waited for something that is not of its context (a timer, channel or task of the runtime), which a replay cannot repeat";

/// The text of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a text".to_owned())
}
