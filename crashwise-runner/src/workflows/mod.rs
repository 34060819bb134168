//! The workflows that come with crashwise: one folder each, one line each in [`builtin`].

mod dependency_analysis;
#[cfg(target_os = "linux")]
mod fuzzing;
mod secret_detection;
mod security_assessment;

pub use dependency_analysis::{DependencyAnalysis, DependencyAnalysisOutput, DependencyAnalysisParams};
#[cfg(target_os = "linux")]
pub use fuzzing::{
    AflFuzzing, AtherisFuzzing, CargoFuzzing, FuzzRegression, FuzzingOutput, LibfuzzerFuzzing,
};
pub use secret_detection::{
    GitleaksParams, SecretDetection, SecretDetectionOutput, SecretDetectionParams, TruffleHogParams,
};
pub use security_assessment::{SecurityAssessment, SecurityAssessmentOutput, SecurityAssessmentParams};

use crashwise_core::Metadata;
use crashwise_core::workflow::AnyWorkflow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Every workflow that comes with crashwise, in the order of their names.
///
/// ```
/// let names: Vec<String> = crashwise_runner::workflows::builtin().iter().map(|w| w.metadata().name).collect();
/// assert!(names.contains(&"security_assessment".to_owned()));
/// assert!(names.is_sorted());
/// ```
pub fn builtin() -> Vec<Arc<dyn AnyWorkflow>> {
    named().into_iter().map(|(_, code)| code).collect()
}

/// The same with their names, without reading their descriptions.
pub(crate) fn named() -> Vec<(&'static str, Arc<dyn AnyWorkflow>)> {
    vec![
        // One line for each workflow, sorted by name.
        #[cfg(target_os = "linux")]
        ("afl_fuzzing", Arc::new(AflFuzzing)),
        #[cfg(target_os = "linux")]
        ("atheris_fuzzing", Arc::new(AtherisFuzzing)),
        #[cfg(target_os = "linux")]
        ("cargo_fuzzing", Arc::new(CargoFuzzing)),
        ("dependency_analysis", Arc::new(DependencyAnalysis)),
        #[cfg(target_os = "linux")]
        ("fuzz_regression", Arc::new(FuzzRegression)),
        #[cfg(target_os = "linux")]
        ("libfuzzer_fuzzing", Arc::new(LibfuzzerFuzzing)),
        ("secret_detection", Arc::new(SecretDetection)),
        ("security_assessment", Arc::new(SecurityAssessment)),
    ]
}

/// Metadata that ships with the crate, read once. Builds with debug assertions check it as a whole, the tests among them;
/// a start of the command line must not wait for that.
fn shipped(file: &str, text: &'static str) -> Metadata {
    static READ: Mutex<BTreeMap<&'static str, Metadata>> = Mutex::new(BTreeMap::new());
    let mut known = READ.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(text).or_insert_with(|| read(file, text)).clone()
}

fn read(file: &str, text: &str) -> Metadata {
    let read = if cfg!(debug_assertions) {
        Metadata::from_yaml(file, text)
    } else {
        Metadata::from_checked_yaml(file, text)
    };
    read.expect("the tests read it")
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_those_of_the_descriptions() {
        for (name, code) in super::named() {
            assert_eq!(name, code.metadata().name);
        }
    }
}
