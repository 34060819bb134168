//! What the runs of a runner share.

use super::clock::Clock;
use super::drive;
use super::live::Live;
use super::memo::Past;
use super::queue::Places;
use super::shard::Shards;
use crate::RunnerError;
use crate::event::EventFeed;
use crate::executor::WorkspaceSource;
use crate::journal::{Created, Journal, JournalError, Submission, Taken};
use crate::results::ResultStore;
use crashwise_core::workflow::{AnyWorkflow, StepKey};
use crashwise_core::{CancellationToken, Metadata, ModuleRegistry, RunId, StatsFeed};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Handle, Runtime, RuntimeFlavor};

/// What the runs of a runner share.
pub(crate) struct Core {
    pub(crate) modules: ModuleRegistry,
    pub(crate) workflows: BTreeMap<String, Known>,
    /// Earlier versions of workflows, for runs that were begun with them.
    #[cfg(feature = "local")]
    pub(crate) former: BTreeMap<(String, String), Known>,
    pub(crate) stats: StatsFeed,
    pub(crate) stats_wanted: bool,
    pub(crate) events: EventFeed,
    pub(crate) places: Arc<Places>,
    pub(crate) verticals: BTreeMap<String, Arc<Places>>,
    pub(crate) results: ResultStore,
    pub(crate) workspaces: Arc<dyn WorkspaceSource>,
    pub(crate) journal: Arc<dyn Journal>,
    #[cfg(feature = "local")]
    pub(crate) durable: Option<crate::durable::Durable>,
    pub(crate) pool: Pool,
    pub(crate) shards: Shards,
    pub(crate) clock: Clock,
    pub(crate) closing: CancellationToken,
    pub(crate) cleanup_limit: Duration,
    pub(crate) check_wakers: bool,
    pub(crate) on_change: OnChange,
    pub(crate) reconcile: Option<Reconcile>,
    pub(crate) live: Mutex<LiveRuns>,
}

/// What becomes of a stored result when the code now asks for something else under its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnChange {
    /// The run fails, and the error names the step.
    #[default]
    Fail,
    /// The step is carried out again.
    Rerun,
}

/// Tells what became of a step of which a crash left it open whether it ran.
pub(crate) type Reconcile = Box<dyn Fn(&RunId, &StepKey) -> Option<Value> + Send + Sync>;

/// A description that is read when it is asked for.
pub(crate) type LazyMetadata = LazyLock<Metadata, Box<dyn FnOnce() -> Metadata + Send>>;

/// A workflow with its description.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) code: Arc<dyn AnyWorkflow>,
    pub(crate) metadata: Arc<LazyMetadata>,
}

impl Known {
    pub(crate) fn new(code: Arc<dyn AnyWorkflow>) -> Result<Self, RunnerError> {
        let metadata = code.metadata();
        metadata.validate().map_err(RunnerError::Metadata)?;
        Ok(Self { code, metadata: Arc::new(LazyLock::new(Box::new(move || metadata))) })
    }

    /// A workflow whose description was checked before: most of those that a program knows are not run by it.
    pub(crate) fn checked(code: Arc<dyn AnyWorkflow>) -> Self {
        let described = Arc::clone(&code);
        Self { code, metadata: Arc::new(LazyLock::new(Box::new(move || described.metadata()))) }
    }
}

/// The runs of this process: those that go on, and the last that ended.
#[derive(Default)]
pub(crate) struct LiveRuns {
    runs: HashMap<RunId, Arc<Live>>,
    ended: VecDeque<RunId>,
}

impl Core {
    /// How many ended runs stay at hand.
    const KEPT: usize = 1000;

    pub(crate) fn known(&self, name: &str) -> Result<&Known, RunnerError> {
        self.workflows
            .get(name)
            .ok_or_else(|| RunnerError::unknown_workflow(name, self.workflows.keys().map(String::as_str)))
    }

    /// The code for a run that was begun with a version of a workflow: that very version, if it is still here.
    #[cfg(feature = "local")]
    pub(crate) fn code_for(&self, submission: &Submission) -> Result<&Known, RunnerError> {
        let begun_with = (submission.workflow.clone(), submission.version.clone());
        self.former.get(&begun_with).map_or_else(|| self.known(&submission.workflow), Ok)
    }

    /// Notes a run and carries it out; when there is one with its id or key already, gives that one.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        submission: Arc<Submission>,
        workflow: Known,
        cancel: CancellationToken,
    ) -> Result<Begun, JournalError> {
        match self.journal.create(&submission).await? {
            Created::New(log) => {
                let taken = Taken { log, past: Past::default() };
                Ok(Begun::New(self.carry_on(submission, workflow, cancel, Some(taken))))
            }
            Created::Exists { id, same } => Ok(Begun::Exists { live: self.find(&id), id, same }),
        }
    }

    /// Carries out a run that the journal holds. Without the end of its journal at hand, the run is taken first.
    pub(crate) fn carry_on(
        self: &Arc<Self>,
        submission: Arc<Submission>,
        workflow: Known,
        cancel: CancellationToken,
        taken: Option<Taken>,
    ) -> Arc<Live> {
        let id = submission.id.clone();
        let (live, commands) = Live::new(submission, cancel);
        self.lock().runs.insert(id, Arc::clone(&live));
        let (core, run) = (Arc::clone(self), Arc::clone(&live));
        self.shards.spawn(move || Box::pin(drive::carry_out(core, run, workflow, commands, taken)));
        live
    }

    pub(crate) fn find(&self, id: &RunId) -> Option<Arc<Live>> {
        self.lock().runs.get(id).cloned()
    }

    /// Notes that a run ended, so that it is forgotten in the end.
    pub(crate) fn ended(&self, id: &RunId) {
        let forgotten = {
            let mut live = self.lock();
            live.ended.push_back(id.clone());
            if live.ended.len() > Self::KEPT { live.ended.pop_front() } else { None }
        };
        if let Some(id) = forgotten {
            self.lock().runs.remove(&id);
            self.journal.forget(&id);
        }
    }

    /// All runs that go on.
    #[cfg(feature = "local")]
    pub(crate) fn going_on(&self) -> Vec<Arc<Live>> {
        self.lock()
            .runs
            .values()
            .filter(|live| matches!(live.progress(), super::live::Progress::At(_)))
            .cloned()
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LiveRuns> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a request.
pub(crate) enum Begun {
    New(Arc<Live>),
    Exists { id: RunId, same: bool, live: Option<Arc<Live>> },
}

/// Keeps the engine going. When the last one goes, so do the runs.
pub(crate) struct Guard(pub(crate) Arc<Core>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.closing.cancel();
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("modules", &self.0.modules)
            .field("workflows", &self.0.workflows.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Where steps run: the runtime of the embedder when it has several threads, else one of our own.
pub(crate) struct Pool {
    handle: Handle,
    own: Option<Runtime>,
}

impl Pool {
    pub(crate) fn new() -> io::Result<Self> {
        if let Ok(handle) = Handle::try_current()
            && handle.runtime_flavor() == RuntimeFlavor::MultiThread
        {
            return Ok(Self { handle, own: None });
        }
        let own = tokio::runtime::Builder::new_multi_thread()
            .thread_name("crashwise-steps")
            .enable_all()
            .build()?;
        Ok(Self { handle: own.handle().clone(), own: Some(own) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            own.shutdown_background();
        }
    }
}
