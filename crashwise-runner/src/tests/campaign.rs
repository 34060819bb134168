//! Kills processes in the middle of their runs and looks at what is left.
//!
//! The victim is this test binary, started again: it submits runs (by key, so that each life asks for the same ones),
//! approves them, waits for them, and writes down what it was told.

use super::random::Random;
use crate::journal::{Event, Outcome};
use crate::{Durability, RunFilter, RunRequest, RunStatus, RunStore, Runner};
use crashwise_core::workflow::{Retry, StepErrorKind, StepFailure, Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, Summary, Target};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const RUNS: u64 = 6;
const STEPS: u64 = 8;

/// Steps of all kinds, each of which leaves a line in a file when it is carried out.
struct Victim {
    folder: PathBuf,
}

impl Victim {
    fn work(
        &self,
        run: &str,
        name: &str,
        value: u64,
    ) -> impl Fn(ModuleContext) -> futures::future::BoxFuture<'static, Result<u64, StepFailure>>
    + Send
    + Sync
    + 'static {
        let path = self.folder.join("effects");
        let line = format!("{run} {name}\n");
        move |_| {
            let (path, line) = (path.clone(), line.clone());
            Box::pin(async move {
                append(&path, &line)?;
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok(value)
            })
        }
    }
}

fn append(path: &Path, line: &str) -> std::io::Result<()> {
    File::options().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

impl Workflow for Victim {
    type Params = BTreeMap<String, u64>;
    type Output = Value;

    fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::new("victim", semver::Version::new(1, 0, 0), "Is killed.");
        metadata.parameters = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        metadata
    }

    async fn run(&self, cx: &WorkflowContext, params: Self::Params) -> Result<Value, WorkflowError> {
        let n = params.get("n").copied().unwrap_or(0);
        let run = format!("{n}");
        let mut sum = 0;
        for step in 0..STEPS {
            sum += cx.step(&format!("s{step}")).run(self.work(&run, &format!("s{step}"), step)).await?;
        }
        let random = cx.random().await?;
        let flaky = self.work(&run, "flaky", 5);
        let flaky = cx
            .step("flaky")
            .retry(Retry::attempts(2).with_initial_interval(Duration::from_millis(2)))
            .run(move |cx| {
                let first = cx.identity().attempt == 1;
                let work = flaky(cx);
                async move {
                    if first { Err(StepFailure::from(std::io::Error::other("not yet"))) } else { work.await }
                }
            });
        let flaky: u64 = flaky.await?;
        let inner = Inner { folder: self.folder.clone() };
        let child: u64 = cx.child("child", inner, BTreeMap::from([("n".to_owned(), n)])).await?;
        let cached = cx.step("cached").cached().call(Echo, BTreeMap::from([("n".to_owned(), n / 2)])).await?;
        let cached = cached.summary.values.get("n").cloned();
        let again: u64 = cx.step("random").run(self.work(&run, "random", random)).await?;
        cx.sleep(Duration::from_millis(3)).await?;
        let (run, victim) = (&run, self);
        let parts = cx
            .map("map", 3, 0..4_u64, |cx, part| async move {
                cx.step("part").run(victim.work(run, &format!("map/{part}/part"), part)).await
            })
            .await?;
        let decision = cx.approval("go").granted().await?;
        let once: u64 = cx.step("once").at_most_once().run(self.work(run, "once", 77)).await?;
        let big: String = cx.step("big").run(|_| async { Ok("x".repeat(20_000)) }).await?;
        Ok(json!([n, sum, again == random, parts, decision.by, once, big.len(), flaky, child, cached]))
    }
}

/// A run within the run.
struct Inner {
    folder: PathBuf,
}

impl Workflow for Inner {
    type Params = BTreeMap<String, u64>;
    type Output = u64;

    fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::new("inner", semver::Version::new(1, 0, 0), "Is killed with the other.");
        metadata.parameters = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        metadata
    }

    async fn run(&self, cx: &WorkflowContext, params: Self::Params) -> Result<u64, WorkflowError> {
        let victim = Victim { folder: self.folder.clone() };
        let run = params["n"].to_string();
        let mut sum = 0;
        for part in 0..3 {
            sum += cx.step("in").run(victim.work(&run, &format!("child/in{part}"), part)).await?;
        }
        Ok(sum)
    }
}

