//! Runs of every workflow that comes with crashwise, replayed. With `CRASHWISE_RECORD=yes` they are recorded for
//! `tests/histories.rs`, which replays them without a server.

use crate::support::Bench;
use crashwise_core::workflow::AnyWorkflow;
use crashwise_core::{AnyModule, ModuleRegistry};
use crashwise_modules::dependencies::{DependencyScanner, VulnerabilityAnalyzer};
use crashwise_modules::secrets::SecretScan;
use crashwise_runner::RunRequest;
use crashwise_runner::temporal::Replayer;
use crashwise_runner::workflows::builtin;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn add(modules: &mut ModuleRegistry) {
    let all: [Arc<dyn AnyModule>; 3] = [
        Arc::new(DependencyScanner::default()),
        Arc::new(VulnerabilityAnalyzer::default()),
        Arc::new(SecretScan::default()),
    ];
    #[cfg(target_os = "linux")]
    let fuzzers = crashwise_modules::fuzzing::modules();
    #[cfg(not(target_os = "linux"))]
    let fuzzers = Vec::new();
    for module in all.into_iter().chain(fuzzers) {
        // One that is there already is the same.
        let _ = modules.add_shared(module);
    }
}

/// Takes the names of this machine out of a history.
fn anonymous(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("crashwise/") => "crashwise/0.1.0 1@worker".clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(anonymous),
        Value::Object(entries) => entries.iter_mut().for_each(|(_, value)| anonymous(value)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_workflow_that_comes_along_replays() {
    let workflows = builtin();
    let bench = Bench::new(&workflows, add).await;
    let replayer = Replayer::new(workflows.iter().cloned(), bench.modules(add)).unwrap();
    let mut count = 0;
    for workflow in &workflows {
        let name = workflow.metadata().name;
        let params = match name.as_str() {
            // What the steps meet there is part of what is recorded.
            "dependency_analysis" => serde_json::json!({"database": "/no/such/database"}),
            _ => Value::Null,
        };
        let request = RunRequest::new(name.clone(), bench.target())
            .with_params(params)
            .with_timeout(Duration::from_mins(1));
        let run = bench.submit_request(request, workflow).await;
        let report = run.wait().await.unwrap();
        assert!(!report.steps.is_empty(), "{name}: {report:?}");
        let history = run.history().await.unwrap();
        replayer.replay(&history).await.unwrap_or_else(|error| panic!("{name}: {}", error.chain()));
        count += 1;
        if std::env::var_os("CRASHWISE_RECORD").is_some() {
            let mut history: Value = serde_json::from_slice(&history).unwrap();
            anonymous(&mut history);
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("{name}.json")), history.to_string() + "\n").unwrap();
        }
    }
    assert!(count >= 3);
    // Code that does something else is found out.
    let history = {
        let run = bench.submit(first(&workflows, "security_assessment"), Value::Null).await;
        run.wait().await.unwrap();
        run.history().await.unwrap()
    };
    let changed = Replayer::new([changed()], bench.modules(add)).unwrap();
    let error = changed.replay(&history).await.unwrap_err().chain();
    assert!(error.contains("does not fit the history"), "{error}");
}

fn first<'a>(workflows: &'a [Arc<dyn AnyWorkflow>], name: &str) -> &'a Arc<dyn AnyWorkflow> {
    workflows.iter().find(|workflow| workflow.metadata().name == name).unwrap()
}

/// A workflow that calls itself as the other and begins with another step.
fn changed() -> Arc<dyn AnyWorkflow> {
    use crashwise_core::Metadata;
    use crashwise_core::workflow::{Workflow, WorkflowContext, WorkflowError};

    struct Changed;

    impl Workflow for Changed {
        type Params = std::collections::BTreeMap<String, Value>;
        type Output = Value;

        fn metadata(&self) -> Metadata {
            crashwise_core::workflow::Workflow::metadata(&crashwise_runner::workflows::SecurityAssessment)
        }

        async fn run(&self, cx: &WorkflowContext, _: Self::Params) -> Result<Value, WorkflowError> {
            cx.sleep(Duration::from_secs(1)).await?;
            Ok(Value::Null)
        }
    }

    Arc::new(Changed)
}
