//! `crashwise runs logs`: what happened in a run, one line for each event.

use super::list::time;
use crate::RunStore;
use crate::cli::exit::{Exit, Failure};
use crate::cli::explain::shortened;
use crate::cli::terminal::{DIM, Terminal, plain};
use crashwise_core::RunId;
use serde_json::Value;
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(200);

/// Prints the history; with `follow` until the run is over or nobody carries it out any more.
pub(super) fn print(
    store: &RunStore,
    id: &RunId,
    follow: bool,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let mut seen = 0;
    loop {
        // Asked before the history, so that the last events are not missed.
        let summary = store.summary(id)?;
        let history = store.history(id)?;
        terminal.print(|out| {
            for event in history.iter().filter(|event| event.seq > seen) {
                let step = event.step.as_deref().map(|step| format!(" {}", plain(step))).unwrap_or_default();
                let details = details(&event.event);
                writeln!(
                    out,
                    "{DIM}{}{DIM:#} {}{step}{details}",
                    time(event.at_ms),
                    event.kind.replace('_', " ")
                )?;
            }
            Ok(())
        })?;
        seen = history.last().map_or(seen, |event| event.seq);
        if !follow || summary.status.is_final() {
            return Ok(Exit::Clean);
        }
        if !summary.owned {
            terminal.warn(&format!("nobody carries out run {id}; `crashwise runs resume {id}` does"));
            return Ok(Exit::Incomplete);
        }
        std::thread::sleep(EVERY);
    }
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
            ("params" | "output" | "summary", _) => {}
            (
                "status" | "error" | "message" | "module" | "workflow" | "name" | "by" | "comment",
                Value::String(text),
            ) if !text.is_empty() => {
                found.push(format!("{name}={}", shortened(&plain(text), 100)));
            }
            ("attempt" | "attempts", Value::Number(number)) if number.as_u64() > Some(1) => {
                found.push(format!("{name}={number}"));
            }
            ("approved", Value::Bool(yes)) => found.push(format!("approved={yes}")),
            (_, Value::Object(_)) => collect(value, depth + 1, found),
            _ => {}
        }
    }
}
