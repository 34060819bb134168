use super::*;
use crate::workflow::{Retry, StepErrorKind, StepFailure, Workflow, WorkflowContext, WorkflowError};
use crate::{
    Finding, Location, Metadata, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, ModuleOutput,
    RelPath, RuleId, Severity, Summary,
};
use async_trait::async_trait;
use futures::FutureExt;
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn metadata(name: &str) -> Metadata {
    Metadata::new(name, semver::Version::new(1, 0, 0), "A workflow of the tests.")
}

fn findings(count: u64) -> ModuleOutput {
    let mut output = ModuleOutput::new("fake", "1.0.0");
    output.counts.high = count;
    output
}

/// Everything a workflow can do.
struct Everything;

impl Workflow for Everything {
    type Params = u32;
    type Output = serde_json::Value;

    fn metadata(&self) -> Metadata {
        metadata("everything")
    }

    async fn run(&self, cx: &WorkflowContext, fan: u32) -> Result<serde_json::Value, WorkflowError> {
        cx.defer("drop", |_| async { Ok(()) });
        cx.compensate("undo", |_| async { Ok(()) });
        let scan = cx.step("scan").call_named("scanner", json!({"depth": 3})).await?;
        let counts = cx
            .map("fuzz", 2, 0..fan, |cx, n| async move {
                let output =
                    cx.step("afl").timeout(Duration::from_mins(1)).call_named("afl", json!(n)).await?;
                Ok::<u64, WorkflowError>(output.counts.total())
            })
            .await?;
        let (slow, fast) = (cx.branch("slow"), cx.branch("fast"));
        let (winner, _) = cx
            .race(
                "first",
                vec![
                    async move { slow.sleep(Duration::from_secs(100)).await }.boxed_local(),
                    async move { fast.sleep(Duration::from_secs(5)).await }.boxed_local(),
                ],
            )
            .await?;
        let skipped = cx.step("rare").when(false).call_named("scanner", json!({})).await?;
        let decision = cx.approval("go on").prompt("Go on?").granted().await?;
        let signal: u32 = cx.signal("limit").await?;
        let again = cx.step("scan").run(|_| async { Ok(7_u32) }).await?;
        let patched = cx.patched("new-order").await?;
        let child = cx.child("child", Fixed, 5).await?;
        let (now, random) = (cx.now_ms().await?, cx.random().await?);
        Ok(json!({
            "scan": scan.counts.total(), "fuzz": counts, "winner": winner, "skipped": skipped.is_none(),
            "by": decision.by, "signal": signal, "again": again, "patched": patched, "child": child,
            "now": now, "random": random,
        }))
    }
}

struct Fixed;

impl Workflow for Fixed {
    type Params = u32;
    type Output = u32;

    fn metadata(&self) -> Metadata {
        metadata("fixed")
    }

    async fn run(&self, cx: &WorkflowContext, n: u32) -> Result<u32, WorkflowError> {
        Ok(cx.step("double").run(move |_| async move { Ok(n * 2) }).await?)
    }
}

fn everything() -> WorkflowTest<Everything> {
    WorkflowTest::new(Everything)
        .fake("scan", |call| {
            assert_eq!(call.config, json!({"depth": 3}));
            Ok(findings(4))
        })
        .fake_taking("fuzz/*/afl", Duration::from_secs(10), |call| {
            Ok(findings(call.config.as_u64().unwrap()))
        })
        .approve("go on", "ann")
        .signal("limit", 9)
}

#[tokio::test]
async fn a_workflow_in_virtual_time() {
    let run = everything().run(5).await;
    let output = run.result.as_ref().unwrap();
    assert_eq!(output["fuzz"], json!([0, 1, 2, 3, 4]));
    assert_eq!(
        (&output["winner"], &output["skipped"], &output["by"]),
        (&json!(1), &json!(true), &json!("ann"))
    );
    assert_eq!(
        (&output["again"], &output["child"], &output["patched"]),
        (&json!(7), &json!(10), &json!(true))
    );
    // Five steps of 10 s, two at once, then the faster of the two timers.
    assert_eq!(run.elapsed, Duration::from_secs(35));
    run.assert_order(&["scan", "fuzz/0/afl", "fuzz/4/afl", "scan#2", "child", "cleanup/drop"]);
    assert!(!run.began("cleanup#2/undo"), "nothing failed");
}

#[tokio::test]
async fn replays_from_every_prefix() {
    everything().replay_from_every_prefix(5).await.unwrap();
}

/// Asks for other steps each time it runs.
struct Fickle(AtomicU32);

impl Workflow for Fickle {
    type Params = ();
    type Output = ();

    fn metadata(&self) -> Metadata {
        metadata("fickle")
    }

    async fn run(&self, cx: &WorkflowContext, (): ()) -> Result<(), WorkflowError> {
        let n = self.0.fetch_add(1, Ordering::Relaxed);
        cx.step("scan").call_named("scanner", json!({"n": n})).await?;
        Ok(())
    }
}

