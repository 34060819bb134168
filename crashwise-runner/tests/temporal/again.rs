//! Runs that take over what was done: in a new history, after a failure, from a step on.
#![allow(clippy::disallowed_methods, reason = "it runs the command line")]

use crate::parity::pretty_equal;
use crate::support::{Bench, address, bytes, told, vertical};
use crashwise_core::Metadata;
use crashwise_core::workflow::{AnyWorkflow, StepFailure, Workflow, WorkflowContext, WorkflowError};
use crashwise_runner::temporal::{ClusterError, ClusterRun, Submission};
use crashwise_runner::{RunFilter, RunRequest, RunStatus, RunnerError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

type Params = BTreeMap<String, Value>;

/// Steps of every kind, side by side and one after the other; one of them fails until it is told not to.
#[derive(Clone)]
struct Long {
    vertical: String,
    mended: Arc<AtomicBool>,
    closures: Arc<AtomicU32>,
}

#[derive(Clone)]
struct Inner(String);

impl Workflow for Long {
    type Params = Params;
    type Output = Value;

    fn metadata(&self) -> Metadata {
        Metadata::new("long", semver::Version::new(1, 0, 0), "Has many steps.").with_vertical(&self.vertical)
    }

    async fn run(&self, cx: &WorkflowContext, _: Params) -> Result<Value, WorkflowError> {
        cx.defer("tidy", |_| async { Ok(()) });
        let began = cx.now_ms().await?;
        let counts = cx
            .map("part", 3, 1..=24u32, |cx, n| async move {
                let output = cx.step("probe").call_named("probe", json!({"findings": n % 3})).await?;
                Ok::<_, WorkflowError>(output.counts.high)
            })
            .await?;
        let below = cx.child("below", Inner(self.vertical.clone()), Params::new()).await?;
        let (one, two) = (cx.branch("one"), cx.branch("two"));
        let contenders: Vec<futures::future::LocalBoxFuture<'_, Result<u32, WorkflowError>>> = vec![
            Box::pin(async move {
                one.sleep(Duration::from_mins(10)).await?;
                Ok(1)
            }),
            Box::pin(async move { Ok(two.step("two").run(|_| async { Ok(2u32) }).await?) }),
        ];
        let (winner, _) = cx.race("race", contenders).await?;
        let answer = cx.approval("go on").granted().await?;
        let number: u32 = cx.signal("number").await?;
        // A wait that lies over the change of histories.
        let slept = cx.branch("slept");
        let sleep = async {
            slept.sleep(Duration::from_secs(2)).await?;
            Ok::<_, WorkflowError>(0)
        };
        let busy = cx.map("busy", 2, 1..=12u32, |cx, n| async move {
            Ok::<_, WorkflowError>(cx.step("add").run(move |_| async move { Ok(n) }).await?)
        });
        let (sleep, busy) = futures::join!(sleep, busy);
        let busy: u32 = busy?.iter().sum::<u32>() + sleep?;
        let (mended, closures) = (Arc::clone(&self.mended), Arc::clone(&self.closures));
        let last = cx.step("gate").run(move |_| {
            let (mended, closures) = (Arc::clone(&mended), Arc::clone(&closures));
            async move {
                closures.fetch_add(1, Ordering::SeqCst);
                if mended.load(Ordering::SeqCst) { Ok(1u32) } else { Err(StepFailure::fatal("not mended")) }
            }
        });
        let last = last.await?;
        let probe = cx.step("last").call_named("probe", json!({"findings": 2})).await?;
        let again = cx.now_ms().await?;
        Ok(json!({
            "counts": counts, "below": below, "winner": winner, "by": answer.by, "number": number, "busy": busy,
            "last": last, "probe": probe.counts.high, "time": again >= began,
        }))
    }
}

impl Workflow for Inner {
    type Params = Params;
    type Output = Value;

    fn metadata(&self) -> Metadata {
        Metadata::new("inner", semver::Version::new(1, 0, 0), "Is begun by another.").with_vertical(&self.0)
    }

    async fn run(&self, cx: &WorkflowContext, _: Params) -> Result<Value, WorkflowError> {
        let mut found = 0;
        for n in 1..=8u32 {
            found += cx.step("inner").call_named("probe", json!({"findings": n % 2})).await?.counts.total();
        }
        Ok(found.into())
    }
}

async fn long(name: &str, mended: bool) -> (Bench, Long, Arc<dyn AnyWorkflow>) {
    let long = Long {
        vertical: vertical(name),
        mended: Arc::new(AtomicBool::new(mended)),
        closures: Arc::default(),
    };
    let workflow: Arc<dyn AnyWorkflow> = Arc::new(long.clone());
    let inner: Arc<dyn AnyWorkflow> = Arc::new(Inner(long.vertical.clone()));
    (Bench::new(&[Arc::clone(&workflow), inner], |_| ()).await, long, workflow)
}

