//! A run that this process carries out, as its workflow and its driver see it.

use super::core::Core;
use super::live::{Live, Progress};
use super::mailbox::Mailbox;
use super::memo::{Memo, Past};
use super::queue::Place;
use super::step::why_stopped;
use crate::executor::{Prepared, Stage};
use crate::journal::{Event, JournalError, RunLog, StepEnd};
use crate::results::ResultStore;
use crate::steps::StepLine;
use crate::{RunEvent, RunEventKind, RunStatus};
use crashwise_core::workflow::{RunInfo, StepFailure};
use crashwise_core::{
    CancellationToken, Fingerprint, Isolation, Metadata, ModuleOutput, StatsFeed, Workspace,
};
use futures::FutureExt;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio_util::task::AbortOnDropHandle;

/// A run that this process carries out. Lives on one thread, with the workflow's future.
pub(crate) struct RunState {
    pub(crate) core: Arc<Core>,
    pub(crate) live: Arc<Live>,
    pub(crate) info: Arc<RunInfo>,
    /// The kind of worker that runs its steps, unless a step says otherwise.
    pub(crate) vertical: String,
    pub(crate) memo: RefCell<Memo>,
    pub(crate) mailbox: RefCell<Mailbox>,
    /// Fires when steps shall stop; cleanup goes on.
    pub(crate) stop: CancellationToken,
    pub(crate) stopping: Cell<Option<RunStatus>>,
    /// Whether somebody asked for a pause.
    pub(crate) paused: Cell<bool>,
    pub(crate) children: RefCell<Vec<Arc<Live>>>,
    pub(crate) started_ms: Cell<Option<u64>>,
    /// When it began, if that was in this process.
    pub(crate) began: Cell<Option<Instant>>,
    /// The process gives the run up: what stops now did not end.
    pub(crate) halted: Cell<bool>,
    log: RefCell<Box<dyn RunLog>>,
    broken: RefCell<Option<JournalError>>,
    next_index: Cell<u32>,
    counts: [Cell<u32>; 4],
    place: RefCell<Option<Place>>,
    used: Cell<Duration>,
    counting_since: Cell<Option<Instant>>,
    limit: Option<Duration>,
    status: Cell<RunStatus>,
    isolation: Isolation,
    workspace: OnceCell<Prepared>,
    content: OnceCell<Option<Fingerprint>>,
    project: std::cell::OnceCell<String>,
    changed: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

/// What a part of the workflow is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// A step runs.
    Step,
    /// Cleanup runs.
    Cleanup,
    /// It sleeps, or waits with a limit.
    Timer,
    /// It waits for a person or a signal.
    Waiting,
}

impl RunState {
    pub(crate) fn new(
        core: Arc<Core>,
        live: Arc<Live>,
        metadata: &Metadata,
        log: Box<dyn RunLog>,
        past: Past,
    ) -> Rc<Self> {
        let submission = &live.submission;
        let info = Arc::new(RunInfo::new(submission.id.clone(), submission.workflow.clone()));
        let limit = submission.timeout_ms.map(Duration::from_millis);
        *live.steps.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = past.steps;
        Rc::new(Self {
            core,
            info,
            vertical: metadata.vertical.clone(),
            memo: RefCell::new(past.memo),
            mailbox: RefCell::new(past.mailbox),
            stop: CancellationToken::new(),
            stopping: Cell::new(None),
            paused: Cell::new(past.paused),
            children: RefCell::default(),
            started_ms: Cell::new(past.started_ms),
            began: Cell::new(None),
            halted: Cell::new(false),
            log: RefCell::new(log),
            broken: RefCell::default(),
            next_index: Cell::new(past.next_index),
            counts: Default::default(),
            place: RefCell::default(),
            used: Cell::new(past.used),
            counting_since: Cell::new(None),
            limit,
            status: Cell::new(RunStatus::Pending),
            isolation: live.submission.isolation.unwrap_or(metadata.workspace_isolation),
            workspace: OnceCell::new(),
            content: OnceCell::new(),
            project: std::cell::OnceCell::new(),
            changed: Cell::new(false),
            waiting: RefCell::default(),
            live,
        })
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.core.clock.now_ms()
    }

    pub(crate) fn take_index(&self) -> u32 {
        self.next_index.replace(self.next_index.get() + 1)
    }

    /// Tells the listeners.
    pub(crate) fn tell(&self, kind: impl FnOnce() -> RunEventKind) {
        self.core.events.push(|| RunEvent {
            run_id: self.info.run.clone(),
            at_ms: self.now_ms(),
            kind: kind(),
        });
    }

