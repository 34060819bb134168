//! What a report is made of.

use crate::{Comparison, FindingSource};
use crashwise_core::{Coverage, CoverageStatus, Finding, RuleId, RunId, Severity, SeverityCounts};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

/// A run and its findings, the input of every report.
///
/// Nothing in it is looked up elsewhere, no clock and no path of this machine: the same report gives the same bytes.
///
/// ```
/// use crashwise_core::{Finding, RuleId, Severity};
/// use crashwise_sarif::{Report, Tool};
/// let finding = Finding::new(RuleId::new("demo/eval").unwrap(), "eval of user input", Severity::High);
/// let report = Report::new(Tool::new("crashwise", "0.1.0"), "security_assessment").with_findings(vec![finding]);
/// let mut log = Vec::new();
/// crashwise_sarif::write(&report, &mut log).unwrap();
/// assert!(String::from_utf8(log).unwrap().contains(r#""ruleId":"demo/eval""#));
/// ```
#[non_exhaustive]
pub struct Report {
    /// The program that reports.
    pub tool: Tool,
    /// Name of the workflow.
    pub workflow: String,
    /// The run, unless the report has to be the same for every run.
    pub run_id: Option<RunId>,
    /// What was looked at, as a label: a directory's name, an archive's name, an id. Not an absolute path.
    pub target: String,
    /// How the run ended.
    pub status: RunStatus,
    /// What was looked at and what was not.
    pub coverage: Coverage,
    /// Number of findings by severity, suppressed ones left out.
    pub counts: SeverityCounts,
    /// Named values, e.g. `files_scanned`.
    pub summary: BTreeMap<String, Value>,
    /// When the run started.
    pub started: Option<SystemTime>,
    /// How long it took.
    pub duration: Option<Duration>,
    /// The exit code of the program.
    pub exit_code: Option<i32>,
    /// What is known of rules beyond what their findings say.
    pub rules: BTreeMap<RuleId, Rule>,
    /// How the findings compare with an earlier report.
    pub comparison: Option<Comparison>,
    /// The findings.
    pub findings: Box<dyn FindingSource>,
}

impl Report {
    /// A report of a run that completed and found nothing.
    pub fn new(tool: Tool, workflow: impl Into<String>) -> Self {
        Self {
            tool,
            workflow: workflow.into(),
            run_id: None,
            target: String::new(),
            status: RunStatus::Completed,
            coverage: Coverage::new(),
            counts: SeverityCounts::default(),
            summary: BTreeMap::new(),
            started: None,
            duration: None,
            exit_code: None,
            rules: BTreeMap::new(),
            comparison: None,
            findings: Box::new(Vec::new()),
        }
    }

    /// Sets the findings and counts them.
    #[must_use]
    pub fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        self.counts = SeverityCounts::default();
        for finding in findings.iter().filter(|finding| finding.suppressions.is_empty()) {
            self.counts.add(finding.severity);
        }
        self.findings = Box::new(findings);
        self
    }

    /// Sets the findings, which are counted already.
    #[must_use]
    pub fn with_source(mut self, findings: impl FindingSource + 'static, counts: SeverityCounts) -> Self {
        self.findings = Box::new(findings);
        self.counts = counts;
        self
    }

    /// Sets the run.
    #[must_use]
    pub fn with_run_id(mut self, run_id: RunId) -> Self {
        self.run_id = Some(run_id);
        self
    }

    /// Sets the label of what was looked at.
    #[must_use]
    pub fn with_target(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    /// Sets how the run ended.
    #[must_use]
    pub fn with_status(mut self, status: RunStatus) -> Self {
        self.status = status;
        self
    }

    /// Sets what was looked at and what was not.
    #[must_use]
    pub fn with_coverage(mut self, coverage: Coverage) -> Self {
        self.coverage = coverage;
        self
    }

    /// Sets the named values.
    #[must_use]
    pub fn with_summary(mut self, summary: BTreeMap<String, Value>) -> Self {
        self.summary = summary;
        self
    }

    /// Sets when the run started and how long it took.
    #[must_use]
    pub fn with_time(mut self, started: SystemTime, duration: Duration) -> Self {
        self.started = Some(started);
        self.duration = Some(duration);
        self
    }

    /// Sets the exit code of the program.
    #[must_use]
    pub fn with_exit_code(mut self, code: i32) -> Self {
        self.exit_code = Some(code);
        self
    }

    /// Adds what is known of a rule.
    #[must_use]
    pub fn with_rule(mut self, id: RuleId, rule: Rule) -> Self {
        self.rules.insert(id, rule);
        self
    }

    /// Marks every finding as new, unchanged or updated, and lists the absent ones.
    #[must_use]
    pub fn with_comparison(mut self, comparison: Comparison) -> Self {
        self.comparison = Some(comparison);
        self
    }

    /// The run did what it was asked: it completed and its coverage is not failed.
    pub fn is_successful(&self) -> bool {
        self.status == RunStatus::Completed && self.coverage.status != CoverageStatus::Failed
    }

    /// When the run ended.
    pub fn ended(&self) -> Option<SystemTime> {
        self.started?.checked_add(self.duration?)
    }

    pub(crate) fn each(&self, mut visit: impl FnMut(Finding) -> io::Result<()>) -> io::Result<()> {
        self.findings.for_each(&mut visit)
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("tool", &self.tool)
            .field("workflow", &self.workflow)
            .field("status", &self.status)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// The program that reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version, semver.
    pub version: String,
    /// Its page.
    pub information_uri: Option<String>,
}

impl Tool {
    /// A program.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into(), information_uri: None }
    }

    /// Sets its page, an absolute URI.
    #[must_use]
    pub fn with_information_uri(mut self, uri: impl Into<String>) -> Self {
        self.information_uri = Some(uri.into());
        self
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunStatus {
    /// It did all its steps.
    Completed,
    /// A step failed that the run needs.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// Its deadline passed.
    TimedOut,
}

impl RunStatus {
    /// The word used in every report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of a rule beyond what its findings say. Whatever is empty is taken from the findings.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Rule {
    /// A name as one word, e.g. `EvalOfUserInput`.
    pub name: String,
    /// What the rule finds, in full.
    pub description: String,
    /// What to do about it, in Markdown.
    pub help: String,
    /// A page about it, an absolute URI.
    pub help_uri: String,
    /// The usual severity.
    pub severity: Option<Severity>,
    /// Further tags.
    pub tags: Vec<String>,
    /// Numbers of the Common Weakness Enumeration.
    pub cwe: Vec<u32>,
}

impl Rule {
    /// A rule of which nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the name as one word.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Says what the rule finds.
    #[must_use]
    pub fn with_description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// Says what to do about it, in Markdown.
    #[must_use]
    pub fn with_help(mut self, markdown: impl Into<String>) -> Self {
        self.help = markdown.into();
        self
    }

    /// Sets the page about it.
    #[must_use]
    pub fn with_help_uri(mut self, uri: impl Into<String>) -> Self {
        self.help_uri = uri.into();
        self
    }

    /// Sets the usual severity.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = Some(severity);
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds a number of the Common Weakness Enumeration.
    #[must_use]
    pub fn with_cwe(mut self, number: u32) -> Self {
        self.cwe.push(number);
        self
    }
}
