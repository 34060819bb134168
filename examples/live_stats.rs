//! Shows live statistics and events: any closure can watch a run, and a slow one never slows it.
//!
//! Run: `cargo run --example live_stats`
//!
//! ```text
//! ...
//! step analyze completed
//! ...
//! scan_progress events: some
//! ```

use crashwise_core::{Stats, StatsEvent, Target};
use crashwise_runner::workflows::SecurityAssessment;
use crashwise_runner::{RunEvent, RunEventKind, Runner};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seen = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&seen);
    let runner = Runner::builder()
        .modules(crashwise_modules::registry())
        .workflow(SecurityAssessment)
        .on_stats(move |event: &StatsEvent| {
            if let Stats::ScanProgress { .. } = event.stats {
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
        .on_event(|event: &RunEvent| {
            if let RunEventKind::StepCompleted { step, .. } = &event.kind {
                println!("step {step} completed");
            }
        })
        .build()?;
    let target = Target::from_path(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/vulnerable-app"))?;
    runner.run("security_assessment", target, json!({})).await?;
    let seen = if seen.load(Ordering::Relaxed) > 0 { "some" } else { "none" };
    println!("scan_progress events: {seen}");
    Ok(())
}
