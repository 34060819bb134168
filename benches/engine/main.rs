//! The engine: cost of a step, durable steps against the disk's own speed, replay, long journals, runs that wait.
//!
//! ```text
//! cargo bench --bench engine -- [overhead] [durable] [replay] [open] [parked] [--folder DIR] [--steps N] [--kept DIR]
//!     [--runs N]
//! ```
//!
//! Without a name everything is measured. `--folder` is where journals are written; it should be on the disk that counts.
//! `--steps` is how many are replayed. With `--kept`, the first call leaves a run that waits in that folder, and the next
//! replays it. `--runs` measures the durable steps of so many runs only.
//! The bench of the peers is `benches/engine/peers.sh`.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod disk;
mod flow;
mod journal;
#[path = "../measure.rs"]
mod measure;
mod step;

use std::path::PathBuf;
use tokio::runtime::{Builder, Runtime};

fn main() {
    let mut folder = std::env::temp_dir();
    let mut steps = 100_000;
    let mut kept: Option<PathBuf> = None;
    let mut only: Option<u64> = None;
    let mut wanted: Vec<String> = Vec::new();
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--folder" => folder = PathBuf::from(arguments.next().expect("--folder has a value")),
            "--steps" => {
                steps = arguments.next().and_then(|steps| steps.parse().ok()).expect("--steps has a number");
            }
            "--kept" => kept = arguments.next().map(PathBuf::from),
            "--runs" => only = arguments.next().and_then(|runs| runs.parse().ok()),
            _ => wanted.push(argument),
        }
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load {}, journals in {}", load.trim(), folder.display());
    if is_wanted("parked") {
        // First, while the process is small.
        step::parked(10_000);
    }
    if is_wanted("overhead") {
        step::overhead(20_000);
    }
    if is_wanted("durable") {
        for (runs, steps, turns) in [(1, 40, 40), (16, 40, 20), (256, 40, 5), (10_000, 6, 2)] {
            if only.is_none_or(|only| only == runs) {
                journal::durable(&folder, runs, steps, turns);
            }
        }
    }
    if is_wanted("replay") {
        journal::replay(&folder, kept.as_deref(), steps);
    }
    if is_wanted("open") {
        journal::open(&folder, 1_000, 500);
    }
}

/// A runtime as a program has it.
fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().expect("a runtime")
}
