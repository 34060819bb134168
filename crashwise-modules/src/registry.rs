//! All modules that are compiled in.

use crashwise_core::{AnyModule, ModuleRegistry};
use std::sync::Arc;

/// All modules that are compiled in, by name.
///
/// ```
/// let registry = crashwise_modules::registry();
/// assert!(registry.find("file_scaner").err().unwrap().to_string().contains("did you mean \"file_scanner\""));
/// ```
pub fn registry() -> ModuleRegistry {
    let mut registry = ModuleRegistry::new();
    for module in modules() {
        let added = registry.add_shared(module).map(|_| ());
        debug_assert_eq!(added, Ok(()), "each module has a name of its own");
    }
    registry
}

fn modules() -> Vec<Arc<dyn AnyModule>> {
    #[cfg(feature = "dependencies")]
    let (scanner, analyzer) = crate::dependencies::modules();
    vec![
        #[cfg(feature = "source")]
        Arc::new(crate::source::FileScanner),
        #[cfg(feature = "source")]
        Arc::new(crate::source::CodeAnalyzer::default()),
        #[cfg(feature = "secrets")]
        Arc::new(crate::secrets::SecretScan::new()),
        #[cfg(feature = "dependencies")]
        Arc::new(scanner),
        #[cfg(feature = "dependencies")]
        Arc::new(analyzer),
        #[cfg(all(feature = "fuzzing", target_os = "linux"))]
        Arc::new(crate::fuzzing::CargoFuzzer::new()),
        #[cfg(all(feature = "fuzzing", target_os = "linux"))]
        Arc::new(crate::fuzzing::LibfuzzerFuzzer::new()),
        #[cfg(all(feature = "fuzzing", target_os = "linux"))]
        Arc::new(crate::fuzzing::AtherisFuzzer::new()),
        #[cfg(all(feature = "fuzzing", target_os = "linux"))]
        Arc::new(crate::fuzzing::AflFuzzer::new()),
        #[cfg(all(feature = "fuzzing", target_os = "linux"))]
        Arc::new(crate::fuzzing::RegressionFuzzer::new()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_module_is_lost() {
        assert_eq!(registry().iter().count(), modules().len());
    }
}
