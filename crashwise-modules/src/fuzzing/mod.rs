//! Fuzzing: modules that drive fuzzers, and triage of what crashes print.
//!
//! - [`CargoFuzzer`], [`LibfuzzerFuzzer`], [`AtherisFuzzer`], [`AflFuzzer`]: the modules; [`RegressionFuzzer`] replays what they know.
//! - `FuzzModule` (feature `in-process`): fuzzes a closure of the program that holds it.
//! - [`libfuzzer`]: campaigns over libFuzzer targets, and their replay.
//! - [`triage`]: reads crash reports and tells one crash from another.
//!
//! Drivers start processes and are there on Linux only; triage is everywhere.

pub mod triage;

#[cfg(target_os = "linux")]
mod afl;
#[cfg(target_os = "linux")]
mod afl_fuzzer;
#[cfg(target_os = "linux")]
mod atheris_fuzzer;
#[cfg(target_os = "linux")]
mod cargo;
#[cfg(target_os = "linux")]
mod cargo_fuzzer;
#[cfg(target_os = "linux")]
mod config;
#[cfg(target_os = "linux")]
mod corpora;
#[cfg(target_os = "linux")]
mod coverage;
#[cfg(target_os = "linux")]
mod end;
#[cfg(target_os = "linux")]
mod finding;
#[cfg(all(target_os = "linux", feature = "in-process"))]
mod in_process;
#[cfg(target_os = "linux")]
mod judge;
#[cfg(target_os = "linux")]
mod kin;
#[cfg(target_os = "linux")]
pub mod libfuzzer;
#[cfg(target_os = "linux")]
mod libfuzzer_fuzzer;
#[cfg(target_os = "linux")]
mod regression_fuzzer;
#[cfg(target_os = "linux")]
mod session;
#[cfg(target_os = "linux")]
mod support;

#[cfg(target_os = "linux")]
pub use afl_fuzzer::{AflFuzzer, AflFuzzerConfig, CSanitizer};
#[cfg(target_os = "linux")]
pub use atheris_fuzzer::{AtherisFuzzer, AtherisFuzzerConfig};
#[cfg(target_os = "linux")]
pub use cargo::Sanitizer;
#[cfg(target_os = "linux")]
pub use cargo_fuzzer::{CargoFuzzer, CargoFuzzerConfig};
#[cfg(target_os = "linux")]
pub use config::Confinement;
#[cfg(all(target_os = "linux", feature = "in-process"))]
pub use in_process::{
    CoverageGuided, Engine, EngineOptions, EngineStatus, FuzzConfig, FuzzModule, Observation,
};
#[cfg(target_os = "linux")]
pub use libfuzzer_fuzzer::{LibfuzzerFuzzer, LibfuzzerFuzzerConfig};
#[cfg(target_os = "linux")]
pub use regression_fuzzer::{RegressionFuzzer, RegressionFuzzerConfig};
#[cfg(target_os = "linux")]
pub use support::{Support, support};

/// The modules of this family, for a registry. What they learn is forgotten at the end of each run.
///
/// ```
/// let names: Vec<String> =
///     crashwise_modules::fuzzing::modules().iter().map(|module| module.info().name).collect();
/// assert_eq!(names, ["afl_fuzzer", "atheris_fuzzer", "cargo_fuzzer", "libfuzzer_fuzzer", "regression_fuzzer"]);
/// ```
#[cfg(target_os = "linux")]
pub fn modules() -> Vec<std::sync::Arc<dyn crashwise_core::AnyModule>> {
    use std::sync::Arc;
    vec![
        Arc::new(AflFuzzer::new()),
        Arc::new(AtherisFuzzer::new()),
        Arc::new(CargoFuzzer::new()),
        Arc::new(LibfuzzerFuzzer::new()),
        Arc::new(RegressionFuzzer::new()),
    ]
}

/// The modules of this family, with a store that keeps corpora and known crashes.
#[cfg(target_os = "linux")]
pub fn modules_with_store(
    store: &crashwise_core::store::Store,
) -> Vec<std::sync::Arc<dyn crashwise_core::AnyModule>> {
    use std::sync::Arc;
    vec![
        Arc::new(AflFuzzer::new().with_store(store.clone())),
        Arc::new(AtherisFuzzer::new().with_store(store.clone())),
        Arc::new(CargoFuzzer::new().with_store(store.clone())),
        Arc::new(LibfuzzerFuzzer::new().with_store(store.clone())),
        Arc::new(RegressionFuzzer::new().with_store(store.clone())),
    ]
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
