use crate::support::{Notes, ProbeConfig, Script, builder, eventually, here, within};
use crashwise_core::Span;
use crashwise_core::workflow::{Retry, StepErrorKind, StepFailure};
use crashwise_runner::{RunRequest, RunStatus, Runner};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

fn slow(ms: u64) -> Value {
    serde_json::to_value(ProbeConfig { takes_ms: ms, ..Default::default() }).unwrap()
}

#[tokio::test]
async fn the_deadline_of_a_run_is_enforced() {
    for by_metadata in [true, false] {
        within(Duration::from_millis(1500), || timed_out_in(by_metadata)).await;
    }
}

/// How long a run takes that runs out of its time.
async fn timed_out_in(by_metadata: bool) -> Duration {
    let (builder, _) = builder();
    let notes = Notes::default();
    let inner = notes.clone();
    let mut script = Script::new(move |cx| {
        let notes = inner.clone();
        async move {
            cx.defer("tidy", notes.writer("tidy", ()));
            cx.step("one").call_named("probe", slow(600_000)).await?;
            Ok(Value::Null)
        }
    });
    let limit = Duration::from_millis(500);
    let mut request = RunRequest::new("script", here());
    if by_metadata {
        script.metadata.requirements.resources.timeout = Some(Span::new(limit));
    } else {
        request = request.with_timeout(limit);
    }
    let runner = builder.workflow(script).build().unwrap();
    let began = Instant::now();
    let report = runner.submit(request).await.unwrap().wait().await.unwrap();
    let took = began.elapsed();
    assert_eq!(report.status, RunStatus::TimedOut, "{report:?}");
    assert_eq!(notes.all(), ["tidy"]);
    let error = report.step("one").unwrap().error.clone().unwrap();
    assert_eq!(error.message, "the run ran out of time");
    took
}

#[tokio::test]
async fn waiting_for_people_and_pauses_do_not_count_against_the_deadline() {
    let script = Script::new(|cx| async move {
        cx.approval("go").granted().await?;
        cx.sleep(Duration::from_millis(10)).await?;
        Ok(Value::Null)
    });
    let runner = Runner::builder().workflow(script).build().unwrap();
    let request = RunRequest::new("script", here()).with_timeout(Duration::from_millis(150));
    let handle = runner.submit(request).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    handle.pause().await.unwrap();
    handle.approve("go", "ann", "").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    handle.resume().await.unwrap();
    assert_eq!(handle.wait().await.unwrap().status, RunStatus::Completed);
}

