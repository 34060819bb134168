use crate::support::{Notes, ProbeConfig, Script, builder, eventually, here, not_send};
use crashwise_core::workflow::{Retry, StepErrorKind, StepFailure};
use crashwise_core::{CoverageStatus, GapReason, Stats, StatsEvent, Target};
use crashwise_runner::{RunEvent, RunEventKind, RunRequest, RunStatus, Runner, RunnerError, StepStatus};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn config(change: impl FnOnce(&mut ProbeConfig)) -> Value {
    let mut config = ProbeConfig::default();
    change(&mut config);
    serde_json::to_value(config).unwrap()
}

#[test]
fn public_futures_are_send() {
    fn is_send<T: Send>(_: &T) {}
    let runner = Runner::builder().build().unwrap();
    let script = Script::new(|_| async { Ok(Value::Null) });
    is_send(&runner);
    is_send(&runner.run("x", here(), Value::Null));
    is_send(&runner.submit(RunRequest::new("x", here())));
    is_send(&runner.run_typed(script, here(), crate::support::Params::new()));
    let with_handle = async {
        let handle = runner.submit(RunRequest::new("x", here())).await?;
        handle.pause().await?;
        handle.resume().await?;
        handle.approve("a", "b", "c").await?;
        handle.signal("a", Value::Null).await?;
        handle.cancel().await?;
        handle.wait_for(RunStatus::Paused).await?;
        handle.wait().await
    };
    is_send(&with_handle);
}

#[tokio::test]
async fn findings_of_steps_are_merged_sorted_and_counted_once() {
    let (builder, _) = builder();
    let script = Script::new(|cx| async move {
        let _rc = not_send();
        let one = cx.step("one").call_named("probe", config(|c| c.lines = vec![3, 1])).await?;
        let two = cx.step("two").call_named("probe", config(|c| c.lines = vec![2, 3])).await?;
        assert_eq!((one.counts.high, two.counts.high), (2, 2));
        Ok(json!(one.summary.values["lines"]))
    });
    let runner = builder.workflow(script).build().unwrap();
    let report = runner.run("script", here(), json!({})).await.unwrap();
    assert_eq!((report.status, &report.output, &report.error), (RunStatus::Completed, &json!(2), &None));
    let titles: Vec<String> = report.findings().unwrap().map(|finding| finding.unwrap().title).collect();
    assert_eq!(titles, ["line 1", "line 2", "line 3"]);
    assert_eq!(report.counts.high, 3);
    assert_eq!((report.coverage.status, report.coverage.looked_at["lines"]), (CoverageStatus::Complete, 4));
    let steps: Vec<_> =
        report.steps.iter().map(|step| (step.key.as_str(), step.status, step.attempts)).collect();
    assert_eq!(steps, [("one", StepStatus::Completed, 1), ("two", StepStatus::Completed, 1)]);
    assert_eq!(report.step("one").unwrap().version, "1.0.0");
    drop(runner);
    assert_eq!(report.findings().unwrap().count(), 3, "a report outlives its runner");
}

