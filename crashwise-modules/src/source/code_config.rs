//! What the code analyser can be told.

use super::language::Language;
use crashwise_core::{Confidence, Severity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Configuration of the code analyser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
#[allow(clippy::struct_excessive_bools, reason = "each is a key of the configuration file")]
pub struct CodeAnalyzerConfig {
    /// Only files with these extensions, e.g. `.py`. Empty: every file in a language that the analyser reads.
    pub file_extensions: Vec<String>,
    /// Only these languages. Empty: all.
    pub languages: Vec<Language>,
    /// Looks for hard-coded credentials.
    pub check_secrets: bool,
    /// Looks for SQL put together from strings.
    pub check_sql: bool,
    /// Looks for everything else: dangerous functions, weak cryptography, unsafe settings.
    pub check_dangerous_functions: bool,
    /// Only these rules: ids such as `code/python/eval`, or folders such as `code/python/`. Empty: all.
    pub rules: Vec<String>,
    /// Not these rules: ids or folders.
    pub exclude_rules: Vec<String>,
    /// A folder with further rule files.
    pub rule_folder: Option<PathBuf>,
    /// Only rules of this severity or worse.
    pub min_severity: Option<Severity>,
    /// Only rules of this confidence or more.
    pub min_confidence: Option<Confidence>,
    /// Only files that match one of these patterns (syntax of `.gitignore`). Empty: all.
    pub include: Vec<String>,
    /// No files and folders that match one of these patterns (syntax of `.gitignore`).
    pub exclude: Vec<String>,
    /// Whether `.gitignore` and `.crashwiseignore` leave files out.
    pub ignore_files: bool,
    /// The largest file that is read, in bytes.
    #[schemars(range(min = 1))]
    pub max_file_size: u64,
    /// Whether a finding shows the way from where input enters to where it is used.
    pub code_flows: bool,
    /// The most findings that one file may have; what is beyond becomes a gap.
    #[schemars(range(min = 1))]
    pub max_findings_per_file: usize,
}

impl Default for CodeAnalyzerConfig {
    fn default() -> Self {
        let exclude =
            ["node_modules/", "bower_components/", "site-packages/", ".venv/", "__pycache__/", "*.min.js"];
        Self {
            file_extensions: Vec::new(),
            languages: Vec::new(),
            check_secrets: true,
            check_sql: true,
            check_dangerous_functions: true,
            rules: Vec::new(),
            exclude_rules: Vec::new(),
            rule_folder: None,
            min_severity: None,
            min_confidence: None,
            include: Vec::new(),
            exclude: exclude.map(str::to_owned).to_vec(),
            ignore_files: true,
            max_file_size: 10 << 20,
            code_flows: true,
            max_findings_per_file: 1000,
        }
    }
}
