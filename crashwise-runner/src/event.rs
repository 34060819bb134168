//! What happens in runs, as it happens.

use crate::RunStatus;
use crashwise_core::workflow::{Decision, StepErrorKind, StepKey};
use crashwise_core::{RunId, SeverityCounts};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Something that happened in a run. For progress bars and logs; the journal holds the whole truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunEvent {
    /// The run.
    pub run_id: RunId,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub kind: RunEventKind,
}

/// What happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunEventKind {
    /// The run waits for its turn.
    RunQueued {
        /// The workflow's name.
        workflow: String,
    },
    /// The workflow begins.
    RunStarted {
        /// The workflow's name.
        workflow: String,
    },
    /// A run that an earlier process left behind goes on.
    RunRecovered {
        /// The workflow's name.
        workflow: String,
    },
    /// Nothing runs any more, and nothing begins until the run is resumed.
    RunPaused,
    /// The run goes on.
    RunResumed,
    /// The run was asked to stop, or ran out of time; what runs is being stopped.
    RunStopping {
        /// The status it will end with.
        status: RunStatus,
    },
    /// The run ended.
    RunFinished {
        /// How.
        status: RunStatus,
        /// Why, unless it completed.
        error: Option<String>,
    },
    /// An attempt of a step begins.
    StepStarted {
        /// The step.
        step: StepKey,
        /// `module`, `closure` or `child`.
        kind: String,
        /// The module; empty for closures.
        module: String,
        /// 1 for the first attempt.
        attempt: u32,
    },
    /// An attempt failed and another one follows.
    StepRetried {
        /// The step.
        step: StepKey,
        /// The attempt that failed.
        attempt: u32,
        /// Why it failed.
        error: String,
        /// The wait before the next attempt.
        wait: Duration,
    },
    /// A step has its result.
    StepCompleted {
        /// The step.
        step: StepKey,
        /// The module; empty for closures.
        module: String,
        /// What it found.
        counts: SeverityCounts,
        /// How long it took, with all attempts.
        duration: Duration,
        /// Whether the result was taken from the cache.
        cached: bool,
    },
    /// A step gave no result.
    StepFailed {
        /// The step.
        step: StepKey,
        /// The module; empty for closures.
        module: String,
        /// The kind of error.
        kind: StepErrorKind,
        /// The error.
        error: String,
    },
    /// The condition of a step did not hold.
    StepSkipped {
        /// The step.
        step: StepKey,
    },
    /// Somebody has to decide.
    ApprovalRequested {
        /// Name of the approval, as [`crate::RunHandle::approve`] takes it.
        name: String,
        /// What is asked.
        prompt: String,
    },
    /// Somebody decided.
    ApprovalDecided {
        /// Name of the approval.
        name: String,
        /// Who decided what, and why.
        decision: Decision,
    },
    /// A signal arrived.
    SignalReceived {
        /// Its name.
        name: String,
    },
    /// A run began as part of this one.
    ChildStarted {
        /// The step.
        step: StepKey,
        /// The run.
        child: RunId,
    },
}

type Listener = Box<dyn Fn(&RunEvent) + Send>;

enum Message {
    Event(Box<RunEvent>),
    Flush(mpsc::Sender<()>),
}

/// Hands events to listeners on a thread of its own, in order. A panicking listener is its own affair.
#[derive(Clone, Default)]
pub(crate) struct EventFeed {
    queue: Option<mpsc::Sender<Message>>,
}

impl EventFeed {
    pub(crate) fn new(listeners: Vec<Listener>) -> std::io::Result<Self> {
        if listeners.is_empty() {
            return Ok(Self::default());
        }
        let (queue, messages) = mpsc::channel();
        std::thread::Builder::new().name("crashwise-events".into()).spawn(move || {
            for message in messages {
                match message {
                    Message::Event(event) => {
                        for listener in &listeners {
                            drop(catch_unwind(AssertUnwindSafe(|| listener(&event))));
                        }
                    }
                    Message::Flush(done) => drop(done.send(())),
                }
            }
        })?;
        Ok(Self { queue: Some(queue) })
    }

    pub(crate) fn is_listened_to(&self) -> bool {
        self.queue.is_some()
    }

    pub(crate) fn push(&self, event: impl FnOnce() -> RunEvent) {
        if let Some(queue) = &self.queue {
            // The thread ends only when the feed does.
            let _ = queue.send(Message::Event(Box::new(event())));
        }
    }

    /// Waits until all events so far are delivered, at most `limit`.
    pub(crate) fn flush(&self, limit: Duration) {
        let (done, waiting) = mpsc::channel();
        if let Some(queue) = &self.queue
            && queue.send(Message::Flush(done)).is_ok()
        {
            let _ = waiting.recv_timeout(limit);
        }
    }
}

impl fmt::Debug for EventFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventFeed").field("listened_to", &self.is_listened_to()).finish()
    }
}

/// Several callbacks as one; a panic of one does not keep the event from the others.
pub(crate) struct AllStats(pub(crate) Vec<Arc<dyn crashwise_core::StatsCallback>>);

impl crashwise_core::StatsCallback for AllStats {
    fn on_stats(&self, event: &crashwise_core::StatsEvent) {
        for callback in &self.0 {
            drop(catch_unwind(AssertUnwindSafe(|| callback.on_stats(event))));
        }
    }
}