    /// The tree that the run looks at, made when it is first asked for.
    pub(crate) async fn workspace(&self) -> Result<Workspace, StepFailure> {
        if let Some(prepared) = self.workspace.get() {
            return Ok(prepared.workspace.clone());
        }
        self.prepare().boxed_local().await
    }

    async fn prepare(&self) -> Result<Workspace, StepFailure> {
        self.workspace
            .get_or_try_init(async || {
                let (core, live, isolation) =
                    (Arc::clone(&self.core), Arc::clone(&self.live), self.isolation);
                let prepared = self.on_pool(async move {
                    let submission = &live.submission;
                    core.workspaces.prepare(&submission.id, &submission.target, isolation).await
                });
                prepared.await.unwrap_or_else(|error| {
                    Err(StepFailure::fatal(format!("the target could not be prepared: {error}")))
                })
            })
            .await
            .map(|prepared| prepared.workspace.clone())
    }

    /// Identifies the content of the target, told when it is first asked for.
    pub(crate) async fn content(&self) -> Option<Fingerprint> {
        self.content
            .get_or_init(async || {
                let (core, live) = (Arc::clone(&self.core), Arc::clone(&self.live));
                let told =
                    self.on_pool(async move { core.workspaces.content(&live.submission.target).await });
                told.await.ok().flatten()
            })
            .await
            .clone()
    }

    /// Does something that may wait for the network on the pool; it stops when this is dropped.
    fn on_pool<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> AbortOnDropHandle<T> {
        AbortOnDropHandle::new(self.core.pool.handle().spawn(work))
    }

    /// Appends an event without waiting for it. It is made only if it is kept.
    pub(crate) fn note(&self, event: impl FnOnce() -> Event) {
        let mut log = self.log.borrow_mut();
        if log.keeps() {
            log.note(self.now_ms(), event());
        }
    }

    /// Appends an event and waits until it is durable. When that fails the run cannot be carried on here: the driver sees
    /// it, and this never completes.
    pub(crate) async fn keep(&self, event: &Event) {
        if let Err(error) = self.try_keep(event).await {
            self.break_off::<()>(error).await;
        }
    }

    /// Says that the run cannot be carried on here. Never completes: the driver drops who waits.
    pub(crate) async fn break_off<T>(&self, error: JournalError) -> T {
        self.broken.replace(Some(error));
        self.change();
        std::future::pending().await
    }

    /// Appends an event and waits until it is durable.
    pub(crate) async fn try_keep(&self, event: &Event) -> Result<(), JournalError> {
        let ack = self.log.borrow_mut().append(self.now_ms(), event);
        ack.kept().await
    }

    pub(crate) fn broken(&self) -> Option<JournalError> {
        self.broken.borrow().clone()
    }

    /// Puts the end of a step into the report, with the result of its module or closure if it has one.
    pub(crate) fn report(&self, end: &StepEnd, output: Option<ModuleOutput>) {
        if let Some(step) = StepLine::with_found(end, output.map(Into::into)) {
            self.live.push_step(step);
        }
    }

    /// Notes that a part of the workflow is doing something, until the guard is dropped.
    pub(crate) fn doing(self: &Rc<Self>, what: Doing) -> Busy {
        let count = &self.counts[what as usize];
        count.set(count.get() + 1);
        Busy { run: Rc::clone(self), what }
    }

    pub(crate) fn count(&self, what: Doing) -> u32 {
        self.counts[what as usize].get()
    }

    /// Wakes the driver and everything that waits in [`Self::until`].
    pub(crate) fn change(&self) {
        self.changed.set(true);
        let waiting = self.waiting.take();
        for waker in waiting {
            waker.wake();
        }
    }

