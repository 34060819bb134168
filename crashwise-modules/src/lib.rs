//! The analysers and fuzzers of crashwise, one cargo feature per family.
//!
//! ```
//! let registry = crashwise_modules::registry();
//! for module in registry.iter() {
//!     let info = module.info();
//!     assert!(!info.description.is_empty(), "{}", info.name);
//! }
//! ```
//!
//! # Map
//!
//! - [`registry()`]: all modules that are compiled in, ready for a runner.
//! - `source` (feature): `file_scanner` and `code_analyzer`.
//! - `secrets` (feature): `secret_scanner`, also as an API over bytes.
//! - `dependencies` (feature): `dependency_scanner` and `vulnerability_analyzer`, version orders, lockfiles, SBOM.
//! - `fuzzing` (feature): drivers of libFuzzer targets, triage of crash reports.
//! - [`walk`] and [`prefilter`]: one pass over a tree, one pass over a file, shared by all analyses.
//!
//! # What it does not do
//!
//! It orchestrates nothing: workflows do. It runs no code of the target outside `fuzzing`.

#[cfg(feature = "dependencies")]
pub mod dependencies;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod prefilter;
mod registry;
#[cfg(feature = "secrets")]
pub mod secrets;
#[cfg(feature = "source")]
pub mod source;
pub mod walk;

pub use registry::{registry, registry_of};
