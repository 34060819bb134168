//! Recorded runs of every workflow that comes with crashwise, replayed by the Temporal SDK without a server: code that would
//! not go on with a run of an earlier release is found here. `CRASHWISE_RECORD=yes scripts/test-temporal.sh` records anew.
#![allow(clippy::unwrap_used, reason = "a test")]

use crashwise_runner::temporal::Replayer;
use crashwise_runner::workflows::builtin;
use std::path::Path;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_runs_replay() {
    let replayer = Replayer::new(builtin(), crashwise_modules::registry()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
    for workflow in builtin() {
        let name = workflow.metadata().name;
        let history = std::fs::read(folder.join(format!("{name}.json")))
            .unwrap_or_else(|error| panic!("no run of {name} is recorded: {error}"));
        replayer.replay(&history).await.unwrap_or_else(|error| panic!("{name}: {}", error.chain()));
    }
}
