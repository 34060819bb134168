//! From what a run did to what a report shows.

use crate::{RunReport, RunStatus};
use crashwise_core::Target;
use crashwise_sarif::{Opened, Report, Tool};
use std::path::Path;

impl RunReport {
    /// The run as the input of SARIF and of every other report.
    ///
    /// It names no run, no time and no absolute path, so that the same target gives the same bytes; add what a reader
    /// needs of that with [`Report::with_run_id`] and [`Report::with_time`].
    pub fn for_reports(&self) -> Report {
        let tool = Tool::new("crashwise", env!("CARGO_PKG_VERSION"))
            .with_information_uri(env!("CARGO_PKG_REPOSITORY"));
        let run = self.clone();
        let summary = self.output.as_object().map(|values| values.clone().into_iter().collect());
        Report::new(tool, self.workflow.clone())
            .with_target(label(&self.target))
            .with_status(match self.status {
                RunStatus::Completed => crashwise_sarif::RunStatus::Completed,
                RunStatus::Cancelled => crashwise_sarif::RunStatus::Cancelled,
                RunStatus::TimedOut => crashwise_sarif::RunStatus::TimedOut,
                RunStatus::Pending | RunStatus::Running | RunStatus::Paused | RunStatus::Failed => {
                    crashwise_sarif::RunStatus::Failed
                }
            })
            .with_coverage(self.coverage.clone())
            .with_summary(summary.unwrap_or_default())
            .with_source(Opened::new(move || run.findings()), self.counts)
    }
}

/// What a target is called in reports: the last part of its path, or its id.
fn label(target: &Target) -> String {
    let last = |path: &Path| {
        let whole = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        whole.file_name().map_or_else(|| "/".into(), |name| name.to_string_lossy().into_owned())
    };
    match target {
        Target::Directory(path) | Target::Archive(path) => last(path),
        other => other.to_string(),
    }
}
