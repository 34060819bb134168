//! Trees of runs: each mode's, and that nothing stays behind however a run ends.

use crate::support::{Script, builder, eventually, here};
use crashwise_core::archive::{PackOptions, pack};
use crashwise_core::cache::{Cache, CacheConfig};
use crashwise_core::store::Store;
use crashwise_core::{Isolation, ObjectUrl, Target};
use crashwise_runner::{RunRequest, RunStatus, Runner};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn probe(config: Value) -> Script {
    Script::new(move |cx| {
        let config = config.clone();
        async move {
            cx.step("one").call_named("probe", config).await?;
            Ok(Value::Null)
        }
    })
}

/// Trees of runs in a cache.
fn runs(cache: &Path) -> usize {
    let folders = |path: &Path| -> Vec<_> {
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
    };
    folders(cache).iter().filter(|path| !path.ends_with(".crashwise")).flat_map(|path| folders(path)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trees_go_however_a_run_ends() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("a.py"), "pass").unwrap();
    let cache = Cache::open(CacheConfig::new(folder.path().join("cache"))).unwrap();
    for (config, cancelled, expect) in [
        (json!({}), false, RunStatus::Completed),
        (json!({"fails": true}), false, RunStatus::Failed),
        (json!({"panics": true}), false, RunStatus::Failed),
        (json!({"takes_ms": 60_000}), true, RunStatus::Cancelled),
    ] {
        for mode in [Isolation::Isolated, Isolation::CopyOnWrite] {
            let (builder, probed) = builder();
            let runner = builder.workflow(probe(config.clone())).cache(cache.clone()).build().unwrap();
            let target = Target::Directory(project.clone());
            let handle = runner.submit(RunRequest::new("script", target).with_isolation(mode)).await.unwrap();
            if cancelled {
                eventually("the step runs", || probed.runs.load(Ordering::SeqCst) == 1).await;
                assert_eq!(runs(cache_dir(&folder).as_path()), 1);
                handle.cancel().await.unwrap();
            }
            assert_eq!(handle.wait().await.unwrap().status, expect, "{config} {mode:?}");
            assert!(cache.settle(Duration::from_secs(10)));
            assert_eq!(runs(cache_dir(&folder).as_path()), 0, "{config} {mode:?}");
        }
    }
}

fn cache_dir(folder: &tempfile::TempDir) -> std::path::PathBuf {
    folder.path().join("cache")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_directory_needs_no_cache() {
    let (builder, _) = builder();
    let broken = || Cache::open(CacheConfig::new("/dev/null/none"));
    let runner = builder.workflow(probe(json!({}))).cache_from(broken).build().unwrap();
    for (mode, expect) in
        [(Isolation::Shared, RunStatus::Completed), (Isolation::Isolated, RunStatus::Failed)]
    {
        let request = RunRequest::new("script", here()).with_isolation(mode);
        let report = runner.submit(request).await.unwrap().wait().await.unwrap();
        assert_eq!(report.status, expect, "{mode:?}");
    }
}

#[tokio::test]
async fn objects_are_fetched_from_their_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("a.py"), "pass").unwrap();
    let bucket = folder.path().join("bucket");
    fs::create_dir(&bucket).unwrap();
    pack(&project, File::create(bucket.join("app")).unwrap(), &PackOptions::new()).unwrap();
    let script = Script::new(|cx| async move {
        let text: String = cx
            .step("read")
            .run(|cx| async move {
                let file = cx.workspace().root().join("a.py");
                fs::read_to_string(file)
                    .map_err(|error| crashwise_core::workflow::StepFailure::fatal(error.to_string()))
            })
            .await?;
        Ok(json!(text))
    });
    let cache = Cache::open(CacheConfig::new(cache_dir(&folder))).unwrap();
    let runner = Runner::builder()
        .workflow(script)
        .cache(cache.clone())
        .object_stores(move |url| {
            assert_eq!(url.bucket(), "things");
            Ok(Store::local(&bucket)?)
        })
        .build()
        .unwrap();
    for _ in 0..2 {
        let url: ObjectUrl = "mem://things/app".parse().unwrap();
        let report = runner.run("script", Target::Object(url), Value::Null).await.unwrap();
        assert_eq!(report.output, json!("pass"));
    }
    assert_eq!((cache.counters().downloads, cache.counters().hits), (1, 1));
    let missing = Target::Object("mem://things/none".parse().unwrap());
    let report = runner.run("script", missing, Value::Null).await.unwrap();
    assert_eq!(report.status, RunStatus::Failed);
}