#[tokio::test]
async fn timeouts_of_attempts_steps_and_heartbeats() {
    let (builder, _) = builder();
    let script = Script::new(|cx| async move {
        let quick = Retry::attempts(2).with_initial_interval(Duration::from_millis(5));
        let attempt = cx.step("attempt").timeout(Duration::from_millis(30)).retry(quick.clone());
        let error = attempt.call_named("probe", slow(600_000)).await.unwrap_err();
        assert_eq!(
            (error.kind, error.attempts, error.message.as_str()),
            (StepErrorKind::TimedOut, 2, "not done within 30ms")
        );
        let whole = cx.step("whole").total_timeout(Duration::from_millis(60)).retry(Retry::attempts(100));
        let error = whole.call_named("probe", slow(600_000)).await.unwrap_err();
        assert_eq!((error.attempts, error.message.as_str()), (1, "not done within 60ms"));
        let silent = cx.step("silent").heartbeat_timeout(Duration::from_millis(40)).retry(quick);
        let details: Value = silent
            .run(|cx| async move {
                if let Some(left) = cx.last_heartbeat() {
                    return Ok(left.clone());
                }
                for n in 0..5 {
                    cx.heartbeat(json!(n));
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                cx.cancelled().await;
                Err(StepFailure::fatal("stopped"))
            })
            .await?;
        Ok(details)
    });
    let runner = builder.workflow(script).build().unwrap();
    let report = runner.run("script", here(), Value::Null).await.unwrap();
    assert_eq!(
        report.output,
        json!(4),
        "the second attempt goes on from the heartbeat of the first: {report:?}"
    );
}

#[tokio::test]
async fn cleanup_that_hangs_is_given_up() {
    let script = Script::new(|cx| async move {
        cx.defer("hangs", |_| async {
            futures::future::pending::<()>().await;
            Ok(())
        });
        Ok(json!(1))
    });
    let runner = Runner::builder().workflow(script).cleanup_limit(Duration::from_millis(50)).build().unwrap();
    let report = runner.run("script", here(), Value::Null).await.unwrap();
    assert_eq!(report.status, RunStatus::Completed);
    let error = report.step("cleanup/hangs").unwrap().error.clone().unwrap();
    assert!(error.message.contains("the limit for cleanup"), "{error}");
}

#[tokio::test]
async fn runs_queue_by_priority_and_parked_ones_leave_their_place() {
    let (builder, probe) = builder();
    let order = Notes::default();
    let inner = order.clone();
    let script = Script::new(move |cx| {
        let order = inner.clone();
        async move {
            let name: String = cx.signal("name").await?;
            cx.step("note").run(order.writer(&name, ())).await?;
            // The first is at work until all others are in the queue.
            let time = if name == "first" { 2_000 } else { 10 };
            cx.step("work").call_named("probe", slow(time)).await?;
            Ok(Value::Null)
        }
    });
    let runner = builder.workflow(script).max_concurrent(1).build().unwrap();
    let mut handles = Vec::new();
    for (name, priority) in [("first", 0), ("low", 1), ("high", 9), ("low too", 1)] {
        let request = RunRequest::new("script", here()).with_priority(priority);
        let handle = runner.submit(request).await.unwrap();
        handle.wait_for(RunStatus::Running).await.unwrap();
        handles.push((name, handle));
    }
    for (name, handle) in &handles {
        handle.signal("name", json!(name)).await.unwrap();
        if *name == "first" {
            eventually("the first works", || probe.runs.load(Ordering::SeqCst) == 1).await;
        }
    }
    for (_, handle) in &handles {
        assert_eq!(handle.wait().await.unwrap().status, RunStatus::Completed);
    }
    assert_eq!(order.all(), ["first", "high", "low", "low too"]);
    assert_eq!(probe.most_at_once.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_vertical_limits_steps_over_all_runs() {
    let (builder, probe) = builder();
    let script = Script::new(|cx| async move {
        cx.map("m", 10, 0..4, |cx, _| async move {
            cx.step("s").queue("rust").call_named("probe", slow(10)).await
        })
        .await?;
        Ok(Value::Null)
    });
    let runner = builder.workflow(script).vertical_limit("rust", 2).build().unwrap();
    let (one, two) =
        tokio::join!(runner.run("script", here(), Value::Null), runner.run("script", here(), Value::Null));
    assert_eq!((one.unwrap().status, two.unwrap().status), (RunStatus::Completed, RunStatus::Completed));
    assert_eq!(probe.runs.load(Ordering::SeqCst), 8);
    assert_eq!(probe.most_at_once.load(Ordering::SeqCst), 2);
}

#[test]
fn a_runner_works_without_a_runtime_around_it_and_stops_with_its_last_handle() {
    let ran = Arc::new(AtomicU32::new(0));
    let inner = Arc::clone(&ran);
    let script = Script::new(move |cx| {
        let ran = Arc::clone(&inner);
        async move {
            loop {
                let ran = Arc::clone(&ran);
                cx.step("s")
                    .run(move |_| {
                        let ran = Arc::clone(&ran);
                        async move {
                            ran.fetch_add(1, Ordering::SeqCst);
                            tokio::time::sleep(Duration::from_millis(1)).await;
                            Ok(())
                        }
                    })
                    .await?;
            }
        }
    });
    let runner = Runner::builder().workflow(script).build().unwrap();
    let handle = {
        let outside = tokio::runtime::Builder::new_current_thread().build().unwrap();
        outside.block_on(runner.submit(RunRequest::new("script", here())))
    }
    .unwrap();
    drop(runner);
    while ran.load(Ordering::SeqCst) < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(handle);
    std::thread::sleep(Duration::from_millis(100));
    let after = ran.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(ran.load(Ordering::SeqCst), after);
}
