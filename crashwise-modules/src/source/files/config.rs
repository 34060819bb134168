//! What the file scanner can be told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Configuration of the file scanner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
#[allow(clippy::struct_excessive_bools, reason = "each is a key of the configuration file")]
pub struct FileScannerConfig {
    /// Only files that match one of these patterns (syntax of `.gitignore`).
    pub patterns: Vec<String>,
    /// Reports files that should not be in a source tree, such as private keys.
    pub check_sensitive: bool,
    /// Records the SHA-256 of each file.
    pub calculate_hashes: bool,
    /// The largest file that is read as a whole, in bytes. Larger ones are listed without a hash.
    #[schemars(range(min = 1))]
    pub max_file_size: u64,
    /// No files and folders that match one of these patterns (syntax of `.gitignore`).
    pub exclude: Vec<String>,
    /// Whether `.gitignore` and `.crashwiseignore` leave files out.
    pub ignore_files: bool,
    /// Reports each file as a finding of its own, beside the inventory.
    pub list_files: bool,
}

impl Default for FileScannerConfig {
    fn default() -> Self {
        Self {
            patterns: vec!["*".to_owned()],
            check_sensitive: true,
            calculate_hashes: false,
            max_file_size: 10 << 20,
            exclude: Vec::new(),
            ignore_files: true,
            list_files: false,
        }
    }
}
