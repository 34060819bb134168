//! Shows a whole run: scan a directory with the built-in workflow and look at what it found.
//!
//! Run: `cargo run --example quickstart`
//!
//! ```text
//! completed: ... findings, coverage complete
//! ...
//! ```

use crashwise_core::{Severity, Target};
use crashwise_runner::Runner;
use crashwise_runner::workflows::SecurityAssessment;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runner =
        Runner::builder().modules(crashwise_modules::registry()).workflow(SecurityAssessment).build()?;
    let target = Target::from_path(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/vulnerable-app"))?;
    let report = runner.run("security_assessment", target, json!({})).await?;

    println!("{}: {} findings, coverage {}", report.status, report.counts.total(), report.coverage.status);
    for finding in report.findings()? {
        let finding = finding?;
        if finding.severity >= Severity::High {
            let place = finding.primary().map(ToString::to_string).unwrap_or_default();
            println!("{:<8} {place} {}", finding.severity, finding.title);
        }
    }
    Ok(())
}
