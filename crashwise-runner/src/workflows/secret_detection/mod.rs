//! `secret_detection`: the secrets in the files of a tree, in a git history or in what is staged.

use crashwise_core::workflow::{Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, SeverityCounts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const METADATA: &str = include_str!("metadata.yaml");

/// Looks for tokens, keys and passwords in a tree or its git repository (step `scan`).
#[derive(Debug, Clone, Copy, Default)]
pub struct SecretDetection;

/// Parameters of [`SecretDetection`]; `metadata.yaml` beside it is their schema and holds their defaults.
///
/// What is said here goes over the same in `scanner_config`. Some go by two names, so that what other scanners of secrets
/// were given means the same here.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SecretDetectionParams {
    /// Only what is staged for the next commit.
    pub staged: bool,
    /// Every commit instead of the files.
    pub history: bool,
    /// Only these commits.
    pub range: Option<String>,
    /// Only so many of the newest commits.
    pub max_commits: Option<u64>,
    /// The index of the commit under way.
    pub index_file: Option<String>,
    /// Whether issuers are asked.
    pub verify: bool,
    /// Whether the secrets themselves stand in the findings.
    pub reveal: bool,
    /// `protect` is the same as `staged`.
    pub scan_mode: Option<String>,
    /// `false` is the same as `history`.
    pub no_git: Option<bool>,
    /// `false` is the same as `reveal`.
    pub redact: Option<bool>,
    /// The same as `max_commits`.
    pub max_depth: Option<u64>,
    /// Threads.
    pub concurrency: Option<u64>,
    /// Only these rules or providers.
    pub include_detectors: Vec<String>,
    /// None of these rules or providers.
    pub exclude_detectors: Vec<String>,
    /// Only files that match.
    pub file_patterns: Vec<String>,
    /// Largest file that is read, in bytes.
    pub max_file_size: Option<u64>,
    /// `max_file_size` in megabytes.
    pub max_target_megabytes: Option<u64>,
    /// A rule file of gitleaks or Betterleaks.
    pub config_file: Option<String>,
    /// A report of an earlier run.
    pub baseline_file: Option<String>,
    /// What `TruffleHog` was given, by its names.
    pub trufflehog_config: TruffleHogParams,
    /// What gitleaks was given, by its names.
    pub gitleaks_config: GitleaksParams,
    /// Configuration of `secret_scanner`.
    pub scanner_config: Value,
}

/// Those of [`SecretDetectionParams`] that `TruffleHog` has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TruffleHogParams {
    /// Whether issuers are asked.
    pub verify: bool,
    /// Threads.
    pub concurrency: Option<u64>,
    /// Only so many of the newest commits.
    pub max_depth: Option<u64>,
    /// Only these rules or providers.
    pub include_detectors: Vec<String>,
    /// None of these rules or providers.
    pub exclude_detectors: Vec<String>,
}

/// Those of [`SecretDetectionParams`] that gitleaks has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct GitleaksParams {
    /// `protect` is the same as `staged`.
    pub scan_mode: Option<String>,
    /// `false` is the same as `reveal`.
    pub redact: Option<bool>,
    /// `false` is the same as `history`.
    pub no_git: Option<bool>,
    /// The largest file that is read, in megabytes.
    pub max_target_megabytes: Option<u64>,
    /// A rule file of gitleaks or Betterleaks.
    pub config_file: Option<String>,
    /// A report of an earlier run.
    pub baseline_file: Option<String>,
}