/// A module whose result other runs may take.
struct Echo;

#[crashwise_core::async_trait]
impl Module for Echo {
    type Config = BTreeMap<String, u64>;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new("echo", "1.0.0", ModuleKind::Analyzer, "Gives back what it is asked to")
            .without_workspace()
    }

    async fn run(&self, _: &ModuleContext, config: Self::Config) -> Result<Summary, ModuleError> {
        Ok(Summary::new().with("n", config["n"]))
    }
}

fn expected(n: u64) -> Value {
    json!([n, STEPS * (STEPS - 1) / 2, true, [0, 1, 2, 3], "ann", 77, 20_000, 5, 3, n / 2])
}

/// One life of the victim: so many runs at once, until all were seen to complete.
fn live(folder: &Path, at_once: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let runner = Runner::builder()
            .state_dir(folder)
            .durability(Durability::Sync)
            .workflow(Victim { folder: folder.to_owned() })
            .workflow(Inner { folder: folder.to_owned() })
            .max_concurrent(at_once)
            .reconcile(|_, _| Some(json!(77)))
            .build()
            .unwrap();
        append(&folder.join("born"), ".").unwrap();
        let acked = fs::read_to_string(folder.join("acked")).unwrap_or_default();
        let mut handles = Vec::new();
        for n in 0..RUNS {
            let request = RunRequest::new("victim", Target::Directory(folder.to_owned()))
                .with_params(json!({"n": n}))
                .with_idempotency_key(format!("run-{n}"));
            let handle = runner.submit(request).await.unwrap();
            let approved = format!("approved {n}\n");
            if !acked.contains(&approved) {
                match handle.approve("go", "ann", "").await {
                    // Killed between the approval and the note of it.
                    Ok(())
                    | Err(
                        crate::RunnerError::AlreadyDecided { .. } | crate::RunnerError::WrongState { .. },
                    ) => {}
                    Err(error) => panic!("{}", error.chain()),
                }
                append(&folder.join("acked"), &approved).unwrap();
            }
            handles.push((n, handle));
        }
        for (n, handle) in handles {
            let report = handle.wait().await.unwrap();
            assert_eq!((report.status, &report.output), (RunStatus::Completed, &expected(n)), "{report:?}");
            append(&folder.join("acked"), &format!("completed {n} {}\n", handle.id())).unwrap();
        }
        append(&folder.join("acked"), "all\n").unwrap();
    });
}

const FOLDER: &str = "CRASHWISE_VICTIM";
const AT_ONCE: &str = "CRASHWISE_VICTIM_RUNS";

#[test]
fn a_victim_that_is_not_killed_completes() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let at_once = std::env::var(AT_ONCE).unwrap().parse().unwrap();
        return live(Path::new(&folder), at_once);
    }
    // A run that is alone commits by itself, several hand their events to the journal's thread.
    for at_once in [1, 4] {
        let folder = tempfile::tempdir().unwrap();
        live(folder.path(), at_once);
        assert_eq!(judge(folder.path(), 0), 0, "nothing is repeated");
    }
}

fn start(folder: &Path, at_once: usize, failpoint: Option<&str>) -> Child {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "tests::campaign::a_victim_that_is_not_killed_completes", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(AT_ONCE, at_once.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::options().create(true).append(true).open(folder.join("stderr")).unwrap());
    if let Some(failpoint) = failpoint {
        command.env("CRASHWISE_FAILPOINT", failpoint);
    }
    command.spawn().unwrap()
}

