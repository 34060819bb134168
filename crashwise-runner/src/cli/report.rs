//! Reporting what a run did, and judging it.

use super::exit::{Exit, Failure};
use super::output::{self, Destination, Format};
use super::terminal::Terminal;
use crate::{RunReport, RunStatus};
use clap::Args;
use crashwise_core::{CoverageStatus, Severity, SeverityCounts};
use crashwise_sarif::{Comparison, ReadOptions, Report, SarifLog};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How a run is reported and judged.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Write the report to a file, in the format of its ending: .sarif .json .md .html .csv .xml .txt
    #[arg(long, short, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// Format of the report on standard output, or of the files when there are any [default: table]
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Findings of this severity or worse give exit code 1: info, low, medium, high, critical, or none
    #[arg(long, value_name = "SEVERITY", default_value = "low")]
    fail_on: Threshold,
    /// Compare with an earlier SARIF log; then only new findings give exit code 1
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Accept that not everything was looked at: exit code 2 only when the run failed
    #[arg(long)]
    allow_partial: bool,
}

/// From which severity on findings matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Threshold(Option<Severity>);

impl FromStr for Threshold {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        if word.eq_ignore_ascii_case("none") {
            return Ok(Self(None));
        }
        word.parse().map(|severity| Self(Some(severity))).map_err(|_| {
            let near = crashwise_core::nearest(word, ["info", "low", "medium", "high", "critical", "none"]);
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            format!("expected info, low, medium, high, critical or none{hint}")
        })
    }
}

impl ReportArgs {
    /// Finds out what cannot be written or read before anything runs.
    pub(super) fn prepare(&self) -> Result<Vec<Destination>, Failure> {
        for (n, path) in self.output.iter().enumerate() {
            if self.output[..n].contains(path) {
                return Err(Failure::usage(format!("--output names {} twice", path.display())));
            }
        }
        if let Some(path) = &self.baseline {
            check_baseline(path)?;
        }
        self.output.iter().map(|path| Destination::prepare(path, self.format)).collect()
    }

    /// Writes the report where it is wanted and says how the program ends.
    pub(super) fn report(
        &self,
        run: &RunReport,
        destinations: Vec<Destination>,
        terminal: &Terminal,
    ) -> Result<Exit, Failure> {
        let mut report = run.for_reports();
        if let Some(path) = &self.baseline {
            let path = path.clone();
            let earlier = SarifLog::new(move || File::open(&path), ReadOptions::new());
            let comparison = Comparison::new(earlier, &*report.findings).map_err(|error| {
                Failure::failed(format!("the findings could not be compared with the baseline: {error}"))
            })?;
            report = report.with_comparison(comparison);
        }
        let exit = self.verdict(run, &report);
        report = report.with_exit_code(exit.code().into());
        let to_files = !destinations.is_empty();
        let mut written = Vec::new();
        for destination in destinations {
            written.push(destination.write(&report)?);
        }
        match self.format {
            Some(format) if !to_files => output::print(format, &report, terminal)?,
            _ if terminal.is_quiet() => {}
            _ => output::print(Format::Table, &report, terminal)?,
        }
        for path in written {
            terminal.note(&format!("wrote {}", path.display()));
        }
        if run.status != RunStatus::Completed {
            let cause = run.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
            terminal.error(&format!("the run {}{cause}", run.status.ended()));
        } else if exit == Exit::Incomplete {
            terminal.warn("not everything was looked at; --allow-partial accepts that");
        }
        Ok(exit)
    }

    /// Failure goes over findings: what is incomplete cannot be called clean, nor be called all there is.
    fn verdict(&self, run: &RunReport, report: &Report) -> Exit {
        let covered = match run.coverage.status {
            CoverageStatus::Complete => true,
            CoverageStatus::Partial => self.allow_partial,
            CoverageStatus::Failed => false,
        };
        let counts: SeverityCounts =
            report.comparison.as_ref().map_or(run.counts, |comparison| comparison.new);
        if run.status != RunStatus::Completed || !covered {
            Exit::Incomplete
        } else if self.fail_on.0.is_some_and(|severity| counts.at_least(severity) > 0) {
            Exit::Findings
        } else {
            Exit::Clean
        }
    }
}

/// A baseline that is no SARIF is found out before the run.
fn check_baseline(path: &Path) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::usage(format!(
            "baseline {} could not be read: {}",
            path.display(),
            crashwise_core::error_chain(error)
        ))
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    crashwise_sarif::read(file, &ReadOptions::new(), &mut |_| Ok(())).map_err(|error| failed(&error))?;
    Ok(())
}
