//! `crashwise runs logs`: what happened in a run, one line for each event.

use super::list::time;
use crate::cli::exit::{Exit, Failure};
use crate::cli::explain::shortened;
use crate::cli::progress::statistics;
use crate::cli::terminal::{DIM, Terminal, plain};
use crate::{HistoryEvent, LatestStats, RunStore};
use crashwise_core::RunId;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(200);

/// How often statistics of a step are printed.
const STATISTICS: u64 = 2_000;

/// How far the history is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// What has happened.
    Now,
    /// Until the run is over, or nobody carries it out any more.
    TheEnd,
    /// The same, with statistics of the steps that run.
    TheEndWithStatistics,
}

/// Prints the history.
pub(super) fn print(
    store: &RunStore,
    id: &RunId,
    until: Until,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let mut seen = 0;
    let mut open: BTreeSet<String> = BTreeSet::new();
    let mut shown: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        // Asked before the history, so that the last events are not missed.
        let summary = store.summary(id)?;
        let history = store.history(id)?;
        // What was taken over from another run did not begin in this one.
        let asked_for = history.first().map_or(0, |event| event.at_ms);
        terminal.print(|out| {
            let mut news = history.iter().filter(|event| event.seq > seen);
            news.try_for_each(|event| {
                if let Some(step) = &event.step {
                    match event.kind.as_str() {
                        "step_started" => drop(open.insert(step.clone())),
                        "step_ended" if !open.remove(step) => {
                            let begin = begin_of(event).filter(|begin| begin.at_ms >= asked_for);
                            begin.iter().try_for_each(|begin| line(out, begin))?;
                        }
                        _ => {}
                    }
                }
                line(out, event)
            })
        })?;
        seen = history.last().map_or(seen, |event| event.seq);
        if until == Until::TheEndWithStatistics {
            let running = store.open_steps(id)?;
            let latest = store.stats(id)?.into_iter();
            let latest = latest.filter(|latest| running.iter().any(|step| step.key.as_str() == latest.step));
            for LatestStats { step, at_ms, stats } in latest {
                let last = shown.entry(step.clone()).or_default();
                if at_ms >= last.saturating_add(STATISTICS) {
                    *last = at_ms;
                    let text = plain(&statistics(&stats));
                    let step = plain(&step);
                    terminal.print(|out| {
                        writeln!(out, "{DIM}{} statistics {step}  {text}{DIM:#}", time(at_ms))
                    })?;
                }
            }
        }
        if until == Until::Now || summary.status.is_final() {
            return Ok(Exit::Clean);
        }
        if !summary.owned {
            terminal.warn(&format!("nobody carries out run {id}; `crashwise runs resume {id}` does"));
            return Ok(Exit::Incomplete);
        }
        std::thread::sleep(EVERY);
    }
}

/// The begin of a step that was over so soon that its end alone is kept.
fn begin_of(end: &HistoryEvent) -> Option<HistoryEvent> {
    let text = |key: &str| end.event.get(key).and_then(Value::as_str);
    let number = |key: &str| end.event.get(key).and_then(Value::as_u64);
    let begins = matches!(text("kind"), Some("module" | "closure" | "child" | "signal"));
    let ran = number("attempts") > Some(0) || end.event.get("cached").is_some();
    (begins && ran).then(|| HistoryEvent {
        seq: end.seq,
        at_ms: number("started_ms").unwrap_or(end.at_ms),
        kind: "step_started".to_owned(),
        step: end.step.clone(),
        event: json!({"module": text("module")}),
    })
}

/// Writes an event as a line.
pub(super) fn line(out: &mut dyn Write, event: &HistoryEvent) -> io::Result<()> {
    let step = event.step.as_deref().map(|step| format!(" {}", plain(step))).unwrap_or_default();
    let details = details(&event.event);
    writeln!(out, "{DIM}{}{DIM:#} {}{step}{details}", time(event.at_ms), event.kind.replace('_', " "))
}

/// An event as a line without colours.
pub(super) fn plain_line(event: &HistoryEvent) -> String {
    let step = event.step.as_deref().map(|step| format!(" {}", plain(step))).unwrap_or_default();
    format!("{} {}{step}{}", time(event.at_ms), event.kind.replace('_', " "), details(&event.event))
}

/// What is worth a look in an event: errors, states, names, who decided. Not parameters, which may hold secrets.
fn details(event: &Value) -> String {
    let mut found = Vec::new();
    collect(event, 0, &mut found);
    if found.is_empty() { String::new() } else { format!("  {}", found.join(" ")) }
}

fn collect(value: &Value, depth: u8, found: &mut Vec<String>) {
    let Some(entries) = value.as_object().filter(|_| depth < 4) else { return };
    for (name, value) in entries {
        match (name.as_str(), value) {
            ("params" | "output" | "summary" | "coverage", _) => {}
            (
                "status" | "error" | "message" | "module" | "workflow" | "name" | "by" | "comment",
                Value::String(text),
            ) if !text.is_empty() => {
                push(found, format!("{name}={}", shortened(&plain(text), 100)));
            }
            ("attempt" | "attempts", Value::Number(number)) if number.as_u64() > Some(1) => {
                push(found, format!("{name}={number}"));
            }
            ("approved", Value::Bool(yes)) => push(found, format!("approved={yes}")),
            (_, Value::Object(_)) => collect(value, depth + 1, found),
            _ => {}
        }
    }
}

/// An event says some things twice.
fn push(found: &mut Vec<String>, text: String) {
    if !found.contains(&text) {
        found.push(text);
    }
}
