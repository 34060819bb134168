//! Runs workflows.

use crate::engine::{Begun, Clock, Core, Guard, Known, Places, Pool, Shards, millis};
use crate::event::{AllStats, EventFeed};
use crate::executor::{InPlace, WorkspaceSource};
use crate::journal::{Journal, MemoryJournal, Submission};
use crate::results::ResultStore;
use crate::{RunEvent, RunHandle, RunReport, RunRequest, RunStatus, RunnerError};
use crashwise_core::workflow::{AnyWorkflow, Workflow};
use crashwise_core::{CancellationToken, Metadata, ModuleRegistry, RunId, StatsCallback, StatsFeed, Target};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Runs workflows in this process. Clones share everything.
///
/// When the last clone and the last [`RunHandle`] are dropped, what still runs is stopped.
///
/// ```
/// use crashwise_core::workflow::{Workflow, WorkflowContext, WorkflowError};
/// use crashwise_core::{Metadata, Target};
/// use crashwise_runner::Runner;
///
/// struct Greet;
///
/// impl Workflow for Greet {
///     type Params = std::collections::BTreeMap<String, String>;
///     type Output = String;
///
///     fn metadata(&self) -> Metadata {
///         Metadata::new("greet", "1.0.0".parse().unwrap(), "Greets.")
///     }
///
///     async fn run(&self, cx: &WorkflowContext, params: Self::Params) -> Result<String, WorkflowError> {
///         let name = params.get("name").cloned().unwrap_or_default();
///         Ok(cx.step("greet").run(move |_| { let name = name.clone(); async move { Ok(format!("hello {name}")) } }).await?)
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runner = Runner::builder().build()?;
/// let params = [("name".to_owned(), "world".to_owned())].into();
/// let (output, report) = runner.run_typed(Greet, Target::Directory(".".into()), params).await?;
/// assert_eq!(output, "hello world");
/// assert_eq!(report.steps[0].key.as_str(), "greet");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Runner {
    guard: Arc<Guard>,
}

impl Runner {
    /// A runner that is being described.
    pub fn builder() -> RunnerBuilder {
        RunnerBuilder::default()
    }

    fn core(&self) -> &Arc<Core> {
        &self.guard.0
    }

    /// Runs a workflow and waits for its end. A run that failed has a report too: see [`RunReport::status`].
    ///
    /// Dropping the future cancels the run.
    ///
    /// # Errors
    ///
    /// Only when the run could not begin (unknown workflow, parameters that do not fit) or could not be recorded.
    pub async fn run(&self, workflow: &str, target: Target, params: Value) -> Result<RunReport, RunnerError> {
        self.run_request(RunRequest::new(workflow, target).with_params(params)).await
    }

