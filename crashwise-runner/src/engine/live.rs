//! A run that this process carries out, as other threads see it.

use crate::journal::Submission;
use crate::steps::StepLine;
use crate::{RunReport, RunStatus, RunnerError};
use crashwise_core::CancellationToken;
use crashwise_core::workflow::Decision;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use tokio::sync::{Notify, oneshot};

/// A run that this process carries out, as other threads see it. Small, because many runs wait for long.
pub(crate) struct Live {
    pub(crate) submission: Arc<Submission>,
    /// Fires when the run shall be stopped.
    pub(crate) cancel: CancellationToken,
    pub(crate) steps: Mutex<Vec<StepLine>>,
    progress: Mutex<(Progress, u64)>,
    changed: Notify,
    inbox: Mutex<Inbox>,
}

/// Commands that the run has not seen yet.
#[derive(Default)]
struct Inbox {
    waiting: VecDeque<Box<Command>>,
    /// The run takes none any more.
    closed: bool,
    reader: Option<Waker>,
}

/// Where a run is.
#[derive(Debug, Clone)]
pub(crate) enum Progress {
    At(RunStatus),
    Ended(Arc<RunReport>),
    /// This process does not carry it on.
    Lost(Box<RunnerError>),
}

impl Progress {
    pub(crate) fn status(&self) -> Option<RunStatus> {
        match self {
            Self::At(status) => Some(*status),
            Self::Ended(report) => Some(report.status),
            Self::Lost(_) => None,
        }
    }
}

/// Something that somebody wants of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Control {
    Pause,
    Resume,
    Cancel,
    Signal { name: String, value: Value },
    Decide { name: String, decision: Decision },
}

pub(crate) struct Command {
    pub(crate) control: Control,
    pub(crate) done: oneshot::Sender<Result<(), RunnerError>>,
}

impl Live {
    pub(crate) fn new(submission: Arc<Submission>, cancel: CancellationToken) -> (Arc<Self>, Commands) {
        let live = Arc::new(Self {
            submission,
            cancel,
            steps: Mutex::default(),
            progress: Mutex::new((Progress::At(RunStatus::Pending), 0)),
            changed: Notify::const_new(),
            inbox: Mutex::default(),
        });
        (Arc::clone(&live), Commands(live))
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    pub(crate) fn watch(&self) -> Watch<'_> {
        Watch { live: self, seen: 0 }
    }

    pub(crate) fn set(&self, progress: Progress) {
        {
            let mut state = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            state.1 += 1;
            state.0 = progress;
        }
        self.changed.notify_waiters();
    }

    /// Hands a command to the run and waits until it is journaled.
    pub(crate) async fn control(&self, control: Control) -> Result<(), RunnerError> {
        let wanted = control.wanted();
        let (done, result) = oneshot::channel();
        if self.put(Box::new(Command { control, done }))
            && let Ok(result) = result.await
        {
            return result;
        }
        // It ended before it could see the command.
        match self.progress() {
            Progress::Lost(error) => Err(*error),
            progress => Err(RunnerError::WrongState {
                id: self.submission.id.clone(),
                status: progress.status().unwrap_or(RunStatus::Failed),
                wanted,
            }),
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a command into the inbox, if somebody reads it.
    fn put(&self, command: Box<Command>) -> bool {
        let reader = {
            let mut inbox = self.inbox();
            if inbox.closed {
                return false;
            }
            inbox.waiting.push_back(command);
            inbox.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    pub(crate) fn push_step(&self, step: StepLine) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.capacity() < 4 {
            // Many runs wait after a step or two.
            steps.reserve_exact(1);
        }
        steps.push(step);
    }
}

/// Sees each change of a run's progress, or the last of several.
pub(crate) struct Watch<'l> {
    live: &'l Live,
    seen: u64,
}

impl Watch<'_> {
    /// Where the run is now.
    pub(crate) fn now(&mut self) -> Progress {
        let state = self.live.progress.lock().unwrap_or_else(PoisonError::into_inner);
        self.seen = state.1;
        state.0.clone()
    }

    /// Waits until it is not where it was when this last looked.
    pub(crate) async fn changed(&mut self) {
        loop {
            // What is woken from here on wakes this, also before it is polled.
            let changed = self.live.changed.notified();
            if self.live.progress.lock().unwrap_or_else(PoisonError::into_inner).1 != self.seen {
                return;
            }
            changed.await;
        }
    }
}

/// The commands that somebody has for a run. When this is gone, nobody takes them any more.
pub(crate) struct Commands(Arc<Live>);

impl Commands {
    /// Waits for the next.
    pub(crate) async fn next(&mut self) -> Box<Command> {
        poll_fn(|task| {
            let mut inbox = self.0.inbox();
            if let Some(command) = inbox.waiting.pop_front() {
                return Poll::Ready(command);
            }
            if inbox.reader.as_ref().is_none_or(|reader| !reader.will_wake(task.waker())) {
                inbox.reader = Some(task.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        // Who sent what was not seen is told by what goes here.
        let unseen = {
            let mut inbox = self.0.inbox();
            inbox.closed = true;
            std::mem::take(&mut inbox.waiting)
        };
        drop(unseen);
    }
}

impl Control {
    pub(crate) fn wanted(&self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Cancel => "cancelled",
            Self::Signal { .. } => "signalled",
            Self::Decide { .. } => "decided on",
        }
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("run", &self.submission.id).finish_non_exhaustive()
    }
}
