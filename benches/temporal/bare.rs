//! The bare SDK: a workflow that runs activities one after the other, each of which does nothing.

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use temporalio_client::{
    Client, ClientOptions, Connection, ConnectionOptions, Url, WorkflowGetResultOptions, WorkflowStartOptions,
};
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::runtime::RuntimeOptions;
use temporalio_sdk::{ActivityOptions, Runtime, WorkerOptions, WorkflowContext, WorkflowResult};

struct Nothing;

#[activities]
impl Nothing {
    /// Gives back about as much as a step does.
    #[activity(name = "nothing")]
    async fn nothing(self: Arc<Self>, _: ActivityContext, task: Value) -> Result<Value, ActivityError> {
        Ok(
            json!({"output": {"module": "wait", "version": "1.0.0", "summary": {}, "coverage": {}}, "task": task["step"]}),
        )
    }
}

#[workflow]
#[derive(Default)]
struct Bare;

#[workflow_methods]
impl Bare {
    #[run(name = "bare")]
    async fn run(ctx: &mut WorkflowContext<Self>, steps: u32) -> WorkflowResult<u32> {
        for n in 0..steps {
            let options = ActivityOptions::with_start_to_close_timeout(Duration::from_mins(1))
                .activity_id(format!("step-{n}"))
                .heartbeat_timeout(Duration::from_secs(15))
                .build();
            let task = json!({"step": n, "module": "wait", "config": {"ms": 0}, "place": "x".repeat(400)});
            ctx.execute_activity(Nothing::nothing, task, options).await?;
        }
        Ok(steps)
    }
}

const QUEUE: &str = "bare-queue";

/// A worker on a thread of its own, for as long as the process lives.
pub struct Worker {
    client: Client,
    number: AtomicU32,
}

impl Worker {
    pub fn start(address: &str) -> Self {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let url: Url = address.parse().expect("an address");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let connection = Connection::connect(ConnectionOptions::new(url).build()).await;
                let options = ClientOptions::new("default").build();
                let client = Client::new(connection.expect("a server"), options).expect("a client");
                let sdk = Runtime::from_current_tokio(RuntimeOptions::default()).expect("a runtime");
                let options =
                    WorkerOptions::new(QUEUE).register_activities(Nothing).register_workflow::<Bare>();
                let options = options.expect("registered").build();
                let worker = temporalio_sdk::Worker::new(&sdk, client.clone(), options);
                ready.send(client).expect("waited for");
                worker.expect("a worker").run().await.expect("a worker");
            });
        });
        Self { client: is_ready.recv().expect("it starts"), number: AtomicU32::new(0) }
    }

    pub async fn run(&self, steps: u32) -> Duration {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let options = WorkflowStartOptions::new(QUEUE, format!("bare-{number}")).build();
        let began = Instant::now();
        let run = self.client.start_workflow(Bare::run, steps, options).await.expect("a run");
        let done = run.get_result(WorkflowGetResultOptions::default()).await.expect("a result");
        assert_eq!(done, steps);
        began.elapsed()
    }
}