#[tokio::test]
async fn what_failed_is_never_clean() {
    for (name, change, kind, reason) in [
        ("fails", (|c| c.fails = true) as fn(&mut ProbeConfig), StepErrorKind::Failed, GapReason::Failed),
        ("panics", |c| c.panics = true, StepErrorKind::Panicked, GapReason::Panicked),
        ("hangs", |c| c.takes_ms = 600_000, StepErrorKind::TimedOut, GapReason::TimedOut),
    ] {
        let timeout = Duration::from_secs(if name == "hangs" { 2 } else { 300 });
        for tolerated in [true, false] {
            let (builder, _) = builder();
            let script = Script::new(move |cx| async move {
                let step = cx.step("weak").timeout(timeout).retry(Retry::never());
                let result = step
                    .call_named(
                        "probe",
                        config(|c| {
                            c.lines = vec![7];
                            change(c);
                        }),
                    )
                    .await;
                cx.step("strong").call_named("probe", config(|c| c.lines = vec![1])).await?;
                assert_eq!(result.as_ref().unwrap_err().kind, kind);
                if !tolerated {
                    result?;
                }
                Ok(Value::Null)
            });
            let runner = builder.workflow(script).build().unwrap();
            let report = runner.run("script", here(), Value::Null).await.unwrap();
            let expect = if tolerated { RunStatus::Completed } else { RunStatus::Failed };
            assert_eq!(report.status, expect, "{name}: {report:?}");
            let expect = if tolerated { CoverageStatus::Partial } else { CoverageStatus::Failed };
            assert_eq!(report.coverage.status, expect, "{name}");
            let gap = report.coverage.gaps.iter().find(|gap| gap.what == "step weak").unwrap();
            assert_eq!(gap.reason, reason);
            assert_eq!(report.counts.high, 2, "{name}: what was found before is kept");
            assert_eq!(report.findings().unwrap().count(), 2);
            if !tolerated {
                assert!(report.error.as_deref().unwrap().contains("step weak"), "{report:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_panicking_workflow_fails_and_its_cleanup_runs() {
    let notes = Notes::default();
    let inner = notes.clone();
    let script = Script::new(move |cx| {
        let notes = inner.clone();
        async move {
            cx.defer("first", notes.writer("cleanup first", ()));
            cx.compensate("second", notes.writer("cleanup second", ()));
            cx.step("work").run(notes.writer("work", 1)).await?;
            panic!("out of ideas")
        }
    });
    let runner = Runner::builder().workflow(script).build().unwrap();
    let report = runner.run("script", here(), Value::Null).await.unwrap();
    assert_eq!(report.status, RunStatus::Failed);
    assert_eq!(report.error.as_deref(), Some("workflow panicked: out of ideas"));
    assert_eq!(notes.all(), ["work", "cleanup second", "cleanup first"]);
    assert_eq!(report.coverage.status, CoverageStatus::Failed);
}

#[tokio::test]
async fn retries_have_waits_and_end() {
    let (builder, probe) = builder();
    let script = Script::new(|cx| async move {
        let retry = Retry::attempts(3).with_initial_interval(Duration::from_millis(20));
        cx.step("flaky").retry(retry.clone()).call_named("probe", config(|c| c.flaky = 2)).await?;
        let lost = cx.step("lost").retry(retry.clone()).call_named("probe", config(|c| c.flaky = 9)).await;
        assert_eq!(
            (lost.as_ref().unwrap_err().attempts, lost.unwrap_err().kind),
            (3, StepErrorKind::Transient)
        );
        let fatal = cx.step("fatal").retry(retry).call_named("probe", config(|c| c.fails = true)).await;
        assert_eq!(fatal.unwrap_err().attempts, 1, "what cannot pass is not tried again");
        let closure = cx
            .step("closure")
            .retry(Retry::never())
            .run(|_| async { Err::<(), _>(StepFailure::fatal("no")) })
            .await;
        assert_eq!(closure.unwrap_err().message, "no");
        Ok(Value::Null)
    });
    let events: Arc<Mutex<Vec<RunEvent>>> = Arc::default();
    let seen = Arc::clone(&events);
    let runner = builder
        .workflow(script)
        .on_event(move |event| seen.lock().unwrap().push(event.clone()))
        .build()
        .unwrap();
    let report = runner.run("script", here(), Value::Null).await.unwrap();
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(probe.runs.load(std::sync::atomic::Ordering::SeqCst), 7);
    let flaky = report.step("flaky").unwrap();
    assert_eq!(flaky.attempts, 3);
    assert!(flaky.duration >= Duration::from_millis(60), "20 ms + 40 ms: {:?}", flaky.duration);
    let events = events.lock().unwrap();
    let words: Vec<String> = events
        .iter()
        .map(|event| serde_json::to_value(&event.kind).unwrap())
        .filter(|event| event["step"].is_null() || event["step"] == "flaky")
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        words,
        [
            "run_queued",
            "run_started",
            "step_started",
            "step_retried",
            "step_started",
            "step_retried",
            "step_started",
            "step_completed",
            "run_finished"
        ]
    );
    assert!(matches!(
        &events.last().unwrap().kind,
        RunEventKind::RunFinished { status: RunStatus::Completed, .. }
    ));
}

#[tokio::test]
async fn bad_requests_say_what_is_right() {
    let script = || Script::named("security_assessment", |_| async { Ok(Value::Null) });
    let runner = Runner::builder().workflow(script()).build().unwrap();
    let error = runner.run("security_asessment", here(), Value::Null).await.unwrap_err().chain();
    assert_eq!(
        error,
        "there is no workflow named \"security_asessment\" (did you mean \"security_assessment\"?)"
    );
    let error = runner.run("security_assessment", here(), json!({"depht": 3})).await.unwrap_err().chain();
    assert!(error.contains("depht: unknown key (did you mean \"depth\"?)"), "{error}");
    let twice = Runner::builder().workflow(script()).workflow(script()).build().unwrap_err();
    assert!(matches!(twice, RunnerError::DuplicateWorkflow { .. }), "{twice}");
    let (builder, _) = builder();
    let script = Script::new(|cx| async move {
        let unknown = cx.step("a").call_named("porbe", Value::Null).await.unwrap_err();
        assert_eq!(unknown.message, "there is no module named \"porbe\" (did you mean \"probe\"?)");
        let bad = cx.step("b").call_named("probe", json!({"lnes": []})).await.unwrap_err();
        assert_eq!(bad.kind, StepErrorKind::Config);
        assert!(bad.message.contains("did you mean \"lines\"?"), "{bad}");
        Ok(Value::Null)
    });
    let runner = builder.workflow(script).build().unwrap();
    let report = runner.run("script", here(), Value::Null).await.unwrap();
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(
        report.coverage.status,
        CoverageStatus::Failed,
        "nothing was looked at: {:?}",
        report.coverage
    );
    let gone = Target::Directory("/does/not/exist".into());
    let report = runner.run("script", gone, Value::Null).await.unwrap();
    assert_ne!(report.coverage.status, CoverageStatus::Complete);
}

#[tokio::test]
async fn a_typed_run_gives_its_output_or_its_report() {
    let runner = Runner::builder().build().unwrap();
    let script = Script::new(|_| async { Ok(json!([1, 2])) });
    let (output, report) = runner.run_typed(script, here(), Default::default()).await.unwrap();
    assert_eq!((output, report.status), (json!([1, 2]), RunStatus::Completed));
    let script = Script::new(|_| async { Err(crashwise_core::workflow::WorkflowError::failed("no luck")) });
    match runner.run_typed(script, here(), Default::default()).await {
        Err(RunnerError::NotCompleted(report)) => assert_eq!(report.error.as_deref(), Some("no luck")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn statistics_arrive() {
    let seen: Arc<Mutex<Vec<StatsEvent>>> = Arc::default();
    let events = Arc::clone(&seen);
    let script = Script::new(|cx| async move {
        cx.step("scan")
            .run(|cx| async move {
                cx.stats(Stats::ScanProgress {
                    files_scanned: 1,
                    vulnerabilities_found: 0,
                    scan_percentage: 50.0,
                    current_file: "a".into(),
                    elapsed_time: 0,
                });
                Ok(())
            })
            .await?;
        Ok(Value::Null)
    });
    let runner = Runner::builder()
        .workflow(script)
        .on_stats(|_: &StatsEvent| panic!("a bad callback"))
        .on_stats(move |event: &StatsEvent| events.lock().unwrap().push(event.clone()))
        .build()
        .unwrap();
    let report = runner.run("script", here(), Value::Null).await.unwrap();
    assert_eq!(report.status, RunStatus::Completed);
    eventually("statistics arrive", || !seen.lock().unwrap().is_empty()).await;
    let seen = seen.lock().unwrap();
    assert_eq!((seen.len(), seen[0].step.as_str(), &seen[0].run_id), (1, "scan", &report.run_id));
}

#[tokio::test]
async fn foreign_futures_in_workflow_code_are_flagged() {
    let script = Script::new(|_| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(Value::Null)
    });
    let runner = Runner::builder().workflow(script).check_determinism(true).build().unwrap();
    let report = runner.run("script", here(), Value::Null).await.unwrap();
    assert_eq!(report.status, RunStatus::Failed);
    assert!(report.error.unwrap().contains("not of its context"));
    // Combinators of others that wake as the context's futures do are fine.
    let script = Script::new(|cx| async move {
        let steps = (0..50).map(|n| {
            let cx = cx.branch("b");
            async move {
                cx.step("s")
                    .run(move |_| async move {
                        tokio::task::yield_now().await;
                        Ok(n)
                    })
                    .await
            }
        });
        Ok(json!(futures::future::try_join_all(steps).await?))
    });
    let runner = Runner::builder().workflow(script).check_determinism(true).build().unwrap();
    let report = runner.run("script", here(), Value::Null).await.unwrap();
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
}
