//! What the journal holds of the begins of steps, and who commits.

use super::submission;
use crate::journal::sqlite::{Durability, SqliteJournal};
use crate::journal::{Created, Event, Journal, Outcome, RunLog, StepEnd};
use crate::{RunStore, Verdict};
use crashwise_core::workflow::StepKey;
use crashwise_core::{Fingerprint, RunId};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

async fn run(journal: &SqliteJournal) -> (RunId, Box<dyn RunLog>) {
    let submission = submission();
    let id = submission.id.clone();
    let Ok(Created::New(log)) = journal.create(&Arc::new(submission)).await else { panic!("a new run") };
    (id, log)
}

fn begun(step: &str) -> Event {
    let (key, fp) = (StepKey::from_text(step), Fingerprint::of(["closure"]));
    Event::StepStarted { key, fp, kind: "closure".into(), module: String::new() }
}

fn ended(step: &str) -> Event {
    Event::StepEnded(Box::new(StepEnd {
        key: StepKey::from_text(step),
        fp: Fingerprint::of(["closure"]),
        index: 0,
        kind: "closure".into(),
        module: String::new(),
        version: String::new(),
        attempts: 1,
        started_ms: 1,
        duration_ms: 0,
        cached: None,
        used_ms: None,
        cleanup: false,
        child: None,
        outcome: Outcome::Value { value: json!(1), child: None },
    }))
}

fn signal() -> Event {
    Event::Signalled { name: "n".into(), value: json!(1) }
}

/// The events of a run, each with its step, when the chain over them is whole.
fn history(folder: &Path, id: &RunId) -> Vec<String> {
    let store = RunStore::open(folder).unwrap();
    assert!(matches!(store.verify(id).unwrap(), Verdict::Intact { .. }));
    let word = |record: &crate::HistoryEvent| match &record.step {
        Some(step) => format!("{} {step}", record.kind),
        None => record.kind.clone(),
    };
    store.history(id).unwrap().iter().map(word).collect()
}

#[tokio::test]
async fn a_begin_is_written_unless_the_end_comes_soon() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(folder.path(), Durability::Relaxed).unwrap();
    let (id, mut log) = run(&journal).await;
    // The end says all that the begin does.
    log.note(2, begun("quick"));
    log.append(3, &ended("quick")).kept().await.unwrap();
    // What is followed by something else of its run keeps its place.
    log.note(4, begun("first"));
    log.append(5, &signal()).kept().await.unwrap();
    log.append(6, &ended("first")).kept().await.unwrap();
    // One that lasts is there to be seen.
    log.note(7, begun("slow"));
    let limit = Instant::now() + Duration::from_mins(1);
    while !history(folder.path(), &id).contains(&"step_started slow".to_owned()) {
        assert!(Instant::now() < limit, "it is not written");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    log.append(8, &ended("slow")).kept().await.unwrap();
    // Who asks the journal for anything gets all that was before.
    log.note(9, begun("open"));
    journal.writer().exec(|_| Ok(())).await.unwrap();
    let history = history(folder.path(), &id);
    let quick = history.iter().position(|event| event == "step_ended quick").unwrap();
    assert!(history[..quick].iter().all(|event| event == "submitted" || event == "step_started quick"));
    assert_eq!(
        history[quick + 1..],
        [
            "step_started first",
            "signalled",
            "step_ended first",
            "step_started slow",
            "step_ended slow",
            "step_started open"
        ]
    );
}

#[tokio::test]
async fn steps_that_are_quick_have_one_event() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(folder.path(), Durability::Relaxed).unwrap();
    let (id, mut log) = run(&journal).await;
    for n in 0..500 {
        log.note(2, begun(&format!("s{n}")));
        log.append(3, &ended(&format!("s{n}"))).kept().await.unwrap();
    }
    let history = history(folder.path(), &id);
    let count = |word: &str| history.iter().filter(|event| event.starts_with(word)).count();
    assert_eq!(count("step_ended"), 500);
    // Some may have waited for the processor longer than begins are held back.
    assert!(count("step_started") < 250, "{}", count("step_started"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_that_write_alone_and_together_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Arc::new(SqliteJournal::open(folder.path(), Durability::Relaxed).unwrap());
    let mut runs = Vec::new();
    for number in 0..4_usize {
        let (id, mut log) = run(&journal).await;
        let writing = tokio::spawn(async move {
            for n in 0..200 {
                log.note(2, begun(&format!("s{n}")));
                log.append(3, &ended(&format!("s{n}"))).kept().await.unwrap();
                if n % 50 == number * 10 {
                    // The others go on alone for a while.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
        runs.push((id, writing));
    }
    for (id, writing) in runs {
        writing.await.unwrap();
        let ends: Vec<String> = history(folder.path(), &id)
            .into_iter()
            .filter_map(|event| event.strip_prefix("step_ended ").map(str::to_owned))
            .collect();
        let expect: Vec<String> = (0..200).map(|n| format!("s{n}")).collect();
        assert_eq!(ends, expect);
    }
}
