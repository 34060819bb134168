//! Runs workflows.

#[cfg(feature = "local")]
use crate::durable::Durable;
use crate::engine::{
    Begun, Clock, Core, Guard, Known, Live, OnChange, Places, Pool, Reconcile, Shards, millis,
};
use crate::event::{AllStats, EventFeed};
#[cfg(feature = "workspace")]
use crate::executor::{Cached, OpenCache, OpenStore};
use crate::executor::{InPlace, WorkspaceSource};
#[cfg(feature = "local")]
use crate::journal::sqlite::SqliteJournal;
use crate::journal::{Journal, MemoryJournal, Submission};
use crate::results::ResultStore;
#[cfg(feature = "local")]
use crate::store::RunStore;
use crate::{RunEvent, RunHandle, RunReport, RunRequest, RunStatus, RunnerError};
#[cfg(feature = "workspace")]
use crashwise_core::ObjectUrl;
#[cfg(feature = "workspace")]
use crashwise_core::cache::{Cache, CacheError};
#[cfg(feature = "workspace")]
use crashwise_core::store::Store;
use crashwise_core::workflow::{AnyWorkflow, StepKey, Workflow};
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

    pub(crate) fn core(&self) -> &Arc<Core> {
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
        let submission = Arc::new(Submission {
            id: request.id.unwrap_or_else(RunId::generate),
            workflow: known.metadata.name.clone(),
            version: known.metadata.version.to_string(),
            target: request.target,
            params: params.into(),
            timeout_ms: limit.map(millis),
            priority: request.priority,
            use_cache: request.use_cache,
            require_sandbox: request.require_sandbox,
            isolation: request.isolation,
            idempotency_key: request.idempotency_key.clone(),
            parent: None,
            forked_from: None,
            at_ms: core.clock.now_ms(),
        });
        let asked = submission.id.clone();
        let begun = core
            .begin(submission, known, CancellationToken::new())
            .await
            .map_err(|error| RunnerError::storage("noting the run failed", error))?;
        match (begun, request.idempotency_key) {
            (Begun::Exists { id, same: false, .. }, Some(key)) if id != asked => {
                Err(RunnerError::KeyReused { key, id })
            }
            (Begun::New(live), _) | (Begun::Exists { same: true, live: Some(live), .. }, Some(_)) => {
                Ok(self.here(live))
            }
            (Begun::Exists { same: true, live: None, id }, Some(_)) => self.known_run(&id),
            (Begun::Exists { id, .. }, _) => Err(RunnerError::DuplicateRun { id }),
        }
    }

    /// The handle of a run: of this process, when it goes on or was among the last to end, or of the state folder.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownRun`] when there is none.
    pub fn handle(&self, id: &RunId) -> Result<RunHandle, RunnerError> {
        match self.core().find(id) {
            Some(live) => Ok(self.here(live)),
            None => self.elsewhere(id),
        }
    }

    pub(crate) fn here(&self, live: Arc<Live>) -> RunHandle {
        RunHandle::new(live, Arc::clone(&self.guard))
    }

    #[cfg(feature = "local")]
    pub(crate) fn there(&self, id: &RunId, store: crate::RunStore) -> RunHandle {
        RunHandle::elsewhere(id.clone(), store, Arc::clone(&self.guard))
    }

    #[cfg(feature = "local")]
    fn elsewhere(&self, id: &RunId) -> Result<RunHandle, RunnerError> {
        let store = self.store().map_err(|_| RunnerError::UnknownRun { id: id.clone() })?;
        store.summary(id)?;
        Ok(self.there(id, store.clone()))
    }

    #[cfg(not(feature = "local"))]
    fn elsewhere(&self, id: &RunId) -> Result<RunHandle, RunnerError> {
        Err(RunnerError::UnknownRun { id: id.clone() })
    }

    #[cfg(not(feature = "local"))]
    fn known_run(&self, id: &RunId) -> Result<RunHandle, RunnerError> {
        self.elsewhere(id)
    }

    /// The workflows, in the order of their names.
    pub fn workflows(&self) -> impl Iterator<Item = &Metadata> {
        self.core().workflows.values().map(|known| &**known.metadata)
    }

    /// The description of a workflow.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownWorkflow`], with the name that is nearest.
    pub fn workflow(&self, name: &str) -> Result<&Metadata, RunnerError> {
        self.core().known(name).map(|known| &**known.metadata)
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
    /// Workflows; those that were checked before with their names.
    workflows: Vec<(Option<String>, Arc<dyn AnyWorkflow>)>,
    stats: Vec<Arc<dyn StatsCallback>>,
    listeners: Vec<Listener>,
    max_concurrent: usize,
    /// On how many threads workflow code runs; one for each processor unless set.
    shards: Option<usize>,
    verticals: BTreeMap<String, usize>,
    cleanup_limit: Duration,
    check_wakers: bool,
    #[cfg(feature = "local")]
    former: Vec<Arc<dyn AnyWorkflow>>,
    on_change: OnChange,
    reconcile: Option<Reconcile>,
    #[cfg(feature = "local")]
    durability: crate::Durability,
    #[cfg(feature = "local")]
    disk_patience: Option<Duration>,
    #[cfg(feature = "local")]
    recover: bool,
    state_dir: Option<PathBuf>,
    #[cfg(feature = "workspace")]
    open_cache: Option<OpenCache>,
    #[cfg(feature = "workspace")]
    store: Option<Store>,
    #[cfg(feature = "workspace")]
    open_store: Option<OpenStore>,
}

