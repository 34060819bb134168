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
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const RUNS: u64 = 6;
const STEPS: u64 = 8;

/// Steps of all kinds, each of which leaves its run and its key in the file of this life when it is carried out.
struct Victim {
    folder: PathBuf,
}

impl Victim {
    fn work<T: Copy + Send + Sync + 'static>(
        &self,
        value: T,
    ) -> impl Fn(ModuleContext) -> futures::future::BoxFuture<'static, Result<T, StepFailure>>
    + Send
    + Sync
    + 'static {
        let path = effects(&self.folder, born(&self.folder));
        move |cx| {
            let path = path.clone();
            let line = format!("{} {}\n", cx.identity().run, cx.identity().step);
            Box::pin(async move {
                append(&path, &line)?;
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok(value)
            })
        }
    }
}

/// Where the steps of a life leave their keys.
fn effects(folder: &Path, life: u64) -> PathBuf {
    folder.join(format!("effects-{life}"))
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
        cx.defer("tidy", self.work(()));
        let mut sum = 0;
        for step in 0..STEPS {
            sum += cx.step(&format!("s{step}")).run(self.work(step)).await?;
        }
        let failed = cx.step("fails").cleanup(self.work(()));
        let failed = failed.run(|_| async { Err::<u64, _>(StepFailure::fatal("as it should")) }).await;
        let random = cx.random().await?;
        let flaky = self.work(5);
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
        let again: u64 = cx.step("again").run(self.work(random)).await?;
        cx.sleep(Duration::from_millis(3)).await?;
        let parts = cx.map("map", 3, 0..4_u64, |cx, part| {
            let work = self.work(part);
            async move { cx.step("part").run(work).await }
        });
        let parts = parts.await?;
        let decision = cx.approval("go").granted().await?;
        let once: u64 = cx.step("once").at_most_once().run(self.work(77)).await?;
        let big: String = cx.step("big").run(|_| async { Ok("x".repeat(20_000)) }).await?;
        let random = again == random && failed.is_err();
        Ok(json!([n, sum, random, parts, decision.by, once, big.len(), flaky, child, cached]))
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

    async fn run(&self, cx: &WorkflowContext, _: Self::Params) -> Result<u64, WorkflowError> {
        let victim = Victim { folder: self.folder.clone() };
        let mut sum = 0;
        for part in 0..3 {
            sum += cx.step("in").run(victim.work(part)).await?;
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
        // One more life: what is carried out from here on is noted as its.
        append(&folder.join("born"), ".").unwrap();
        let runner = Runner::builder()
            .state_dir(folder)
            .durability(Durability::Sync)
            .workflow(Victim { folder: folder.to_owned() })
            .workflow(Inner { folder: folder.to_owned() })
            .max_concurrent(at_once)
            .reconcile(|_, _| Some(json!(77)))
            .build()
            .unwrap();
        append(&folder.join("opened"), ".").unwrap();
        let acked = fs::read_to_string(folder.join("acked")).unwrap_or_default();
        let mut handles = Vec::new();
        for n in 0..RUNS {
            let request = RunRequest::new("victim", Target::Directory(folder.to_owned()))
                .with_params(json!({"n": n}))
                .with_idempotency_key(format!("run-{n}"));
            let handle = runner.submit(request).await.unwrap();
            let approved = format!("approved {n}\n");
            if !acked.contains(&approved) {
                let decided = if n == 0 {
                    // As another process does it.
                    runner.store().unwrap().decide(handle.id(), "go", true, "ann", "").await
                } else {
                    handle.approve("go", "ann", "").await
                };
                match decided {
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
        let mut lives = Lives::default();
        lives.over(folder.path());
        judge(folder.path());
        assert_eq!((lives.in_flight, lives.repeated), (0, 0), "nothing is cut off or repeated");
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

/// What lives carried out, looked at after each.
#[derive(Default)]
struct Lives {
    seen: u64,
    /// How often each step was carried out and its end was not journaled, because the process was killed meanwhile.
    cut_off: BTreeMap<String, usize>,
    ended: BTreeSet<String>,
    /// Steps under way at a kill.
    in_flight: usize,
    /// Steps carried out more than once.
    repeated: usize,
}

impl Lives {
    /// A life is over, by a kill or by itself: each step that it carried out was one without an end, and was carried out
    /// once. So no step is carried out more often than once and once for each kill that it was in flight at.
    fn over(&mut self, folder: &Path) {
        let lives = born(folder);
        assert!(lives <= self.seen + 1, "a life was not looked at");
        if lives == self.seen {
            return;
        }
        self.seen = lives;
        let text = fs::read_to_string(effects(folder, lives)).unwrap_or_default();
        let mut carried_out = BTreeSet::new();
        for step in text.lines() {
            assert!(carried_out.insert(step.to_owned()), "life {lives} carried {step} out twice");
            assert!(!self.ended.contains(step), "life {lives} carried {step} out, which had an end");
        }
        self.ended = ended(folder);
        for step in carried_out {
            let before = self.cut_off.get(&step).copied().unwrap_or_default();
            self.repeated += usize::from(before > 0);
            assert!(before == 0 || !step.ends_with(" once"), "{step} was carried out {} times", before + 1);
            if !self.ended.contains(&step) {
                self.in_flight += 1;
                self.cut_off.insert(step, before + 1);
            }
        }
    }
}

/// The steps that have an end in the journal, as their work names them. A copy is looked at, so that the next life finds
/// what the last one left.
fn ended(folder: &Path) -> BTreeSet<String> {
    let copy = tempfile::tempdir().unwrap();
    for file in ["journal.db", "journal.db-wal"] {
        match fs::copy(folder.join(file), copy.path().join(file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{file}: {error}"),
            _ => {}
        }
    }
    // Whoever died while the tables were made has carried out nothing.
    let Ok(connection) = rusqlite::Connection::open(copy.path().join("journal.db")) else {
        return BTreeSet::new();
    };
    let Ok(mut steps) = connection.prepare(
        "SELECT runs.id || ' ' || step FROM events JOIN runs ON runs.no = run WHERE kind = 'step_ended'",
    ) else {
        return BTreeSet::new();
    };
    steps.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

/// Looks at what is left when all runs have ended.
fn judge(folder: &Path) {
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
    // A kill may cut a line where a page of the file ends; the next life writes behind what is left of it.
    for (_, line) in acked.lines().filter_map(|line| line.rsplit_once("completed ")) {
        let (_, id) = line.split_once(' ').unwrap();
        assert!(runs.iter().any(|run| run.run_id.as_str() == id), "an acknowledged run is there: {id}");
    }
}

/// How many lives there were, the one that goes on included.
fn born(folder: &Path) -> u64 {
    fs::metadata(folder.join("born")).map_or(0, |file| file.len())
}

/// How many lives have opened the journal.
fn opened(folder: &Path) -> u64 {
    fs::metadata(folder.join("opened")).map_or(0, |file| file.len())
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
    let (mut kills, mut campaigns, mut repeated, mut in_flight) = (0, 0, 0, 0);
    let began = Instant::now();
    while kills < planned {
        let folder = tempfile::tempdir().unwrap();
        let mut over = Lives::default();
        let at_once = if campaigns % 2 == 0 { 4 } else { 1 };
        while !is_over(folder.path()) {
            let lives = opened(folder.path());
            let mut child = start(folder.path(), at_once, None);
            // Counted from when it has its journal open: a process that dies before has done nothing.
            let limit = Duration::from_micros(random.below(80_000));
            let mut began = None;
            let ended = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break Some(status);
                }
                if began.is_none() && opened(folder.path()) > lives {
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
            over.over(folder.path());
        }
        judge(folder.path());
        campaigns += 1;
        repeated += over.repeated;
        in_flight += over.in_flight;
    }
    println!(
        "kills={kills} campaigns={campaigns} inflight={in_flight} reexec={repeated} lost=0 seed={seed} seconds={}",
        began.elapsed().as_secs()
    );
    assert!(kills >= planned, "{kills} kills of {planned}");
}

/// The points at which processes die, and at which passages: one life after the other, in the same folder.
const POINTS: [(&str, &[u32]); 43] = [
    ("before tables", &[1, 1, 1]),
    ("within tables", &[1, 1, 1]),
    ("after tables", &[1]),
    ("before owner", &[1, 1, 1]),
    ("before lock", &[1, 1, 1]),
    ("after lock", &[1, 1, 1]),
    ("before create", &[1, 2, 4]),
    ("after create", &[1, 2, 4]),
    ("before ask", &[1, 1, 1]),
    ("after ask", &[1]),
    ("before answer", &[1, 1, 1]),
    ("after answer", &[1]),
    ("before command", &[1, 2, 3]),
    ("after command", &[1, 2, 3]),
    ("before claim", &[1, 1, 1, 2]),
    ("after claim", &[1, 1, 1, 2]),
    ("before append", &[1, 2, 5, 11, 30]),
    ("after append", &[1, 2, 5, 11, 30]),
    ("before begin", &[1, 2, 5, 11, 30]),
    ("before insert", &[1, 2, 5, 11, 30]),
    ("after insert", &[1, 2, 5, 11, 30]),
    ("before commit", &[1, 2, 5, 11, 30]),
    ("after commit", &[1, 2, 5, 11, 30]),
    ("before sync", &[1, 2, 5, 11, 30]),
    ("after sync", &[1, 2, 5, 11, 30]),
    ("before ack", &[1, 2, 5, 11, 30]),
    ("after ack", &[1, 2, 5, 11, 30]),
    ("before blob", &[1, 1, 1, 2]),
    ("before file sync", &[1, 1, 1]),
    ("before file rename", &[1, 1, 1]),
    ("before folder sync", &[1, 1, 1, 2]),
    ("after folder sync", &[1, 1, 1, 2]),
    ("after blob", &[1, 1, 1, 2]),
    ("before cache", &[1, 1, 1, 1]),
    ("after cache", &[1, 1, 1, 1]),
    ("before timer", &[1, 1, 2, 3]),
    ("after timer", &[1, 1, 2, 3]),
    ("before child", &[1, 1, 2, 3]),
    ("after child", &[1, 1, 2, 3]),
    ("before cleanup", &[1, 1, 2, 3]),
    ("after cleanup", &[1, 1, 2, 3]),
    ("before finish", &[1, 1, 2, 3]),
    ("after finish", &[1, 1, 2, 3]),
];

#[test]
fn nothing_is_lost_when_a_process_dies_at_any_point() {
    // Where a run is alone it commits by itself, several hand their events to the journal's thread.
    let alone = POINTS.iter().filter(|(point, passages)| passages.len() == 5 || point.ends_with("blob"));
    let plans = POINTS.iter().map(|point| (4, point)).chain(alone.map(|point| (1, point)));
    let plans = std::sync::Mutex::new(plans);
    let deaths: Vec<(&str, usize)> = std::thread::scope(|threads| {
        let work = || {
            let mut deaths = Vec::new();
            loop {
                let next = plans.lock().unwrap().next();
                let Some((at_once, (point, passages))) = next else { return deaths };
                deaths.push((*point, die_at(point, passages, at_once)));
            }
        };
        let threads: Vec<_> = (0..3).map(|_| threads.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let died = |name: &str| -> usize {
        deaths.iter().filter(|(point, _)| *point == name).map(|(_, count)| count).sum()
    };
    let all: usize = POINTS.iter().map(|(point, _)| died(point)).sum();
    println!("points={} deaths={all} lost=0", POINTS.len());
    for (point, _) in POINTS {
        assert!(died(point) > 0, "nobody died at {point:?}");
    }
    assert!(all >= 125, "{all} deaths");
}

/// Lives that die at passages of a point, and one that does not; gives how many died.
fn die_at(point: &str, passages: &[u32], at_once: usize) -> usize {
    let mut deaths = 0;
    let mut passages = passages.iter();
    while passages.len() > 0 {
        let folder = tempfile::tempdir().unwrap();
        let mut over = Lives::default();
        // Only what somebody left behind can be claimed.
        let mut before = point.ends_with("claim").then(|| "after commit:8".to_owned());
        while !is_over(folder.path()) {
            let next = || passages.next().map(|passage| format!("{point}:{passage}"));
            let failpoint = before.take().or_else(next);
            let status = start(folder.path(), at_once, failpoint.as_deref()).wait().unwrap();
            let errors = fs::read_to_string(folder.path().join("stderr")).unwrap();
            assert_ne!(status.code(), Some(101), "{point}: {errors}");
            assert!(status.success() || failpoint.is_some(), "{point}: {errors}");
            deaths += usize::from(!status.success());
            over.over(folder.path());
        }
        judge(folder.path());
    }
    deaths
}
