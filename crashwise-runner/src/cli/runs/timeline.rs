//! `crashwise runs show`: the steps of a run as bars over time.

use super::list::{time, word};
use crate::cli::exit::{Exit, Failure};
use crate::cli::explain::shortened;
use crate::cli::progress::seconds;
use crate::cli::terminal::{BAD, BOLD, DIM, GOOD, Terminal, WARN, plain};
use crate::{RunReport, RunStore, StepReport, StepStatus};
use anstyle::Style;
use crashwise_core::RunId;
use std::io::{self, Write};

pub(super) fn show(store: &RunStore, id: &RunId, terminal: &Terminal) -> Result<Exit, Failure> {
    let summary = store.summary(id)?;
    let report = store.report(id)?;
    let waiting = store.waiting_approvals(id)?;
    terminal.print(|out| {
        let (status, style) = word(&summary);
        let name = format!("{} {}", summary.workflow, summary.workflow_version);
        writeln!(out, "{BOLD}{name}{BOLD:#} on {}", plain(&summary.target))?;
        writeln!(out, "run {id}  {style}{status}{style:#}")?;
        let took = if report.duration.is_zero() {
            String::new()
        } else {
            format!(", took {}", seconds(report.duration))
        };
        writeln!(out, "asked for {}{took}", time(summary.submitted_ms))?;
        if let Some(from) = &summary.forked_from {
            writeln!(out, "takes over what run {from} had done")?;
        }
        if let Some(error) = &summary.error {
            writeln!(out, "{BAD}{}{BAD:#}", plain(error))?;
        }
        draw(out, &report, terminal.width().unwrap_or(100))?;
        for request in &waiting {
            writeln!(
                out,
                "\n{WARN}waits for approval{WARN:#} {}: {}",
                plain(&request.name),
                plain(&request.prompt)
            )?;
        }
        Ok(())
    })?;
    Ok(Exit::Clean)
}

fn draw(out: &mut dyn Write, report: &RunReport, width: usize) -> io::Result<()> {
    let Some(begin) = report.steps.iter().map(|step| step.started_ms).min() else { return Ok(()) };
    let end_of = |step: &StepReport| step.started_ms + u64::try_from(step.duration.as_millis()).unwrap_or(0);
    let end = report.steps.iter().map(end_of).max().unwrap_or(begin);
    let whole = end.saturating_sub(begin).max(1);
    let names =
        report.steps.iter().map(|step| step.key.as_str().chars().count()).max().unwrap_or(0).min(width / 4);
    let room = u64::try_from((width / 3).clamp(10, 60)).unwrap_or(10);
    writeln!(out)?;
    for step in &report.steps {
        let from = step.started_ms.saturating_sub(begin).saturating_mul(room) / whole;
        let to = end_of(step).saturating_sub(begin).saturating_mul(room).div_ceil(whole);
        let from = from.min(room - 1);
        let to = to.clamp(from + 1, room);
        let (style, fill, text) = appearance(step);
        let bar: String = (0..room).map(|at| if (from..to).contains(&at) { fill } else { ' ' }).collect();
        let name = shortened(&plain(step.key.as_str()), names);
        let used = 2 + names + 2 + usize::try_from(room).unwrap_or(0) + 2;
        let text = shortened(&plain(&text), width.saturating_sub(used).max(16));
        writeln!(out, "  {name:names$} {DIM}|{DIM:#}{style}{bar}{style:#}{DIM}|{DIM:#} {text}")?;
    }
    Ok(())
}

/// The colour of a step's bar, what it is drawn with, and what is said of the step.
fn appearance(step: &StepReport) -> (Style, char, String) {
    let took = seconds(step.duration);
    let tries = if step.attempts > 1 { format!(", {} attempts", step.attempts) } else { String::new() };
    let found = match step.counts.total() {
        0 => String::new(),
        1 => ", 1 finding".to_owned(),
        many => format!(", {many} findings"),
    };
    let error = step.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
    let waits = matches!(step.kind.as_str(), "sleep" | "approval" | "signal");
    match step.status {
        StepStatus::Completed if waits => (DIM, '·', format!("{} {took}", step.kind)),
        StepStatus::Completed => (GOOD, '█', format!("{took}{tries}{found}")),
        StepStatus::Cached => (GOOD, '░', format!("from the cache{found}")),
        StepStatus::Skipped => (DIM, '-', "skipped".to_owned()),
        StepStatus::Failed => (BAD, '█', format!("{took}{tries}, failed{error}")),
        StepStatus::TimedOut => (BAD, '█', format!("{took}{tries}, ran out of time")),
        StepStatus::Cancelled => (WARN, '█', format!("{took}, cancelled")),
    }
}
