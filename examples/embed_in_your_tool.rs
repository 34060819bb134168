//! Shows crashwise inside another program: a function of yours that any async code can call and spawn.
//!
//! Run: `cargo run --example embed_in_your_tool`
//!
//! ```text
//! ...
//! api/app.py: ...
//! ...
//! gate: closed
//! ```

use crashwise_core::{Finding, Severity, Target};
use crashwise_runner::workflows::SecurityAssessment;
use crashwise_runner::{RunStatus, Runner};
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;

type Failure = Box<dyn Error + Send + Sync>;

/// Findings per file. A run that did not look at everything is an error, never an empty answer.
async fn weaknesses(folder: &str) -> Result<BTreeMap<String, Vec<Finding>>, Failure> {
    let runner =
        Runner::builder().modules(crashwise_modules::registry()).workflow(SecurityAssessment).build()?;
    let parameters = json!({ "analyzer_config": { "check_secrets": true } });
    let report = runner.run("security_assessment", Target::from_path(folder)?, parameters).await?;
    if report.status != RunStatus::Completed || !report.coverage.gaps.is_empty() {
        return Err(format!("the scan is {}: {:?}", report.coverage.status, report.coverage.gaps).into());
    }
    let mut files: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for finding in report.findings()? {
        let finding = finding?;
        let file = finding.primary().map(|place| place.path.to_string()).unwrap_or_default();
        files.entry(file).or_default().push(finding);
    }
    Ok(files)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/vulnerable-app");
    // The future is `Send`: it can be spawned like any other work of your program.
    let files = tokio::spawn(weaknesses(folder)).await??;
    for (file, findings) in &files {
        println!("{file}: {}", findings.len());
    }
    let closed = files.values().flatten().any(|finding| finding.severity >= Severity::High);
    println!("gate: {}", if closed { "closed" } else { "open" });
    Ok(())
}
