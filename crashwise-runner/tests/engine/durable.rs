//! Runs that are carried on: by the next process, by retry, by fork.

use crate::support::{Notes, ProbeConfig, Script, builder, eventually, here, within};
use crashwise_core::workflow::{Retry, StepErrorKind, StepFailure};
use crashwise_runner::{
    Durability, OnChange, RunHandle, RunRequest, RunStatus, Runner, RunnerBuilder, RunnerError, StepStatus,
    Verdict,
};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

fn on(folder: &Path, script: Script) -> RunnerBuilder {
    Runner::builder().state_dir(folder).durability(Durability::Relaxed).workflow(script)
}

/// A workflow of three steps of which the second waits until it is let go, and cleanup.
fn three(notes: &Notes, gate: &Arc<AtomicBool>) -> Script {
    let (notes, gate) = (notes.clone(), Arc::clone(gate));
    Script::new(move |cx| {
        let (notes, gate) = (notes.clone(), Arc::clone(&gate));
        async move {
            cx.defer("tidy", notes.writer("tidy", ()));
            let now = cx.now_ms().await?;
            let random = cx.random().await?;
            let one: u64 = cx.step("one").run(notes.writer("one", now)).await?;
            let two: u32 = cx.step("two").run(notes.held("two", &gate, 2)).await?;
            let three: u64 = cx.step("three").run(notes.writer("three", random)).await?;
            Ok(json!([one == now, two, three == random]))
        }
    })
}

async fn left_behind(
    folder: &Path,
    script: Script,
    until: impl Fn(&RunHandle) -> bool,
) -> crashwise_core::RunId {
    let runner = on(folder, script).build().unwrap();
    let handle = runner.submit(RunRequest::new("script", here())).await.unwrap();
    eventually("the run got there", || until(&handle)).await;
    runner.shutdown().await;
    assert!(matches!(handle.wait().await, Err(RunnerError::Closed)));
    handle.id().clone()
}

#[tokio::test]
async fn the_next_process_carries_on_and_repeats_nothing_that_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let (notes, gate) = (Notes::default(), Arc::new(AtomicBool::new(false)));
    let id = left_behind(folder.path(), three(&notes, &gate), |_| notes.count("two") == 1).await;
    assert_eq!(notes.all(), ["one", "two"], "no cleanup: the run did not end");
    gate.store(true, Ordering::SeqCst);
    let runner = on(folder.path(), three(&notes, &gate)).build().unwrap();
    let report = runner.handle(&id).unwrap().wait().await.unwrap();
    assert_eq!((report.status, &report.output), (RunStatus::Completed, &json!([true, 2, true])));
    assert_eq!(notes.all(), ["one", "two", "two", "three", "tidy"]);
    let keys: Vec<&str> = report.steps.iter().map(|step| step.key.as_str()).collect();
    assert_eq!(keys, ["one", "two", "three", "cleanup/tidy"]);
    let store = runner.store().unwrap();
    assert!(matches!(store.verify(&id).unwrap(), Verdict::Intact { events } if events > 8));
    let stored = store.report(&id).unwrap();
    assert_eq!((stored.output, stored.steps), (report.output, report.steps));
    let kinds: Vec<String> = store.history(&id).unwrap().into_iter().map(|event| event.kind).collect();
    assert_eq!((kinds[0].as_str(), kinds.last().unwrap().as_str()), ("submitted", "finished"));
    assert_eq!(kinds.iter().filter(|kind| *kind == "claimed").count(), 1);
}

#[tokio::test]
async fn cleanup_that_was_done_is_not_done_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (notes, gate) = (Notes::default(), Arc::new(AtomicBool::new(false)));
    let script = || {
        let (notes, gate) = (notes.clone(), Arc::clone(&gate));
        Script::new(move |cx| {
            let (notes, gate) = (notes.clone(), Arc::clone(&gate));
            async move {
                let fails = cx.step("fails").cleanup(notes.writer("undone", ()));
                let failed = fails.run(|_| async { Err::<u32, _>(StepFailure::fatal("as it should")) }).await;
                let waited: u32 = cx.step("waits").run(notes.held("waits", &gate, 2)).await?;
                Ok(json!([failed.is_err(), waited]))
            }
        })
    };
    let id = left_behind(folder.path(), script(), |_| notes.count("waits") == 1).await;
    gate.store(true, Ordering::SeqCst);
    let runner = on(folder.path(), script()).build().unwrap();
    let report = runner.handle(&id).unwrap().wait().await.unwrap();
    assert_eq!((report.status, &report.output), (RunStatus::Completed, &json!([true, 2])));
    assert_eq!(notes.all(), ["undone", "waits", "waits"]);
}

