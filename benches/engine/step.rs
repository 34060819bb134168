//! What a step and a waiting run cost when nothing is written.

use crate::flow::{Flow, request};
use crate::runtime;
use crashwise_runner::{RunStatus, Runner};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// A step against a task of the runtime that does the same. Workflow code lives on threads of its own, so the task that
/// counts is one that is waited for from another thread; one within the pool costs less, because it changes no thread.
pub fn overhead(count: u64) {
    let runtime = runtime();
    let single = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for _ in 0..5 {
        let inside = runtime.block_on(async { tokio::spawn(spawns(Handle::current(), count)).await });
        let across = single.block_on(spawns(runtime.handle().clone(), count));
        let ours = runtime.block_on(async {
            let runner = Runner::builder().workflow(Flow).build().expect("a runner");
            let began = Instant::now();
            let report = runner.run_request(request(count, false)).await.expect("a report");
            assert_eq!(report.status, RunStatus::Completed);
            began.elapsed()
        });
        let (inside, across, ours) =
            (each(inside.expect("no panic"), count), each(across, count), each(ours, count));
        println!(
            "overhead: step in memory {ours:.1} us, spawn and await from another thread {across:.1} us (within the pool {inside:.1} us), {:.1} us over it",
            ours - across
        );
    }
}

async fn spawns(pool: Handle, count: u64) -> Duration {
    let began = Instant::now();
    let mut sum = 0;
    for n in 0..count {
        sum += pool.spawn(async move { n }).await.expect("no panic");
    }
    assert_eq!(sum, count * (count - 1) / 2);
    began.elapsed()
}

/// Microseconds for each of many.
pub fn each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(u32::try_from(count).expect("not that many"))
}

/// Memory of runs that wait, and that all of them finish.
pub fn parked(count: u64) {
    let runtime = runtime();
    runtime.block_on(async {
        let runner = Runner::builder().workflow(Flow).check_determinism(false).build().expect("a runner");
        let warm = runner.submit(request(1, true)).await.expect("a run");
        warm.wait_for(RunStatus::Running).await.expect("it begins");
        let before = resident();
        let mut handles = vec![warm];
        for _ in 1..count {
            handles.push(runner.submit(request(1, true)).await.expect("a run"));
        }
        for handle in &handles {
            while handle.steps().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let used = resident().saturating_sub(before);
        println!("parked: {count} runs take {:.1} MiB, {} bytes each", mib(used), used / count);
        for handle in &handles {
            handle.signal("go", json!(null)).await.expect("it takes signals");
        }
        for handle in handles {
            assert_eq!(handle.wait().await.expect("a report").status, RunStatus::Completed);
        }
    });
}

/// Bytes of this process that are in memory.
pub fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// As mebibytes.
pub fn mib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / 1024.0
}