impl Default for RunnerBuilder {
    fn default() -> Self {
        Self {
            modules: ModuleRegistry::new(),
            workflows: Vec::new(),
            stats: Vec::new(),
            listeners: Vec::new(),
            max_concurrent: 5,
            shards: None,
            verticals: BTreeMap::new(),
            cleanup_limit: Duration::from_mins(1),
            check_wakers: cfg!(debug_assertions),
            #[cfg(feature = "local")]
            former: Vec::new(),
            on_change: OnChange::default(),
            reconcile: None,
            #[cfg(feature = "local")]
            durability: crate::Durability::default(),
            #[cfg(feature = "local")]
            disk_patience: None,
            #[cfg(feature = "local")]
            recover: true,
            state_dir: None,
            #[cfg(feature = "workspace")]
            open_cache: None,
            #[cfg(feature = "workspace")]
            store: None,
            #[cfg(feature = "workspace")]
            open_store: None,
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
        self.workflows.push((None, workflow));
        self
    }

    /// Adds a workflow of this name whose description was checked before.
    #[cfg(feature = "cli")]
    pub(crate) fn workflow_checked(mut self, name: String, workflow: Arc<dyn AnyWorkflow>) -> Self {
        self.workflows.push((Some(name), workflow));
        self
    }

    /// Sets on how many threads workflow code runs.
    #[cfg(feature = "cli")]
    pub(crate) fn shards(mut self, threads: usize) -> Self {
        self.shards = Some(threads);
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

    /// Adds an earlier version of a workflow, for runs that were begun with it and have not ended.
    #[cfg(feature = "local")]
    pub fn former_workflow(mut self, workflow: impl AnyWorkflow) -> Self {
        self.former.push(Arc::new(workflow));
        self
    }

    /// Sets what becomes of a stored result when the code now asks for something else under its key.
    pub fn on_change(mut self, policy: OnChange) -> Self {
        self.on_change = policy;
        self
    }

    /// Sets who is asked what became of an at-most-once step when a crash left it open whether it ran. Its answer is the
    /// result of the step; without one the step fails as `outcome_unknown`.
    pub fn reconcile(
        mut self,
        ask: impl Fn(&RunId, &StepKey) -> Option<Value> + Send + Sync + 'static,
    ) -> Self {
        self.reconcile = Some(Box::new(ask));
        self
    }

    /// Sets how far an acknowledged event is safe in a state folder.
    #[cfg(feature = "local")]
    pub fn durability(mut self, durability: crate::Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets how long a full disk or a busy journal is waited out before the runs that need it are given up (5 s unless
    /// set). They are not lost: [`Runner::recover`] carries them on.
    #[cfg(feature = "local")]
    pub fn disk_patience(mut self, time: Duration) -> Self {
        self.disk_patience = Some(time);
        self
    }

    /// Sets whether runs that a process left behind in the state folder go on here; they do unless told otherwise.
    #[cfg(feature = "local")]
    pub fn recover_runs(mut self, recover: bool) -> Self {
        self.recover = recover;
        self
    }

    /// Sets the folder in which runs and their results are kept, so that they survive the process. Several processes can
    /// share it. Without it they go away with the runner and its reports.
    #[cfg(feature = "local")]
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(folder.into());
        self
    }

    /// Sets the cache from which runs get their trees, in the mode that the workflow asks for. Without it only directories
    /// and archives of this machine can be looked at, directories always in place.
    #[cfg(feature = "workspace")]
    pub fn cache(self, cache: Cache) -> Self {
        self.cache_from(move || Ok(cache.clone()))
    }

    /// The same as [`cache`](Self::cache), opened when a run first needs it; that is never for a directory in shared mode.
    #[cfg(feature = "workspace")]
    pub fn cache_from(
        mut self,
        open: impl Fn() -> Result<Cache, CacheError> + Send + Sync + 'static,
    ) -> Self {
        self.open_cache = Some(Arc::new(open));
        self
    }

    /// The same as [`cache`](Self::cache), with the store that [`Target::Stored`] is fetched from.
    #[cfg(feature = "workspace")]
    pub fn cache_with_store(mut self, cache: Cache, store: Store) -> Self {
        self.store = Some(store);
        self.cache(cache)
    }

    /// Sets how the bucket of a [`Target::Object`] is opened. Credentials are up to it: the target holds none.
    #[cfg(feature = "workspace")]
    pub fn object_stores(
        mut self,
        open: impl Fn(&ObjectUrl) -> Result<Store, Box<dyn std::error::Error + Send + Sync>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.open_store = Some(Arc::new(open));
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
    #[cfg_attr(not(feature = "local"), allow(unused_mut, reason = "a state folder adds to it"))]
    pub fn build(mut self) -> Result<Runner, RunnerError> {
        let mut workflows = BTreeMap::new();
        for (checked, code) in self.workflows {
            let (name, known) = if let Some(name) = checked {
                (name, Known::checked(code))
            } else {
                let known = Known::new(code)?;
                (known.metadata.name.clone(), known)
            };
            if workflows.insert(name.clone(), known).is_some() {
                return Err(RunnerError::DuplicateWorkflow { name });
            }
        }
        let threads = |error| RunnerError::storage("starting the threads of the runner failed", error);
        let clock = Clock::default();
        #[cfg(feature = "local")]
        let latest = Arc::new(crate::engine::Latest::default());
        let stats_wanted = !self.stats.is_empty();
        #[cfg(feature = "local")]
        let noted =
            self.state_dir.is_some().then(|| crate::engine::ToLatest(Arc::clone(&latest), clock.clone()));
        #[cfg(not(feature = "local"))]
        let noted: Option<AllStats> = None;
        let stats = match (stats_wanted, noted) {
            (false, None) => StatsFeed::none(),
            (false, Some(noted)) => StatsFeed::direct(noted),
            (true, None) => StatsFeed::new(AllStats(self.stats)).map_err(threads)?,
            (true, Some(noted)) => StatsFeed::new((AllStats(self.stats), noted)).map_err(threads)?,
        };
        #[cfg(feature = "local")]
        let mut former = BTreeMap::new();
        #[cfg(feature = "local")]
        for code in std::mem::take(&mut self.former) {
            let known = Known::new(code)?;
            former.insert((known.metadata.name.clone(), known.metadata.version.to_string()), known);
        }
        #[cfg(feature = "local")]
        let durable = match &self.state_dir {
            None => None,
            Some(folder) => {
                let journal = SqliteJournal::open(folder, self.durability).map_err(RunnerError::journal)?;
                if let Some(patience) = self.disk_patience {
                    journal.writer().set_patience(patience);
                }
                Some(Durable { journal: Arc::new(journal), store: RunStore::later(folder.clone()) })
            }
        };
        let memory = || Arc::new(MemoryJournal::default()) as Arc<dyn Journal>;
        #[cfg(feature = "local")]
        let journal =
            durable.as_ref().map_or_else(memory, |durable| Arc::clone(&durable.journal) as Arc<dyn Journal>);
        #[cfg(not(feature = "local"))]
        let journal = memory();
        let results = match &self.state_dir {
            None => ResultStore::temporary(),
            Some(folder) => ResultStore::at(folder.join("results"), true)
                .map_err(|error| RunnerError::storage(format!("using {} failed", folder.display()), error))?,
        };
        let workspaces: Arc<dyn WorkspaceSource> = Arc::new(InPlace);
        #[cfg(feature = "workspace")]
        let workspaces = match self.open_cache {
            Some(open) => Arc::new(Cached::new(open, self.store, self.open_store)),
            None => workspaces,
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let core = Core {
            modules: self.modules,
            workflows,
            #[cfg(feature = "local")]
            former,
            stats,
            stats_wanted,
            events: EventFeed::new(self.listeners).map_err(threads)?,
            places: Places::new(self.max_concurrent),
            verticals: self.verticals.into_iter().map(|(name, steps)| (name, Places::new(steps))).collect(),
            results,
            workspaces,
            journal,
            #[cfg(feature = "local")]
            durable,
            on_change: self.on_change,
            reconcile: self.reconcile,
            pool: Pool::new().map_err(threads)?,
            shards: Shards::new(self.shards.unwrap_or(processors.min(4)), processors).map_err(threads)?,
            clock,
            closing: CancellationToken::new(),
            cleanup_limit: self.cleanup_limit,
            check_wakers: self.check_wakers,
            live: Mutex::default(),
        };
        let runner = Runner { guard: Arc::new(Guard(Arc::new(core))) };
        #[cfg(feature = "local")]
        if let Some(durable) = &runner.core().durable {
            crate::engine::start_keeper(runner.core(), &durable.journal, latest);
            if self.recover {
                runner.recover()?;
            }
        }
        Ok(runner)
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
