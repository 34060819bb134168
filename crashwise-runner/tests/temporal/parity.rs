//! The same workflow on both engines gives the same bytes.

use crate::support::{Bench, bytes, repository, told, vertical};
use crashwise_core::workflow::{AnyWorkflow, Retry, Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, Target};
use crashwise_runner::definition::{Definition, load};
use crashwise_runner::temporal::{Replayer, Seen, Submission};
use crashwise_runner::workflows::SecurityAssessment;
use crashwise_runner::{RunEventKind, RunRequest, RunStatus, Runner};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Fan-out, approval, retry, child, sleep, cleanup, a condition and a race.
struct Everything {
    vertical: String,
}

struct Below {
    vertical: String,
}

type Params = BTreeMap<String, Value>;

impl Workflow for Everything {
    type Params = Params;
    type Output = Value;

    fn metadata(&self) -> Metadata {
        Metadata::new("everything", semver::Version::new(1, 0, 0), "Does everything.")
            .with_vertical(&self.vertical)
    }

    async fn run(&self, cx: &WorkflowContext, _: Params) -> Result<Value, WorkflowError> {
        let quick = Retry::attempts(3).with_initial_interval(Duration::from_millis(10));
        cx.defer("tidy", |_| async { Ok(()) });
        let counts = cx
            .map("part", 4, 1..=6u32, |cx, n| async move {
                let output = cx.step("probe").call_named("probe", json!({"findings": n})).await?;
                Ok::<_, WorkflowError>(output.counts.high)
            })
            .await?;
        let flaky =
            cx.step("flaky").retry(quick).call_named("probe", json!({"findings": 2, "flaky": 2})).await?;
        let skipped = cx.step("skipped").when(false).call_named("probe", json!({})).await?;
        let answer = cx.approval("go on").prompt("Go on?").granted().await?;
        cx.sleep(Duration::from_millis(20)).await?;
        let below = Below { vertical: self.vertical.clone() };
        let below = cx.child("below", below, Params::new()).await?;
        let failed = cx.step("fails").call_named("probe", json!({"findings": 1, "fails": true})).await;
        let (one, two) = (cx.branch("one"), cx.branch("two"));
        let contenders: Vec<futures::future::LocalBoxFuture<'_, Result<u32, WorkflowError>>> = vec![
            Box::pin(async move {
                one.sleep(Duration::from_mins(10)).await?;
                Ok(1)
            }),
            Box::pin(async move { Ok(two.step("two").run(|_| async { Ok(2u32) }).await?) }),
        ];
        let (winner, _) = cx.race("race", contenders).await?;
        Ok(json!({
            "counts": counts, "flaky": flaky.summary.values, "skipped": skipped.is_none(), "by": answer.by,
            "below": below, "failed": failed.err().map(|error| error.to_string()), "winner": winner,
        }))
    }
}

impl Workflow for Below {
    type Params = Params;
    type Output = Value;

    fn metadata(&self) -> Metadata {
        Metadata::new("below", semver::Version::new(1, 2, 0), "Is begun by another.")
            .with_vertical(&self.vertical)
    }

