//! A run that goes on, in the hand of who asked for it.

use crate::engine::{Control, Guard, Live, Progress};
use crate::{RunReport, RunStatus, RunnerError, StepReport};
use crashwise_core::RunId;
use crashwise_core::workflow::Decision;
use serde_json::Value;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// A run. Clones are handles to the same run; dropping them does not stop it.
#[derive(Clone)]
pub struct RunHandle {
    place: Place,
    guard: Arc<Guard>,
}

/// Where a run is carried out.
#[derive(Clone)]
enum Place {
    Here(Arc<Live>),
    /// In another process, or it is over.
    #[cfg(feature = "local")]
    Elsewhere(RunId, crate::RunStore),
}

impl RunHandle {
    pub(crate) fn new(live: Arc<Live>, guard: Arc<Guard>) -> Self {
        Self { place: Place::Here(live), guard }
    }

    #[cfg(feature = "local")]
    pub(crate) fn elsewhere(id: RunId, store: crate::RunStore, guard: Arc<Guard>) -> Self {
        Self { place: Place::Elsewhere(id, store), guard }
    }

    /// The run.
    pub fn id(&self) -> &RunId {
        match &self.place {
            Place::Here(live) => &live.submission.id,
            #[cfg(feature = "local")]
            Place::Elsewhere(id, _) => id,
        }
    }

    /// Where the run is. A run that this process lost hold of is `failed` here; [`Self::wait`] says why.
    pub fn status(&self) -> RunStatus {
        let known = match &self.place {
            Place::Here(live) => live.progress().status(),
            #[cfg(feature = "local")]
            Place::Elsewhere(id, store) => store.status(id).ok(),
        };
        known.unwrap_or(RunStatus::Failed)
    }

    /// The steps that have ended so far.
    pub fn steps(&self) -> Vec<StepReport> {
        match &self.place {
            Place::Here(live) => {
                if let Progress::Ended(report) = live.progress() {
                    return report.steps.clone();
                }
                let steps = live.steps.lock().unwrap_or_else(PoisonError::into_inner).clone();
                crate::steps::in_order(&steps)
            }
            #[cfg(feature = "local")]
            Place::Elsewhere(id, store) => store.report(id).map(|report| report.steps).unwrap_or_default(),
        }
    }

    /// Waits for the end of the run. Events of the run are delivered to listeners before this returns, unless those are
    /// slow.
    ///
    /// # Errors
    ///
    /// When the run could not be recorded, or the runner was shut down.
    pub async fn wait(&self) -> Result<RunReport, RunnerError> {
        let live = match &self.place {
            Place::Here(live) => live,
            #[cfg(feature = "local")]
            Place::Elsewhere(id, store) => return store.wait(id).await?.ok_or(RunnerError::Closed),
        };
        let mut progress = live.watch();
        let ended = loop {
            let now = progress.now();
            match now {
                Progress::Ended(report) => break Ok((*report).clone()),
                Progress::Lost(error) => break Err(*error),
                Progress::At(_) => {}
            }
            progress.changed().await;
        };
        let core = Arc::clone(&self.guard.0);
        if core.events.is_listened_to() || core.stats_wanted {
            let pool = core.pool.handle().clone();
            let flushed = pool.spawn_blocking(move || {
                core.events.flush(Duration::from_secs(1));
                core.stats.flush(Duration::from_millis(200));
            });
            // Only a runtime that is shutting down does not flush.
            drop(flushed.await);
        }
        ended
    }

