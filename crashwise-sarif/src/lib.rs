//! Findings to SARIF 2.1.0 and back, baselines, merge of logs, and reports for people.
//!
//! ```
//! use crashwise_core::{Finding, RuleId, Severity};
//! use crashwise_sarif::{Report, Tool};
//! let finding = Finding::new(RuleId::new("demo/eval").unwrap(), "eval of user input", Severity::High);
//! let report = Report::new(Tool::new("crashwise", "0.1.0"), "security_assessment").with_findings(vec![finding]);
//! let mut log = Vec::new();
//! crashwise_sarif::write(&report, &mut log)?;
//! # std::io::Result::Ok(())
//! ```
//!
//! # Map
//!
//! - [`Report`]: a run and its findings, the input of everything here; [`FindingSource`]: findings in bulk.
//! - [`write()`]: a report as a SARIF log.
//! - [`read()`]: a SARIF log of any producer as findings; [`SarifLog`]: the same as a source.
//! - [`merge_logs`]: the runs of several logs in one log.
//! - [`report`]: tables, HTML, Markdown, JSON, CSV and `JUnit`.
//! - [`Comparison`]: new, unchanged, updated and absent findings against an earlier report.
//!
//! # What it does not do
//!
//! It opens no files, reads no clock and knows no terminal: the runner does.

mod baseline;
mod input;
mod level;
mod read;
pub mod report;
mod source;
mod uri;
mod write;

pub use baseline::{BaselineState, Comparison};
pub use input::{Report, Rule, RunStatus, Tool};
pub use read::{LogSummary, ReadError, ReadOptions, RunSummary, SarifLog, merge_logs, read};
pub use source::{FindingSource, Opened};
pub use write::write;
