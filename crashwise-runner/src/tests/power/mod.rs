//! Power cuts: what was written and not synced is lost, in part, in any order, torn.
//!
//! One life is recorded with all that it writes and syncs and all that it tells anybody. Then the power is cut at thousands
//! of points of the record: of each file that is left which was synced, and of the rest some sectors. What somebody was
//! told before the cut must be there.

mod record;

use super::random::Random;
use crate::journal::{Event, Outcome};
use crate::{Durability, RunFilter, RunRequest, RunStatus, RunStore, Runner, RunnerBuilder};
use crashwise_core::workflow::{Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, RunId, Target};
use record::Entry;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

const STEPS: u64 = 8;
const SECTOR: usize = 512;

/// What somebody was told.
#[derive(Debug, Clone)]
pub(super) enum Told {
    Submitted(RunId),
    /// A step is carried out, so those before it have ended.
    Begun(RunId, u64),
    Approved(RunId),
    Completed(RunId),
}

/// Notes that a payload of a journal is on the disk.
pub(crate) fn payload(name: &str) {
    record::note(Entry::Payload(name.to_owned()));
}

/// Notes that a file is being synced.
pub(crate) fn synced(path: &Path) {
    record::synced(path);
}

struct Writes;

impl Workflow for Writes {
    type Params = BTreeMap<String, u64>;
    type Output = Value;

    fn metadata(&self) -> Metadata {
        Metadata::new("writes", semver::Version::new(1, 0, 0), "Fills a journal.")
    }

    async fn run(&self, cx: &WorkflowContext, _: Self::Params) -> Result<Value, WorkflowError> {
        let mut sum = 0;
        for n in 0..STEPS {
            let step = cx.step("small").run(move |cx| {
                record::note(Entry::Told(Told::Begun(cx.identity().run.clone(), n)));
                async move { Ok(n) }
            });
            sum += step.await?;
        }
        let run = cx.run_info().run.as_str().to_owned();
        let big: String = cx
            .step("big")
            .run(move |_| {
                let text = run.repeat(600);
                async { Ok(text) }
            })
            .await?;
        let decision = cx.approval("go").granted().await?;
        Ok(json!([sum, big.len(), decision.by]))
    }
}

fn expected() -> Value {
    json!([STEPS * (STEPS - 1) / 2, 36 * 600, "ann"])
}

fn on(folder: &Path, durability: Durability) -> RunnerBuilder {
    Runner::builder().state_dir(folder).durability(durability).workflow(Writes)
}

/// One life: several runs side by side, and the log of writes copied into the database between them.
async fn life(folder: &Path, durability: Durability) {
    let runner = on(folder, durability).build().unwrap();
    // A run that is alone commits by itself, several hand their events to the journal's thread.
    for (runs, mode) in [(3, "PASSIVE"), (3, "RESTART"), (1, "PASSIVE"), (3, "TRUNCATE"), (1, "FULL")] {
        let mut handles = Vec::new();
        for _ in 0..runs {
            let handle =
                runner.submit(RunRequest::new("writes", Target::Directory(".".into()))).await.unwrap();
            record::note(Entry::Told(Told::Submitted(handle.id().clone())));
            handles.push(handle);
        }
        for handle in handles {
            handle.approve("go", "ann", "").await.unwrap();
            record::note(Entry::Told(Told::Approved(handle.id().clone())));
            assert_eq!(handle.wait().await.unwrap().output, expected());
            record::note(Entry::Told(Told::Completed(handle.id().clone())));
        }
        let connection = rusqlite::Connection::open(folder.join("journal.db")).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())).unwrap();
    }
    runner.shutdown().await;
}

/// A file: what is on the disk, and what was written since.
#[derive(Default)]
struct Sectors {
    synced: Option<Vec<u8>>,
    since: Vec<Entry>,
    /// It was deleted, and its folder was not synced since.
    deleted: bool,
}

