//! `crashwise runs list`.

use crate::cli::exit::{Exit, Failure};
use crate::cli::explain;
use crate::cli::terminal::{BAD, BOLD, DIM, GOOD, Terminal, WARN, plain};
use crate::{RunFilter, RunStatus, RunSummary};
use anstyle::Style;
use clap::Args;
use std::time::{Duration, UNIX_EPOCH};

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Only runs of this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Only runs of this status: pending, running, paused, completed, failed, cancelled or `timed_out`
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<RunStatus>,
    /// At most so many; 0 means all
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn status(word: &str) -> Result<RunStatus, String> {
    RunStatus::from_word(word).ok_or_else(|| {
        let words = RunStatus::ALL.map(RunStatus::as_str);
        let hint = crashwise_core::nearest(word, words).map(|near| format!(" (did you mean {near:?}?)"));
        format!("expected one of {}{}", words.join(", "), hint.unwrap_or_default())
    })
}

impl ListArgs {
    /// Which runs are meant.
    pub(super) fn filter(&self) -> RunFilter {
        let mut filter = RunFilter::new().with_limit(self.limit);
        if let Some(name) = &self.workflow {
            filter = filter.with_workflow(name);
        }
        if let Some(status) = self.status {
            filter = filter.with_status(status);
        }
        filter
    }
}

pub(super) fn show(args: &ListArgs, runs: &[RunSummary], terminal: &Terminal) -> Result<Exit, Failure> {
    if args.json {
        terminal.print(|out| explain::json(out, &runs))?;
        return Ok(Exit::Clean);
    }
    if runs.is_empty() {
        terminal.note("no runs");
        return Ok(Exit::Clean);
    }
    let workflow = runs.iter().map(|run| run.workflow.chars().count()).max().unwrap_or(0).clamp(8, 24);
    let room =
        terminal.width().map_or(usize::MAX, |width| width.saturating_sub(13 + 10 + 20 + workflow + 8).max(8));
    terminal.print(|out| {
        writeln!(
            out,
            "{BOLD}{:13}  {:10}  {:workflow$}  {:20}  TARGET{BOLD:#}",
            "RUN", "STATUS", "WORKFLOW", "BEGAN"
        )?;
        for run in runs {
            let (word, style) = word(run);
            let name = explain::shortened(&run.workflow, workflow);
            let target = tail(&plain(&run.target), room);
            let began = time(run.submitted_ms);
            writeln!(
                out,
                "{:13.13}  {style}{word:10}{style:#}  {name:workflow$}  {DIM}{began}{DIM:#}  {target}",
                run.run_id.as_str()
            )?;
        }
        Ok(())
    })?;
    Ok(Exit::Clean)
}

/// The status in a word; a run that nobody carries out is abandoned.
pub(super) fn word(run: &RunSummary) -> (&'static str, Style) {
    match run.status {
        RunStatus::Completed => ("completed", GOOD),
        RunStatus::Failed => ("failed", BAD),
        RunStatus::TimedOut => ("timed out", BAD),
        RunStatus::Cancelled => ("cancelled", WARN),
        RunStatus::Paused => ("paused", WARN),
        RunStatus::Pending | RunStatus::Running if !run.owned => ("abandoned", WARN),
        RunStatus::Pending => ("pending", DIM),
        RunStatus::Running => ("running", BOLD),
    }
}

/// A time as RFC 3339 in UTC, to the second.
pub(super) fn time(ms: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}

/// The end of a text that is too long.
fn tail(text: &str, room: usize) -> String {
    let count = text.chars().count();
    if count <= room {
        text.to_owned()
    } else {
        ['…'].into_iter().chain(text.chars().skip(count - room + 1)).collect()
    }
}
