//! What an engine before this one got wrong, measured there, each as a test of its own: a pause that did not hold, a resume
//! that ran everything again, a cancel that changed a word only, failed tools as completed steps, no attempt at all, and
//! results that overwrote each other.

use crate::support::{Notes, ProbeConfig, Script, builder, eventually, here};
use crashwise_core::process::Spec;
use crashwise_core::workflow::{Retry, StepErrorKind, StepFailure, StepOptions};
use crashwise_core::{CoverageStatus, ModuleContext};
use crashwise_runner::{RunRequest, RunStatus, Runner, RunnerError, StepStatus};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn slow(ms: u64) -> Value {
    serde_json::to_value(ProbeConfig { takes_ms: ms, ..Default::default() }).unwrap()
}

fn two_steps(first_ms: u64) -> Script {
    Script::new(move |cx| async move {
        cx.step("one").call_named("probe", slow(first_ms)).await?;
        cx.step("two").call_named("probe", slow(0)).await?;
        Ok(json!("done"))
    })
}

#[tokio::test]
async fn a_run_that_is_paused_in_step_one_does_not_complete() {
    let (builder, probe) = builder();
    let runner = builder.workflow(two_steps(2_000)).build().unwrap();
    let handle = runner.submit(RunRequest::new("script", here())).await.unwrap();
    eventually("step one runs", || probe.runs.load(Ordering::SeqCst) == 1).await;
    handle.pause().await.unwrap();
    handle.wait_for(RunStatus::Paused).await.unwrap();
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!((handle.status(), probe.runs.load(Ordering::SeqCst)), (RunStatus::Paused, 1));
    handle.cancel().await.unwrap();
    assert_eq!(handle.wait().await.unwrap().status, RunStatus::Cancelled);
}

#[tokio::test]
async fn pause_and_resume_in_step_one_run_each_step_once() {
    let (builder, probe) = builder();
    let runner = builder.workflow(two_steps(2_000)).build().unwrap();
    let handle = runner.submit(RunRequest::new("script", here())).await.unwrap();
    eventually("step one runs", || probe.runs.load(Ordering::SeqCst) == 1).await;
    // While the step runs, before the pause could take effect.
    handle.pause().await.unwrap();
    handle.resume().await.unwrap();
    let report = handle.wait().await.unwrap();
    assert_eq!((report.status, report.steps.len()), (RunStatus::Completed, 2));
    assert_eq!(probe.runs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_run_that_is_cancelled_in_step_one_ends_it_and_runs_no_step_two() {
    let (builder, probe) = builder();
    let runner = builder.workflow(two_steps(600_000)).build().unwrap();
    let handle = runner.submit(RunRequest::new("script", here())).await.unwrap();
    eventually("step one runs", || probe.runs.load(Ordering::SeqCst) == 1).await;
    handle.cancel().await.unwrap();
    let report = handle.wait().await.unwrap();
    assert_eq!((report.status, report.steps.len()), (RunStatus::Cancelled, 1));
    assert_eq!(report.steps[0].status, StepStatus::Cancelled);
    eventually("step one ended", || probe.at_once.load(Ordering::SeqCst) == 0).await;
    assert_eq!(probe.runs.load(Ordering::SeqCst), 1);
}

/// A step that starts a process, and fails when the process does.
async fn process(cx: ModuleContext, program: &str, argument: &str) -> Result<i32, StepFailure> {
    let exit = Spec::new(program).arg(argument).run(cx.cancel_token()).await?;
    if exit.status.success() { Ok(0) } else { Err(StepFailure::fatal(exit.status.to_string())) }
}

#[tokio::test]
async fn tools_that_fail_hang_or_are_missing_are_failed_steps() {
    for (program, argument, kind, message) in [
        ("false", "", StepErrorKind::Failed, "exit code 1"),
        ("sleep", "600", StepErrorKind::TimedOut, "not done within 300ms"),
        ("no-such-tool", "", StepErrorKind::Error, "`no-such-tool` was not found"),
    ] {
        let notes = Notes::default();
        let inner = notes.clone();
        let timeout = Duration::from_millis(if program == "sleep" { 300 } else { 300_000 });
        let script = Script::new(move |cx| {
            let notes = inner.clone();
            async move {
                let retry = Retry::attempts(2).with_initial_interval(Duration::from_millis(1));
                let step = cx.step("tool").timeout(timeout).retry(retry);
                step.run(move |cx| {
                    notes.add("attempt");
                    process(cx, program, argument)
                })
                .await?;
                Ok(Value::Null)
            }
        });
        let runner = Runner::builder().workflow(script).build().unwrap();
        let began = Instant::now();
        let report = runner.run("script", here(), Value::Null).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(4), "{program}");
        assert_eq!((report.status, report.coverage.status), (RunStatus::Failed, CoverageStatus::Failed));
        let error = report.step("tool").unwrap().error.clone().unwrap();
        assert_eq!(error.kind, kind, "{program}: {error}");
        assert!(error.message.contains(message), "{program}: {error}");
        let attempts = if message == "exit code 1" { 1 } else { 2 };
        assert_eq!(notes.count("attempt"), attempts, "{program}: what may pass is tried again");
    }
}

#[tokio::test]
async fn no_attempts_at_all_means_one() {
    // However the number gets there: by the constructor, or in options that were read from somewhere.
    let mut read = StepOptions::default();
    read.retry.maximum_attempts = 0;
    let mut made = StepOptions::default();
    made.retry = Retry::attempts(0);
    for options in [read, made] {
        for fails in [false, true] {
            let (builder, probe) = builder();
            let options = options.clone();
            let script = Script::new(move |cx| {
                let options = options.clone();
                async move {
                    let config = ProbeConfig { fails, ..Default::default() };
                    let config = serde_json::to_value(config).unwrap();
                    cx.step("one").options(options).call_named("probe", config).await?;
                    Ok(Value::Null)
                }
            });
            let runner = builder.workflow(script).build().unwrap();
            let report = runner.run("script", here(), Value::Null).await.unwrap();
            assert_eq!(probe.runs.load(Ordering::SeqCst), 1);
            let step = report.step("one").unwrap();
            assert_eq!((step.attempts, step.error.is_some()), (1, fails));
            let expect = if fails { RunStatus::Failed } else { RunStatus::Completed };
            assert_eq!(report.status, expect, "{report:?}");
        }
    }
}

#[tokio::test]
async fn steps_with_one_name_keep_a_result_each() {
    let (builder, _) = builder();
    let script = Script::new(|cx| async move {
        let lines = |lines: Vec<u32>| ProbeConfig { lines, ..Default::default() };
        let lines = |list| serde_json::to_value(lines(list)).unwrap();
        let one = cx.step("same").call_named("probe", lines(vec![1])).await?;
        let two = cx.step("same").call_named("probe", lines(vec![2, 3])).await?;
        Ok(json!([one.counts.total(), two.counts.total()]))
    });
    let runner = builder.workflow(script).build().unwrap();
    let report = runner.run("script", here(), Value::Null).await.unwrap();
    assert_eq!((report.output.clone(), report.counts.total()), (json!([1, 2]), 3));
    let found: Vec<(&str, u64)> =
        report.steps.iter().map(|step| (step.key.as_str(), step.counts.total())).collect();
    assert_eq!(found, [("same", 1), ("same#2", 2)]);
    let twice = Runner::builder().workflow(two_steps(0)).workflow(two_steps(0)).build();
    assert!(matches!(twice.unwrap_err(), RunnerError::DuplicateWorkflow { .. }));
}
