//! A run that this process carries out, as other threads see it.

use crate::journal::Submission;
use crate::{RunReport, RunStatus, RunnerError, StepReport};
use crashwise_core::CancellationToken;
use crashwise_core::workflow::Decision;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// A run that this process carries out, as other threads see it.
pub(crate) struct Live {
    pub(crate) submission: Arc<Submission>,
    /// Fires when the run shall be stopped.
    pub(crate) cancel: CancellationToken,
    progress: watch::Sender<Progress>,
    control: mpsc::UnboundedSender<Box<Command>>,
    pub(crate) steps: Mutex<Vec<StepReport>>,
}

/// Where a run is.
#[derive(Debug, Clone)]
pub(crate) enum Progress {
    At(RunStatus),
    Ended(Arc<RunReport>),
    /// This process does not carry it on.
    Lost(RunnerError),
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
    pub(crate) fn new(
        submission: Arc<Submission>,
        cancel: CancellationToken,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Box<Command>>) {
        let (control, commands) = mpsc::unbounded_channel();
        let progress = watch::Sender::new(Progress::At(RunStatus::Pending));
        (Arc::new(Self { submission, cancel, progress, control, steps: Mutex::default() }), commands)
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(crate) fn set(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }

    /// Hands a command to the run and waits until it is journaled.
    pub(crate) async fn control(&self, control: Control) -> Result<(), RunnerError> {
        let wanted = control.wanted();
        let (done, result) = oneshot::channel();
        let sent = self.control.send(Box::new(Command { control, done }));
        if sent.is_ok()
            && let Ok(result) = result.await
        {
            return result;
        }
        // It ended before it could see the command.
        match self.progress() {
            Progress::Lost(error) => Err(error),
            progress => Err(RunnerError::WrongState {
                id: self.submission.id.clone(),
                status: progress.status().unwrap_or(RunStatus::Failed),
                wanted,
            }),
        }
    }

    pub(crate) fn push_step(&self, step: StepReport) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.capacity() < 4 {
            // Many runs wait after a step or two, and a report is large.
            steps.reserve_exact(1);
        }
        steps.push(step);
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