    /// Like [`Self::run`], with all that a request can say.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub async fn run_request(&self, request: RunRequest) -> Result<RunReport, RunnerError> {
        let handle = self.submit(request).await?;
        let cancel = handle.cancel_on_drop();
        let report = handle.wait().await;
        cancel.disarm();
        report
    }

    /// Runs a workflow that need not be registered, and gives its typed output.
    ///
    /// # Errors
    ///
    /// As [`Self::run`], and [`RunnerError::NotCompleted`] with the report when the run has no output.
    pub async fn run_typed<W: Workflow>(
        &self,
        workflow: W,
        target: Target,
        params: W::Params,
    ) -> Result<(W::Output, RunReport), RunnerError> {
        let params = serde_json::to_value(params).map_err(|error| RunnerError::Output(Arc::new(error)));
        let code: Arc<dyn AnyWorkflow> = Arc::new(workflow);
        let mut request = RunRequest::new(code.metadata().name, target).with_params(params?);
        request.workflow_code = Some(code);
        let report = self.run_request(request).await?;
        if report.status != RunStatus::Completed {
            return Err(RunnerError::NotCompleted(Box::new(report)));
        }
        match W::Output::deserialize(&report.output) {
            Ok(output) => Ok((output, report)),
            Err(error) => Err(RunnerError::Output(Arc::new(error))),
        }
    }

    /// Asks for a run. It is noted when this returns, and goes on whatever becomes of the handle, as long as a clone of
    /// the runner or of the handle exists.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub async fn submit(&self, request: RunRequest) -> Result<RunHandle, RunnerError> {
        let core = self.core();
        if core.closing.is_cancelled() {
            return Err(RunnerError::Closed);
        }
        let known = match &request.workflow_code {
            Some(workflow) => Known::new(Arc::clone(workflow))?,
            None => core.known(&request.workflow)?.clone(),
        };
        let params = known.metadata.check_parameters(request.params).map_err(RunnerError::Parameters)?;
        let limit = request
            .timeout
            .or_else(|| known.metadata.requirements.resources.timeout.map(crashwise_core::Span::duration));
        let submission = Submission {
            id: request.id.unwrap_or_else(RunId::generate),
            workflow: known.metadata.name.clone(),
            version: known.metadata.version.to_string(),
            target: request.target,
            params,
            timeout_ms: limit.map(millis),
            priority: request.priority,
            use_cache: request.use_cache,
            idempotency_key: request.idempotency_key.clone(),
            parent: None,
            at_ms: core.clock.now_ms(),
        };
        let asked = submission.id.clone();
        let begun = core
            .begin(submission, known, CancellationToken::new())
            .await
            .map_err(|error| RunnerError::storage("noting the run failed", error))?;
        match (begun, request.idempotency_key) {
            (Begun::New(live), _) => Ok(RunHandle::new(live, Arc::clone(&self.guard))),
            (Begun::Exists { id, same: false, .. }, Some(key)) if id != asked => {
                Err(RunnerError::KeyReused { key, id })
            }
            (Begun::Exists { same: true, live: Some(live), .. }, Some(_)) => {
                Ok(RunHandle::new(live, Arc::clone(&self.guard)))
            }
            (Begun::Exists { id, .. }, _) => Err(RunnerError::DuplicateRun { id }),
        }
    }

    /// The handle of a run of this process that goes on, or was among the last to end.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownRun`] when there is none.
    pub fn handle(&self, id: &RunId) -> Result<RunHandle, RunnerError> {
        match self.core().find(id) {
            Some(live) => Ok(RunHandle::new(live, Arc::clone(&self.guard))),
            None => Err(RunnerError::UnknownRun { id: id.clone() }),
        }
    }

    /// The workflows, in the order of their names.
    pub fn workflows(&self) -> impl Iterator<Item = &Metadata> {
        self.core().workflows.values().map(|known| &*known.metadata)
    }

    /// The description of a workflow.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownWorkflow`], with the name that is nearest.
    pub fn workflow(&self, name: &str) -> Result<&Metadata, RunnerError> {
        self.core().known(name).map(|known| &*known.metadata)
    }

    /// The modules.
    pub fn modules(&self) -> &ModuleRegistry {
        &self.core().modules
    }

    /// How many statistics were given up because callbacks were slower than they came.
    pub fn lost_stats(&self) -> u64 {
        self.core().stats.lost()
    }
}

type Listener = Box<dyn Fn(&RunEvent) + Send>;

/// A runner that is being described.
#[must_use = "a builder does nothing until `build`"]
pub struct RunnerBuilder {
    modules: ModuleRegistry,
    workflows: Vec<Arc<dyn AnyWorkflow>>,
    stats: Vec<Arc<dyn StatsCallback>>,
    listeners: Vec<Listener>,
    max_concurrent: usize,
    verticals: BTreeMap<String, usize>,
    cleanup_limit: Duration,
    check_wakers: bool,
    state_dir: Option<PathBuf>,
    workspaces: Arc<dyn WorkspaceSource>,
}

impl Default for RunnerBuilder {
    fn default() -> Self {
        Self {
            modules: ModuleRegistry::new(),
            workflows: Vec::new(),
            stats: Vec::new(),
            listeners: Vec::new(),
            max_concurrent: 5,
            verticals: BTreeMap::new(),
            cleanup_limit: Duration::from_mins(1),
            check_wakers: cfg!(debug_assertions),
            state_dir: None,
            workspaces: Arc::new(InPlace),
        }
    }
}

impl RunnerBuilder {
    /// Sets the modules that steps can name.
    pub fn modules(mut self, modules: ModuleRegistry) -> Self {
        self.modules = modules;
        self
    }