#[tokio::test]
async fn a_pause_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (notes, gate) = (Notes::default(), Arc::new(AtomicBool::new(false)));
    let runner = on(folder.path(), three(&notes, &gate)).build().unwrap();
    let handle = runner.submit(RunRequest::new("script", here())).await.unwrap();
    eventually("step two runs", || notes.count("two") == 1).await;
    handle.pause().await.unwrap();
    gate.store(true, Ordering::SeqCst);
    handle.wait_for(RunStatus::Paused).await.unwrap();
    runner.shutdown().await;
    let runner = on(folder.path(), three(&notes, &gate)).build().unwrap();
    let handle = runner.handle(handle.id()).unwrap();
    handle.wait_for(RunStatus::Paused).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(notes.all(), ["one", "two"]);
    handle.resume().await.unwrap();
    assert_eq!(handle.wait().await.unwrap().status, RunStatus::Completed);
    assert_eq!(notes.all(), ["one", "two", "three", "tidy"]);
}

#[tokio::test]
async fn a_cancel_that_was_asked_for_before_a_restart_is_obeyed_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let (notes, gate) = (Notes::default(), Arc::new(AtomicBool::new(false)));
    let id = left_behind(folder.path(), three(&notes, &gate), |_| notes.count("two") == 1).await;
    let store = crashwise_runner::RunStore::open(folder.path()).unwrap();
    assert!(!store.summary(&id).unwrap().owned);
    store.cancel(&id).await.unwrap();
    let runner = on(folder.path(), three(&notes, &gate)).build().unwrap();
    let report = runner.handle(&id).unwrap().wait().await.unwrap();
    assert_eq!(report.status, RunStatus::Cancelled);
    assert_eq!((notes.count("tidy"), notes.count("three")), (1, 0));
}