impl SecretDetectionParams {
    /// The same with what was said in the names of another scanner at the top, where it is not said there already.
    fn flattened(mut self) -> Self {
        let (trufflehog, gitleaks) =
            (std::mem::take(&mut self.trufflehog_config), std::mem::take(&mut self.gitleaks_config));
        self.verify |= trufflehog.verify;
        self.concurrency = self.concurrency.or(trufflehog.concurrency);
        self.max_depth = self.max_depth.or(trufflehog.max_depth);
        for (own, other) in [
            (&mut self.include_detectors, trufflehog.include_detectors),
            (&mut self.exclude_detectors, trufflehog.exclude_detectors),
        ] {
            if own.is_empty() {
                *own = other;
            }
        }
        self.scan_mode = self.scan_mode.or(gitleaks.scan_mode);
        self.redact = self.redact.or(gitleaks.redact);
        self.no_git = self.no_git.or(gitleaks.no_git);
        self.max_target_megabytes = self.max_target_megabytes.or(gitleaks.max_target_megabytes);
        self.config_file = self.config_file.or(gitleaks.config_file);
        self.baseline_file = self.baseline_file.or(gitleaks.baseline_file);
        self
    }

    /// The configuration of the module.
    fn config(self) -> Result<Value, WorkflowError> {
        let this = self.flattened();
        let mut config = match this.scanner_config {
            Value::Object(config) => config,
            _ => Map::new(),
        };
        let staged = this.staged || this.scan_mode.as_deref() == Some("protect");
        let history = this.history || this.range.is_some() || this.no_git == Some(false);
        if staged && history {
            return Err(WorkflowError::failed("either what is staged is looked at or the history, not both"));
        }
        if staged || history {
            config.insert("source".into(), if staged { "staged" } else { "history" }.into());
        }
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                config.insert(name.to_owned(), value);
            }
        };
        let list = |list: Vec<String>| (!list.is_empty()).then(|| list.into());
        let on = |on: bool| on.then_some(Value::Bool(true));
        set("range", this.range.map(Value::from));
        set("max_commits", this.max_commits.or(this.max_depth).map(Value::from));
        set("index_file", this.index_file.map(Value::from));
        set("verify", on(this.verify));
        set("reveal", on(this.reveal || this.redact == Some(false)));
        set("threads", this.concurrency.map(Value::from));
        set("include_rules", list(this.include_detectors));
        set("exclude_rules", list(this.exclude_detectors));
        set("include", list(this.file_patterns));
        let megabytes = this.max_target_megabytes.map(|megabytes| megabytes.saturating_mul(1_000_000));
        set("max_file_size", this.max_file_size.or(megabytes).map(Value::from));
        set("baseline", this.baseline_file.map(Value::from));
        if let Some(file) = this.config_file {
            match config.entry("rule_files").or_insert_with(|| Value::Array(Vec::new())) {
                Value::Array(files) => files.push(file.into()),
                other => *other = vec![file].into(),
            }
        }
        Ok(Value::Object(config))
    }
}

/// Output of [`SecretDetection`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SecretDetectionOutput {
    /// Secrets found, suppressed ones left out.
    pub total_findings: u64,
    /// Files or blobs that were looked at.
    pub files_scanned: u64,
    /// Commits that were looked at.
    pub commits_scanned: u64,
    /// Secrets that their issuers call valid.
    pub verified_secrets: u64,
    /// Findings by severity.
    pub severity_counts: SeverityCounts,
}

impl Workflow for SecretDetection {
    type Params = SecretDetectionParams;
    type Output = SecretDetectionOutput;

    fn metadata(&self) -> Metadata {
        super::shipped("metadata.yaml", METADATA)
    }

    async fn run(
        &self,
        cx: &WorkflowContext,
        params: SecretDetectionParams,
    ) -> Result<SecretDetectionOutput, WorkflowError> {
        let scan = cx.step("scan").call_named("secret_scanner", params.config()?).await?;
        let looked_at = |unit| scan.coverage.looked_at.get(unit).copied().unwrap_or_default();
        let verified = scan.summary.values.get("verified_secrets").and_then(Value::as_u64);
        Ok(SecretDetectionOutput {
            total_findings: scan.counts.total(),
            files_scanned: looked_at("files") + looked_at("blobs"),
            commits_scanned: looked_at("commits"),
            verified_secrets: verified.unwrap_or_default(),
            severity_counts: scan.counts,
        })
    }
}

#[cfg(test)]
mod tests;