/// Begins a run, answers it and waits for its end.
async fn ended(bench: &Bench, workflow: &Arc<dyn AnyWorkflow>, history: u32) -> ClusterRun {
    let vertical = workflow.metadata().vertical;
    bench.ready(&vertical).await;
    let request = RunRequest::new("long", bench.target()).with_timeout(Duration::from_mins(2));
    let submission = Submission::new(request, Arc::clone(workflow)).with_history_limit(history);
    let run = bench.cluster.submit(submission).await.unwrap();
    run.decide("go on", true, "ada", "").await.unwrap();
    run.signal("number", json!(7)).await.unwrap();
    run.wait().await.unwrap();
    run
}

async fn locally(bench: &Bench, workflow: &Arc<dyn AnyWorkflow>) -> crashwise_runner::RunReport {
    let answers = async |run: &crashwise_runner::RunHandle| {
        run.approve("go on", "ada", "").await.unwrap();
        run.signal("number", json!(7)).await.unwrap();
    };
    bench.local(workflow, Value::Null, |_| (), answers).await
}

/// What is told of a report, without the steps that were stopped: they are not taken over, and who lost a race does not
/// run again.
fn done(report: &crashwise_runner::RunReport) -> Value {
    let mut told = told(report);
    told["steps"].as_array_mut().unwrap().retain(|step| step["status"] != "cancelled");
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_too_long_for_one_history_is_the_same_over_several() {
    let (bench, long, workflow) = long("long", true).await;
    let local = locally(&bench, &workflow).await;
    let (probes, closures) =
        (bench.probe.runs.swap(0, Ordering::SeqCst), long.closures.swap(0, Ordering::SeqCst));
    let run = ended(&bench, &workflow, 40).await;
    let remote = run.report().await.unwrap();
    assert_eq!(remote.status, RunStatus::Completed, "{remote:?}");
    assert!(local.status == RunStatus::Completed && local.counts.high == 24 + 4 + 2, "{local:?}");
    pretty_equal(&told(&remote), &told(&local));
    assert_eq!(bytes(&remote), bytes(&local));
    let again = (bench.probe.runs.load(Ordering::SeqCst), long.closures.load(Ordering::SeqCst));
    assert_eq!(again, (probes, closures), "nothing is carried out twice");
    let history: Value = serde_json::from_slice(&run.history().await.unwrap()).unwrap();
    let events = history["events"].as_array().unwrap();
    assert!(events.len() < 200, "{} events", events.len());
    assert!(events[0].to_string().contains("continued_execution_run_id\":\""), "{}", events[0]);
    // It is one run, however many histories it has.
    let listed = bench.cluster.list(&RunFilter::new().with_workflow("long")).await.unwrap();
    assert_eq!(listed.iter().filter(|summary| summary.run_id == *run.id()).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_and_fork_take_over_what_was_done() {
    let (bench, long, workflow) = long("retried", false).await;
    let run = ended(&bench, &workflow, 10_000).await;
    assert_eq!(run.status().await.unwrap(), RunStatus::Failed);
    let probes = bench.probe.runs.swap(0, Ordering::SeqCst);
    assert_eq!(probes, 24 + 8);
    long.mended.store(true, Ordering::SeqCst);

    let retried = bench.cluster.retry(run.id()).await.unwrap();
    let report = retried.wait().await.unwrap();
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(bench.probe.runs.swap(0, Ordering::SeqCst), 1, "only what was not done");
    assert_eq!(retried.summary().await.unwrap().forked_from.as_ref(), Some(run.id()));
    let local = locally(&bench, &workflow).await;
    pretty_equal(&done(&report), &done(&local));
    assert_eq!(bytes(&report), bytes(&local));
    bench.probe.runs.store(0, Ordering::SeqCst);

    // From a step of the fan-out on: what began after it is done again.
    let forked = bench.cluster.fork(retried.id(), "part/20/probe").await.unwrap();
    forked.decide("go on", true, "ada", "").await.unwrap();
    forked.signal("number", json!(7)).await.unwrap();
    let report = forked.wait().await.unwrap();
    pretty_equal(&done(&report), &done(&local));
    let redone = bench.probe.runs.load(Ordering::SeqCst);
    assert!((4 + 8 + 1..=7 + 8 + 1).contains(&redone), "{redone}");

    let error = bench.cluster.fork(run.id(), "lost").await.unwrap_err();
    assert!(
        error.to_string().contains("did you mean \"last\"") || error.to_string().contains("no step"),
        "{error}"
    );
    let error = bench.cluster.retry(retried.id()).await.unwrap_err();
    assert!(matches!(error, ClusterError::Run(RunnerError::WrongState { .. })), "{error}");
}

/// The program, with the store of a bench.
fn program(bench: &Bench, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crashwise"));
    command.args(arguments).args(["--engine", "temporal", "--temporal", &address()]);
    command.arg("--store").arg(bench.folder.path().join("store"));
    let done = command.env("CRASHWISE_STATE_DIR", bench.folder.path().join("state")).output().unwrap();
    let text = [&done.stdout[..], &done.stderr[..]].concat();
    (done.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_does_the_same_for_runs_of_a_cluster() {
    let (bench, long, workflow) = long("commands", false).await;
    let run = ended(&bench, &workflow, 10_000).await;
    long.mended.store(true, Ordering::SeqCst);
    let id = run.id().as_str();
    let (good, text) = program(&bench, &["runs", "logs", id]);
    let told = ["step started part/0/probe", "step failed gate", "approval decided", "not mended"];
    assert!(good && told.iter().all(|what| text.contains(what)), "{text}");
    let (good, text) = program(&bench, &["runs", "verify", id]);
    assert!(good && text.contains("intact"), "{text}");
    let (good, text) = program(&bench, &["runs", "retry", id, "--detach"]);
    assert!(good, "{text}");
    let new = text.split_whitespace().next().unwrap().to_owned();
    let new = bench.cluster.run(&crashwise_core::RunId::new(new).unwrap());
    assert_eq!(new.wait().await.unwrap().status, RunStatus::Completed);
    let (_, text) = program(&bench, &["runs", "fork", id, "nowhere"]);
    assert!(text.contains("no step \"nowhere\""), "{text}");

    // A file that was changed is found out.
    let folder = bench.folder.path().join("store/results").join(new.id().as_str()).join("artifacts");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, "other").unwrap();
    let (good, text) = program(&bench, &["runs", "verify", new.id().as_str()]);
    assert!(!good && text.contains("damaged"), "{text}");

    // The server lists what is over some time later.
    let listed = Instant::now();
    loop {
        let (good, text) = program(&bench, &["runs", "prune", "--older-than", "1ms"]);
        assert!(good, "{text}");
        if !folder.exists() || std::fs::read_dir(&folder).unwrap().next().is_none() {
            break;
        }
        assert!(listed.elapsed() < Duration::from_secs(20), "{text}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let gone = async || matches!(new.status().await, Err(ClusterError::Run(RunnerError::UnknownRun { .. })));
    // It deletes in its own time.
    let asked = Instant::now();
    while !gone().await {
        assert!(asked.elapsed() < Duration::from_mins(2), "the server still has it");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Steps whose results are near the limit of what a step may give.
struct Heavy(String, u32);

impl Workflow for Heavy {
    type Params = Params;
    type Output = u64;

    fn metadata(&self) -> Metadata {
        Metadata::new("heavy", semver::Version::new(1, 0, 0), "Has large results.").with_vertical(&self.0)
    }

    async fn run(&self, cx: &WorkflowContext, _: Params) -> Result<u64, WorkflowError> {
        let mut sum = 0;
        for n in 0..self.1 {
            let text: String =
                cx.step(&format!("part-{n}")).run(|_| async { Ok("x".repeat(450_000)) }).await?;
            sum += text.len() as u64;
        }
        Ok(sum)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_too_large_for_a_history_go_on_in_a_new_one_or_are_refused_in_time() {
    for (name, steps, expect) in
        [("heavy", 40, Ok(18_000_000)), ("heavier", 60, Err("too large to go on in a new one"))]
    {
        let vertical = vertical(name);
        let workflow: Arc<dyn AnyWorkflow> = Arc::new(Heavy(vertical.clone(), steps));
        let bench = Bench::new(&[Arc::clone(&workflow)], |_| ()).await;
        bench.ready(&vertical).await;
        let request = RunRequest::new("heavy", bench.target()).with_timeout(Duration::from_mins(2));
        let run = bench.cluster.submit(Submission::new(request, workflow)).await.unwrap();
        let report = run.wait().await.unwrap();
        match expect {
            Ok(sum) => {
                assert_eq!(report.status, RunStatus::Completed, "{:?}", report.error);
                assert_eq!(report.output, json!(sum));
            }
            Err(text) => {
                assert_eq!(report.status, RunStatus::Failed);
                let error = report.error.unwrap_or_default();
                assert!(error.contains(text) && error.contains("MiB of results"), "{error}");
            }
        }
    }
}
