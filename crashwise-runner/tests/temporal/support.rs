//! A server, a store, a worker in this process, and a module that does what it is told.

use crashwise_core::cache::{Cache, CacheConfig};
use crashwise_core::store::Store;
use crashwise_core::workflow::AnyWorkflow;
use crashwise_core::{
    Finding, Location, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, ModuleRegistry, Position,
    RelPath, RuleId, Severity, Stats, Summary, Target, async_trait,
};
use crashwise_runner::temporal::{Cluster, ClusterOptions, Submission, Worker};
use crashwise_runner::{RunReport, RunRequest, Runner};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;

pub(crate) fn address() -> String {
    let address = std::env::var("TEMPORAL_ADDRESS");
    format!("http://{}", address.expect("scripts/test-temporal.sh starts a server and runs these tests"))
}

/// What a [`Probe`] does.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProbeConfig {
    pub(crate) findings: u32,
    pub(crate) takes_ms: u64,
    /// Attempts that fail in a way that may pass.
    pub(crate) flaky: u32,
    pub(crate) fails: bool,
    /// What the next attempt goes on from.
    pub(crate) says: Option<String>,
}

/// A module that does what it is told.
#[derive(Clone, Default)]
pub(crate) struct Probe {
    pub(crate) runs: Arc<AtomicU32>,
    pub(crate) running: Arc<AtomicU32>,
}

struct Leave(Arc<AtomicU32>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Module for Probe {
    type Config = ProbeConfig;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new("probe", "1.0.0", ModuleKind::Scanner, "Does what it is told")
    }

    async fn run(&self, cx: &ModuleContext, config: ProbeConfig) -> Result<Summary, ModuleError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.running.fetch_add(1, Ordering::SeqCst);
        let _leave = Leave(Arc::clone(&self.running));
        let rule = RuleId::new("probe/line").map_err(ModuleError::failed)?;
        let file = RelPath::new("src/a.py").map_err(ModuleError::failed)?;
        for line in 1..=config.findings {
            let place = Location::new(file.clone())
                .with_start(Position::new(line, 1).ok_or_else(|| ModuleError::failed("line 0"))?);
            let title = format!("line {line} of {}", cx.identity().step);
            cx.report(Finding::new(rule.clone(), title, Severity::High).with_location(place))?;
        }
        cx.covered("lines", config.findings.into());
        if let Some(word) = &config.says
            && cx.identity().attempt == 1
        {
            let kept = cx.store("kept.txt", word.as_bytes())?;
            cx.heartbeat(serde_json::to_value(kept).map_err(ModuleError::failed)?);
        }
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(config.takes_ms) {
            cx.stats(Stats::LiveStats {
                progress: 50.0,
                items_processed: 7,
                errors: 0,
                elapsed_time: 0,
                timestamp: String::new(),
                custom: std::collections::BTreeMap::default(),
            });
            tokio::select! {
                () = cx.cancelled() => break,
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
        if config.fails {
            return Err(ModuleError::failed("probe fails"));
        }
        if cx.identity().attempt <= config.flaky {
            return Err(ModuleError::transient("probe is flaky", "not yet"));
        }
        let mut summary = Summary::new().with("findings", config.findings);
        if let Some(before) = cx.last_heartbeat() {
            let kept = serde_json::from_value(before.clone()).map_err(ModuleError::failed)?;
            let mut text = String::new();
            std::io::Read::read_to_string(&mut cx.open(&kept)?, &mut text).map_err(ModuleError::failed)?;
            summary = summary.with("before", text);
        }
        Ok(summary)
    }
}

/// A folder with all that a test needs, a cluster, and a worker of a vertical that only this test uses.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) cluster: Cluster,
    pub(crate) store: Store,
    pub(crate) probe: Probe,
    options: ClusterOptions,
    worker: Option<Serving>,
}

/// What stops a worker, and its thread.
type Serving = (oneshot::Sender<()>, std::thread::JoinHandle<Result<(), String>>);

impl Bench {
    /// Workers of the verticals of these workflows.
    pub(crate) async fn new(
        workflows: &[Arc<dyn AnyWorkflow>],
        more: impl FnOnce(&mut ModuleRegistry),
    ) -> Self {
        let mut bench = Self::without_worker().await;
        bench.start(workflows, more);
        bench
    }

    /// The same, reached in another way.
    pub(crate) async fn with(options: ClusterOptions, workflows: &[Arc<dyn AnyWorkflow>]) -> Self {
        let mut bench = Self::reached(options).await;
        bench.start(workflows, |_| ());
        bench
    }

    pub(crate) async fn without_worker() -> Self {
        Self::reached(ClusterOptions::new(address())).await
    }

    async fn reached(options: ClusterOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        std::fs::create_dir_all(target.join("src")).unwrap();
        std::fs::write(target.join("src/a.py"), "import os\nos.system(input())\n").unwrap();
        let store = Store::local(&folder.path().join("store")).unwrap();
        let cluster = Cluster::connect(&options, store.clone()).await.unwrap();
        Self { folder, cluster, store, probe: Probe::default(), options, worker: None }
    }

    pub(crate) fn target(&self) -> Target {
        Target::Directory(self.folder.path().join("target"))
    }