    async fn run(&self, cx: &WorkflowContext, _: Params) -> Result<Value, WorkflowError> {
        let output = cx.step("inner").call_named("probe", json!({"findings": 3})).await?;
        Ok(json!(output.counts.total()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_with_everything_is_the_same_on_both_engines() {
    let vertical = vertical("everything");
    let everything: Arc<dyn AnyWorkflow> = Arc::new(Everything { vertical: vertical.clone() });
    let below: Arc<dyn AnyWorkflow> = Arc::new(Below { vertical });
    let bench = Bench::new(&[Arc::clone(&everything), Arc::clone(&below)], |_| ()).await;
    let run = bench.submit(&everything, Value::Null).await;
    let mut seen = Vec::new();
    let remote = run
        .follow(|what| {
            let Seen::Event(event) = what else { return };
            if let RunEventKind::ApprovalRequested { name, .. } = &event.kind {
                let (run, name) = (run.clone(), name.clone());
                tokio::spawn(async move { run.decide(&name, true, "ada", "looks fine").await.unwrap() });
            }
            seen.push(event.kind);
        })
        .await
        .unwrap();
    let local = bench
        .local(
            &everything,
            Value::Null,
            |_| (),
            async |run| {
                run.approve("go on", "ada", "looks fine").await.unwrap();
            },
        )
        .await;
    assert_eq!(remote.status, RunStatus::Completed, "{remote:?}");
    pretty_equal(&told(&remote), &told(&local));
    assert_eq!(bytes(&remote), bytes(&local));
    assert_eq!(remote.counts.high, 1 + 2 + 3 + 4 + 5 + 6 + 2 + 3 + 1);
    let completed = seen.iter().filter(|kind| matches!(kind, RunEventKind::StepCompleted { .. })).count();
    assert!(completed >= 9, "{seen:?}");

    let replayer = Replayer::new([everything, below], bench.modules(|_| ())).unwrap();
    replayer.replay(&run.history().await.unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn security_assessment_is_the_same_on_both_engines() {
    let workflow: Arc<dyn AnyWorkflow> = Arc::new(SecurityAssessment);
    let bench = Bench::new(&[Arc::clone(&workflow)], |_| ()).await;
    let target = Target::Directory(repository().join("examples/vulnerable-app"));
    let request = RunRequest::new("security_assessment", target.clone());
    let run = bench.submit_request(request, &workflow).await;
    let remote = run.wait().await.unwrap();
    let runner =
        Runner::builder().modules(bench.modules(|_| ())).workflow(SecurityAssessment).build().unwrap();
    let local = runner.run("security_assessment", target, Value::Null).await.unwrap();
    assert!(remote.counts.total() > 50, "{:?}", remote.counts);
    pretty_equal(&told(&remote), &told(&local));
    assert_eq!(bytes(&remote), bytes(&local));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_as_data_needs_no_worker_that_has_it() {
    let vertical = vertical("data");
    let other: Arc<dyn AnyWorkflow> = Arc::new(Below { vertical: vertical.clone() });
    let bench = Bench::new(&[other], |_| ()).await;
    let folder = bench.folder.path().join("as-data");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("metadata.yaml"),
        format!("name: as_data\nversion: 1.0.0\ndescription: As data.\nvertical: {vertical}\n"),
    )
    .unwrap();
    let steps = "
steps:
  - id: one
    module: probe
    with: {findings: 2}
  - id: each
    needs: [one]
    foreach: {in: '${{ [1, 2, 3] }}', as: n}
    module: probe
    with: {findings: '${{ n }}'}
  - id: never
    module: probe
    when: 'false'
outputs: {total: '${{ steps.one.counts.total }}'}
";
    std::fs::write(folder.join("workflow.yaml"), steps).unwrap();
    let modules = bench.modules(|_| ());
    let source = load(&folder).unwrap();
    let definition = Definition::parse(&source, &modules).unwrap();
    let workflow: Arc<dyn AnyWorkflow> = Arc::new(definition.clone());
    let request = RunRequest::new("as_data", bench.target());
    let submission =
        Submission::new(request, Arc::clone(&workflow)).with_definition(definition).with_source(&source);
    bench.ready(&vertical).await;
    let run = bench.cluster.submit(submission).await.unwrap();
    let remote = run.wait().await.unwrap();
    let local = bench.local(&workflow, Value::Null, |_| (), async |_| ()).await;
    assert_eq!(remote.status, RunStatus::Completed, "{remote:?}");
    pretty_equal(&told(&remote), &told(&local));
    assert_eq!(bytes(&remote), bytes(&local));
}

/// Compares what is long, and shows only what differs.
pub(crate) fn pretty_equal(one: &Value, other: &Value) {
    if one == other {
        return;
    }
    let lines = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    let (one, other) = (lines(one), lines(other));
    let differ: Vec<_> =
        one.lines().zip(other.lines()).filter(|(one, other)| one != other).take(10).collect();
    panic!("remote and local differ: {differ:#?}");
}
