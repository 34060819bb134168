//! `dependency_analysis`: an inventory of packages, judged by an advisory database.

use crashwise_core::workflow::{Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{ArtifactRef, Metadata, SeverityCounts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const METADATA: &str = include_str!("metadata.yaml");

/// Takes stock of what a project depends on (step `scan`) and judges it (step `analyze`).
#[derive(Debug, Clone, Copy, Default)]
pub struct DependencyAnalysis;

/// Parameters of [`DependencyAnalysis`]; `metadata.yaml` beside it is their schema and holds their defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DependencyAnalysisParams {
    /// The compiled advisory database.
    pub database: String,
    /// Whether packages for development and tests count.
    pub scan_dev_dependencies: bool,
    /// The least severity that is reported.
    pub vulnerability_threshold: String,
    /// What an advisory counts as of which nothing says how bad it is.
    pub unknown_severity: String,
    /// The most days since the newest advisory of a used ecosystem.
    pub max_database_age: Option<u32>,
    /// Whether ignore files and VEX documents of the project suppress findings.
    pub ignore_files: bool,
    /// A table of EPSS scores.
    pub epss: Option<String>,
    /// A catalogue of known exploited vulnerabilities.
    pub kev: Option<String>,
    /// A copy of the index of the registry of Rust crates.
    pub registry_index: Option<String>,
    /// Names that must not come from a public registry.
    pub private_names: Vec<String>,
    /// Whether lockfiles that are out of step with their manifests, or missing, are reported.
    pub check_lockfiles: bool,
}

/// Output of [`DependencyAnalysis`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DependencyAnalysisOutput {
    /// Packages in the inventory.
    pub packages: u64,
    /// Vulnerabilities at or over the threshold, suppressed ones left out.
    pub vulnerabilities: u64,
    /// Findings of both steps by severity, suppressed ones left out.
    pub severity_counts: SeverityCounts,
    /// What was left out and why, and the database: the values of the analysis.
    pub summary: BTreeMap<String, Value>,
    /// The licences that the files state, with how many packages have each.
    pub licenses: BTreeMap<String, u64>,
}

impl Workflow for DependencyAnalysis {
    type Params = DependencyAnalysisParams;
    type Output = DependencyAnalysisOutput;

    fn metadata(&self) -> Metadata {
        super::shipped("metadata.yaml", METADATA)
    }

    async fn run(
        &self,
        cx: &WorkflowContext,
        params: DependencyAnalysisParams,
    ) -> Result<DependencyAnalysisOutput, WorkflowError> {
        let mut config = serde_json::to_value(params)?;
        let mut scanner = json!({});
        for key in ["private_names", "check_lockfiles"] {
            scanner[key] = config.as_object_mut().and_then(|config| config.remove(key)).unwrap_or_default();
        }
        let scan = cx.step("scan").call_named("dependency_scanner", scanner).await?;
        let inventory: ArtifactRef = scan.summary.output()?;
        let licenses = scan.summary.values.get("licenses").cloned().unwrap_or_else(|| json!({}));
        config["inventory"] = serde_json::to_value(inventory)?;
        let analyze = cx.step("analyze").call_named("vulnerability_analyzer", config).await?;
        let mut severity_counts = scan.counts;
        severity_counts.merge(analyze.counts);
        let number =
            |name: &str| analyze.summary.values.get(name).and_then(Value::as_u64).unwrap_or_default();
        Ok(DependencyAnalysisOutput {
            packages: number("packages"),
            vulnerabilities: number("vulnerabilities"),
            severity_counts,
            summary: analyze.summary.values,
            licenses: serde_json::from_value(licenses)?,
        })
    }
}

#[cfg(test)]
mod tests;
