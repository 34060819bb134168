//! What a module hands back, beside the findings it pushed.

use crate::{ArtifactRef, Coverage, Severity};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Named values of a module's result, e.g. `files_scanned`, and an optional typed output for later steps.
///
/// ```
/// use crashwise_core::Summary;
/// let summary = Summary::new().with("files_scanned", 12).with_output(&vec!["a", "b"]).unwrap();
/// assert_eq!(summary.output::<Vec<String>>().unwrap(), ["a", "b"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Values for people and dashboards.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Value>,
    /// Input of later steps. Small: large results are artifacts.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Value,
}

impl Summary {
    /// Nothing to say.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.values.insert(name.into(), value.into());
        self
    }

    /// Sets the typed output.
    pub fn with_output<T: Serialize>(mut self, output: &T) -> Result<Self, serde_json::Error> {
        self.output = serde_json::to_value(output)?;
        Ok(self)
    }

    /// The typed output.
    pub fn output<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.output)
    }
}

/// The result of a module's step: what travels through the journal. Findings stay in the result store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ModuleOutput {
    /// Name of the module.
    pub module: String,
    /// Version of the module.
    pub version: String,
    /// Named values and output.
    pub summary: Summary,
    /// Number of findings by severity, suppressed ones left out.
    pub counts: SeverityCounts,
    /// The findings, one JSON object a line, sorted; none when there were no findings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<ArtifactRef>,
    /// Files that the module stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ArtifactRef>,
    /// What was looked at and what was not.
    pub coverage: Coverage,
}

impl ModuleOutput {
    /// The result of a module that found nothing.
    pub fn new(module: impl Into<String>, version: impl Into<String>) -> Self {
        Self { module: module.into(), version: version.into(), ..Self::default() }
    }

    /// Sets the number of findings, for fakes.
    #[must_use]
    pub fn with_counts(mut self, counts: SeverityCounts) -> Self {
        self.counts = counts;
        self
    }

    /// Sets the summary, for fakes.
    #[must_use]
    pub fn with_summary(mut self, summary: Summary) -> Self {
        self.summary = summary;
        self
    }

    /// The stored file of a name.
    pub fn artifact(&self, name: &str) -> Option<&ArtifactRef> {
        self.artifacts.iter().find(|artifact| artifact.name == name)
    }
}

/// Number of findings by severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SeverityCounts {
    /// Critical findings.
    pub critical: u64,
    /// High findings.
    pub high: u64,
    /// Medium findings.
    pub medium: u64,
    /// Low findings.
    pub low: u64,
    /// Informational findings.
    pub info: u64,
}

impl SeverityCounts {
    /// One finding of a severity.
    pub fn one(severity: Severity) -> Self {
        let mut counts = Self::default();
        counts.add(severity);
        counts
    }

    /// Counts one more.
    pub fn add(&mut self, severity: Severity) {
        *self.slot(severity) += 1;
    }

    /// Adds the counts of another part.
    pub fn merge(&mut self, other: Self) {
        for severity in Severity::ALL {
            *self.slot(severity) += other.of(severity);
        }
    }

    /// The count of one severity.
    pub fn of(mut self, severity: Severity) -> u64 {
        *self.slot(severity)
    }

    /// All findings.
    pub fn total(self) -> u64 {
        Severity::ALL.into_iter().map(|severity| self.of(severity)).sum()
    }

    /// Findings at a severity or worse.
    pub fn at_least(self, severity: Severity) -> u64 {
        Severity::ALL.into_iter().filter(|other| *other >= severity).map(|other| self.of(other)).sum()
    }

    fn slot(&mut self, severity: Severity) -> &mut u64 {
        match severity {
            Severity::Critical => &mut self.critical,
            Severity::High => &mut self.high,
            Severity::Medium => &mut self.medium,
            Severity::Low => &mut self.low,
            Severity::Info => &mut self.info,
        }
    }
}
