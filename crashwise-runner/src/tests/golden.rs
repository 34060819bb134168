//! Journals of earlier formats, which every later version carries on.

use crate::{RunFilter, RunRequest, RunStatus, RunStore, Runner, StepReport};
use crashwise_core::workflow::{Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, Target};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The workflow with which the journals were made. It must not change.
struct Golden(Arc<AtomicU32>);

impl Workflow for Golden {
    type Params = BTreeMap<String, u64>;
    type Output = Value;

    fn metadata(&self) -> Metadata {
        Metadata::new("golden", semver::Version::new(1, 0, 0), "Made the golden journals.")
    }

    async fn run(&self, cx: &WorkflowContext, _: Self::Params) -> Result<Value, WorkflowError> {
        let count = |value: u64| {
            let counter = Arc::clone(&self.0);
            move |_| {
                counter.fetch_add(1, Ordering::SeqCst);
                async move { Ok(value) }
            }
        };
        let now = cx.now_ms().await?;
        let random = cx.random().await?;
        let fresh = cx.patched("first").await?;
        let mut values = vec![];
        for n in 0..3 {
            values.push(cx.step("work").run(count(n)).await?);
        }
        let skipped = cx.step("skipped").when(false).run(count(9)).await?;
        let parts = cx.map("map", 2, 0..3, |cx, n| {
            let work = count(n);
            async move { cx.step("part").run(work).await }
        });
        let parts = parts.await?;
        let failed = cx
            .step("fails")
            .run(|_| async { Err::<u64, _>(crashwise_core::workflow::StepFailure::fatal("as it should")) })
            .await
            .unwrap_err();
        cx.sleep(Duration::from_millis(1)).await?;
        let kept = cx.checkpoint("kept", &41_u64).await?;
        let big: String = cx.step("big").run(|_| async { Ok("g".repeat(20_000)) }).await?;
        let signal: String = cx.signal("early").await?;
        let decision = cx.approval("go").prompt("may it?").decide().await?;
        let last: u64 = cx.step("last").run(count(5)).await?;
        Ok(json!([
            now > 0,
            random,
            fresh,
            values,
            skipped,
            parts,
            failed.message,
            kept,
            big.len(),
            signal,
            decision.comment,
            last
        ]))
    }
}

/// Brings a run to where it waits for its approval.
async fn record(folder: &Path) {
    let runner = Runner::builder().state_dir(folder).workflow(Golden(Arc::default())).build().unwrap();
    let handle = runner.submit(RunRequest::new("golden", Target::Directory("/golden".into()))).await.unwrap();
    handle.signal("early", json!("bird")).await.unwrap();
    let store = runner.store().unwrap();
    while store.waiting_approvals(handle.id()).unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    runner.shutdown().await;
}

async fn carry_on(folder: &Path) -> (Vec<StepReport>, Value, u32) {
    let counter = Arc::new(AtomicU32::new(0));
    let runner = Runner::builder().state_dir(folder).workflow(Golden(Arc::clone(&counter))).build().unwrap();
    let store = RunStore::open(folder).unwrap();
    let run = store.list(&RunFilter::new()).unwrap().remove(0).run_id;
    let handle = runner.handle(&run).unwrap();
    handle.approve("go", "ann", "go on").await.unwrap();
    let report = handle.wait().await.unwrap();
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    assert_eq!(store.verify_all().unwrap(), []);
    (report.steps, report.output, counter.load(Ordering::SeqCst))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The part of the output that is the same in every run.
fn settled(mut output: Value) -> Value {
    output[1] = Value::Null;
    output
}

#[tokio::test]
async fn journals_of_every_format_are_carried_on() {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/golden");
    let expect =
        json!([true, null, true, [0, 1, 2], null, [0, 1, 2], "as it should", 41, 20_000, "bird", "go on", 5]);
    // What is written today is carried on the same way.
    let folder = tempfile::tempdir().unwrap();
    record(folder.path()).await;
    if let Some(keep) = std::env::var_os("CRASHWISE_GOLDEN") {
        copy(folder.path(), Path::new(&keep));
    }
    let (_, output, carried_out) = carry_on(folder.path()).await;
    assert_eq!((settled(output), carried_out), (expect.clone(), 1));
    for format in 1..=crate::journal::sqlite::FORMAT {
        let folder = tempfile::tempdir().unwrap();
        copy(&folders.join(format!("v{format}")), folder.path());
        let (steps, output, carried_out) = carry_on(folder.path()).await;
        assert_eq!(settled(output), expect, "format {format}");
        assert_eq!(carried_out, 1, "only the last step is carried out");
        assert_eq!(steps.len(), 13, "format {format}: {steps:?}");
    }
}
