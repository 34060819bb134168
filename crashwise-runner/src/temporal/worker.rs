//! Workers: processes that host workflows and carry out their steps.

use super::activities::{Activities, ModuleActivities};
use super::closures::Closures;
use super::cluster::{Announced, Cluster, ClusterOptions};
use super::error::ClusterError;
use super::hosted::{Hosted, Repertoire};
use super::queue_of;
use super::shop::Shop;
use crate::engine::Known;
use crate::executor::{Cached, OpenCache, OpenStore};
use crashwise_core::cache::{Cache, CacheError};
use crashwise_core::store::Store;
use crashwise_core::workflow::AnyWorkflow;
use crashwise_core::{CancellationToken, ModuleRegistry, ObjectUrl};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use temporalio_client::tonic::Status;
use temporalio_common::worker::WorkerDeploymentOptions;
use temporalio_sdk::runtime::worker_tuner::{
    FixedSizeSlotSupplier, ResourceBasedSlotOptions, ResourceBasedSlotsForType, ResourceBasedTunerOptions,
    SlotSupplier, TunerHolder,
};
use temporalio_sdk::runtime::{PollerBehavior, RuntimeOptions};
use temporalio_sdk::{Runtime, WorkerOptions};
use tokio::runtime::Handle;

/// How many runs a worker keeps at hand; the others it reads again from their history.
const KEPT: usize = 200;

/// The longest wait before a heartbeat is sent. Its answer tells of a cancel, so this is how long one takes.
const THROTTLE: Duration = Duration::from_millis(500);

/// A process that serves verticals. It hosts their workflows and carries out their steps.
pub struct Worker {
    cluster: Cluster,
    verticals: BTreeSet<String>,
    repertoire: Repertoire,
    workspaces: Arc<Cached>,
    slots: Slots,
    grace: Duration,
    require_sandbox: bool,
}

/// How many steps of a vertical a worker carries out at once.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Slots {
    /// So many.
    Fixed(usize),
    /// As many as the machine has room for.
    Resources {
        /// The share of the machine's memory beyond which no step begins, between 0 and 1.
        memory: f64,
        /// The same of its processors.
        processors: f64,
        /// The most at once.
        most: usize,
    },
}

impl Slots {
    /// As many as the machine has room for: steps begin while less than 80 % of its memory and 90 % of its processors are in
    /// use, but one always may.
    pub const fn resources(most: usize) -> Self {
        Self::Resources { memory: 0.8, processors: 0.9, most }
    }

    fn most(self) -> usize {
        match self {
            Self::Fixed(most) | Self::Resources { most, .. } => most.max(1),
        }
    }

    fn supplier(self) -> SlotSupplier {
        let Self::Resources { memory, processors, .. } = self else {
            return FixedSizeSlotSupplier::new(self.most()).into();
        };
        let target = ResourceBasedTunerOptions::builder()
            .target_memory_usage(memory.clamp(0.01, 1.0))
            .target_cpu_usage(processors.clamp(0.01, 1.0))
            .build();
        let slots = ResourceBasedSlotOptions::builder().minimum_slots(1).maximum_slots(self.most()).build();
        ResourceBasedSlotsForType::new(target, slots).into()
    }
}

/// A worker that is being described.
#[must_use = "a builder does nothing until `connect`"]
pub struct WorkerBuilder {
    modules: ModuleRegistry,
    workflows: Vec<Arc<dyn AnyWorkflow>>,
    verticals: BTreeSet<String>,
    lacks: BTreeSet<String>,
    slots: Slots,
    grace: Duration,
    require_sandbox: bool,
    open_cache: OpenCache,
    open_store: Option<OpenStore>,
}

impl Worker {
    /// A worker that gets its trees from a cache, which is opened when it is first needed.
    pub fn builder(open: impl Fn() -> Result<Cache, CacheError> + Send + Sync + 'static) -> WorkerBuilder {
        WorkerBuilder {
            modules: ModuleRegistry::new(),
            workflows: Vec::new(),
            verticals: BTreeSet::new(),
            lacks: BTreeSet::new(),
            slots: Slots::Fixed(5),
            grace: Duration::from_secs(30),
            require_sandbox: false,
            open_cache: Arc::new(open),
            open_store: None,
        }
    }