/// The disk as the record goes on.
#[derive(Default)]
struct Disk {
    files: BTreeMap<String, Sectors>,
    payloads: BTreeSet<String>,
    told: Vec<Told>,
}

impl Disk {
    fn go_on(&mut self, entry: Entry) {
        match &entry {
            Entry::Write { file, .. } | Entry::Truncate { file, .. } => {
                let file = self.files.entry(file.clone()).or_default();
                if std::mem::take(&mut file.deleted) {
                    *file = Sectors::default();
                }
                file.since.push(entry);
            }
            Entry::Delete { file } => {
                self.files.entry(file.clone()).or_default().deleted = true;
            }
            Entry::Sync { file } => {
                if self.files.get(file).is_none_or(|file| file.synced.is_none()) {
                    self.files.retain(|_, file| !file.deleted);
                }
                let file = self.files.entry(file.clone()).or_default();
                let content = file.synced.get_or_insert_default();
                for entry in std::mem::take(&mut file.since) {
                    apply(content, &entry, &mut |_| true);
                }
            }
            Entry::Payload(name) => drop(self.payloads.insert(name.clone())),
            Entry::Told(told) => self.told.push(told.clone()),
        }
    }

    /// What a power cut leaves, in a folder.
    fn cut(&self, random: &mut Random, payloads: &Path, folder: &Path) {
        // Of what was not synced all, nothing, or any part may have reached the disk.
        let share = [0, 100, 50, 90, 10][usize::try_from(random.below(5)).unwrap()];
        for (name, file) in &self.files {
            if file.deleted && random.below(2) == 0 {
                continue;
            }
            let mut content = file.synced.clone();
            for entry in &file.since {
                if random.below(100) < share.max(1) {
                    let mut keeps = |_| share == 100 || random.below(100) < share;
                    apply(content.get_or_insert_default(), entry, &mut keeps);
                }
            }
            if let Some(content) = content {
                fs::write(folder.join(name), content).unwrap();
            }
        }
        for name in &self.payloads {
            let digest = name.split_once(':').unwrap().0;
            let place = Path::new("blobs").join(&digest[..2]).join(&digest[2..]);
            fs::create_dir_all(folder.join(place.parent().unwrap())).unwrap();
            fs::copy(payloads.join(&place), folder.join(&place)).unwrap();
        }
    }
}

/// Writes, sector by sector, those that are kept.
fn apply(content: &mut Vec<u8>, entry: &Entry, keeps: &mut dyn FnMut(usize) -> bool) {
    match entry {
        Entry::Truncate { length, .. } => content.resize(*length, 0),
        Entry::Write { at, bytes, .. } => {
            let mut from = 0;
            while from < bytes.len() {
                let to = bytes.len().min((at + from) / SECTOR * SECTOR + SECTOR - at);
                if keeps(from) {
                    if content.len() < at + to {
                        content.resize(at + to, 0);
                    }
                    content[at + from..at + to].copy_from_slice(&bytes[from..to]);
                }
                from = to;
            }
        }
        _ => {}
    }
}

/// Looks at what a cut left; gives how many runs there are, and what somebody was told and is not there.
fn judge(folder: &Path, told: &[Told]) -> (usize, Vec<Told>) {
    let store = match RunStore::open(folder) {
        Ok(store) => store,
        // Cut while the database was made, before anybody was told anything.
        Err(error) => {
            assert!(told.is_empty(), "{}", error.chain());
            return (0, Vec::new());
        }
    };
    assert_eq!(store.verify_all().unwrap(), [], "what is there is what was written");
    let histories: BTreeMap<RunId, Vec<Event>> = store
        .list(&RunFilter::new())
        .unwrap()
        .into_iter()
        .map(|run| {
            let (_, records) = store.records(&run.run_id).unwrap();
            (run.run_id, records.into_iter().map(|record| record.event).collect())
        })
        .collect();
    let mut lost = Vec::new();
    for told in told {
        let (Told::Submitted(run) | Told::Begun(run, _) | Told::Approved(run) | Told::Completed(run)) = told;
        let Some(history) = histories.get(run) else {
            lost.push(told.clone());
            continue;
        };
        let ended = history.iter().filter(|event| {
            matches!(event, Event::StepEnded(end)
                if end.key.as_str().starts_with("small") && matches!(end.outcome, Outcome::Value { .. }))
        });
        let is_there = match told {
            Told::Submitted(_) => true,
            Told::Begun(_, step) => ended.count() as u64 >= *step,
            Told::Approved(_) => history.iter().any(|event| matches!(event, Event::Decided { .. })),
            Told::Completed(_) => history.iter().any(|event| {
                matches!(event, Event::Finished(end) if end.status == RunStatus::Completed && end.output == expected())
            }),
        };
        if !is_there {
            lost.push(told.clone());
        }
    }
    (histories.len(), lost)
}