    /// Waits until the run has a status, or is over.
    ///
    /// # Errors
    ///
    /// As [`Self::wait`].
    pub async fn wait_for(&self, status: RunStatus) -> Result<RunStatus, RunnerError> {
        let live = match &self.place {
            Place::Here(live) => live,
            #[cfg(feature = "local")]
            Place::Elsewhere(id, store) => loop {
                let now = store.status(id)?;
                if now == status || now.is_final() {
                    return Ok(now);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            },
        };
        let mut progress = live.watch();
        loop {
            let now = progress.now();
            if let Progress::Lost(error) = now {
                return Err(*error);
            }
            if let Some(now) = now.status()
                && (now == status || now.is_final())
            {
                return Ok(now);
            }
            progress.changed().await;
        }
    }

    /// Asks the run to stop: what runs is stopped within about a second, cleanup is done, and the run ends as cancelled.
    /// Returns when the wish is journaled; [`Self::wait`] waits for the end.
    ///
    /// # Errors
    ///
    /// [`RunnerError::WrongState`] when the run is over.
    pub async fn cancel(&self) -> Result<(), RunnerError> {
        self.control(Control::Cancel).await
    }

    /// Asks the run to pause: steps that run are let finish, and no other begins. Returns when the wish is journaled;
    /// the status becomes `paused` when nothing runs any more.
    ///
    /// # Errors
    ///
    /// [`RunnerError::WrongState`] when the run is over.
    pub async fn pause(&self) -> Result<(), RunnerError> {
        self.control(Control::Pause).await
    }

    /// Lets a paused run go on where it was.
    ///
    /// # Errors
    ///
    /// [`RunnerError::WrongState`] when the run is over, or nobody asked for a pause.
    pub async fn resume(&self) -> Result<(), RunnerError> {
        self.control(Control::Resume).await
    }

    /// Says yes to an approval, which may be asked for already or later. Journaled when this returns.
    ///
    /// # Errors
    ///
    /// [`RunnerError::WrongState`] when the run is over, [`RunnerError::AlreadyDecided`] when somebody has decided.
    pub async fn approve(&self, name: &str, by: &str, comment: &str) -> Result<(), RunnerError> {
        self.decide(name, true, by, comment).await
    }

    /// Says no to an approval, which may be asked for already or later. Journaled when this returns.
    ///
    /// # Errors
    ///
    /// As [`Self::approve`].
    pub async fn reject(&self, name: &str, by: &str, comment: &str) -> Result<(), RunnerError> {
        self.decide(name, false, by, comment).await
    }

    async fn decide(&self, name: &str, approved: bool, by: &str, comment: &str) -> Result<(), RunnerError> {
        let decision = Decision {
            approved,
            by: by.to_owned(),
            comment: comment.to_owned(),
            at_ms: self.guard.0.clock.now_ms(),
        };
        self.control(Control::Decide { name: name.to_owned(), decision }).await
    }

    /// Sends a signal. Signals of one name are taken in the order in which they came, whether the workflow waits for
    /// them already or later. Journaled when this returns.
    ///
    /// # Errors
    ///
    /// [`RunnerError::WrongState`] when the run is over.
    pub async fn signal(&self, name: &str, value: Value) -> Result<(), RunnerError> {
        self.control(Control::Signal { name: name.to_owned(), value }).await
    }

    async fn control(&self, control: Control) -> Result<(), RunnerError> {
        match &self.place {
            Place::Here(live) => live.control(control).await,
            #[cfg(feature = "local")]
            Place::Elsewhere(id, store) => store.ask(id, control).await,
        }
    }

    /// Cancels the run when what is returned is dropped.
    pub(crate) fn cancel_on_drop(&self) -> CancelOnDrop {
        let live = match &self.place {
            Place::Here(live) => Some(Arc::clone(live)),
            #[cfg(feature = "local")]
            Place::Elsewhere(..) => None,
        };
        CancelOnDrop { live }
    }
}

impl fmt::Debug for RunHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunHandle").field("id", self.id()).field("status", &self.status()).finish()
    }
}

pub(crate) struct CancelOnDrop {
    live: Option<Arc<Live>>,
}

impl CancelOnDrop {
    pub(crate) fn disarm(mut self) {
        self.live = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(live) = self.live.take() {
            live.cancel.cancel();
        }
    }
}
