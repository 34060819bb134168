//! Pause, resume, cancel, deadlines, retries that go on where the last attempt was, workers that stop.

use crate::support::{Bench, vertical};
use crashwise_core::Metadata;
use crashwise_core::workflow::{AnyWorkflow, Retry, Workflow, WorkflowContext, WorkflowError};
use crashwise_runner::temporal::{ClusterError, ClusterRun, Seen};
use crashwise_runner::{RunFilter, RunRequest, RunStatus, RunnerError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Two steps of the probe, as the parameters say, and cleanup.
struct Steps(String);

impl Workflow for Steps {
    type Params = BTreeMap<String, Value>;
    type Output = Value;

    fn metadata(&self) -> Metadata {
        let mut metadata =
            Metadata::new("steps", semver::Version::new(1, 0, 0), "Two steps.").with_vertical(&self.0);
        metadata.parameters =
            json!({"type": "object", "properties": {"one": {"type": "object"}, "two": {"type": "object"}}});
        metadata
    }

    async fn run(&self, cx: &WorkflowContext, params: Self::Params) -> Result<Value, WorkflowError> {
        let quick = Retry::attempts(2).with_initial_interval(Duration::from_millis(10));
        cx.defer("tidy", |_| async { Ok(()) });
        let config = |name: &str| params.get(name).cloned().unwrap_or(json!({}));
        let one = cx.step("one").retry(quick).call_named("probe", config("one")).await?;
        cx.step("two").call_named("probe", config("two")).await?;
        Ok(json!(one.summary.values))
    }
}

async fn bench(name: &str) -> (Bench, Arc<dyn AnyWorkflow>) {
    let workflow: Arc<dyn AnyWorkflow> = Arc::new(Steps(vertical(name)));
    (Bench::new(&[Arc::clone(&workflow)], |_| ()).await, workflow)
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never happened: {what}");
}

async fn runs(bench: &Bench, count: u32) {
    eventually("the probe runs", async || bench.probe.runs.load(Ordering::SeqCst) >= count).await;
}

async fn status(run: &ClusterRun, status: RunStatus) {
    eventually(status.as_str(), async || run.status().await.is_ok_and(|now| now == status)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_reaches_the_module_within_two_seconds() {
    let (bench, workflow) = bench("cancel").await;
    let run = bench.submit(&workflow, json!({"one": {"takes_ms": 60_000, "findings": 3}})).await;
    runs(&bench, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = Instant::now();
    run.cancel().await.unwrap();
    eventually("the probe ends", async || bench.probe.running.load(Ordering::SeqCst) == 0).await;
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    let report = run.wait().await.unwrap();
    assert_eq!(report.status, RunStatus::Cancelled);
    assert_eq!(report.counts.high, 3, "what was found before is kept: {report:?}");
    let tidied = report.steps.iter().any(|step| step.cleanup && step.error.is_none());
    assert!(tidied && report.step("two").is_none(), "{:?}", report.steps);
    let refused = run.cancel().await.unwrap_err();
    assert!(matches!(refused, ClusterError::Run(RunnerError::WrongState { .. })), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_run_begins_nothing_until_it_is_resumed() {
    let (bench, workflow) = bench("pause").await;
    let run = bench.submit(&workflow, json!({"one": {"takes_ms": 1500}})).await;
    runs(&bench, 1).await;
    run.pause().await.unwrap();
    status(&run, RunStatus::Paused).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(bench.probe.runs.load(Ordering::SeqCst), 1);
    let listed = bench.cluster.list(&RunFilter::new().with_workflow("steps")).await.unwrap();
    assert!(listed.iter().any(|summary| summary.run_id == *run.id()), "{listed:?}");
    run.resume().await.unwrap();
    let report = run.wait().await.unwrap();
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(bench.probe.runs.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_out_of_time_is_stopped() {
    let (bench, workflow) = bench("deadline").await;
    let request = RunRequest::new("steps", bench.target())
        .with_params(json!({"one": {"takes_ms": 60_000}}))
        .with_timeout(Duration::from_secs(2));
    let run = bench.submit_request(request, &workflow).await;
    let report = run.wait().await.unwrap();
    assert_eq!(report.status, RunStatus::TimedOut, "{report:?}");
    assert_eq!(run.status().await.unwrap(), RunStatus::TimedOut);
    assert!(report.duration < Duration::from_secs(8), "{:?}", report.duration);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_attempt_goes_on_from_the_first_and_statistics_are_seen() {
    let (bench, workflow) = bench("resume").await;
    let one = json!({"takes_ms": 2500, "flaky": 1, "says": "the corpus"});
    let run = bench.submit(&workflow, json!({"one": one})).await;
    let mut stats = 0;
    let followed = run.follow(|seen| stats += u32::from(matches!(seen, Seen::Stats(_)))).await;
    let report = followed.unwrap();
    assert_eq!(report.output, json!({"findings": 0, "before": "the corpus"}), "{report:?}");
    assert_eq!(report.step("one").unwrap().attempts, 2);
    assert!(stats > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stops_hands_back_what_it_does() {
    let (mut bench, workflow) = bench("hand-back").await;
    let run = bench.submit(&workflow, json!({"one": {"takes_ms": 5000}})).await;
    runs(&bench, 1).await;
    let begun = Instant::now();
    bench.stop();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    bench.start(&[Arc::clone(&workflow)], |_| ());
    let report = run.wait().await.unwrap();
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(report.step("one").unwrap().attempts, 1, "it was no fault of the step");
    assert_eq!(bench.probe.runs.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_gets_the_run_of_the_first() {
    let (bench, workflow) = bench("again").await;
    let key = vertical("key");
    let request = |params: Value| {
        RunRequest::new("steps", bench.target()).with_params(params).with_idempotency_key(&*key)
    };
    let first = bench.submit_request(request(json!({"one": {"findings": 1}})), &workflow).await;
    let second = bench.submit_request(request(json!({"one": {"findings": 1}})), &workflow).await;
    assert_eq!(first.id(), second.id());
    assert_eq!(second.wait().await.unwrap().counts.high, 1);
    let other = crashwise_runner::temporal::Submission::new(
        request(json!({"one": {"findings": 2}})),
        Arc::clone(&workflow),
    );
    let refused = bench.cluster.submit(other).await.unwrap_err();
    assert!(matches!(refused, ClusterError::Run(RunnerError::KeyReused { .. })), "{refused}");
}
