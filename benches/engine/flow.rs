//! What the runs of the bench do.

use crashwise_core::workflow::{Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, Target};
use crashwise_runner::RunRequest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

/// When the workflow got past what it waited for, and how long its steps took.
pub static TIMES: Mutex<Times> = Mutex::new(Times { arrived: None });

#[derive(Debug)]
pub struct Times {
    pub arrived: Option<Instant>,
}

/// Steps that do nothing; then, if asked, a wait for the signal `go` and one more step.
pub struct Flow;

impl Workflow for Flow {
    type Params = BTreeMap<String, u64>;
    type Output = u64;

    fn metadata(&self) -> Metadata {
        let version = "1.0.0".parse().expect("a version");
        let mut metadata = Metadata::new("flow", version, "Does nothing, step by step.");
        metadata.parameters = json!({"type": "object", "properties": {
            "steps": {"type": "integer"}, "waits": {"type": "integer", "default": 0}}});
        metadata
    }

    async fn run(&self, cx: &WorkflowContext, params: Self::Params) -> Result<u64, WorkflowError> {
        let mut sum = 0;
        for n in 0..params["steps"] {
            sum += cx.step("no").run(move |_| async move { Ok(n) }).await?;
        }
        if params["waits"] == 1 {
            let _: Value = cx.signal("go").await?;
            TIMES.lock().expect("a lock").arrived = Some(Instant::now());
        }
        Ok(sum)
    }
}

/// A request for one of them.
pub fn request(steps: u64, waits: bool) -> RunRequest {
    RunRequest::new("flow", Target::Directory(Path::new(".").into()))
        .with_params(json!({"steps": steps, "waits": u8::from(waits)}))
}
