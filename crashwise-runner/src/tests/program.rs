//! Random programs, and a model of a few lines that says what they do.

use super::random::Random;
use crashwise_core::workflow::{Retry, StepFailure, Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, Summary};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a program does.
#[derive(Debug, Clone)]
pub(super) enum Op {
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
    /// Work that is undone when the run is cancelled.
    Compensate(u64),
    /// A module whose result other runs may take.
    Cached(u64),
    /// Waits until the run is cancelled.
    Cancel,
}

pub(super) fn program(random: &mut Random, depth: u32) -> Vec<Op> {
    let length = 1 + random.below(if depth == 0 { 8 } else { 3 });
    (0..length)
        .map(|_| match random.below(if depth < 2 { 14 } else { 8 }) {
            0 => Op::Step(random.below(1000)),
            1 => Op::Cached(random.below(40)),
            2 => Op::Fails,
            3 => Op::Flaky(random.below(1000)),
            4 => Op::Skip,
            5 => Op::Sleep,
            6 => Op::Checkpoint(random.below(1000)),
            7 => Op::Compensate(random.below(1000)),
            8 => Op::Map(
                1 + usize::try_from(random.below(3)).unwrap_or(0),
                (0..random.below(4)).map(|_| program(random, depth + 1)).collect(),
            ),
            9 => Op::Race(program(random, depth + 1)),
            10 if depth == 0 => Op::Signal,
            11 | 12 if depth == 0 => Op::Child(random.below(1_000_000)),
            13 if depth == 0 => Op::Cancel,
            _ => Op::Step(0),
        })
        .collect()
}

fn mix(sum: u64, value: u64) -> u64 {
    sum.wrapping_mul(31).wrapping_add(value) % 1_000_003
}

/// What a program does, told without an engine.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// How many signals it takes.
    pub(super) signals: u64,
    /// What is to be undone, should it be cancelled: the order counts but for what runs side by side.
    pub(super) undo: Vec<u64>,
    pub(super) side_by_side: bool,
    pub(super) cancelled: bool,
}

impl Model {
    /// What a program gives, unless it is cancelled.
    pub(super) fn run(&mut self, ops: &[Op]) -> u64 {
        let mut sum = 7;
        for op in ops {
            sum = mix(sum, self.op(op));
            if self.cancelled {
                break;
            }
        }
        sum
    }

    fn op(&mut self, op: &Op) -> u64 {
        match op {
            Op::Step(value) | Op::Flaky(value) | Op::Checkpoint(value) | Op::Cached(value) => *value,
            Op::Fails => 999,
            Op::Skip => 998,
            Op::Sleep => 1,
            Op::Compensate(value) => {
                self.undo.push(*value);
                1
            }
            Op::Map(_, parts) => {
                self.side_by_side |= parts.len() > 1;
                parts.iter().fold(3, |sum, part| mix(sum, self.run(part)))
            }
            Op::Race(part) => self.run(part),
            Op::Signal => {
                self.signals += 1;
                self.signals
            }
            // Its cleanup is its own affair, and it succeeds.
            Op::Child(seed) => Self::default().run(&program(&mut Random(*seed), 1)),
            Op::Cancel => {
                self.cancelled = true;
                0
            }
        }
    }
}

/// Gives back what it is asked to, and counts.
pub(super) struct Echo(pub(super) Arc<AtomicU64>);

#[crashwise_core::async_trait]
impl Module for Echo {
    type Config = BTreeMap<String, u64>;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new("echo", "1.0.0", ModuleKind::Analyzer, "Gives back what it is asked to")
            .without_workspace()
    }

    async fn run(&self, _: &ModuleContext, config: Self::Config) -> Result<Summary, ModuleError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Summary::new().with("value", config["value"]))
    }
}

/// Runs the program of a seed.
#[derive(Clone, Default)]
pub(super) struct Interpreter {
    /// How often each step of each run was carried out.
    pub(super) carried_out: Arc<Mutex<BTreeMap<String, u64>>>,
    pub(super) steps: Arc<AtomicU64>,
    /// How often a result was asked for that may come from another run, and how often it was made.
    pub(super) asked: Arc<AtomicU64>,
    pub(super) made: Arc<AtomicU64>,
    /// What cancelled runs undid, by run.
    pub(super) undone: Arc<Mutex<BTreeMap<String, Vec<u64>>>>,
    pub(super) parked: Arc<Mutex<BTreeSet<String>>>,
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
            Op::Compensate(value) => {
                let (undone, value) = (Arc::clone(&self.undone), *value);
                cx.compensate("undo", move |cx| {
                    let run = cx.identity().run.to_string();
                    undone.lock().unwrap().entry(run).or_default().push(value);
                    async { Ok(()) }
                });
                1
            }
            Op::Cached(value) => {
                self.asked.fetch_add(1, Ordering::Relaxed);
                let config = BTreeMap::from([("value".to_owned(), *value)]);
                let echo = Echo(Arc::clone(&self.made));
                let output = cx.step("cached").cached().call(echo, config).await?;
                output.summary.values.get("value").and_then(Value::as_u64).unwrap_or(0)
            }
            Op::Cancel => {
                self.parked.lock().unwrap().insert(cx.run_info().run.to_string());
                cx.signal::<u64>("never").await?
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

impl Interpreter {
    /// Waits until a run in this process waits for nothing but its cancel.
    pub(super) async fn parked(&self, run: &str) {
        while !self.parked.lock().unwrap().contains(run) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
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
