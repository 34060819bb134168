//! Runs that are written down.

use crate::disk::Probe;
use crate::flow::{Flow, TIMES, request};
use crate::measure::{median, process_seconds};
use crate::runtime;
use crate::step::each;
use crashwise_core::RunId;
use crashwise_runner::{Durability, RunFilter, RunStatus, RunStore, Runner, RunnerBuilder};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

fn on(folder: &Path) -> RunnerBuilder {
    Runner::builder().state_dir(folder).workflow(Flow).max_concurrent(1_000_000)
}

/// Durable steps per second, as a share of what the disk can do at that very time: both take turns.
pub fn durable(folder: &Path, runs: u64, steps: u64, turns: u32) {
    let runtime = runtime();
    let state = tempfile::tempdir_in(folder).expect("a folder");
    let runner = runtime.block_on(async { on(state.path()).build().expect("a runner") });
    let (mut took, mut rates, mut shares) = (Duration::ZERO, Vec::new(), Vec::new());
    let mut probe = Probe::new(folder);
    let mut before = probe.turn();
    for _ in 0..turns {
        let turn = runtime.block_on(async {
            let submitting = (0..runs).map(|_| runner.submit(request(steps, false)));
            let began = Instant::now();
            let handles = futures::future::join_all(submitting).await;
            for handle in handles {
                let report = handle.expect("a run").wait().await.expect("a report");
                assert_eq!(report.status, RunStatus::Completed);
            }
            began.elapsed()
        });
        took += turn;
        let rate = 1e6 / each(turn, runs * steps);
        let after = probe.turn();
        rates.push(rate);
        // Against the disk right before and right after: its speed changes.
        shares.push(rate / f64::midpoint(before, after) * 100.0);
        before = after;
    }
    runtime.block_on(runner.shutdown());
    let (rate, ceiling) = (1e6 / each(took, runs * steps * u64::from(turns)), probe.per_second());
    println!(
        "durable: {runs} runs of {steps} steps, {turns} turns: {rate:.0} steps/s (median {:.0}), {ceiling:.0} syncs/s; median share of a turn {:.0} %",
        median(rates),
        median(shares)
    );
}

/// How long a run takes to come back to where it was. In a folder that is kept, the first call leaves a run that waits and the
/// next replays it: for profiles of nothing but the replay.
pub fn replay(folder: &Path, kept: Option<&Path>, steps: u64) {
    let runtime = runtime();
    let state = tempfile::tempdir_in(folder).expect("a folder");
    let state = kept.unwrap_or(state.path());
    let waiting = RunFilter::new().with_status(RunStatus::Running);
    let known = RunStore::open(state).ok().and_then(|store| store.list(&waiting).expect("runs").pop());
    let id = match known {
        Some(run) => run.run_id,
        None if kept.is_some() => {
            let id = runtime.block_on(leave(state, steps));
            return println!("replay: run {id} waits after {steps} steps in {}", state.display());
        }
        None => runtime.block_on(leave(state, steps)),
    };
    runtime.block_on(async {
        let (began, spent) = (Instant::now(), process_seconds());
        let runner = on(state).build().expect("a runner");
        let handle = runner.handle(&id).expect("the run");
        handle.signal("go", json!(null)).await.expect("it takes signals");
        assert_eq!(handle.wait().await.expect("a report").status, RunStatus::Completed);
        let arrived = TIMES.lock().expect("a lock").arrived.expect("it went on");
        let took = arrived.duration_since(began);
        println!(
            "replay: {steps} steps in {:.2} s, {:.2} us each; {:.2} us of processor each until the report",
            took.as_secs_f64(),
            each(took, steps),
            each(Duration::from_secs_f64(process_seconds() - spent), steps)
        );
    });
}

/// Leaves a run behind that has done its steps and waits.
async fn leave(state: &Path, steps: u64) -> RunId {
    let runner = on(state).durability(Durability::Relaxed).build().expect("a runner");
    let handle = runner.submit(request(steps, true)).await.expect("a run");
    while handle.steps().len() < usize::try_from(steps).expect("a number") {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    runner.shutdown().await;
    handle.id().clone()
}

/// How long a large journal takes to open.
pub fn open(folder: &Path, runs: u64, steps: u64) {
    let runtime = runtime();
    let state = tempfile::tempdir_in(folder).expect("a folder");
    let waiting = 10;
    runtime.block_on(async {
        let runner = on(state.path()).durability(Durability::Relaxed).build().expect("a runner");
        let mut handles = Vec::new();
        for n in 0..runs {
            handles.push(runner.submit(request(steps, n < waiting)).await.expect("a run"));
        }
        for handle in &handles {
            while handle.steps().len() < usize::try_from(steps).expect("a number")
                && !handle.status().is_final()
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        runner.shutdown().await;
    });
    let began = Instant::now();
    let store = RunStore::open(state.path()).expect("a journal");
    let listed = store.list(&RunFilter::new().with_limit(20)).expect("runs").len();
    let read = began.elapsed();
    let began = Instant::now();
    let recovered = runtime.block_on(async {
        let runner = on(state.path()).recover_runs(false).build().expect("a runner");
        let recovered = runner.recover().expect("runs");
        assert_eq!(recovered.runs.len(), usize::try_from(waiting).expect("a number"));
        let took = began.elapsed();
        runner.shutdown().await;
        took
    });
    println!(
        "open: {runs} runs of {steps} steps, {} events or more: {listed} runs listed after {:.0} ms, runs carried on after {:.0} ms",
        runs * steps * 2,
        read.as_secs_f64() * 1e3,
        recovered.as_secs_f64() * 1e3
    );
}
