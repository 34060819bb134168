//! Fuzzes one target in this very program: `PROGRAM SECONDS SEED`, and prints what was found, one JSON object to a line.

use crashwise_core::testing::ModuleTest;
use crashwise_modules::fuzzing::FuzzModule;
use serde_json::json;

pub fn fuzz(name: &str, target: fn(&[u8])) {
    let module = FuzzModule::new(name, target);
    let number = |at: usize| std::env::args().nth(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(1);
    let config = json!({"timeout_seconds": number(1), "seed": number(2), "minimise_seconds": 2, "sandbox": "limits"});
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let result = runtime.block_on(ModuleTest::new(module).config(config).run()).expect("it fuzzes");
    for finding in &result.findings {
        println!("{}", json!({"title": finding.title, "evidence": finding.evidence}));
    }
    println!("{}", json!(result.summary.values));
}
