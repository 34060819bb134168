//! Activities in the SDK's own environment, without a server.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use super::{Activities, Closures, ModuleActivities, ModuleActivity};
use crate::executor::Cached;
use crate::temporal::messages::{KeepTask, ModuleTask, Place, Pulse, RecallTask, StepDone};
use crate::temporal::shop::Shop;
use async_trait::async_trait;
use crashwise_core::cache::{Cache, CacheConfig};
use crashwise_core::store::Store;
use crashwise_core::workflow::StepKey;
use crashwise_core::{
    CancellationToken, Finding, Isolation, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind,
    ModuleRegistry, Protection, RuleId, RunId, Severity, Stats, Summary, Target,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use temporalio_sdk::activities::ActivityError;
use temporalio_sdk::testing::{ActivityEnvironment, ActivityEnvironmentError, TestActivityInfoOptions};
use tokio::runtime::Handle;

/// Counts to ten, a number each tenth of a second, from where the last attempt was.
struct Counter;

#[async_trait]
impl Module for Counter {
    type Config = BTreeMap<String, u64>;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new("counter", "1.0.0", ModuleKind::Analyzer, "Counts").without_workspace()
    }

    async fn run(&self, cx: &ModuleContext, config: Self::Config) -> Result<Summary, ModuleError> {
        let rule = RuleId::new("counter/number").map_err(ModuleError::failed)?;
        cx.report(Finding::new(rule, "a number", Severity::Low))?;
        let from = cx.last_heartbeat().and_then(Value::as_u64).unwrap_or(0);
        for number in from..10 {
            cx.heartbeat(json!(number));
            cx.stats(Stats::LiveStats {
                progress: 10.0,
                items_processed: number,
                errors: 0,
                elapsed_time: 0,
                timestamp: String::new(),
                custom: BTreeMap::default(),
            });
            tokio::select! {
                () = cx.cancelled() => break,
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
        if config.contains_key("fails") {
            return Err(ModuleError::transient("counting failed", "not yet"));
        }
        let required = Protection::current().is_some_and(|protection| protection.is_required());
        Ok(Summary::new().with("from", from).with("required", required))
    }
}

struct Bench {
    store: Store,
    _folder: tempfile::TempDir,
    activities: Box<dyn Fn() -> Activities>,
}

fn bench() -> Bench {
    bench_of(false)
}

fn bench_of(require_sandbox: bool) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::local(&folder.path().join("store")).unwrap();
    let cache = CacheConfig::new(folder.path().join("cache"));
    let workspaces =
        Arc::new(Cached::new(Arc::new(move || Cache::open(cache.clone())), Some(store.clone()), None));
    let shop = Shop::new(store.clone(), workspaces, Handle::current(), CancellationToken::new())
        .map(|shop| Arc::new(shop.requiring_sandbox(require_sandbox)))
        .unwrap();
    let mut modules = ModuleRegistry::new();
    modules.add(Counter).unwrap();
    let activities = Box::new(move || Activities {
        modules: modules.clone(),
        closures: Closures::default(),
        shop: Arc::clone(&shop),
    });
    Bench { store, _folder: folder, activities }
}

fn run() -> RunId {
    RunId::new("run-in-a-test").unwrap()
}

fn task(version: &str, config: Value) -> ModuleTask {
    ModuleTask {
        place: Place {
            run: run(),
            root: run(),
            workflow: "counts".to_owned(),
            workflow_version: "1.0.0".to_owned(),
            step: StepKey::from_text("count"),
            target: Target::Directory("/nowhere".into()),
            project: "demo".to_owned(),
            isolation: Isolation::Isolated,
            timeout: None,
            total_timeout: None,
            silence: None,
            cleanup: false,
            require_sandbox: false,
        },
        module: "counter".to_owned(),
        version: version.to_owned(),
        rules: String::new(),
        config,
        cached: false,
    }
}

async fn counted(
    bench: &Bench,
    before: Option<u64>,
    task: ModuleTask,
    cancelled: bool,
) -> (Result<StepDone, ActivityError>, Vec<Pulse>) {
    let beats: Arc<Mutex<Vec<Pulse>>> = Arc::default();
    let seen = Arc::clone(&beats);
    let attempt = 1 + u32::from(before.is_some());
    let mut builder = ActivityEnvironment::builder_with_default();
    if let Some(before) = before {
        let last = Pulse { details: Some(json!(before)), stats: None };
        builder = builder.heartbeat_details(last).unwrap();
    }
    let environment = builder
        .on_heartbeat(move |beat| seen.lock().unwrap().extend(beat.downcast_ref::<Pulse>().cloned()))
        .register_activities(ModuleActivities(Arc::new((bench.activities)())))
        .info(TestActivityInfoOptions::builder().attempt(attempt).build())
        .build();
    if cancelled {
        environment.cancel();
    }
    let done = environment.run(ModuleActivity("counter".to_owned()), task).await;
    let beats = std::mem::take(&mut *beats.lock().unwrap());
    match done {
        Ok(done) => (Ok(done), beats),
        Err(ActivityEnvironmentError::Activity(error)) => (Err(error), beats),
        Err(other) => panic!("{other}"),
    }
}

/// The kind and text of a failure, and whether it may be tried again.
fn failure(error: &ActivityError) -> (Option<&str>, String, bool) {
    let ActivityError::Application(failure) = error else { panic!("{error:?}") };
    (failure.type_name(), failure.source_error().to_string(), !failure.is_non_retryable())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_beats_and_its_next_attempt_goes_on_from_there() {
    let bench = bench();
    let (done, beats) = counted(&bench, None, task("1.0.0", json!({})), false).await;
    let done = done.unwrap();
    assert_eq!((done.output.summary.values["from"].as_u64(), done.attempts), (Some(0), 1));
    let findings = done.output.findings.as_ref().expect("it found something");
    let into = tempfile::tempdir().unwrap();
    bench.store.fetch_artifact(&run(), findings, &into.path().join("findings")).await.unwrap();
    let last = beats.last().expect("it took longer than a beat");
    assert!(last.details.as_ref().and_then(Value::as_u64) >= Some(4), "{beats:?}");
    assert!(last.stats.is_some(), "{beats:?}");

    let (done, _) = counted(&bench, Some(8), task("", json!({})), false).await;
    let done = done.unwrap();
    assert_eq!((done.output.summary.values["from"].as_u64(), done.attempts), (Some(8), 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_can_require_a_whole_sandbox_of_every_run() {
    for require in [false, true] {
        let bench = bench_of(require);
        let cached = ModuleTask { cached: true, ..task("1.0.0", json!({})) };
        let mut hits = Vec::new();
        for _ in 0..2 {
            let done = counted(&bench, Some(9), cached.clone(), false).await.0.unwrap();
            assert_eq!(done.output.summary.values["required"], require);
            hits.push(done.cached.is_some());
        }
        assert_eq!(hits, [false, !require], "a stored result may be of a process that was not protected");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_reaches_the_module() {
    let bench = bench();
    let began = Instant::now();
    let (done, _) = counted(&bench, None, task("1.0.0", json!({})), true).await;
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    let error = done.unwrap_err();
    assert!(matches!(&error, ActivityError::Cancelled { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_say_what_they_are_and_whether_another_attempt_helps() {
    let bench = bench();
    let (done, _) = counted(&bench, Some(10), task("1.0.0", json!({"fails": 1})), false).await;
    let error = done.unwrap_err();
    let (kind, text, again) = failure(&error);
    assert!(kind == Some("transient") && text.contains("counting failed") && again, "{error:?}");
    for (task, kind, text) in [
        (task("2.0.0", json!({})), "unsupported", "start workers of the same release"),
        (task("", json!({"fails": "text"})), "config", "fails"),
        (ModuleTask { module: "conter".to_owned(), ..task("", json!({})) }, "not_found", "counter"),
    ] {
        let (done, _) = counted(&bench, None, task, false).await;
        let error = done.unwrap_err();
        let (told, message, again) = failure(&error);
        assert!(told == Some(kind) && message.contains(text) && !again, "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_is_read_again_and_what_is_gone_is_told() {
    let bench = bench();
    let environment =
        ActivityEnvironment::builder_with_default().register_activities((bench.activities)()).build();
    let name = "taken-0.json".to_owned();
    let recall = RecallTask { run: run(), name: name.clone() };
    let Err(ActivityEnvironmentError::Activity(error)) =
        environment.run(Activities::recall, recall.clone()).await
    else {
        panic!("there is nothing yet");
    };
    let (_, text, again) = failure(&error);
    assert!(text.contains("not in the store any more") && !again, "{error:?}");
    let keep = KeepTask { run: run(), name, content: json!([1, 2]) };
    environment.run(Activities::keep, keep).await.unwrap();
    assert_eq!(environment.run(Activities::recall, recall).await.unwrap(), json!([1, 2]));
    let outside = RecallTask { run: run(), name: "../other".to_owned() };
    assert!(environment.run(Activities::recall, outside).await.is_err());
}
