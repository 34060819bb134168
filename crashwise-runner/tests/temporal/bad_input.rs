//! What cannot be done is said at once, and clearly.

use crate::support::{Bench, address, vertical};
use crashwise_core::workflow::{AnyWorkflow, Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, RunId};
use crashwise_runner::temporal::{Cluster, ClusterError, ClusterOptions, Submission};
use crashwise_runner::{RunRequest, RunStatus, RunnerError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A workflow of a version.
struct Empty {
    vertical: String,
    version: u64,
}

impl Workflow for Empty {
    type Params = BTreeMap<String, Value>;
    type Output = Value;

    fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::new("empty", semver::Version::new(1, self.version, 0), "Does nothing.")
            .with_vertical(&self.vertical);
        metadata.parameters = json!({"type": "object", "properties": {"text": {"type": "string"}, "queue": {"type": "string"}}});
        metadata
    }

    async fn run(&self, cx: &WorkflowContext, _: Self::Params) -> Result<Value, WorkflowError> {
        cx.step("nothing").call_named("no_such_module", json!({})).await?;
        Ok(Value::Null)
    }
}

async fn refused(bench: &Bench, workflow: &Arc<dyn AnyWorkflow>, params: Value) -> ClusterError {
    let request = RunRequest::new("empty", bench.target()).with_params(params);
    let began = Instant::now();
    let submission = Submission::new(request, Arc::clone(workflow)).with_tools(["no-such-tool".to_owned()]);
    let error = bench.cluster.submit(submission).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_or_another_is_told_within_seconds() {
    let bench = Bench::without_worker().await;
    let began = Instant::now();
    for (options, expect) in [
        (ClusterOptions::new("http://127.0.0.1:9"), "does not answer"),
        (ClusterOptions::new(address()).with_namespace("nowhere"), "has no namespace \"nowhere\""),
        (ClusterOptions::new("127.0.0.1"), "cannot be used"),
        (ClusterOptions::new(address()).with_api_key("key"), "https"),
        (ClusterOptions::new(address().replace("http:", "https:")).with_api_key("key"), "does not answer"),
    ] {
        let error = Cluster::connect(&options, bench.store.clone()).await.unwrap_err().chain();
        assert!(error.contains(expect), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let nobody = bench.cluster.run(&RunId::new("no-such-run").unwrap());
    for error in [nobody.wait().await.unwrap_err(), nobody.cancel().await.unwrap_err()] {
        assert!(matches!(error, ClusterError::Run(RunnerError::UnknownRun { .. })), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_no_worker_can_carry_out_is_refused() {
    let vertical = vertical("nobody");
    let workflow: Arc<dyn AnyWorkflow> = Arc::new(Empty { vertical: vertical.clone(), version: 0 });
    let mut bench = Bench::without_worker().await;
    let error = refused(&bench, &workflow, Value::Null).await;
    assert!(matches!(error, ClusterError::NoWorker { .. }), "{error}");
    let error = refused(&bench, &workflow, json!({"texts": 1})).await;
    assert!(matches!(error, ClusterError::Run(RunnerError::Parameters(_))), "{error}");

    bench.start(&[Arc::clone(&workflow)], |_| ());
    let run = bench.submit(&workflow, Value::Null).await;
    let report = run.wait().await.unwrap();
    let error = report.error.unwrap();
    assert!(report.status == RunStatus::Failed && error.contains("no such module"), "{error}");
    let error = refused(&bench, &workflow, json!({"text": "x".repeat(600_000)})).await;
    assert!(matches!(error, ClusterError::Unsupported { .. }), "{error}");

    let newer: Arc<dyn AnyWorkflow> = Arc::new(Empty { vertical, version: 1 });
    let run = bench.submit(&newer, Value::Null).await;
    let report = run.wait().await.unwrap();
    let error = report.error.unwrap();
    assert!(report.status == RunStatus::Failed && error.contains("version 1.1.0"), "{error}");
}
