//! Random programs, against a model of a few lines.

use super::random::Random;
use crate::{Durability, RunRequest, RunStatus, Runner, RunnerBuilder};
use crashwise_core::workflow::{Retry, StepFailure, Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, Target};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a program does.
#[derive(Debug, Clone)]
enum Op {
    Step(u64),
    /// A step that fails, which the program tolerates.
    Fails,
    /// A step that fails at first.
    Flaky(u64),
    Skip,
    Map(usize, Vec<Vec<Op>>),
    /// A program against a long sleep.
    Race(Vec<Op>),
    Sleep,
    Signal,
    Child(u64),
    Checkpoint(u64),
    Compensate,
}

fn program(random: &mut Random, depth: u32) -> Vec<Op> {
    let length = 1 + random.below(if depth == 0 { 8 } else { 3 });
    (0..length)
        .map(|_| match random.below(if depth < 2 { 12 } else { 7 }) {
            0 | 1 => Op::Step(random.below(1000)),
            2 => Op::Fails,
            3 => Op::Flaky(random.below(1000)),
            4 => Op::Skip,
            5 => Op::Sleep,
            6 => Op::Checkpoint(random.below(1000)),
            7 => Op::Map(
                1 + usize::try_from(random.below(3)).unwrap_or(0),
                (0..random.below(4)).map(|_| program(random, depth + 1)).collect(),
            ),
            8 => Op::Race(program(random, depth + 1)),
            9 if depth == 0 => Op::Signal,
            10 if depth == 0 => Op::Child(random.below(1_000_000)),
            11 => Op::Compensate,
            _ => Op::Step(0),
        })
        .collect()
}

fn mix(sum: u64, value: u64) -> u64 {
    sum.wrapping_mul(31).wrapping_add(value) % 1_000_003
}

/// What a program gives, and how many signals it takes.
fn model(ops: &[Op], signals: &mut u64) -> u64 {
    ops.iter().fold(7, |sum, op| {
        mix(
            sum,
            match op {
                Op::Step(value) | Op::Flaky(value) | Op::Checkpoint(value) => *value,
                Op::Fails => 999,
                Op::Skip => 998,
                Op::Sleep | Op::Compensate => 1,
                Op::Map(_, parts) => parts.iter().fold(3, |sum, part| mix(sum, model(part, signals))),
                Op::Race(part) => model(part, signals),
                Op::Signal => {
                    *signals += 1;
                    *signals
                }
                Op::Child(seed) => model(&program(&mut Random(*seed), 1), &mut 0),
            },
        )
    })
}

/// Runs the program of a seed.
#[derive(Clone)]
struct Interpreter {
    /// How often each step of each run was carried out.
    carried_out: Arc<Mutex<BTreeMap<String, u64>>>,
    steps: Arc<AtomicU64>,
}

impl Interpreter {
    fn run<'a>(
        &'a self,
        cx: &'a WorkflowContext,
        ops: &'a [Op],
    ) -> LocalBoxFuture<'a, Result<u64, WorkflowError>> {
        async move {
            let mut sum = 7;
            for op in ops {
                sum = mix(sum, self.op(cx, op).await?);
            }
            Ok(sum)
        }
        .boxed_local()
    }

    async fn op(&self, cx: &WorkflowContext, op: &Op) -> Result<u64, WorkflowError> {
        let quick = Retry::attempts(2).with_initial_interval(Duration::from_millis(1));
        let (count, steps) = (Arc::clone(&self.carried_out), Arc::clone(&self.steps));
        Ok(match op {
            Op::Step(value) => {
                let value = *value;
                let work = cx.step("step").run(move |cx| {
                    let key = format!("{} {}", cx.identity().run, cx.identity().step);
                    *count.lock().unwrap().entry(key).or_default() += 1;
                    steps.fetch_add(1, Ordering::Relaxed);
                    async move { Ok(value) }
                });
                work.await?
            }
            Op::Fails => {
                let failed =
                    cx.step("fails").run(|_| async { Err::<u64, _>(StepFailure::fatal("meant to")) }).await;
                failed.map_or(999, |value| value)
            }
            Op::Flaky(value) => {
                let value = *value;
                cx.step("flaky")
                    .retry(quick)
                    .run(move |cx| async move {
                        if cx.identity().attempt == 1 {
                            Err(std::io::Error::other("not yet").into())
                        } else {
                            Ok(value)
                        }
                    })
                    .await?
            }
            Op::Skip => cx.step("skip").when(false).run(|_| async { Ok(1) }).await?.unwrap_or(998),
            Op::Sleep => cx.sleep(Duration::from_millis(1)).await.map(|()| 1)?,
            Op::Checkpoint(value) => cx.checkpoint("checkpoint", value).await?,
            Op::Compensate => {
                cx.compensate("undo", |_| async {
                    Err(StepFailure::fatal("a run that succeeds undoes nothing"))
                });
                1
            }
            Op::Map(limit, parts) => {
                let results =
                    cx.map("map", *limit, parts, |cx, part| async move { self.run(&cx, part).await }).await?;
                results.into_iter().fold(3, mix)
            }
            Op::Race(part) => {
                let (one, two) = (cx.branch("one"), cx.branch("two"));
                let contenders: Vec<LocalBoxFuture<'_, Result<u64, WorkflowError>>> = vec![
                    Box::pin(async move {
                        two.sleep(Duration::from_mins(10)).await?;
                        Ok(0)
                    }),
                    Box::pin(async move { self.run(&one, part).await }),
                ];
                cx.race("race", contenders).await?.1?
            }
            Op::Signal => cx.signal::<u64>("number").await?,
            Op::Child(seed) => {
                let params = BTreeMap::from([("seed".to_owned(), *seed), ("depth".to_owned(), 1)]);
                cx.child("child", self.clone(), params).await?
            }
        })
    }
}

