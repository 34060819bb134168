//! Shows a fuzzer of a closure in this very program: the program starts itself again as the process that runs it.
//!
//! Run: `cargo run --example fuzz_in_process`
//!
//! ```text
//! fuzz/rust-panic: rust-panic (index-out-of-bounds) in ...checksum... at examples/fuzz_in_process.rs:...
//! input size 1, reproducible: true
//! coverage: none
//! ```
//!
//! Guided by coverage, on a stable toolchain: install the wrapper with
//! `cargo install --path crashwise-modules --features in-process`, then
//! `RUSTC_WRAPPER=crashwise-rustc cargo run --example fuzz_in_process --target x86_64-unknown-linux-gnu --target-dir target/fuzz`

use crashwise_core::testing::ModuleTest;
use crashwise_modules::fuzzing::FuzzModule;
use serde_json::{Value, json};

/// A length, then as many bytes; the sum of them.
fn checksum(data: &[u8]) -> u8 {
    let length = data.first().map_or(0, |length| usize::from(*length) % 8);
    (1..=length).fold(0, |sum, at| sum ^ data[at])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In the child this does not return, so it comes before anything that should happen once.
    let module = FuzzModule::new("checksum", |data: &[u8]| {
        std::hint::black_box(checksum(data));
    });
    let config = json!({"max_iterations": 100_000, "timeout_seconds": 30, "minimise_seconds": 2, "seed": 1});
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(ModuleTest::new(module).config(config).run())?;
    for finding in &result.findings {
        println!("{}: {}", finding.rule_id, finding.title);
        let (size, sure) = (&finding.evidence["input_size"], &finding.evidence["reproducible"]);
        println!("input size {size}, reproducible: {sure}");
    }
    match &result.summary.values["coverage"] {
        Value::Null => println!("coverage: none"),
        percent => println!("coverage: {:.1} % of the edges", percent.as_f64().unwrap_or_default()),
    }
    Ok(())
}
