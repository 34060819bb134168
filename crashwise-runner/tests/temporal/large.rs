//! Findings by the hundred thousand, and outputs that are too large to travel.

use crate::support::{Bench, address, largest_event, vertical};
use crashwise_core::Metadata;
use crashwise_core::workflow::{AnyWorkflow, Workflow, WorkflowContext, WorkflowError};
use crashwise_runner::temporal::{Cluster, ClusterOptions};
use crashwise_runner::{RunFilter, RunStatus};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

struct Many(String);

impl Workflow for Many {
    type Params = BTreeMap<String, Value>;
    type Output = Value;

    fn metadata(&self) -> Metadata {
        let mut metadata =
            Metadata::new("many", semver::Version::new(1, 0, 0), "Finds much.").with_vertical(&self.0);
        metadata.parameters =
            json!({"type": "object", "properties": {"bytes": {"type": "integer", "default": 0}}});
        metadata
    }

    async fn run(&self, cx: &WorkflowContext, params: Self::Params) -> Result<Value, WorkflowError> {
        let bytes = usize::try_from(params["bytes"].as_u64().unwrap_or(0)).unwrap_or(0);
        if bytes > 0 {
            let text = cx.step("long").run(move |_| async move { Ok("x".repeat(bytes)) }).await?;
            return Ok(text.into());
        }
        let output = cx.step("probe").call_named("probe", json!({"findings": 100_000})).await?;
        Ok(json!(output.counts.total()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_payload_grows_with_the_findings() {
    let workflow: Arc<dyn AnyWorkflow> = Arc::new(Many(vertical("many")));
    let bench = Bench::new(&[Arc::clone(&workflow)], |_| ()).await;
    let run = bench.submit(&workflow, Value::Null).await;
    let report = run.wait().await.unwrap();
    assert_eq!((report.status, &report.output), (RunStatus::Completed, &json!(100_000)), "{report:?}");
    assert_eq!(report.findings().unwrap().flatten().count(), 100_000);
    let (largest, events) = largest_event(&run.history().await.unwrap());
    assert!(largest < 64 << 10, "an event of {largest} bytes in {events}");

    // What is too large says so.
    let run = bench.submit(&workflow, json!({"bytes": 700_000})).await;
    let report = run.wait().await.unwrap();
    assert_eq!(report.status, RunStatus::Failed, "{report:?}");
    let error = report.error.unwrap();
    assert!(error.contains("bytes") && error.contains("artifact"), "{error}");
    let (largest, _) = largest_event(&run.history().await.unwrap());
    assert!(largest < 1 << 20, "an event of {largest} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_key_the_server_sees_nothing_and_the_run_is_the_same() {
    let workflow: Arc<dyn AnyWorkflow> = Arc::new(Many(vertical("sealed")));
    let options = ClusterOptions::new(address()).with_payload_key([42; 32]);
    let bench = Bench::with(options, &[Arc::clone(&workflow)]).await;
    let run = bench.submit(&workflow, json!({"bytes": 0})).await;
    let report = run.wait().await.unwrap();
    assert_eq!((report.status, &report.output), (RunStatus::Completed, &json!(100_000)), "{report:?}");
    let listed = bench.cluster.list(&RunFilter::new().with_workflow("many")).await.unwrap();
    assert!(listed.iter().any(|summary| summary.run_id == *run.id()), "{listed:?}");
    let mut history: Value = serde_json::from_slice(&run.history().await.unwrap()).unwrap();
    for event in history["events"].as_array_mut().unwrap() {
        // Names of steps are for people to read.
        event["user_metadata"] = Value::Null;
    }
    let history = history.to_string();
    // In base64: binary/encrypted and json/plain.
    let (sealed, plain) = ("YmluYXJ5L2VuY3J5cHRlZA", "anNvbi9wbGFpbg");
    assert!(history.contains(sealed) && !history.contains(plain), "{history:.4000}");

    let other = ClusterOptions::new(address()).with_payload_key([1; 32]);
    let other = Cluster::connect(&other, bench.store.clone()).await.unwrap();
    let found = other.list(&RunFilter::new().with_workflow("many")).await.unwrap_or_default();
    assert!(found.iter().all(|summary| summary.run_id != *run.id()));
}