impl Workflow for Interpreter {
    type Params = BTreeMap<String, u64>;
    type Output = u64;

    fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::new("program", semver::Version::new(1, 0, 0), "Runs a random program.");
        metadata.parameters = json!({"type": "object", "properties": {"seed": {"type": "integer"}, "depth": {"type": "integer"}}});
        metadata
    }

    async fn run(&self, cx: &WorkflowContext, params: Self::Params) -> Result<u64, WorkflowError> {
        let depth = u32::try_from(params["depth"]).unwrap_or(0);
        let ops = program(&mut Random(params["seed"]), depth);
        Interpreter::run(self, cx, &ops).await
    }
}

async fn batch(
    builder: impl Fn(Interpreter) -> RunnerBuilder,
    seeds: std::ops::Range<u64>,
    restarts: u32,
) -> u64 {
    let interpreter = Interpreter { carried_out: Arc::default(), steps: Arc::default() };
    let mut runner: Runner = builder(interpreter.clone()).build().unwrap();
    let mut runs = Vec::new();
    for seed in seeds {
        let request = RunRequest::new("program", Target::Directory(".".into()))
            .with_params(json!({"seed": seed, "depth": 0}));
        let handle = runner.submit(request).await.unwrap();
        let mut signals = 0;
        let expect = model(&program(&mut Random(seed), 0), &mut signals);
        for n in 1..=signals {
            handle.signal("number", json!(n)).await.unwrap();
        }
        runs.push((seed, expect, handle.id().clone()));
    }
    for _ in 0..restarts {
        tokio::time::sleep(Duration::from_millis(20)).await;
        runner.shutdown().await;
        runner = builder(interpreter.clone()).build().unwrap();
    }
    for (seed, expect, id) in runs {
        let report = runner.handle(&id).unwrap().wait().await.unwrap();
        assert_eq!(
            (report.status, &report.output),
            (RunStatus::Completed, &Value::from(expect)),
            "seed {seed}: {report:?}"
        );
    }
    let carried_out = interpreter.carried_out.lock().unwrap();
    for (step, count) in carried_out.iter() {
        assert!(*count <= 1 + u64::from(restarts), "{step} was carried out {count} times");
    }
    interpreter.steps.load(Ordering::Relaxed)
}

#[test]
fn random_programs_do_what_the_model_says_in_memory() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut steps = 0;
    for part in 0..5 {
        let builder = |interpreter| Runner::builder().workflow(interpreter).max_concurrent(100);
        // A runner keeps a thousand runs at hand.
        steps += runtime.block_on(batch(builder, part * 500..(part + 1) * 500, 0));
    }
    assert!(steps > 4_000, "{steps}");
}

#[test]
fn random_programs_do_what_the_model_says_over_restarts() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut steps = 0;
    for part in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let builder = |interpreter| {
            Runner::builder()
                .state_dir(folder.path())
                .durability(Durability::Relaxed)
                .workflow(interpreter)
                .max_concurrent(100)
        };
        steps += runtime.block_on(batch(builder, 10_000 + part * 500..10_000 + (part + 1) * 500, 2));
    }
    assert!(steps > 4_000, "{steps}");
}
