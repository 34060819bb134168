//! `security_assessment`: an inventory of the tree and an analysis of its code, side by side.

use crashwise_core::workflow::{Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, ModuleOutput, SeverityCounts};
use futures::FutureExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const METADATA: &str = include_str!("metadata.yaml");

/// Takes stock of a source tree (step `scan`) and looks for weaknesses in its code (step `analyze`).
///
/// The steps do not wait for each other. One that fails leaves the other's result standing: the run completes and its
/// coverage says what is missing. Only when both fail is there no result.
#[derive(Debug, Clone, Copy, Default)]
pub struct SecurityAssessment;

/// Parameters of [`SecurityAssessment`]; `metadata.yaml` beside it is their schema and holds their defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SecurityAssessmentParams {
    /// Configuration of `file_scanner`.
    pub scanner_config: Value,
    /// Configuration of `code_analyzer`.
    pub analyzer_config: Value,
    /// What the report holds.
    pub reporter_config: ReporterConfig,
}

/// What the report of [`SecurityAssessment`] holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ReporterConfig {
    /// Whether findings show the way from where input enters to where it is used.
    pub include_code_flows: bool,
}

/// Output of [`SecurityAssessment`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SecurityAssessmentOutput {
    /// Findings of both steps, suppressed ones left out.
    pub total_findings: u64,
    /// Files that the inventory looked at.
    pub files_scanned: u64,
    /// Files that the analysis looked at.
    pub files_analyzed: u64,
    /// Findings by severity.
    pub severity_counts: SeverityCounts,
    /// Findings of the inventory.
    pub sensitive_files: u64,
    /// Findings of the analysis.
    pub code_findings: u64,
}

impl SecurityAssessmentParams {
    /// The configuration of `code_analyzer`, with what the report holds of it.
    fn analysis(&self) -> Value {
        let mut config = self.analyzer_config.clone();
        if config.is_null() {
            config = serde_json::json!({});
        }
        if let Some(keys) = config.as_object_mut() {
            keys.insert("code_flows".into(), self.reporter_config.include_code_flows.into());
        }
        config
    }
}

impl Workflow for SecurityAssessment {
    type Params = SecurityAssessmentParams;
    type Output = SecurityAssessmentOutput;

    fn metadata(&self) -> Metadata {
        super::shipped("metadata.yaml", METADATA)
    }

    async fn run(
        &self,
        cx: &WorkflowContext,
        params: SecurityAssessmentParams,
    ) -> Result<SecurityAssessmentOutput, WorkflowError> {
        let analyze = cx.step("analyze").call_named("code_analyzer", params.analysis());
        let scan = cx.step("scan").call_named("file_scanner", params.scanner_config);
        let mut results = cx.join([scan.boxed_local(), analyze.boxed_local()]).await.into_iter();
        let (Some(scan), Some(analyze)) = (results.next(), results.next()) else {
            return Err(WorkflowError::failed("a step gave neither a result nor an error"));
        };
        let (scan, analyze) = match (scan, analyze) {
            (Err(error), Err(_)) => return Err(error.into()),
            (Err(error), _) | (_, Err(error)) if !error.kind.is_tolerable() => return Err(error.into()),
            (scan, analyze) => (scan.unwrap_or_default(), analyze.unwrap_or_default()),
        };
        let mut severity_counts = scan.counts;
        severity_counts.merge(analyze.counts);
        Ok(SecurityAssessmentOutput {
            total_findings: severity_counts.total(),
            files_scanned: files(&scan),
            files_analyzed: files(&analyze),
            severity_counts,
            sensitive_files: scan.counts.total(),
            code_findings: analyze.counts.total(),
        })
    }
}

fn files(output: &ModuleOutput) -> u64 {
    output.coverage.looked_at.get("files").copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
