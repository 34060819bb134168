//! `secret_detection`: the secrets in the files of a tree.

use crashwise_core::workflow::{Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, SeverityCounts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const METADATA: &str = include_str!("metadata.yaml");

/// Looks for tokens, keys and passwords in a tree (step `scan`).
#[derive(Debug, Clone, Copy, Default)]
pub struct SecretDetection;

/// Parameters of [`SecretDetection`]; `metadata.yaml` beside it is their schema and holds their defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SecretDetectionParams {
    /// Configuration of `secret_scanner`.
    pub scanner_config: Value,
}

/// Output of [`SecretDetection`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SecretDetectionOutput {
    /// Secrets found, suppressed ones left out.
    pub total_findings: u64,
    /// Files that were looked at.
    pub files_scanned: u64,
    /// Findings by severity.
    pub severity_counts: SeverityCounts,
}

impl Workflow for SecretDetection {
    type Params = SecretDetectionParams;
    type Output = SecretDetectionOutput;

    fn metadata(&self) -> Metadata {
        Metadata::from_yaml("metadata.yaml", METADATA).expect("a test reads it")
    }

    async fn run(
        &self,
        cx: &WorkflowContext,
        params: SecretDetectionParams,
    ) -> Result<SecretDetectionOutput, WorkflowError> {
        let scan = cx.step("scan").call_named("secret_scanner", params.scanner_config).await?;
        Ok(SecretDetectionOutput {
            total_findings: scan.counts.total(),
            files_scanned: scan.coverage.looked_at.get("files").copied().unwrap_or_default(),
            severity_counts: scan.counts,
        })
    }
}

#[cfg(test)]
mod tests;
