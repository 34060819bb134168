//! `crashwise runs show`: the steps of a run as bars over time.

use super::list::{time, word};
use crate::cli::exit::{Exit, Failure};
use crate::cli::explain::shortened;
use crate::cli::progress::{seconds, statistics};
use crate::cli::terminal::{BAD, BOLD, DIM, GOOD, Terminal, WARN, plain};
use crate::{CacheHit, LatestStats, OpenStep, RunStore, RunSummary, StepReport, StepStatus};
use anstyle::Style;
use crashwise_core::RunId;
use crashwise_core::workflow::{ApprovalRequest, Decision, StepKey};
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

/// What is shown of a run.
pub(super) struct View {
    pub(super) summary: RunSummary,
    /// The steps that ended.
    pub(super) steps: Vec<StepReport>,
    /// How long the run took, when it is over.
    pub(super) duration: Duration,
    pub(super) waiting: Vec<ApprovalRequest>,
    pub(super) decisions: Vec<(StepKey, Decision)>,
    /// The steps that go on.
    pub(super) open: Vec<OpenStep>,
    pub(super) latest: Vec<LatestStats>,
}

impl View {
    /// A run of this machine.
    pub(super) fn of(store: &RunStore, id: &RunId) -> Result<Self, Failure> {
        let report = store.report(id)?;
        Ok(Self {
            summary: store.summary(id)?,
            steps: report.steps,
            duration: report.duration,
            waiting: store.waiting_approvals(id)?,
            decisions: store.decisions(id)?,
            open: store.open_steps(id)?,
            latest: store.stats(id)?,
        })
    }
}

pub(super) fn show(view: &View, terminal: &Terminal) -> Result<Exit, Failure> {
    let View { summary, steps, waiting, decisions, open, latest, .. } = view;
    let now = UNIX_EPOCH.elapsed().map_or(0, millis);
    let mut rows: Vec<Row> = steps.iter().map(Row::of).collect();
    for (step, row) in steps.iter().zip(&mut rows) {
        if let Some((_, decision)) = decisions.iter().find(|(key, _)| *key == step.key) {
            row.decided(decision);
        }
    }
    rows.extend(open.iter().map(|step| Row::open(step, summary.owned, now, latest)));
    terminal.print(|out| {
        let (status, style) = word(summary);
        let name = format!("{} {}", summary.workflow, summary.workflow_version);
        writeln!(out, "{BOLD}{name}{BOLD:#} on {}", plain(&summary.target))?;
        writeln!(out, "run {}  {style}{status}{style:#}", summary.run_id)?;
        writeln!(out, "asked for {}{}", time(summary.submitted_ms), took(view))?;
        if let Some(from) = &summary.forked_from {
            writeln!(out, "takes over what run {from} had done")?;
        }
        if let Some(parent) = &summary.parent {
            writeln!(out, "part of run {parent}")?;
        }
        if let Some(error) = &summary.error {
            writeln!(out, "{BAD}{}{BAD:#}", plain(error))?;
        }
        draw(out, &rows, terminal.width().unwrap_or(100))?;
        for request in waiting {
            let prompt =
                if request.prompt.is_empty() { String::new() } else { format!(": {}", request.prompt) };
            writeln!(out, "\n{WARN}waits for approval{WARN:#} {}{}", plain(&request.name), plain(&prompt))?;
        }
        Ok(())
    })?;
    Ok(Exit::Clean)
}

fn took(view: &View) -> String {
    if view.duration.is_zero() || !view.summary.status.is_final() {
        String::new()
    } else {
        format!(", took {}", seconds(view.duration))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A step in the picture.
struct Row {
    name: String,
    from_ms: u64,
    to_ms: u64,
    style: Style,
    fill: char,
    text: String,
}

impl Row {
    fn of(step: &StepReport) -> Self {
        let (style, fill, text) = appearance(step);
        Self {
            name: plain(step.key.as_str()),
            from_ms: step.started_ms,
            to_ms: step.started_ms.saturating_add(millis(step.duration)),
            style,
            fill,
            text,
        }
    }

    /// An approval says who gave it.
    fn decided(&mut self, decision: &Decision) {
        let (style, word) = if decision.approved { (DIM, "approved") } else { (BAD, "rejected") };
        let comment =
            if decision.comment.is_empty() { String::new() } else { format!(": {}", decision.comment) };
        self.style = style;
        self.text = format!("{word} by {}{comment}", decision.by);
    }

    /// A step that goes on, or went on when the last owner of the run ended.
    fn open(step: &OpenStep, owned: bool, now: u64, stats: &[LatestStats]) -> Self {
        let since = seconds(Duration::from_millis(now.saturating_sub(step.since_ms)));
        let until = step.until_ms.map(|ms| format!(" until {}", time(ms))).unwrap_or_default();
        let (style, fill, text) = match step.kind.as_str() {
            "sleep" => (DIM, '·', format!("sleeps{until}")),
            "approval" => (WARN, '·', format!("waits for approval{until}")),
            "signal" => (WARN, '·', format!("waits for signal {}", step.module)),
            _ if !owned => (WARN, '▒', "left open by a process that is gone".to_owned()),
            _ => {
                let latest = stats.iter().find(|latest| latest.step == step.key.as_str());
                let latest = latest.map(|latest| format!(", {}", statistics(&latest.stats)));
                (BOLD, '▒', format!("runs for {since}{}", latest.unwrap_or_default()))
            }
        };
        Self {
            name: plain(step.key.as_str()),
            from_ms: step.since_ms,
            to_ms: if owned { now.max(step.since_ms) } else { step.since_ms },
            style,
            fill,
            text,
        }
    }
}

fn draw(out: &mut dyn Write, rows: &[Row], width: usize) -> io::Result<()> {
    let Some(begin) = rows.iter().map(|row| row.from_ms).min() else { return Ok(()) };
    let end = rows.iter().map(|row| row.to_ms).max().unwrap_or(begin);
    let whole = end.saturating_sub(begin).max(1);
    let names = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).min(width / 4);
    let room = u64::try_from((width / 3).clamp(10, 60)).unwrap_or(10);
    writeln!(out)?;
    for row in rows {
        let from = row.from_ms.saturating_sub(begin).saturating_mul(room) / whole;
        let to = row.to_ms.saturating_sub(begin).saturating_mul(room).div_ceil(whole);
        let from = from.min(room - 1);
        let to = to.clamp(from + 1, room);
        let bar: String = (0..room).map(|at| if (from..to).contains(&at) { row.fill } else { ' ' }).collect();
        let name = shortened(&row.name, names);
        let used = 2 + names + 2 + usize::try_from(room).unwrap_or(0) + 2;
        let text = shortened(&plain(&row.text), width.saturating_sub(used).max(16));
        let style = row.style;
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
        StepStatus::Cached => (GOOD, '░', format!("cached{}{found}", saved(step.cached, step.started_ms))),
        StepStatus::Skipped => (DIM, '-', "skipped".to_owned()),
        StepStatus::Failed => (BAD, '█', format!("{took}{tries}, failed{error}")),
        StepStatus::TimedOut => (BAD, '█', format!("{took}{tries}, ran out of time")),
        StepStatus::Cancelled => (WARN, '█', format!("{took}, cancelled")),
    }
}

/// How old a cached result was when it was taken, and what making it took.
fn saved(hit: Option<CacheHit>, taken_ms: u64) -> String {
    let Some(hit) = hit else { return String::new() };
    let age = Duration::from_millis(taken_ms.saturating_sub(hit.made_ms));
    format!(", {} old, saved {}", seconds(age), seconds(Duration::from_millis(hit.cost_ms)))
}
