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
    registry_of(|_| true)
}

/// Those of the modules that are compiled in whose names are wanted. What a module says of itself may take longer to put
/// together than a short run.
///
/// ```
/// let registry = crashwise_modules::registry_of(|name| name == "file_scanner");
/// assert_eq!(registry.iter().count(), 1);
/// ```
pub fn registry_of(wanted: impl Fn(&str) -> bool) -> ModuleRegistry {
    let mut registry = ModuleRegistry::new();
    for (_, module) in modules().into_iter().filter(|(name, _)| wanted(name)) {
        let added = registry.add_shared(module).map(|_| ());
        debug_assert_eq!(added, Ok(()), "each module has a name of its own");
    }
    registry
}

fn modules() -> Vec<(&'static str, Arc<dyn AnyModule>)> {
    #[cfg(feature = "dependencies")]
    let (scanner, analyzer) = crate::dependencies::modules();
    vec![
        #[cfg(feature = "source")]
        ("file_scanner", Arc::new(crate::source::FileScanner)),
        #[cfg(feature = "source")]
        ("code_analyzer", Arc::new(crate::source::CodeAnalyzer::default())),
        #[cfg(feature = "secrets")]
        ("secret_scanner", Arc::new(crate::secrets::SecretScan::new())),
        #[cfg(feature = "dependencies")]
        ("dependency_scanner", Arc::new(scanner)),
        #[cfg(feature = "dependencies")]
        ("vulnerability_analyzer", Arc::new(analyzer)),
        #[cfg(all(feature = "fuzzing", target_os = "linux"))]
        ("cargo_fuzzer", Arc::new(crate::fuzzing::CargoFuzzer::new())),
        #[cfg(all(feature = "fuzzing", target_os = "linux"))]
        ("libfuzzer_fuzzer", Arc::new(crate::fuzzing::LibfuzzerFuzzer::new())),
        #[cfg(all(feature = "fuzzing", target_os = "linux"))]
        ("atheris_fuzzer", Arc::new(crate::fuzzing::AtherisFuzzer::new())),
        #[cfg(all(feature = "fuzzing", target_os = "linux"))]
        ("afl_fuzzer", Arc::new(crate::fuzzing::AflFuzzer::new())),
        #[cfg(all(feature = "fuzzing", target_os = "linux"))]
        ("regression_fuzzer", Arc::new(crate::fuzzing::RegressionFuzzer::new())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_module_is_lost() {
        assert_eq!(registry().iter().count(), modules().len());
        for (name, module) in modules() {
            assert_eq!(module.info().name, name);
        }
    }
}
