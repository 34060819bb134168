//! All modules that are compiled in.

use crashwise_core::ModuleRegistry;

/// All modules that are compiled in, by name.
///
/// ```
/// let registry = crashwise_modules::registry();
/// assert!(registry.find("file_scaner").unwrap_err().to_string().contains("did you mean \"file_scanner\""));
/// ```
///
/// # Panics
///
/// Never: the names are fixed, and a test calls it with every feature on.
pub fn registry() -> ModuleRegistry {
    let mut registry = ModuleRegistry::new();
    let mut add = |module: std::sync::Arc<dyn crashwise_core::AnyModule>| {
        let added = registry.add_shared(module).map(|_| ());
        debug_assert_eq!(added, Ok(()));
    };
    #[cfg(feature = "source")]
    add(std::sync::Arc::new(crate::source::FileScanner));
    #[cfg(feature = "source")]
    add(std::sync::Arc::new(crate::source::CodeAnalyzer::default()));
    registry
}
