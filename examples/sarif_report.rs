//! Shows reports: SARIF for machines, Markdown for people, and what is new against an earlier report.
//!
//! Run: `cargo run --example sarif_report`
//!
//! ```text
//! SARIF 2.1.0, ... results, the same bytes twice: true
//! against itself: 0 new
//! # ...
//! ```

use crashwise_core::Target;
use crashwise_runner::Runner;
use crashwise_runner::workflows::SecurityAssessment;
use crashwise_sarif::{BaselineState, Comparison, ReadOptions};
use serde_json::{Value, json};
use std::io::Cursor;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runner =
        Runner::builder().modules(crashwise_modules::registry()).workflow(SecurityAssessment).build()?;
    let target = Target::from_path(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/vulnerable-app"))?;
    let report = runner.run("security_assessment", target, json!({})).await?.for_reports();

    let (mut first, mut second) = (Vec::new(), Vec::new());
    crashwise_sarif::write(&report, &mut first)?;
    crashwise_sarif::write(&report, &mut second)?;
    let log: Value = serde_json::from_slice(&first)?;
    let results = log["runs"][0]["results"].as_array().map_or(0, Vec::len);
    println!(
        "SARIF {}, {results} results, the same bytes twice: {}",
        log["version"].as_str().unwrap_or_default(),
        first == second
    );

    let mut earlier = Vec::new();
    crashwise_sarif::read(Cursor::new(&first), &ReadOptions::default(), &mut |finding| {
        earlier.push(finding);
        Ok(())
    })?;
    let comparison = Comparison::new(earlier, report.findings.as_ref())?;
    let new = (0..results).filter(|n| comparison.state(*n) == BaselineState::New).count();
    println!("against itself: {new} new");

    let mut page = Vec::new();
    crashwise_sarif::report::markdown(&report, None, &mut page)?;
    println!("{}", String::from_utf8(page)?.lines().next().unwrap_or_default());
    Ok(())
}
