//! Source code: an inventory of the files of a workspace, and weaknesses in what they hold.

mod analyzer;
mod code_config;
mod code_module;
mod files;
mod language;
mod lexer;
mod matching;
mod rule;
mod snippet;
mod suppress;

pub use analyzer::{Analysis, CodeAnalyzer};
pub use code_config::CodeAnalyzerConfig;
pub use files::{FileScanner, FileScannerConfig, InventoryEntry};
pub use language::Language;
pub use rule::{Argument, ArgumentKind, Examples, Matcher, Replacement, Rule, Scope, ValueTest};

#[cfg(test)]
mod tests;