/// Looks at what is left when all runs have ended; gives how many steps were carried out more than once.
fn judge(folder: &Path, kills: usize) -> usize {
    let store = RunStore::open(folder).unwrap();
    assert_eq!(store.verify_all().unwrap(), [], "the chain holds");
    let runs = store.list(&RunFilter::new()).unwrap();
    assert_eq!(runs.len() as u64, RUNS, "each key has one run");
    let acked = fs::read_to_string(folder.join("acked")).unwrap();
    for run in &runs {
        assert_eq!(run.status, RunStatus::Completed, "no run is left behind: {run:?}");
        let (submission, records) = store.records(&run.run_id).unwrap();
        let n = submission.params.value()["n"].as_u64().unwrap();
        assert_eq!(store.report(&run.run_id).unwrap().output, expected(n));
        let mut ends: BTreeMap<String, u32> = BTreeMap::new();
        for record in &records {
            if let Event::StepEnded(end) = &record.event {
                let cancelled = matches!(&end.outcome, Outcome::Error { error, .. } if error.kind == StepErrorKind::Cancelled);
                assert!(!cancelled, "nobody cancelled {}", end.key);
                *ends.entry(end.key.to_string()).or_default() += 1;
            }
        }
        assert!(ends.values().all(|count| *count == 1), "each step is journaled once: {ends:?}");
        let decided = records.iter().filter(|record| matches!(record.event, Event::Decided { .. })).count();
        assert!(decided >= 1, "an acknowledged approval is there");
    }
    for line in acked.lines().filter_map(|line| line.strip_prefix("completed ")) {
        let (_, id) = line.split_once(' ').unwrap();
        assert!(runs.iter().any(|run| run.run_id.as_str() == id), "an acknowledged run is there: {id}");
    }
    let mut effects: BTreeMap<String, usize> = BTreeMap::new();
    for line in fs::read_to_string(folder.join("effects")).unwrap().lines() {
        *effects.entry(line.to_owned()).or_default() += 1;
    }
    let mut repeated = 0;
    for (step, count) in effects {
        assert!(count <= 1 + kills, "{step} was carried out {count} times with {kills} kills");
        assert!(count == 1 || !step.ends_with(" once"), "{step} was carried out {count} times");
        repeated += count - 1;
    }
    repeated
}

/// How many lives have opened the journal.
fn born(folder: &Path) -> u64 {
    fs::metadata(folder.join("born")).map_or(0, |file| file.len())
}

fn is_over(folder: &Path) -> bool {
    fs::read_to_string(folder.join("acked")).is_ok_and(|acked| acked.contains("all\n"))
}

#[test]
fn nothing_is_lost_in_300_kills() {
    let planned: usize =
        std::env::var("CRASHWISE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let mut random = Random(u64::from(std::process::id()));
    let seed = random.0;
    let (mut kills, mut campaigns, mut repeated) = (0, 0, 0);
    let began = Instant::now();
    while kills < planned {
        let folder = tempfile::tempdir().unwrap();
        let before = kills;
        let at_once = if campaigns % 2 == 0 { 4 } else { 1 };
        while !is_over(folder.path()) {
            let lives = born(folder.path());
            let mut child = start(folder.path(), at_once, None);
            // Counted from when it has its journal open: a process that dies before has done nothing.
            let limit = Duration::from_micros(random.below(80_000));
            let mut began = None;
            let ended = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break Some(status);
                }
                if began.is_none() && born(folder.path()) > lives {
                    began = Some(Instant::now());
                }
                if began.is_some_and(|began| began.elapsed() > limit) && kills < planned {
                    break None;
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            if let Some(status) = ended {
                let errors = fs::read_to_string(folder.path().join("stderr")).unwrap();
                assert!(status.success(), "seed {seed}: {errors}");
            } else {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
            }
        }
        campaigns += 1;
        repeated += judge(folder.path(), kills - before);
    }
    println!(
        "kills={kills} campaigns={campaigns} reexec={repeated} lost=0 seed={seed} seconds={}",
        began.elapsed().as_secs()
    );
    assert!(kills >= planned, "{kills} kills of {planned}");
}

#[test]
fn nothing_is_lost_when_a_process_dies_at_any_point_of_a_commit() {
    let mut deaths = 0;
    for point in [
        "before begin",
        "before insert",
        "before commit",
        "after commit",
        "before ack",
        "after ack",
        "before blob",
        "after blob",
    ] {
        for (at_once, passage) in [(4, 1), (4, 2), (4, 5), (4, 11), (1, 3), (1, 30)] {
            let folder = tempfile::tempdir().unwrap();
            let died = format!("{point}:{passage}");
            let status = start(folder.path(), at_once, Some(&died)).wait().unwrap();
            if !status.success() {
                deaths += 1;
            }
            let status = start(folder.path(), at_once, None).wait().unwrap();
            let errors = fs::read_to_string(folder.path().join("stderr")).unwrap();
            assert!(status.success(), "{died}: {errors}");
            judge(folder.path(), 1);
        }
    }
    println!("deaths={deaths}");
    assert!(deaths >= 42, "{deaths} of 48 points were reached");
}