    /// The modules of the command line, and the probe.
    pub(crate) fn modules(&self, more: impl FnOnce(&mut ModuleRegistry)) -> ModuleRegistry {
        let mut modules = crashwise_modules::registry();
        modules.add(self.probe.clone()).unwrap();
        more(&mut modules);
        modules
    }

    pub(crate) fn start(
        &mut self,
        workflows: &[Arc<dyn AnyWorkflow>],
        more: impl FnOnce(&mut ModuleRegistry),
    ) {
        let cache = Cache::open(CacheConfig::new(self.folder.path().join("cache"))).unwrap();
        let mut builder = Worker::builder(move || Ok(cache.clone()))
            .modules(self.modules(more))
            .grace(Duration::from_secs(1));
        for workflow in workflows {
            builder = builder.vertical(workflow.metadata().vertical).workflow_shared(Arc::clone(workflow));
        }
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (store, options) = (self.store.clone(), self.options.clone());
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let ended = runtime.block_on(async {
                let worker = builder.connect(&options, store).await.unwrap();
                ready.send(()).unwrap();
                let until = async {
                    let _ = stopped.await;
                };
                let ended = worker.run(until).await;
                ended.map_err(|error| error.chain())
            });
            runtime.shutdown_background();
            ended
        });
        is_ready.recv().unwrap();
        self.worker = Some((stop, thread));
    }

    /// Stops the worker as a signal would.
    pub(crate) fn stop(&mut self) {
        if let Some((stop, thread)) = self.worker.take() {
            let _ = stop.send(());
            thread.join().unwrap().unwrap();
        }
    }

    /// Waits for a worker that ends by itself, and says why.
    pub(crate) async fn ended(&mut self) -> String {
        let (_stop, thread) = self.worker.take().unwrap();
        tokio::task::spawn_blocking(move || thread.join().unwrap().unwrap_err()).await.unwrap()
    }

    /// Asks for a run once the worker is known to the server.
    pub(crate) async fn submit(
        &self,
        workflow: &Arc<dyn AnyWorkflow>,
        params: Value,
    ) -> crashwise_runner::temporal::ClusterRun {
        let request = RunRequest::new(workflow.metadata().name, self.target()).with_params(params);
        self.submit_request(request, workflow).await
    }

    pub(crate) async fn submit_request(
        &self,
        request: RunRequest,
        workflow: &Arc<dyn AnyWorkflow>,
    ) -> crashwise_runner::temporal::ClusterRun {
        self.ready(&workflow.metadata().vertical).await;
        self.cluster.submit(Submission::new(request, Arc::clone(workflow))).await.unwrap()
    }

    /// Waits until the server knows a worker of a vertical: it polls before long.
    pub(crate) async fn ready(&self, vertical: &str) {
        for _ in 0..600 {
            if self.cluster.check_workers(vertical, &[]).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.cluster.check_workers(vertical, &[]).await.unwrap();
    }

    /// The same run in this process.
    pub(crate) async fn local(
        &self,
        workflow: &Arc<dyn AnyWorkflow>,
        params: Value,
        more: impl FnOnce(&mut ModuleRegistry),
        meanwhile: impl AsyncFnOnce(&crashwise_runner::RunHandle),
    ) -> RunReport {
        let runner =
            Runner::builder().modules(self.modules(more)).workflow_shared(Arc::clone(workflow)).build();
        let runner = runner.unwrap();
        let request = RunRequest::new(workflow.metadata().name, self.target()).with_params(params);
        let run = runner.submit(request).await.unwrap();
        meanwhile(&run).await;
        run.wait().await.unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.worker.take() {
            let _ = stop.send(());
            // A test that fails says so itself.
            let _ = thread.join();
        }
    }
}

/// A vertical that nobody else uses.
pub(crate) fn vertical(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// Everything of a report that must be the same on every engine.
pub(crate) fn told(report: &RunReport) -> Value {
    let steps: Vec<Value> = report
        .steps
        .iter()
        .map(|step| {
            json!({
                "key": step.key, "kind": step.kind, "module": step.module, "version": step.version,
                "status": step.status, "attempts": step.attempts, "counts": step.counts, "error": step.error,
                "coverage": step.coverage, "cleanup": step.cleanup, "child": step.child.is_some(),
                "findings": step.findings, "artifacts": step.artifacts,
            })
        })
        .collect();
    json!({
        "status": report.status, "output": report.output, "error": report.error, "counts": report.counts,
        "coverage": report.coverage, "steps": steps,
    })
}

/// The findings as they are written to a file, and the whole report as SARIF.
pub(crate) fn bytes(report: &RunReport) -> (Vec<u8>, Vec<u8>) {
    let mut findings = Vec::new();
    for finding in report.findings().unwrap() {
        serde_json::to_writer(&mut findings, &finding.unwrap()).unwrap();
        findings.push(b'\n');
    }
    let mut sarif = Vec::new();
    crashwise_sarif::write(&report.for_reports(), &mut sarif).unwrap();
    (findings, sarif)
}

/// The largest payload-carrying event of a history, and how many events there are.
pub(crate) fn largest_event(history: &[u8]) -> (usize, usize) {
    let value: Value = serde_json::from_slice(history).unwrap();
    let events = value["events"].as_array().or_else(|| value["history"]["events"].as_array());
    let events = events.expect("a history has events");
    let largest = events.iter().map(|event| event.to_string().len()).max().unwrap_or(0);
    (largest, events.len())
}

/// Paths below which the tests find what ships with the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
