//! What processes of a run have to be protected by, and that reports say what they were.

use crate::support::{Script, here};
use crashwise_core::process::{Level, Spec};
use crashwise_core::workflow::{Retry, StepFailure};
use crashwise_core::{ModuleContext, Protection};
use crashwise_runner::{RunRequest, RunStatus, Runner};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a whole sandbox is required of the step that asks, which starts a process.
async fn required(cx: ModuleContext) -> Result<bool, StepFailure> {
    let exit = Spec::new("true").level(Level::Limits).run(cx.cancel_token()).await?;
    let protection =
        Protection::current().ok_or_else(|| StepFailure::fatal("nothing stands over the step"))?;
    if exit.status.success() { Ok(protection.is_required()) } else { Err(StepFailure::fatal("not true")) }
}

fn script(broken: &Arc<AtomicBool>) -> Script {
    let broken = Arc::clone(broken);
    Script::new(move |cx| {
        let broken = Arc::clone(&broken);
        async move {
            let inner =
                Script::named("inner", |cx| async move { Ok(json!(cx.step("own").run(required).await?)) });
            let child = cx.child("child", inner, Default::default()).await?;
            let own = cx.step("own").retry(Retry::never()).run(move |cx| {
                let broken = Arc::clone(&broken);
                async move {
                    if broken.swap(false, Ordering::SeqCst) {
                        return Err(StepFailure::fatal("broken"));
                    }
                    required(cx).await
                }
            });
            Ok(json!([child, own.await?]))
        }
    })
}

#[tokio::test]
async fn a_required_sandbox_is_required_of_each_step_of_a_run_and_of_its_retry() {
    for require in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let broken = Arc::new(AtomicBool::new(true));
        let runner = Runner::builder().workflow(script(&broken)).state_dir(folder.path()).build().unwrap();
        let mut request = RunRequest::new("script", here());
        if require {
            request = request.with_required_sandbox();
        }
        let failed = runner.submit(request).await.unwrap().wait().await.unwrap();
        assert_eq!(failed.status, RunStatus::Failed, "{failed:?}");
        drop(runner);

        let runner = Runner::builder().workflow(script(&broken)).state_dir(folder.path()).build().unwrap();
        let report = runner.retry(&failed.run_id).await.unwrap().wait().await.unwrap();
        assert_eq!(report.output, json!([require, require]), "{report:?}");
        let names: Vec<&String> = report.coverage.processes.keys().collect();
        assert_eq!(names, ["limits true"]);
        assert!(report.coverage.processes["limits true"].contains_key("tree"), "{:?}", report.coverage);
    }
}
