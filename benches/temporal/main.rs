//! Runs on a Temporal server: what an activity costs over a bare one, an idle worker's memory, one worker against three.
//! Started by `scripts/temporal-server.sh`, which sets `TEMPORAL_ADDRESS`.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unused_async,
    reason = "a bench tells its results and starts workers; activities are async whatever they do"
)]

mod bare;

use async_trait::async_trait;
use crashwise_core::cache::{Cache, CacheConfig};
use crashwise_core::store::Store;
use crashwise_core::workflow::{AnyWorkflow, Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{
    Metadata, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, ModuleRegistry, Summary, Target,
};
use crashwise_runner::temporal::{Cluster, ClusterOptions, ClusterRun, Submission, Worker};
use crashwise_runner::{RunRequest, RunStatus};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const STEPS: u32 = 100;
const ROUNDS: usize = 3;
const RUNS: usize = 60;

/// Takes a time, and does nothing.
struct Wait;

#[async_trait]
impl Module for Wait {
    type Config = BTreeMap<String, u64>;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new("wait", "1.0.0", ModuleKind::Analyzer, "Takes a time").without_workspace()
    }

    async fn run(&self, _: &ModuleContext, config: Self::Config) -> Result<Summary, ModuleError> {
        let ms = config.get("ms").copied().unwrap_or(0);
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        Ok(Summary::new())
    }
}

/// Steps one after the other.
struct Steps(String);

impl Workflow for Steps {
    type Params = BTreeMap<String, u64>;
    type Output = Value;

    fn metadata(&self) -> Metadata {
        let mut metadata =
            Metadata::new("steps", "1.0.0".parse().expect("a version"), "Steps.").with_vertical(&self.0);
        let number = json!({"type": "integer"});
        metadata.parameters = json!({"type": "object", "properties": {"steps": number, "ms": number}});
        metadata
    }

    async fn run(&self, cx: &WorkflowContext, params: Self::Params) -> Result<Value, WorkflowError> {
        for _ in 0..params["steps"] {
            cx.step("wait").call_named("wait", json!({"ms": params["ms"]})).await?;
        }
        Ok(Value::Null)
    }
}

fn options() -> ClusterOptions {
    let address = std::env::var("TEMPORAL_ADDRESS");
    ClusterOptions::new(format!("http://{}", address.expect("scripts/temporal-server.sh sets it")))
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, vertical, folder] = &arguments[..]
        && word == "worker"
    {
        return runtime.block_on(work(vertical, Path::new(folder)));
    }
    let folder = tempfile::tempdir().expect("writable");
    runtime.block_on(async {
        let store = Store::local(&folder.path().join("store")).expect("writable");
        let cluster = Cluster::connect(&options(), store).await.expect("a server");
        activities(&cluster, folder.path()).await;
        share(&cluster, folder.path()).await;
    });
}

/// A worker, as a process of its own.
async fn work(vertical: &str, folder: &Path) {
    let store = Store::local(&folder.join("store")).expect("writable");
    let cache = CacheConfig::new(folder.join(format!("cache-{}", std::process::id())));
    let mut modules = ModuleRegistry::new();
    modules.add(Wait).expect("the first");
    let builder = Worker::builder(move || Cache::open(cache.clone()))
        .modules(modules)
        .workflow(Steps(vertical.to_owned()))
        .vertical(vertical);
    let worker = builder.connect(&options(), store).await.expect("a server");
    worker.run(std::future::pending()).await.expect("a worker");
}

struct Process(Child);

impl Process {
    fn start(arguments: &[&str], folder: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(arguments).arg(folder).stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.spawn().expect("a process"))
    }

    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn runs(cluster: &Cluster, vertical: &str, folder: &Path, count: usize, params: Value) -> Duration {
    let target = folder.join("target");
    std::fs::create_dir_all(&target).expect("writable");
    while cluster.check_workers(vertical, &[]).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let workflow: Arc<dyn AnyWorkflow> = Arc::new(Steps(vertical.to_owned()));
    let began = Instant::now();
    let submitted = (0..count).map(|_| {
        let request = RunRequest::new("steps", Target::Directory(target.clone())).with_params(params.clone());
        cluster.submit(Submission::new(request, Arc::clone(&workflow)))
    });
    let runs: Vec<_> = stream::iter(submitted).buffered(30).try_collect().await.expect("runs");
    let waiting = stream::iter(runs.iter().map(ClusterRun::wait)).buffered(count);
    let reports: Vec<_> = waiting.try_collect().await.expect("reports");
    assert!(reports.iter().all(|report| report.status == RunStatus::Completed));
    began.elapsed()
}

/// Steps that do nothing, one after the other, against activities of the bare SDK that do nothing. What a run costs beside
/// its steps is taken off.
async fn activities(cluster: &Cluster, folder: &Path) {
    let worker = Process::start(&["worker", "costs"], folder);
    let bare = bare::Worker::start(&options().address);
    let ours = async |steps: u32| runs(cluster, "costs", folder, 1, json!({"steps": steps, "ms": 0})).await;
    ours(5).await;
    bare.run(5).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!("idle worker: {} KB", worker.memory());
    let each = |few: Duration, many: Duration| (many.saturating_sub(few) / STEPS).as_secs_f64() * 1000.0;
    let (mut crashwise, mut sdk) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        crashwise.push(each(ours(20).await, ours(20 + STEPS).await));
        sdk.push(each(bare.run(20).await, bare.run(20 + STEPS).await));
    }
    let (crashwise, sdk) = (median(crashwise), median(sdk));
    println!("activity: bare {sdk:.2} ms, crashwise {crashwise:.2} ms, {:.3} x", crashwise / sdk);
}

/// Runs that wait more than they compute, with one worker and with three.
async fn share(cluster: &Cluster, folder: &Path) {
    let mut times = Vec::new();
    for count in [1, 3] {
        let vertical = format!("share-{count}");
        let workers: Vec<Process> =
            (0..count).map(|_| Process::start(&["worker", &vertical], folder)).collect();
        runs(cluster, &vertical, folder, count * 3, json!({"steps": 1, "ms": 10})).await;
        let took = runs(cluster, &vertical, folder, RUNS, json!({"steps": 4, "ms": 500})).await;
        println!("{RUNS} runs of 4 steps of 500 ms, {count} workers: {:.1} s", took.as_secs_f64());
        times.push(took.as_secs_f64());
        drop(workers);
    }
    println!("three workers against one: {:.2} x", times[0] / times[1]);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