#[tokio::test]
async fn timers_signals_approvals_and_children_go_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let notes = Notes::default();
    let script = || {
        let notes = notes.clone();
        let inner = Script::named("inner", move |cx| {
            let notes = notes.clone();
            async move {
                let step: u32 = cx.step("inside").run(notes.writer("inside", 7)).await?;
                cx.approval("go").granted().await?;
                Ok(json!(step))
            }
        });
        Script::new(move |cx| {
            let inner = inner.clone();
            async move {
                let first: u32 = cx.signal("number").await?;
                let began = cx.now_ms().await?;
                cx.sleep(Duration::from_millis(400)).await?;
                let slept = cx.now_ms().await? - began;
                let child = cx.child("child", inner, Default::default()).await?;
                let second: u32 = cx.signal("number").await?;
                Ok(json!([first, slept >= 400, slept < 5000, child, second]))
            }
        })
    };
    let build = || on(folder.path(), script()).build().unwrap();
    let runner = build();
    let handle = runner.submit(RunRequest::new("script", here())).await.unwrap();
    let id = handle.id().clone();
    handle.signal("number", json!(1)).await.unwrap();
    handle.signal("number", json!(2)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    runner.shutdown().await;
    let mut runner = build();
    let children = crashwise_runner::RunFilter::new().with_parent(id.clone());
    eventually("the child waits", || {
        let store = runner.store().unwrap();
        let child = store.list(&children).unwrap().pop();
        child.is_some_and(|child| !store.waiting_approvals(&child.run_id).unwrap().is_empty())
    })
    .await;
    for _ in 0..3 {
        runner.shutdown().await;
        runner = build();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let child = runner.store().unwrap().list(&children).unwrap();
    assert_eq!(child.len(), 1);
    eventually("the child is here", || runner.handle(&child[0].run_id).is_ok()).await;
    let waiting = runner.store().unwrap().waiting_approvals(&child[0].run_id).unwrap();
    assert_eq!(waiting[0].name, "go");
    runner.handle(&child[0].run_id).unwrap().approve("go", "ann", "").await.unwrap();
    let report = runner.handle(&id).unwrap().wait().await.unwrap();
    assert_eq!(report.output, json!([1, true, true, 7, 2]), "{report:?}");
    assert_eq!(notes.count("inside"), 1);
}

#[tokio::test]
async fn an_at_most_once_step_is_never_repeated() {
    let asked = |answer: Option<Value>| async move {
        let folder = tempfile::tempdir().unwrap();
        let (count, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let script = |count: &Arc<AtomicU32>, gate: &Arc<AtomicBool>| {
            let (count, gate) = (Arc::clone(count), Arc::clone(gate));
            Script::new(move |cx| {
                let (count, gate) = (Arc::clone(&count), Arc::clone(&gate));
                async move {
                    let step = cx.step("pay").at_most_once().run(move |_| {
                        let (count, gate) = (Arc::clone(&count), Arc::clone(&gate));
                        async move {
                            count.fetch_add(1, Ordering::SeqCst);
                            while !gate.load(Ordering::SeqCst) {
                                tokio::time::sleep(Duration::from_millis(2)).await;
                            }
                            Ok(json!("paid"))
                        }
                    });
                    Ok(step.await?)
                }
            })
        };
        let id =
            left_behind(folder.path(), script(&count, &gate), |_| count.load(Ordering::SeqCst) == 1).await;
        gate.store(true, Ordering::SeqCst);
        let runner =
            on(folder.path(), script(&count, &gate)).reconcile(move |_, _| answer.clone()).build().unwrap();
        let report = runner.handle(&id).unwrap().wait().await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        report
    };
    let report = asked(None).await;
    assert_eq!(report.status, RunStatus::Failed);
    assert_eq!(report.step("pay").unwrap().error.as_ref().unwrap().kind, StepErrorKind::OutcomeUnknown);
    let report = asked(Some(json!("paid indeed"))).await;
    assert_eq!((report.status, report.output), (RunStatus::Completed, json!("paid indeed")));
}

#[tokio::test]
async fn changed_code_is_noticed() {
    let notes = Notes::default();
    let version = |config: ProbeConfig, gate: &Arc<AtomicBool>| {
        let (notes, gate) = (notes.clone(), Arc::clone(gate));
        Script::new(move |cx| {
            let (notes, gate, config) = (notes.clone(), Arc::clone(&gate), config.clone());
            async move {
                let output =
                    cx.step("scan").call_named("probe", serde_json::to_value(&config).unwrap()).await?;
                let () = cx.step("wait").run(notes.held("wait", &gate, ())).await?;
                Ok(json!(output.counts.high))
            }
        })
    };
    for (policy, expect) in [(OnChange::Fail, RunStatus::Failed), (OnChange::Rerun, RunStatus::Completed)] {
        let folder = tempfile::tempdir().unwrap();
        let gate = Arc::new(AtomicBool::new(false));
        let before = notes.count("wait");
        let old = version(ProbeConfig { lines: vec![1], ..Default::default() }, &gate);
        let (registered, _) = builder();
        let runner = registered.state_dir(folder.path()).workflow(old).build().unwrap();
        let id = runner.submit(RunRequest::new("script", here())).await.unwrap().id().clone();
        eventually("the run waits", || notes.count("wait") > before).await;
        runner.shutdown().await;
        gate.store(true, Ordering::SeqCst);
        let new = version(ProbeConfig { lines: vec![1, 2], ..Default::default() }, &gate);
        let (registered, _) = builder();
        let runner = registered.state_dir(folder.path()).workflow(new).on_change(policy).build().unwrap();
        let report = runner.handle(&id).unwrap().wait().await.unwrap();
        assert_eq!(report.status, expect, "{report:?}");
        match policy {
            OnChange::Fail => {
                let error = report.error.unwrap();
                assert!(error.contains("step scan is not what the journal holds"), "{error}");
            }
            _ => assert_eq!(report.output, json!(2)),
        }
    }
}

#[tokio::test]
async fn running_runs_finish_under_patched_code_and_former_versions() {
    let script = |patched: bool, notes: &Notes, gate: &Arc<AtomicBool>| {
        let (notes, gate) = (notes.clone(), Arc::clone(gate));
        Script::new(move |cx| {
            let (notes, gate) = (notes.clone(), Arc::clone(&gate));
            async move {
                if patched && cx.patched("check first").await? {
                    cx.step("check").run(notes.writer("check", ())).await?;
                }
                cx.step("one").run(notes.writer("one", ())).await?;
                let gate_step = cx.step("gate").run(move |_| {
                    let gate = Arc::clone(&gate);
                    async move {
                        while !gate.load(Ordering::SeqCst) {
                            tokio::time::sleep(Duration::from_millis(2)).await;
                        }
                        Ok(())
                    }
                });
                gate_step.await?;
                let again = patched && cx.patched("check first").await?;
                Ok(json!(again))
            }
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let (notes, gate) = (Notes::default(), Arc::new(AtomicBool::new(false)));
    let id = left_behind(folder.path(), script(false, &notes, &gate), |_| notes.count("one") == 1).await;
    gate.store(true, Ordering::SeqCst);
    let runner = on(folder.path(), script(true, &notes, &gate)).build().unwrap();
    let report = runner.handle(&id).unwrap().wait().await.unwrap();
    assert_eq!((report.status, report.output, notes.count("check")), (RunStatus::Completed, json!(false), 0));
    let report = runner.run("script", here(), Value::Null).await.unwrap();
    assert_eq!((report.status, report.output, notes.count("check")), (RunStatus::Completed, json!(true), 1));

    let numbered = |major: u64, gate: &Arc<AtomicBool>| {
        let mut script = script(false, &notes, gate);
        script.metadata.version = semver::Version::new(major, 0, 0);
        script
    };
    let gate = Arc::new(AtomicBool::new(false));
    let before = notes.count("one");
    let id = left_behind(folder.path(), numbered(1, &gate), |_| notes.count("one") > before).await;
    gate.store(true, Ordering::SeqCst);
    let other = Script::new(|_| async { Ok(json!("new code")) });
    let mut other = other;
    other.metadata.version = semver::Version::new(2, 0, 0);
    let runner = on(folder.path(), other).former_workflow(numbered(1, &gate)).build().unwrap();
    let report = runner.handle(&id).unwrap().wait().await.unwrap();
    assert_eq!((report.workflow_version.as_str(), report.output), ("1.0.0", json!(false)));
}

#[tokio::test]
async fn retry_goes_on_from_the_failed_step_and_fork_from_any() {
    let folder = tempfile::tempdir().unwrap();
    let (notes, broken) = (Notes::default(), Arc::new(AtomicBool::new(true)));
    let script = {
        let (notes, broken) = (notes.clone(), Arc::clone(&broken));
        Script::new(move |cx| {
            let (notes, broken) = (notes.clone(), Arc::clone(&broken));
            async move {
                let one: u32 = cx.step("one").run(notes.writer("one", 1)).await?;
                let two = cx.step("two").retry(Retry::never()).run({
                    let notes = notes.clone();
                    move |_| {
                        let (notes, broken) = (notes.clone(), Arc::clone(&broken));
                        async move {
                            notes.add("two");
                            if broken.load(Ordering::SeqCst) {
                                Err(StepFailure::fatal("broken"))
                            } else {
                                Ok(2)
                            }
                        }
                    }
                });
                let two: u32 = two.await?;
                let three: u32 = cx.branch("part").step("three").run(notes.writer("three", 3)).await?;
                Ok(json!([one, two, three]))
            }
        })
    };
    let runner = on(folder.path(), script).build().unwrap();
    let failed = runner.run("script", here(), Value::Null).await.unwrap();
    assert_eq!(failed.status, RunStatus::Failed);
    broken.store(false, Ordering::SeqCst);
    let report = runner.retry(&failed.run_id).await.unwrap().wait().await.unwrap();
    assert_eq!((report.status, &report.output), (RunStatus::Completed, &json!([1, 2, 3])));
    assert_eq!(notes.all(), ["one", "two", "two", "three"]);
    let summary = runner.store().unwrap().summary(&report.run_id).unwrap();
    assert_eq!(summary.forked_from, Some(failed.run_id.clone()));
    assert!(matches!(runner.retry(&report.run_id).await, Err(RunnerError::WrongState { .. })));
    // By its whole name, and by that of the branch it is in.
    for name in ["part/three", "part"] {
        let forked = runner.fork(&report.run_id, name).await.unwrap().wait().await.unwrap();
        assert_eq!(forked.output, json!([1, 2, 3]));
    }
    assert_eq!(notes.all(), ["one", "two", "two", "three", "three", "three"]);
    for name in ["part/tree", "par", "part/"] {
        let unknown = runner.fork(&report.run_id, name).await.unwrap_err().to_string();
        assert!(unknown.contains(&format!("has no step {name:?}")), "{unknown}");
    }
    let unknown = runner.fork(&report.run_id, "part/tree").await.unwrap_err().to_string();
    assert!(unknown.ends_with("(did you mean \"part/three\"?)"), "{unknown}");
}

#[tokio::test]
async fn cached_steps_are_reused_across_runs_by_content() {
    let target = tempfile::tempdir().unwrap();
    std::fs::write(target.path().join("a.py"), "x").unwrap();
    let state = tempfile::tempdir().unwrap();
    let rules = state.path().join("rules.yaml");
    std::fs::write(&rules, "one").unwrap();
    let config = ProbeConfig { lines: vec![5], rules: Some(rules.clone()), ..Default::default() };
    let config = serde_json::to_value(config).unwrap();
    let script = Script::new(move |cx| {
        let config = config.clone();
        async move {
            let step = cx.step("scan").cached().call_named("probe", config).await?;
            Ok(json!(step.counts.high))
        }
    });
    let (registered, probe) = builder();
    let runner = registered.state_dir(state.path()).workflow(script).build().unwrap();
    let place = || crashwise_core::Target::Directory(target.path().to_owned());
    let runs = || probe.runs.load(Ordering::SeqCst);
    let first = runner.run("script", place(), Value::Null).await.unwrap();
    assert_eq!((runs(), first.steps[0].status), (1, StepStatus::Completed));
    let second = runner.run("script", place(), Value::Null).await.unwrap();
    assert_eq!((runs(), second.steps[0].status, &second.output), (1, StepStatus::Cached, &json!(1)));
    assert!(second.steps[0].cached.unwrap().made_ms >= first.started_ms);
    assert_eq!(second.findings().unwrap().count(), 1);
    assert_eq!(second.coverage, first.coverage);
    let request = RunRequest::new("script", place()).without_cache();
    runner.run_request(request).await.unwrap();
    assert_eq!(runs(), 2);
    std::fs::write(target.path().join("a.py"), "y").unwrap();
    runner.run("script", place(), Value::Null).await.unwrap();
    assert_eq!(runs(), 3);
    std::fs::write(&rules, "two").unwrap();
    runner.run("script", place(), Value::Null).await.unwrap();
    assert_eq!(runs(), 4);
    std::fs::remove_file(&rules).unwrap();
    for run in 5..7 {
        runner.run("script", place(), Value::Null).await.unwrap();
        assert_eq!(runs(), run, "what cannot be read has no key");
    }
}

#[tokio::test]
async fn an_idempotency_key_names_one_run_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let count = Notes::default();
    let script = || {
        let count = count.clone();
        Script::new(move |cx| {
            let count = count.clone();
            async move {
                cx.step("s").run(count.writer("s", ())).await?;
                Ok(json!("done"))
            }
        })
    };
    let request = |depth: u32| {
        RunRequest::new("script", here())
            .with_params(json!({"depth": depth}))
            .with_idempotency_key("nightly-7")
    };
    let runner = on(folder.path(), script()).build().unwrap();
    let first = runner.submit(request(1)).await.unwrap();
    let second = runner.submit(request(1)).await.unwrap();
    assert_eq!(first.id(), second.id());
    first.wait().await.unwrap();
    let reused = runner.submit(request(2)).await;
    assert!(matches!(reused, Err(RunnerError::KeyReused { .. })), "{reused:?}");
    runner.shutdown().await;
    let runner = on(folder.path(), script()).build().unwrap();
    let third = runner.submit(request(1)).await.unwrap();
    assert_eq!(third.id(), first.id());
    assert_eq!(third.wait().await.unwrap().output, json!("done"));
    assert_eq!(count.count("s"), 1);
}

#[tokio::test]
async fn a_run_of_another_process_is_controlled_through_the_journal() {
    within(Duration::from_millis(1500), cancelled_by_another).await;
}

/// How long it takes to cancel the run of another.
async fn cancelled_by_another() -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let (registered, probe) = builder();
    let script = Script::new(|cx| async move {
        cx.approval("go").granted().await?;
        let config = ProbeConfig { takes_ms: 600_000, ..Default::default() };
        cx.step("work").call_named("probe", serde_json::to_value(config).unwrap()).await?;
        Ok(Value::Null)
    });
    let runner = registered.state_dir(folder.path()).workflow(script.clone()).build().unwrap();
    let handle = runner.submit(RunRequest::new("script", here())).await.unwrap();
    // A second runner on the same folder leaves the run alone and still reaches it.
    let other = on(folder.path(), script).build().unwrap();
    let away = other.handle(handle.id()).unwrap();
    away.approve("go", "ann", "by journal").await.unwrap();
    assert!(matches!(
        away.approve("go", "ann", "again").await,
        Ok(()) | Err(RunnerError::AlreadyDecided { .. })
    ));
    eventually("the step runs", || probe.runs.load(Ordering::SeqCst) == 1).await;
    away.pause().await.unwrap();
    assert!(matches!(away.resume().await, Ok(())));
    assert!(matches!(away.resume().await, Err(RunnerError::WrongState { .. })));
    let asked = Instant::now();
    away.cancel().await.unwrap();
    let report = away.wait().await.unwrap();
    let took = asked.elapsed();
    assert_eq!(
        (report.status, handle.wait().await.unwrap().status),
        (RunStatus::Cancelled, RunStatus::Cancelled)
    );
    assert!(matches!(away.cancel().await, Err(RunnerError::WrongState { .. })));
    took
}