    /// Adds a workflow.
    pub fn workflow(self, workflow: impl AnyWorkflow) -> Self {
        self.workflow_shared(Arc::new(workflow))
    }

    /// Adds a workflow that others hold too.
    pub fn workflow_shared(mut self, workflow: Arc<dyn AnyWorkflow>) -> Self {
        self.workflows.push(workflow);
        self
    }

    /// Adds a receiver of live statistics. Lossy: one that is slow misses some.
    pub fn on_stats(mut self, callback: impl StatsCallback + 'static) -> Self {
        self.stats.push(Arc::new(callback));
        self
    }

    /// Adds a receiver of what happens in runs. Called on a thread of its own, in order, nothing left out.
    pub fn on_event(mut self, listener: impl Fn(&RunEvent) + Send + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Sets how many runs may work at once (5 unless set, at least 1); the others wait, higher priority first. A run that
    /// only sleeps, waits for a person, a signal or a child, or is paused leaves its place to others.
    pub fn max_concurrent(mut self, runs: usize) -> Self {
        self.max_concurrent = runs;
        self
    }

    /// Sets how many steps of a vertical may run at once, over all runs; without it there is no limit.
    pub fn vertical_limit(mut self, vertical: impl Into<String>, steps: usize) -> Self {
        self.verticals.insert(vertical.into(), steps);
        self
    }

    /// Sets the most time for each piece of cleanup that has no timeout of its own (60 s unless set).
    pub fn cleanup_limit(mut self, time: Duration) -> Self {
        self.cleanup_limit = time;
        self
    }

    /// Sets the folder in which results stay. Without it they go away with the runner and its reports.
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(folder.into());
        self
    }

    /// Sets whether a workflow that waits for timers, channels or tasks of the runtime instead of its context is failed.
    /// Costs a little per wake; on in builds with debug assertions unless set.
    pub fn check_determinism(mut self, check: bool) -> Self {
        self.check_wakers = check;
        self
    }

    /// Builds the runner and starts its threads.
    ///
    /// Steps run on the tokio runtime in which this is called, if that has several threads; else on one of the
    /// runner's own.
    ///
    /// # Errors
    ///
    /// When two workflows have one name, the metadata of one is not usable, or threads or files cannot be made.
    pub fn build(self) -> Result<Runner, RunnerError> {
        let mut workflows = BTreeMap::new();
        for code in self.workflows {
            let known = Known::new(code)?;
            let name = known.metadata.name.clone();
            if workflows.insert(name.clone(), known).is_some() {
                return Err(RunnerError::DuplicateWorkflow { name });
            }
        }
        let threads = |error| RunnerError::storage("starting the threads of the runner failed", error);
        let stats_wanted = !self.stats.is_empty();
        let stats = if self.stats.is_empty() {
            StatsFeed::none()
        } else {
            StatsFeed::new(AllStats(self.stats)).map_err(threads)?
        };
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
        let results = match &self.state_dir {
            None => ResultStore::temporary(),
            Some(folder) => ResultStore::at(folder.join("results"), true)
                .map_err(|error| RunnerError::storage(format!("using {} failed", folder.display()), error))?,
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let core = Core {
            modules: self.modules,
            workflows,
            stats,
            stats_wanted,
            events: EventFeed::new(self.listeners).map_err(threads)?,
            places: Places::new(self.max_concurrent),
            verticals: self.verticals.into_iter().map(|(name, steps)| (name, Places::new(steps))).collect(),
            results,
            workspaces: self.workspaces,
            journal,
            pool: Pool::new().map_err(threads)?,
            shards: Shards::new(processors.min(4)).map_err(threads)?,
            clock: Clock::default(),
            closing: CancellationToken::new(),
            cleanup_limit: self.cleanup_limit,
            check_wakers: self.check_wakers,
            live: Mutex::default(),
        };
        Ok(Runner { guard: Arc::new(Guard(Arc::new(core))) })
    }
}

impl fmt::Debug for RunnerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunnerBuilder")
            .field("modules", &self.modules)
            .field("workflows", &self.workflows.len())
            .field("max_concurrent", &self.max_concurrent)
            .finish_non_exhaustive()
    }
}
