//! The inventory of a workspace: what its files are, and which of them should not be there.

mod config;
mod inventory;
mod kind;
mod scanner;
mod sensitive;
#[cfg(test)]
mod tests;

pub use config::FileScannerConfig;
pub use inventory::InventoryEntry;
pub use scanner::FileScanner;
