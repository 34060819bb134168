//! Files that were cut, flipped or overwritten.

use super::random::Random;
use crate::{RunFilter, RunReport, RunStore, Runner, Verdict};
use crashwise_core::workflow::{Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, RunId, Target};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

struct Writes;

impl Workflow for Writes {
    type Params = BTreeMap<String, u64>;
    type Output = Value;

    fn metadata(&self) -> Metadata {
        Metadata::new("writes", semver::Version::new(1, 0, 0), "Fills a journal.")
    }

    async fn run(&self, cx: &WorkflowContext, _: Self::Params) -> Result<Value, WorkflowError> {
        let mut sum = 0;
        for n in 0..10_u64 {
            sum += cx.step("small").run(move |_| async move { Ok(n) }).await?;
        }
        let big: String = cx.step("big").run(|_| async { Ok("big ".repeat(6000)) }).await?;
        Ok(json!([sum, big.len()]))
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if fs::metadata(&path).unwrap().len() > 0 {
            into.push(path);
        }
    }
}

fn same(a: &RunReport, b: &RunReport) -> bool {
    (&a.output, a.status, &a.steps, &a.target, &a.coverage)
        == (&b.output, b.status, &b.steps, &b.target, &b.coverage)
}

#[test]
fn damage_is_reported_or_without_consequence_but_never_believed() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let original: BTreeMap<RunId, RunReport> = runtime.block_on(async {
        let runner = Runner::builder().state_dir(folder.path()).workflow(Writes).build().unwrap();
        let mut reports = BTreeMap::new();
        for _ in 0..4 {
            let report = runner.run("writes", Target::Directory(".".into()), Value::Null).await.unwrap();
            reports.insert(report.run_id.clone(), report);
        }
        runner.shutdown().await;
        reports
    });
    let mut random = Random(42);
    let (mut reported, mut harmless) = (0, 0);
    for trial in 0..400 {
        let broken = tempfile::tempdir().unwrap();
        copy(folder.path(), broken.path());
        let mut all = Vec::new();
        files(broken.path(), &mut all);
        all.retain(|path| !path.to_string_lossy().ends_with("-shm"));
        all.sort();
        let path = &all[usize::try_from(random.below(all.len() as u64)).unwrap()];
        let mut bytes = fs::read(path).unwrap();
        let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
        match random.below(4) {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at..].fill(0),
            _ => bytes[at..].iter_mut().for_each(|byte| *byte = u8::try_from(random.below(256)).unwrap()),
        }
        fs::write(path, bytes).unwrap();
        let Ok(store) = RunStore::open(broken.path()) else {
            reported += 1;
            continue;
        };
        let Ok(runs) = store.list(&RunFilter::new()) else {
            reported += 1;
            continue;
        };
        // What is not listed any more was cut off as a whole, from the end.
        let mut seen = false;
        for run in runs {
            match (store.report(&run.run_id), original.get(&run.run_id)) {
                (Ok(report), Some(before)) => {
                    let verdict = store.verify(&run.run_id);
                    let told = !matches!(verdict, Ok(Verdict::Intact { .. }));
                    let cut = !report.status.is_final();
                    assert!(
                        same(&report, before) || told || cut,
                        "trial {trial}, {}: {report:?}",
                        path.display()
                    );
                    seen |= told;
                }
                (Ok(report), None) => panic!("trial {trial}: a run that never was: {report:?}"),
                (Err(_), _) => seen = true,
            }
        }
        if seen { reported += 1 } else { harmless += 1 }
    }
    println!("reported={reported} harmless={harmless}");
    assert!(reported > 50 && reported + harmless == 400, "{reported} {harmless}");
}
