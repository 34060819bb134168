//! What cannot be done is said at once, and clearly.

use crate::door::Door;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_goes_over_tls_and_one_that_expires_is_told() {
    let door = Door::open(&address(), "first").await;
    let options = |key: &str| {
        ClusterOptions::new(&*door.address).with_authority(door.certificate.clone()).with_api_key(key)
    };
    let workflow: Arc<dyn AnyWorkflow> = Arc::new(Empty { vertical: vertical("door"), version: 0 });
    let mut bench = Bench::with(options("first"), &[Arc::clone(&workflow)]).await;
    let run = bench.submit(&workflow, Value::Null).await;
    let report = run.wait().await.unwrap();
    assert!(report.error.unwrap().contains("no such module"), "it ran");

    let began = Instant::now();
    let denied = "does not accept the credentials: ";
    let keyless = ClusterOptions::new(&*door.address).with_authority(door.certificate.clone());
    let distrustful = ClusterOptions::new(&*door.address).with_api_key("first");
    for (options, expect) in [
        (options("wrong"), denied),
        (keyless, denied),
        (distrustful, "does not answer: invalid peer certificate"),
    ] {
        let error = Cluster::connect(&options, bench.store.clone()).await.unwrap_err().chain();
        assert!(error.contains(expect), "{expect}: {error}");
    }
    // It expires while client and worker are connected.
    let open = bench.submit(&workflow, Value::Null).await;
    door.change_key("second");
    let request = RunRequest::new("empty", bench.target());
    let submitted = bench.cluster.submit(Submission::new(request, Arc::clone(&workflow))).await;
    for error in [submitted.unwrap_err(), open.status().await.unwrap_err(), open.wait().await.unwrap_err()] {
        assert!(matches!(error, ClusterError::Denied { .. }), "{error:?}");
        assert!(error.chain().contains("the key has expired"), "{}", error.chain());
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let told = tokio::time::timeout(Duration::from_mins(2), bench.ended()).await.expect("the worker ends");
    assert!(told.contains(denied), "{told}");
}

/// Asks for work as a worker of another release would, for some seconds.
fn poll(vertical: &str, identity: &str) {
    use temporalio_client::tonic::IntoRequest;
    use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions};
    use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
    use temporalio_common::protos::temporal::api::workflowservice::v1::PollActivityTaskQueueRequest;
    let request = PollActivityTaskQueueRequest {
        namespace: "default".to_owned(),
        task_queue: Some(TaskQueue { name: format!("{vertical}-queue"), ..Default::default() }),
        identity: identity.to_owned(),
        ..Default::default()
    };
    tokio::spawn(async move {
        let url: temporalio_client::Url = address().parse().unwrap();
        let options = ConnectionOptions::new(url).build();
        let connection = Connection::connect(options).await.unwrap();
        let client = Client::new(connection, ClientOptions::new("default").build()).unwrap();
        // There is nothing to do.
        let _ = client.connection().workflow_service().poll_activity_task_queue(request.into_request()).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_of_an_older_release_and_without_a_program_are_told() {
    let bench = Bench::without_worker().await;
    let release = env!("CARGO_PKG_VERSION");
    for (name, identity, expect) in [
        ("older", "crashwise/0.0.9 1@host".to_owned(), "are of release 0.0.9, this is"),
        ("lacking", format!("crashwise/{release} 1@host lacks no-such-tool"), "has \"no-such-tool\""),
    ] {
        let workflow: Arc<dyn AnyWorkflow> = Arc::new(Empty { vertical: vertical(name), version: 0 });
        poll(&vertical(name), &identity);
        let began = Instant::now();
        let error = loop {
            match refused(&bench, &workflow, Value::Null).await {
                // The poll is on its way.
                ClusterError::NoWorker { .. } if began.elapsed() < Duration::from_secs(5) => {}
                error => break error.to_string(),
            }
        };
        assert!(error.contains(expect), "{error}");
    }
}