/// The runs that a cut left go on to their end.
async fn carry_on(folder: &Path) {
    let runner = on(folder, Durability::Relaxed).build().unwrap();
    let runs = runner.store().unwrap().list(&RunFilter::new()).unwrap();
    for run in &runs {
        let handle = runner.handle(&run.run_id).unwrap();
        // Those that were approved before the cut need no second word.
        drop(handle.approve("go", "ann", "").await);
        let report = handle.wait().await.unwrap();
        assert_eq!((report.status, &report.output), (RunStatus::Completed, &expected()), "{report:?}");
    }
    runner.shutdown().await;
}

/// Cuts the power at many points of a life; gives the counts.
fn campaign(durability: Durability, cuts: u64, seed: u64) -> String {
    // One recording at a time.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let original = tempfile::tempdir().unwrap();
    record::begin(original.path());
    runtime.block_on(life(&original.path().canonicalize().unwrap(), durability));
    let entries = record::end();
    let syncs = entries.iter().filter(|entry| matches!(entry, Entry::Sync { .. })).count();
    let told = entries.iter().filter(|entry| matches!(entry, Entry::Told(_))).count();
    let database = entries
        .iter()
        .filter(|entry| matches!(entry, Entry::Write { file, .. } if file == "journal.db"))
        .count();
    assert!(told > 100 && database > 10, "{told} things told, {database} pages copied");
    assert!(durability == Durability::Relaxed || syncs > 30, "{syncs}");
    let mut random = Random(seed);
    let mut points: Vec<usize> =
        (0..cuts).map(|_| usize::try_from(random.below(entries.len() as u64)).unwrap()).collect();
    points.sort_unstable();
    let mut disk = Disk::default();
    let mut entries = entries.into_iter().enumerate();
    let (mut done, mut found, mut lost) = (0, 0, 0);
    for (nth, point) in points.into_iter().enumerate() {
        while done <= point
            && let Some((at, entry)) = entries.next()
        {
            disk.go_on(entry);
            done = at + 1;
        }
        let folder = tempfile::tempdir().unwrap();
        disk.cut(&mut random, original.path(), folder.path());
        let (runs, missing) = judge(folder.path(), &disk.told);
        found += runs;
        if durability == Durability::Sync {
            assert!(missing.is_empty(), "seed {seed}, cut {nth} at {point}: {missing:?}");
        }
        lost += missing.len();
        if nth % 50 == 0 && folder.path().join("journal.db").exists() {
            runtime.block_on(carry_on(folder.path()));
        }
    }
    // Without syncs at each commit the last moments may be gone, which shows that the cuts do cut.
    assert_eq!(lost > 0, durability == Durability::Relaxed, "{lost}");
    assert!(found as u64 > cuts * 2, "{found}");
    format!("cuts={cuts} runs={found} syncs={syncs} told={told} lost={lost} seed={seed}")
}

#[test]
fn what_was_told_survives_2000_power_cuts() {
    println!("{}", campaign(Durability::Sync, 2_000, 11));
}

#[test]
fn what_is_left_of_a_relaxed_journal_by_a_power_cut_is_whole() {
    println!("{}", campaign(Durability::Relaxed, 500, 12));
}