#[tokio::test]
async fn replay_finds_what_is_not_deterministic() {
    let test = WorkflowTest::new(Fickle(AtomicU32::new(0))).fake("scan", |_| Ok(findings(0)));
    let mismatch = test.replay_from_every_prefix(()).await.unwrap_err();
    assert!(mismatch.to_string().contains("something else in step scan"), "{mismatch}");
}

/// One step, with the options under test.
struct OneStep(Retry, Option<Duration>);

impl Workflow for OneStep {
    type Params = ();
    type Output = ();

    fn metadata(&self) -> Metadata {
        metadata("one_step")
    }

    async fn run(&self, cx: &WorkflowContext, (): ()) -> Result<(), WorkflowError> {
        let mut step = cx.step("work").retry(self.0.clone()).cleanup(|_| async { Ok(()) });
        if let Some(time) = self.1 {
            step = step.timeout(time);
        }
        step.call_named("worker", json!({})).await?;
        Ok(())
    }
}

#[tokio::test]
async fn retries_timeouts_and_cleanup() {
    let seconds = Duration::from_secs;
    for (retry, timeout, takes, fails, expect, elapsed) in [
        (Retry::attempts(3), None, 0, 2, None, 6),
        (Retry::attempts(2), None, 0, 2, Some((StepErrorKind::Error, 2)), 2),
        (Retry::never(), Some(5), 9, 0, Some((StepErrorKind::TimedOut, 1)), 5),
        (Retry::attempts(2), Some(5), 9, 0, Some((StepErrorKind::TimedOut, 2)), 12),
        (Retry::attempts(9).without(StepErrorKind::Error), None, 1, 9, Some((StepErrorKind::Error, 1)), 1),
    ] {
        let test = WorkflowTest::new(OneStep(retry, timeout.map(seconds))).fake_taking(
            "work",
            seconds(takes),
            move |call| {
                if call.attempt <= fails {
                    Err(StepFailure::new(StepErrorKind::Error, "no"))
                } else {
                    Ok(findings(0))
                }
            },
        );
        let run = test.run(()).await;
        let error = run.result.as_ref().err().and_then(WorkflowError::step);
        assert_eq!(error.map(|error| (error.kind, error.attempts)), expect);
        assert_eq!(run.elapsed, seconds(elapsed));
        assert_eq!(run.began("work/cleanup"), expect.is_some(), "cleanup runs exactly when the step fails");
    }
}

#[tokio::test]
async fn cancel_compensates_in_reverse() {
    let run = everything().cancel_after(Duration::from_secs(15)).run(5).await;
    assert!(run.result.as_ref().unwrap_err().is_cancelled());
    run.assert_order(&["fuzz/2/afl", "cleanup#2/undo", "cleanup/drop"]);
    assert!(!run.began("fuzz/4/afl"));
}

#[tokio::test]
async fn rejected_forgotten_and_unscripted() {
    let rejected = everything().reject("go on", "bob", "not now").run(1).await.result.unwrap_err();
    assert_eq!(rejected.to_string(), "\"go on\" was rejected by bob: not now");
    let forgotten = WorkflowTest::new(Everything).fake("scan", |_| Ok(findings(0))).run(0).await;
    let message = forgotten.result.unwrap_err().to_string();
    assert!(message.contains("waits for ever for approval \"go on\""), "{message}");
    let unscripted = WorkflowTest::new(Everything).run(0).await.result.unwrap_err();
    assert_eq!(unscripted.step().unwrap().kind, StepErrorKind::NotFound);
}

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoConfig {}

/// Follows links, panics on broken UTF-8, reports places that do not exist, writes, and never stops.
struct Careless;

#[async_trait]
impl Module for Careless {
    type Config = NoConfig;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new("Careless", "one", ModuleKind::Scanner, "")
    }

    async fn run(&self, cx: &ModuleContext, _: NoConfig) -> Result<Summary, ModuleError> {
        let root = cx.workspace().root();
        std::fs::write(root.join("scratch"), "x")?;
        if std::fs::read_dir(root)?.count() > 100 {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        let finding = Finding::new(RuleId::new("x").map_err(ModuleError::failed)?, "t", Severity::Low);
        let nowhere = Location::new(RelPath::new("nowhere.py").map_err(ModuleError::failed)?);
        cx.report(finding.with_location(nowhere))?;
        if let Ok(text) = std::fs::read(root.join("broken.py")) {
            String::from_utf8(text).map_err(|error| ModuleError::failed_to("reading failed", error))?;
        }
        Ok(Summary::new())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_finds_a_careless_module() {
    let broken = Conformance::new(Careless).check().await.unwrap_err().broken.join("\n");
    for expect in [
        "name \"Careless\"",
        "version \"one\"",
        "description is empty",
        "changed a workspace",
        "which is not there",
        "asked to stop after",
        "on a hostile tree it failed",
    ] {
        assert!(broken.contains(expect), "{expect}\n{broken}");
    }
}