    /// Waits until a condition on this state holds; [`Self::change`] makes it be looked at again.
    pub(crate) async fn until<T>(&self, mut condition: impl FnMut(&Self) -> Option<T>) -> T {
        poll_fn(|task| {
            if let Some(value) = condition(self) {
                return Poll::Ready(value);
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|known| known.will_wake(task.waker())) {
                waiting.push(task.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Waits until something changed since the last time.
    pub(crate) async fn changed(&self) {
        self.until(|run| run.changed.replace(false).then_some(())).await;
    }

    /// Whether the run may work right now; takes one of the places if that is free.
    pub(crate) fn works(&self) -> bool {
        if self.may_go_on() != Some(true) {
            return false;
        }
        if self.place.borrow().is_none() {
            let Some(place) = self.core.places.try_take() else { return false };
            self.place.replace(Some(place));
        }
        true
    }

    /// Waits until the run may work: it is not paused and has one of the places. `false` when it is being stopped.
    pub(crate) async fn may_work(&self) -> bool {
        loop {
            if !self.until(Self::may_go_on).await {
                return false;
            }
            if self.works() {
                return true;
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return false,
                () = self.until(|run| run.paused.get().then_some(())) => {}
                place = self.core.places.take(self.live.submission.priority) => {
                    // Another branch may have got one meanwhile; this one goes back then.
                    drop(self.place.replace(Some(place)));
                }
            }
        }
    }

    fn may_go_on(&self) -> Option<bool> {
        if self.stopping.get().is_some() {
            Some(false)
        } else if self.paused.get() {
            None
        } else {
            Some(true)
        }
    }

    /// Brings the status, the place and the count of time in line with what the workflow is doing. Called when its future
    /// waits.
    pub(crate) fn settle(&self) {
        let working = self.count(Doing::Step) > 0;
        if !working {
            self.place.take();
        }
        let children = self.children.borrow();
        let child_works = children.iter().any(|child| {
            child.progress().status().is_some_and(|status| !status.is_final() && status != RunStatus::Paused)
        });
        let stopping = self.stopping.get().is_some();
        let paused = self.paused.get() && !working && !child_works && !stopping;
        if paused {
            self.set_status(RunStatus::Paused);
        } else if !self.paused.get() || stopping {
            self.set_status(RunStatus::Running);
        }
        let only_people = self.count(Doing::Waiting) > 0
            && !working
            && self.count(Doing::Timer) == 0
            && children.is_empty();
        self.count_time(!paused && !only_people);
    }

    pub(crate) fn set_status(&self, status: RunStatus) {
        let before = self.status.replace(status);
        if before == status {
            return;
        }
        match status {
            RunStatus::Paused => {
                self.note(|| Event::Paused);
                self.tell(|| RunEventKind::RunPaused);
            }
            RunStatus::Running if before == RunStatus::Paused => self.tell(|| RunEventKind::RunResumed),
            _ => {}
        }
        self.live.set(Progress::At(status));
    }

    pub(crate) fn count_time(&self, on: bool) {
        match (on, self.counting_since.get()) {
            (true, None) => self.counting_since.set(Some(Instant::now())),
            (false, Some(since)) => {
                self.counting_since.set(None);
                self.used.set(self.used.get() + since.elapsed());
            }
            _ => {}
        }
    }

    /// Time so far that counts against the deadline.
    pub(crate) fn used(&self) -> Duration {
        let now = self.counting_since.get().map_or(Duration::ZERO, |since| since.elapsed());
        self.used.get() + now
    }

    /// How long the run has taken in this process, if it began here: the clock may have jumped meanwhile.
    pub(crate) fn took(&self) -> Option<Duration> {
        self.began.get().map(|began| began.elapsed())
    }

    /// The moment at which the run is out of time, if its time counts now.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let left = self.limit?.saturating_sub(self.used.get());
        self.counting_since.get()?.checked_add(left)
    }

    /// Has steps stopped.
    pub(crate) fn begin_stop(&self, status: RunStatus, noted: bool) {
        self.stopping.set(Some(status));
        if !noted {
            self.note(|| Event::Stopping { status });
        }
        self.tell(|| RunEventKind::RunStopping { status });
        self.stop.cancel();
        self.change();
    }
}

impl Stage for RunState {
    fn results(&self) -> &ResultStore {
        &self.core.results
    }

    fn stats(&self) -> &StatsFeed {
        &self.core.stats
    }

    fn info(&self) -> &Arc<RunInfo> {
        &self.info
    }

    fn workflow_version(&self) -> &str {
        &self.live.submission.version
    }

    fn project(&self) -> String {
        self.project.get_or_init(|| self.live.submission.target.project()).clone()
    }

    fn requires_sandbox(&self) -> bool {
        self.live.submission.require_sandbox
    }

    fn pool(&self) -> &Handle {
        self.core.pool.handle()
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline()
    }

    fn why_stopped(&self) -> &'static str {
        why_stopped(self)
    }

    async fn workspace(&self) -> Result<Workspace, StepFailure> {
        self.workspace().await
    }
}

/// A part of the workflow is doing something.
pub(crate) struct Busy {
    run: Rc<RunState>,
    what: Doing,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let count = &self.run.counts[self.what as usize];
        count.set(count.get() - 1);
    }
}
