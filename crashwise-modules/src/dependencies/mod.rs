//! Dependency analysis: lockfiles to an inventory, the inventory and an advisory database to findings.
//!
//! Nothing of the project is executed and no package manager is asked: files are parsed, versions are compared by the
//! published rules of their ecosystem, and what could not be read is named.

pub mod advisory;
mod inventory;
mod lockfile;
pub mod version;

pub use inventory::{Inventory, InventoryFile, Origin, Package, Scope};