    /// Works until `until` completes. Then it takes no more work, lets what runs finish for as long as the builder said, and
    /// hands back what is left: other workers carry it out again.
    ///
    /// The future stays on its thread. It needs a runtime with several threads.
    ///
    /// # Errors
    ///
    /// When the server refuses the worker, or is away for long.
    pub async fn run(self, until: impl Future<Output = ()>) -> Result<(), ClusterError> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            ClusterError::server("the worker could not be started", error)
        };
        let runtime =
            Runtime::from_current_tokio(RuntimeOptions::default()).map_err(|error| failed(error.into()))?;
        let closing = CancellationToken::new();
        let workspaces = Arc::clone(&self.workspaces) as _;
        let shop = Shop::new(self.cluster.store.clone(), workspaces, Handle::current(), closing.clone());
        let shop = shop.map_err(|error| ClusterError::io("starting a thread failed", error))?;
        let shop = Arc::new(shop.requiring_sandbox(self.require_sandbox));
        let mut workers = Vec::new();
        for vertical in &self.verticals {
            let options = self.options(vertical, &shop)?;
            let worker = temporalio_sdk::Worker::new(&runtime, self.cluster.client.clone(), options);
            workers.push(worker.map_err(|error| failed(error.into()))?);
        }
        let shutdowns: Vec<_> = workers.iter().map(temporalio_sdk::Worker::shutdown_handle).collect();
        let working = futures::future::try_join_all(workers.iter_mut().map(temporalio_sdk::Worker::run));
        let mut working = std::pin::pin!(working);
        tokio::select! {
            ended = &mut working => {
                return ended.map(drop).map_err(|error| self.failed(error.into()));
            }
            () = until => {}
        }
        for shutdown in &shutdowns {
            shutdown();
        }
        let close = async {
            tokio::time::sleep(self.grace).await;
            closing.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = working => ended.map(drop).map_err(|error| self.failed(error.into())),
            () = close => Ok(()),
        }
    }

    /// Why it ended by itself: mostly because the server refused it.
    fn failed(&self, error: Box<dyn std::error::Error + Send + Sync>) -> ClusterError {
        let first: &(dyn std::error::Error + 'static) = &*error;
        let mut causes = std::iter::successors(Some(first), |error| error.source());
        match causes.find_map(|error| error.downcast_ref::<Status>()) {
            Some(status) => self.cluster.status("the worker failed", status.clone()),
            None => ClusterError::server("the worker failed", error),
        }
    }

    fn options(&self, vertical: &str, shop: &Arc<Shop>) -> Result<WorkerOptions, ClusterError> {
        let tuner = TunerHolder::builder()
            .workflow_task_slot_supplier(FixedSizeSlotSupplier::new(20))
            .activity_task_slot_supplier(self.slots.supplier())
            .local_activity_task_slot_supplier(FixedSizeSlotSupplier::new(self.slots.most().max(20)))
            .nexus_task_slot_supplier(FixedSizeSlotSupplier::new(1))
            .build();
        let activities = || Activities {
            modules: self.repertoire.modules.clone(),
            closures: self.repertoire.closures.clone(),
            shop: Arc::clone(shop),
        };
        let repertoire = self.repertoire.clone();
        let options = WorkerOptions::new(queue_of(vertical))
            .deployment_options(WorkerDeploymentOptions::from_build_id(super::messages::RELEASE.to_owned()))
            .tuner(tuner)
            .activity_task_poller_behavior(PollerBehavior::SimpleMaximum(pollers(self.slots.most())))
            .max_cached_workflows(KEPT)
            // What is handed back has to know why it is stopped.
            .graceful_shutdown_period(self.grace + Duration::from_millis(200))
            .max_heartbeat_throttle_interval(THROTTLE)
            .default_heartbeat_throttle_interval(THROTTLE)
            .register_activities(activities())
            .register_activities(ModuleActivities(Arc::new(activities())))
            .register_workflow_with_factory(move || Hosted::new(repertoire.clone()))
            .map_err(|error| ClusterError::server("the workflow could not be registered", error))?;
        Ok(options.build())
    }
}

/// How many requests for steps are open at once. Each holds a slot from the begin, and a step that its own workflow's worker
/// can begin at once, without asking for it, needs one that is free.
fn pollers(slots: usize) -> usize {
    (slots / 2).clamp(1, 5)
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("cluster", &self.cluster)
            .field("verticals", &self.verticals)
            .finish_non_exhaustive()
    }
}

impl WorkerBuilder {
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

    /// Adds a vertical to serve.
    pub fn vertical(mut self, name: impl Into<String>) -> Self {
        self.verticals.insert(name.into());
        self
    }

    /// Adds a program that this machine lacks. Runs that need it are refused when they are asked for, if all workers lack it.
    pub fn lacks(mut self, tool: impl Into<String>) -> Self {
        self.lacks.insert(tool.into());
        self
    }

    /// Sets how many steps of a vertical run at once (5 unless set).
    pub fn max_concurrent(self, steps: usize) -> Self {
        self.slots(Slots::Fixed(steps))
    }

    /// Sets by what it is decided how many steps of a vertical run at once.
    pub fn slots(mut self, slots: Slots) -> Self {
        self.slots = slots;
        self
    }

    /// Sets how long what runs may go on when the worker is stopped (30 s unless set).
    pub fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }

    /// Carries out each step as if its run required a whole sandbox: no process that is to be sandboxed is started here unless all of
    /// that can be enforced, and no stored result of another step is taken.
    pub fn require_sandbox(mut self) -> Self {
        self.require_sandbox = true;
        self
    }

    /// Sets how the bucket of an object is opened. Credentials are up to it: the target holds none.
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

    /// Connects the worker.
    ///
    /// # Errors
    ///
    /// As [`Cluster::connect`], and when a workflow is not usable.
    pub async fn connect(self, options: &ClusterOptions, store: Store) -> Result<Worker, ClusterError> {
        let mut workflows = BTreeMap::new();
        for code in self.workflows {
            let known = Known::new(code)?;
            let name = known.metadata.name.clone();
            if workflows.insert(name.clone(), known).is_some() {
                return Err(crate::RunnerError::DuplicateWorkflow { name }.into());
            }
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let identity = Announced::text(host.trim(), &self.lacks);
        let cluster = Cluster::connect_as(options, store.clone(), identity).await?;
        Ok(Worker {
            cluster,
            verticals: self.verticals,
            repertoire: Repertoire {
                workflows: Arc::new(workflows),
                modules: self.modules,
                closures: Closures::default(),
            },
            workspaces: Arc::new(Cached::new(self.open_cache, Some(store), self.open_store)),
            slots: self.slots,
            grace: self.grace,
            require_sandbox: self.require_sandbox,
        })
    }
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder")
            .field("modules", &self.modules)
            .field("verticals", &self.verticals)
            .finish_non_exhaustive()
    }
}
