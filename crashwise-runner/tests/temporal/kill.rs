//! Three workers in three processes share sixty runs, while a worker, the server and the store are killed. Alone on its
//! server: `scripts/test-temporal.sh` sees to that.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "it prints counts, and kills processes")]

use crate::support::{address, bytes, repository};
use crashwise_core::Target;
use crashwise_core::store::{S3Config, Store};
use crashwise_core::workflow::AnyWorkflow;
use crashwise_runner::definition::{Definition, Source};
use crashwise_runner::temporal::{Cluster, ClusterOptions, ClusterRun, Submission};
use crashwise_runner::{RunReport, RunRequest, RunStatus, Runner};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const RUNS: usize = 60;

const METADATA: &str = "name: shared\nversion: 1.0.0\ndescription: Scans, waits, scans.\nvertical: killed\n";
const STEPS: &str = "
steps:
  - id: first
    module: file_scanner
  - id: wait
    needs: [first]
    sleep: 1s
  - id: each
    needs: [wait]
    foreach: {in: '${{ [1, 2] }}', as: n}
    module: file_scanner
";

/// A process that is killed with this, as a machine that loses its power.
struct Killed(Child);

impl Killed {
    fn kill(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.kill();
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("scripts/test-temporal.sh sets {name}"))
}

fn quiet(command: &mut Command) -> Killed {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Killed(command.spawn().unwrap())
}

fn store_server(port: u16, root: &Path) -> Killed {
    let mut command = Command::new(variable("S3_PROGRAM"));
    command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--access-key", "key", "--secret-key", "secret"]).arg(root);
    quiet(&mut command)
}

fn worker(s3: &BTreeMap<&str, String>, folder: &Path, number: usize) -> Killed {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crashwise"));
    command.args(["worker", "--vertical", "killed", "--temporal", &address(), "--store", "s3://crashwise"]);
    command.env("CACHE_DIR", folder.join(format!("cache-{number}"))).envs(s3);
    quiet(&mut command)
}

/// Kills the server and starts it again on its database.
fn kill_server() -> Killed {
    let pid_file = variable("TEMPORAL_PID_FILE");
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    let killed = Command::new("kill").args(["-9", pid.trim()]).status().unwrap();
    assert!(killed.success());
    std::thread::sleep(Duration::from_secs(1));
    let port = variable("TEMPORAL_ADDRESS").rsplit(':').next().unwrap().to_owned();
    let mut command = Command::new(variable("TEMPORAL_PROGRAM"));
    command.args(["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", &port]);
    command.args(["--log-level", "error", "--db-filename", &variable("TEMPORAL_DATABASE")]);
    let server = quiet(&mut command);
    std::fs::write(pid_file, server.0.id().to_string()).unwrap();
    server
}

async fn over(runs: &[ClusterRun]) -> usize {
    let all = stream::iter(runs.iter().map(ClusterRun::status)).buffered(20);
    all.filter(|status| std::future::ready(status.as_ref().is_ok_and(|status| status.is_final())))
        .count()
        .await
}

async fn wait_until(runs: &[ClusterRun], count: usize) -> usize {
    loop {
        let now = over(runs).await;
        if now >= count {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The report, also when server or store are away for a while.
async fn report(run: &ClusterRun) -> RunReport {
    loop {
        match run.wait().await {
            Ok(report) => return report,
            Err(error) => {
                println!("  waiting: {}", error.chain());
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_a_worker_the_server_and_the_store_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("s3");
    std::fs::create_dir_all(root.join("crashwise")).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let s3 = BTreeMap::from([
        ("S3_ENDPOINT", format!("http://127.0.0.1:{port}")),
        ("S3_ACCESS_KEY", "key".to_owned()),
        ("S3_SECRET_KEY", "secret".to_owned()),
        ("S3_REGION", "us-east-1".to_owned()),
    ]);
    let mut storage = store_server(port, &root);
    let config = S3Config::from_variables(|name| s3.get(name).cloned()).unwrap();
    let store = Store::s3(&config.with_url("s3://crashwise").unwrap()).unwrap();
    let cluster = Cluster::connect(&ClusterOptions::new(address()), store).await.unwrap();
    let mut workers: Vec<Killed> = (0..3).map(|n| worker(&s3, folder.path(), n)).collect();
    while cluster.check_workers("killed", &[]).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let modules = crashwise_modules::registry();
    let source = Source::new(("metadata.yaml", METADATA), ("workflow.yaml", STEPS));
    let definition = Definition::parse(&source, &modules).unwrap();
    let workflow: Arc<dyn AnyWorkflow> = Arc::new(definition.clone());
    let target = Target::Directory(repository().join("examples/vulnerable-app"));
    let runner = Runner::builder().modules(modules).workflow(definition).build().unwrap();
    let expect = runner.run("shared", target.clone(), Value::Null).await.unwrap();
    assert!(expect.counts.total() > 0);

    let began = Instant::now();
    let submissions = (0..RUNS).map(|_| {
        let request = RunRequest::new("shared", target.clone()).without_cache();
        cluster.submit(Submission::new(request, Arc::clone(&workflow)).with_source(&source))
    });
    let runs: Vec<ClusterRun> = stream::iter(submissions).buffered(20).try_collect().await.unwrap();
    println!("{RUNS} runs asked for in {:.1} s", began.elapsed().as_secs_f64());
    println!("worker killed, {} runs over", wait_until(&runs, RUNS / 20).await);
    workers[0].kill();
    println!("server killed, {} runs over", wait_until(&runs, RUNS / 4).await);
    let _server = kill_server();
    println!("store killed, {} runs over", wait_until(&runs, RUNS / 2).await);
    storage.kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let _storage = store_server(port, &root);

    let (mut completed, mut findings, mut steps) = (0, 0, 0);
    let expected = bytes(&expect);
    for run in &runs {
        let limited = tokio::time::timeout(Duration::from_mins(3), report(run)).await;
        let report = limited.unwrap_or_else(|_| panic!("{run:?} does not end"));
        assert_eq!(report.status, RunStatus::Completed, "{report:?}");
        assert_eq!(bytes(&report), expected);
        completed += 1;
        findings += report.findings().unwrap().count();
        steps += report.steps.len();
    }
    assert_eq!(completed, RUNS);
    println!(
        "{completed} of {RUNS} runs completed in {:.1} s, {findings} findings, {steps} steps, none lost, none different",
        began.elapsed().as_secs_f64()
    );
}
