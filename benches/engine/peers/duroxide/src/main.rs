//! duroxide on SQLite: orchestrations of activities that do nothing. Takes the folder of its database.

use duroxide::providers::sqlite::SqliteProvider;
use duroxide::runtime::registry::ActivityRegistry;
use duroxide::runtime::{Runtime, RuntimeOptions};
use duroxide::{ActivityContext, Client, OrchestrationContext, OrchestrationRegistry, OrchestrationStatus};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::main]
async fn main() {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let file = folder.join(format!("duroxide-{}.db", std::process::id()));
    std::fs::File::create(&file).expect("a file in the folder");
    let address = format!("sqlite:{}", file.display());
    let store = Arc::new(SqliteProvider::new(&address, None).await.expect("a database"));
    let activities = ActivityRegistry::builder()
        .register("nothing", |_: ActivityContext, n: String| async move { Ok(n) })
        .build();
    let flow = |cx: OrchestrationContext, steps: String| async move {
        let mut total = 0_u64;
        for n in 0..steps.parse::<u64>().expect("a number") {
            let n = cx.schedule_activity("nothing", n.to_string()).await?;
            total += n.parse::<u64>().expect("a number");
        }
        Ok(total.to_string())
    };
    let orchestrations = OrchestrationRegistry::builder().register("flow", flow).build();
    // Its default looks for work ten times a second.
    let options =
        RuntimeOptions { dispatcher_min_poll_interval: Duration::from_millis(1), ..RuntimeOptions::default() };
    let runtime = Runtime::start_with_options(store.clone(), activities, orchestrations, options).await;
    let client = Client::new(store);
    for (name, runs, steps) in [("warm", 1, 2), ("one", 1, 40), ("many", 256, 4)] {
        let began = Instant::now();
        for run in 0..runs {
            client.start_orchestration(&format!("{name}-{run}"), "flow", steps.to_string()).await.expect("a run");
        }
        let ends = (0..runs).map(|run| {
            let (client, id) = (&client, format!("{name}-{run}"));
            async move { client.wait_for_orchestration(&id, Duration::from_secs(600)).await }
        });
        for end in futures::future::join_all(ends).await {
            let expect = (steps * (steps - 1) / 2).to_string();
            let end = end.expect("an end");
            assert!(matches!(&end, OrchestrationStatus::Completed { output, .. } if *output == expect), "{end:?}");
        }
        if name != "warm" {
            let rate = f64::from(runs * steps) / began.elapsed().as_secs_f64();
            println!("duroxide: {runs} runs of {steps} steps: {rate:.0} steps/s");
        }
    }
    runtime.shutdown(None).await;
    drop(std::fs::remove_file(file));
}
