//! Dependency analysis: lockfiles to an inventory, the inventory and an advisory database to findings.
//!
//! Nothing of the project is executed and no package manager is asked: files are parsed, versions are compared by the
//! published rules of their ecosystem, and what could not be read is named.
//!
//! - [`DependencyScanner`] and [`take_inventory`]: what a workspace depends on.
//! - [`advisory`]: the compiled database, how one is built, and exact matching.
//! - [`VulnerabilityAnalyzer`] and [`analyze`]: what of the inventory is affected.
//! - [`cyclonedx`] and [`spdx()`]: the inventory as a bill of materials.
//! - [`version`]: the version orders of the ecosystems.

pub mod advisory;
mod analysis;
mod day;
mod finding;
mod handover;
mod inventory;
mod inventory_json;
mod lockfile;
mod sbom;
mod scan;
#[cfg(test)]
mod tests;
mod threat;
pub mod version;
mod vulnerabilities;
mod yanked;

pub use analysis::{Analysis, Vulnerability, analyze};
pub use inventory::{Ignore, IgnoredPackage, Inventory, InventoryFile, Mismatch, Origin, Package, Scope};
pub use sbom::{cyclonedx, spdx};
pub use scan::{
    DependencyScanner, INVENTORY_ARTIFACT, ScannerConfig, inventory_of, inventory_of_texts, modules,
    take_inventory,
};
pub use vulnerabilities::{AnalyzerConfig, UnknownSeverity, VulnerabilityAnalyzer};
