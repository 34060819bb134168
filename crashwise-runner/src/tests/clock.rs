//! The time of day jumps: forward, back, again and again. Waits within a process go by a clock that does not.

use super::random::Random;
use crate::engine::Clock;
use crate::{Durability, RunRequest, RunStatus, Runner};
use crashwise_core::workflow::{StepErrorKind, StepKey, Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, Target};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const HOUR: i64 = 3_600_000;
const YEAR: i64 = 365 * 24 * HOUR;
const SEEDS: u64 = 500;

/// Sleeps, asks, sleeps side by side; tells when each wait began and ended.
#[derive(Clone, Default)]
struct Waits {
    seen: Arc<Mutex<BTreeMap<String, Vec<Instant>>>>,
}

impl Waits {
    async fn note(&self, cx: &WorkflowContext, name: &str) -> Result<(), WorkflowError> {
        let seen = Arc::clone(&self.seen);
        let work = cx.step(name).run(move |cx| {
            let key = format!("{} {}", cx.identity().run, cx.identity().step);
            seen.lock().unwrap().entry(key).or_default().push(Instant::now());
            async { Ok(()) }
        });
        Ok(work.await?)
    }

    /// How long lay between two notes of a run; each was made once.
    fn between(&self, run: &str, first: &str, last: &str) -> Duration {
        let seen = self.seen.lock().unwrap();
        let at = |name: &str| {
            let times = &seen[&format!("{run} {name}")];
            assert_eq!(times.len(), 1, "{run} {name} was carried out {} times", times.len());
            times[0]
        };
        at(last).duration_since(at(first))
    }
}

impl Workflow for Waits {
    type Params = BTreeMap<String, u64>;
    type Output = Value;

    fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::new("waits", semver::Version::new(1, 0, 0), "Waits in many ways.");
        metadata.parameters = json!({"type": "object", "properties": {"ms": {"type": "integer"}}});
        metadata
    }

    async fn run(&self, cx: &WorkflowContext, params: Self::Params) -> Result<Value, WorkflowError> {
        let wait = Duration::from_millis(params["ms"]);
        self.note(cx, "begin").await?;
        cx.sleep(wait).await?;
        self.note(cx, "slept").await?;
        let error = cx.approval("never").timeout(wait).decide().await.unwrap_err();
        self.note(cx, "asked").await?;
        let parts = cx
            .map("map", 2, 1..=2_u64, |cx, part| async move {
                cx.sleep(wait).await?;
                Ok::<_, WorkflowError>(part)
            })
            .await?;
        self.note(cx, "end").await?;
        Ok(json!([error.kind == StepErrorKind::TimedOut, parts]))
    }
}

/// Lets the clock jump until it is dropped.
struct Jumps(Option<tokio::task::JoinHandle<()>>);

impl Jumps {
    fn begin(clock: Clock, seed: u64) -> Self {
        let mut random = Random(seed);
        Self(Some(tokio::spawn(async move {
            loop {
                clock.jump_to(match random.below(6) {
                    0 => -HOUR,
                    1 => 10 * YEAR,
                    2 => -10 * YEAR,
                    3 => HOUR,
                    4 => 0,
                    _ => i64::try_from(random.below(5_000)).unwrap() - 2_500,
                });
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })))
    }
}

impl Drop for Jumps {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

fn request(ms: u64) -> RunRequest {
    RunRequest::new("waits", Target::Directory(".".into())).with_params(json!({"ms": ms}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_fire_once_and_never_early_while_the_clock_jumps() {
    let waits = Waits::default();
    let runner = Runner::builder().workflow(waits.clone()).max_concurrent(1_000).build().unwrap();
    let _jumps = Jumps::begin(runner.core().clock.clone(), 7);
    let mut runs = Vec::new();
    let mut random = Random(1);
    for _ in 0..SEEDS {
        let ms = 1 + random.below(60);
        // Much more than it needs by a clock that does not jump, nothing by one that does.
        let request = request(ms).with_timeout(Duration::from_mins(10));
        runs.push((ms, runner.submit(request).await.unwrap()));
    }
    for (ms, handle) in runs {
        let report = handle.wait().await.unwrap();
        assert_eq!((report.status, &report.output), (RunStatus::Completed, &json!([true, [1, 2]])));
        assert!(report.duration < Duration::from_mins(10), "{:?}", report.duration);
        for (first, last) in [("begin", "slept"), ("slept", "asked"), ("asked", "end")] {
            let took = waits.between(handle.id().as_str(), first, last);
            assert!(took >= Duration::from_millis(ms), "{last} after {took:?} of {ms} ms");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_goes_by_the_time_that_passed() {
    let runner = Runner::builder().workflow(Waits::default()).max_concurrent(1_000).build().unwrap();
    let _jumps = Jumps::begin(runner.core().clock.clone(), 9);
    let began = Instant::now();
    let limit = Duration::from_millis(150);
    let handle = runner.submit(request(600_000).with_timeout(limit)).await.unwrap();
    let report = handle.wait().await.unwrap();
    assert_eq!(report.status, RunStatus::TimedOut);
    let took = began.elapsed();
    assert!(took >= limit && took < Duration::from_secs(20), "{took:?}");
}

fn begin(folder: &Path, offset: i64, recover: bool) -> Runner {
    let runner = Runner::builder()
        .state_dir(folder)
        .durability(Durability::Relaxed)
        .recover_runs(false)
        .workflow(Waits::default())
        .build()
        .unwrap();
    runner.core().clock.jump_to(offset);
    if recover {
        assert_eq!(runner.recover().unwrap().runs.len(), 1);
    }
    runner
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_under_another_time_waits_at_most_the_rest_and_keeps_the_deadline() {
    // Offsets before and after the restart, and whether the sleep of a minute is over then.
    for (before, after, over) in
        [(0, 10 * YEAR, true), (0, HOUR, true), (0, -HOUR, false), (10 * YEAR, 0, false), (0, 0, false)]
    {
        let folder = tempfile::tempdir().unwrap();
        let runner = begin(folder.path(), before, false);
        let asked = request(60_000).with_timeout(Duration::from_mins(3));
        let handle = runner.submit(asked).await.unwrap();
        let sleeps = || {
            let open = runner.store().unwrap().open_steps(handle.id()).unwrap();
            open.iter().any(|step| step.key == StepKey::from_text("sleep"))
        };
        while !sleeps() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let id = handle.id().clone();
        runner.shutdown().await;
        let runner = begin(folder.path(), after, true);
        let handle = runner.handle(&id).unwrap();
        let slept = || handle.steps().iter().any(|step| step.key.as_str() == "slept");
        for _ in 0..if over { 4_000 } else { 30 } {
            if slept() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(slept(), over, "{before} then {after}");
        assert_eq!(handle.status(), RunStatus::Running, "the years between do not count as work");
        handle.cancel().await.unwrap();
        assert_eq!(handle.wait().await.unwrap().status, RunStatus::Cancelled);
        runner.shutdown().await;
    }
}
