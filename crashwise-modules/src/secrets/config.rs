//! The configuration of the module.

use std::collections::BTreeMap;

use crashwise_core::Confidence;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::suppress::Allowlist;

/// What `secret_scanner` looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Source {
    /// The files of the workspace.
    #[default]
    Files,
    /// Every blob of the commits of the git repository in the root of the workspace, each once, and what commits and tags
    /// say.
    History,
    /// What is staged for the next commit: secrets that `HEAD` has already are left out.
    Staged,
}

/// Configuration of [`SecretScan`](super::SecretScan).
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in a configuration file")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SecretScanConfig {
    /// What is looked at.
    pub source: Source,
    /// Commits of the history as `a..b` (of b and not of a) or `b`; none means those of all references.
    pub range: Option<String>,
    /// The most commits of the history, newest first; none means all.
    pub max_commits: Option<usize>,
    /// The index file that `staged` reads, relative to the workspace and inside of its git folder; none means the usual
    /// one. A hook finds its name in `GIT_INDEX_FILE`.
    pub index_file: Option<String>,
    /// Whether secrets without a format are looked for, by the names they are assigned to.
    pub generic: bool,
    /// Findings of less confidence are left out.
    pub min_confidence: Confidence,
    /// How many encodings inside each other are taken off; 0 for none.
    pub decode_depth: usize,
    /// Whether archives and office documents are looked into.
    pub containers: bool,
    /// Only files that match one of these patterns (syntax of `.gitignore`); none means every file.
    pub include: Vec<String>,
    /// No files and folders that match one of these patterns.
    pub exclude: Vec<String>,
    /// Only these rules: ids with or without `secret/`, or providers; none means every rule.
    pub include_rules: Vec<String>,
    /// None of these rules.
    pub exclude_rules: Vec<String>,
    /// Whether `.gitignore` and `.crashwiseignore` leave files out.
    pub ignore_files: bool,
    /// The largest file that is read, in bytes. Texts over 4 MiB are read in parts; what must be read as a whole, as
    /// archives and blobs must, may have 32 MiB.
    pub max_file_size: u64,
    /// Threads; 0 for one per processor.
    pub threads: usize,
    /// Whether the built-in rules for known formats are used.
    pub catalogue: bool,
    /// Rule files in the format of gitleaks or Betterleaks, relative to the workspace, used beside the built-in ones.
    pub rule_files: Vec<String>,
    /// A report of an earlier run, relative to the workspace: a SARIF log, a report in JSON, or a report of gitleaks. Secrets
    /// that it names are suppressed.
    pub baseline: Option<String>,
    /// Secrets that are known and accepted.
    pub allow: Vec<Allowlist>,
    /// Whether issuers are asked which secrets are valid. Sends each secret to its own issuer, and nowhere else.
    pub verify: bool,
    /// Addresses to ask in place of an issuer's own, by provider, for what is hosted elsewhere:
    /// `GitLab: https://git.example`.
    pub verify_hosts: BTreeMap<String, String>,
    /// Whether the secrets themselves stand in the findings. Whoever can read the report can then use them.
    pub reveal: bool,
}

impl Default for SecretScanConfig {
    fn default() -> Self {
        Self {
            source: Source::Files,
            range: None,
            max_commits: None,
            index_file: None,
            generic: true,
            min_confidence: Confidence::Medium,
            decode_depth: 3,
            containers: true,
            include: Vec::new(),
            exclude: Vec::new(),
            include_rules: Vec::new(),
            exclude_rules: Vec::new(),
            ignore_files: true,
            max_file_size: 8 << 30,
            threads: 0,
            catalogue: true,
            rule_files: Vec::new(),
            baseline: None,
            allow: Vec::new(),
            verify: false,
            verify_hosts: BTreeMap::new(),
            reveal: false,
        }
    }
}
