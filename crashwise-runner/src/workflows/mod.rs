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
pub use secret_detection::{SecretDetection, SecretDetectionOutput, SecretDetectionParams};
pub use security_assessment::{SecurityAssessment, SecurityAssessmentOutput, SecurityAssessmentParams};

use crashwise_core::Metadata;
use crashwise_core::workflow::AnyWorkflow;
use std::sync::Arc;

/// Every workflow that comes with crashwise, in the order of their names.
///
/// ```
/// let names: Vec<String> = crashwise_runner::workflows::builtin().iter().map(|w| w.metadata().name).collect();
/// assert!(names.contains(&"security_assessment".to_owned()));
/// assert!(names.is_sorted());
/// ```
pub fn builtin() -> Vec<Arc<dyn AnyWorkflow>> {
    vec![
        // One line for each workflow, sorted by name.
        #[cfg(target_os = "linux")]
        Arc::new(AflFuzzing),
        #[cfg(target_os = "linux")]
        Arc::new(AtherisFuzzing),
        #[cfg(target_os = "linux")]
        Arc::new(CargoFuzzing),
        Arc::new(DependencyAnalysis),
        #[cfg(target_os = "linux")]
        Arc::new(FuzzRegression),
        #[cfg(target_os = "linux")]
        Arc::new(LibfuzzerFuzzing),
        Arc::new(SecretDetection),
        Arc::new(SecurityAssessment),
    ]
}

/// Metadata that ships with the crate. Builds with debug assertions check it as a whole, the tests among them; a start of
/// the command line must not wait for that.
fn shipped(file: &str, text: &str) -> Metadata {
    let read = if cfg!(debug_assertions) {
        Metadata::from_yaml(file, text)
    } else {
        Metadata::from_checked_yaml(file, text)
    };
    read.expect("the tests read it")
}
