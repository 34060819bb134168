//! The state folder: what is kept there, what is refused, what is damaged.

use crate::support::{Script, builder, eventually, here};
use crashwise_core::{Stats, Target};
use crashwise_runner::{RunFilter, RunStatus, RunStore, Runner, Verdict};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

fn big() -> Script {
    Script::new(|cx| async move {
        let text: String = cx.step("big").run(|_| async { Ok("x".repeat(100_000)) }).await?;
        cx.step("keep")
            .run(|cx| async move {
                cx.store("notes.txt", &b"some notes"[..])
                    .map(drop)
                    .map_err(|error| crashwise_core::workflow::StepFailure::fatal(error.chain()))
            })
            .await?;
        Ok(json!(text.len()))
    })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for part in fs::read_dir(folder).unwrap() {
        let part = part.unwrap().path();
        if part.file_name().unwrap() != "tmp" {
            found.extend(fs::read_dir(part).unwrap().map(|file| file.unwrap().path()));
        }
    }
    found
}

#[tokio::test]
async fn large_payloads_are_files_and_their_loss_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let runner = Runner::builder().state_dir(folder.path()).workflow(big()).build().unwrap();
    let report = runner.run("script", here(), Value::Null).await.unwrap();
    assert_eq!(report.output, json!(100_000));
    let blobs = files(&folder.path().join("blobs"));
    assert_eq!(blobs.len(), 1);
    let store = RunStore::open(folder.path()).unwrap();
    assert!(matches!(store.verify(&report.run_id).unwrap(), Verdict::Intact { .. }));
    let mut text = String::new();
    let stored = store.report(&report.run_id).unwrap();
    let artifact = stored.artifact("notes.txt").unwrap();
    std::io::Read::read_to_string(&mut stored.open(artifact).unwrap(), &mut text).unwrap();
    assert_eq!(text, "some notes");
    fs::write(&blobs[0], "short").unwrap();
    match store.verify(&report.run_id).unwrap() {
        Verdict::Damaged { problem, .. } => assert!(problem.contains("payload cannot be read"), "{problem}"),
        other => panic!("{other:?}"),
    }
    fs::remove_file(&blobs[0]).unwrap();
    assert_eq!(store.verify_all().unwrap().len(), 1);
    let error = store.history(&report.run_id).unwrap_err().chain();
    assert!(error.contains("damaged at event"), "{error}");
}

#[tokio::test]
async fn history_that_was_tampered_with_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let runner = Runner::builder().state_dir(folder.path()).workflow(big()).build().unwrap();
    let report = runner.run("script", here(), Value::Null).await.unwrap();
    runner.shutdown().await;
    let path = folder.path().join("journal.db");
    for (change, expect) in [
        ("UPDATE events SET at_ms = at_ms + 1 WHERE seq = 3", "not what was written"),
        ("UPDATE events SET at_ms = at_ms - 1 WHERE seq = 3; DELETE FROM events WHERE seq = 4", "missing"),
    ] {
        let status = rusqlite_execute(&path, change);
        assert!(status.is_ok(), "{status:?}");
        let store = RunStore::open(folder.path()).unwrap();
        match store.verify(&report.run_id).unwrap() {
            Verdict::Damaged { seq, problem } => {
                assert!(problem.contains(expect) && (3..=5).contains(&seq), "{seq}: {problem}");
            }
            other => panic!("{other:?}"),
        }
    }
}

fn rusqlite_execute(path: &Path, text: &str) -> rusqlite::Result<()> {
    rusqlite::Connection::open(path)?.execute_batch(text)
}

#[test]
fn foreign_and_later_files_are_refused_and_left_alone() {
    let make = |prepare: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        prepare(&folder.path().join("journal.db"));
        let before = fs::read(folder.path().join("journal.db")).unwrap();
        let error = Runner::builder().state_dir(folder.path()).build().unwrap_err().chain();
        assert_eq!(fs::read(folder.path().join("journal.db")).unwrap(), before, "{error}");
        let read = RunStore::open(folder.path()).unwrap_err().chain();
        assert!(read.contains("journal"), "{read}");
        error
    };
    let error =
        make(&|path| fs::write(path, "not a database at all, but long enough to look at it twice").unwrap());
    assert!(error.contains("journal.db is not a journal of crashwise: it is not a database"), "{error}");
    let error =
        make(&|path| rusqlite_execute(path, "CREATE TABLE mine(x); PRAGMA user_version = 3").unwrap());
    assert!(error.contains("a database of another program"), "{error}");
    let error = make(&|path| {
        drop(Runner::builder().state_dir(path.parent().unwrap()).build().unwrap());
        // The runner's threads end after it; their connections are closed by then.
        for _ in 0..200 {
            if !path.with_extension("db-wal").exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        rusqlite_execute(path, "PRAGMA user_version = 2; PRAGMA journal_mode = DELETE").unwrap();
    });
    assert!(error.contains("has format 2, but this version knows formats up to 1"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    assert!(RunStore::open(empty.path()).is_err());
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "looking makes nothing");
}

#[tokio::test]
async fn statistics_and_lists_are_there_for_other_processes() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::new(|cx| async move {
        let fuzz = cx.step("fuzz").run(|cx| async move {
            for n in 0..1000 {
                cx.stats(Stats::AnalysisUpdate {
                    functions_analyzed: n,
                    issues_found: 0,
                    complexity_score: 0.0,
                    current_module: String::new(),
                    elapsed_time: 0,
                });
            }
            Ok(())
        });
        fuzz.await?;
        let _: Value = cx.signal("end").await?;
        Ok(Value::Null)
    });
    let (builder, _) = builder();
    let runner = builder.state_dir(folder.path()).workflow(script).build().unwrap();
    let handle = runner.submit(crashwise_runner::RunRequest::new("script", here())).await.unwrap();
    let store = RunStore::open(folder.path()).unwrap();
    eventually("statistics", || !store.stats(handle.id()).unwrap().is_empty()).await;
    let stats = store.stats(handle.id()).unwrap();
    assert_eq!((stats.len(), stats[0].step.as_str()), (1, "fuzz"));
    eventually("it runs", || store.status(handle.id()).unwrap() == RunStatus::Running).await;
    assert!(store.summary(handle.id()).unwrap().owned);
    store.signal(handle.id(), "end", Value::Null).await.unwrap();
    assert_eq!(store.wait(handle.id()).await.unwrap().unwrap().status, RunStatus::Completed);
    let listed = |filter: RunFilter| store.list(&filter).unwrap().len();
    assert_eq!(listed(RunFilter::new()), 1);
    assert_eq!(listed(RunFilter::new().with_status(RunStatus::Failed)), 0);
    assert_eq!(listed(RunFilter::new().with_workflow("script").with_status(RunStatus::Completed)), 1);
    assert_eq!(store.matching(&handle.id().as_str()[..20]).unwrap(), [handle.id().clone()]);
    let mut lines = Vec::new();
    store.export(handle.id(), &mut lines).unwrap();
    let first: Value = serde_json::from_slice(lines.split(|b| *b == b'\n').next().unwrap()).unwrap();
    assert_eq!((first["seq"].as_u64(), first["kind"].as_str()), (Some(1), Some("submitted")));
}

#[tokio::test]
async fn pruning_keeps_what_is_still_named() {
    let folder = tempfile::tempdir().unwrap();
    let runner = Runner::builder().state_dir(folder.path()).workflow(big()).build().unwrap();
    let old = runner.run("script", here(), Value::Null).await.unwrap();
    let kept = runner.fork(&old.run_id, "keep").await.unwrap().wait().await.unwrap();
    let aged = std::time::SystemTime::now() - std::time::Duration::from_secs(10_000);
    let age = || {
        for part in ["blobs", "results"] {
            for file in files(&folder.path().join(part)) {
                fs::File::options().write(true).open(file).unwrap().set_modified(aged).unwrap();
            }
        }
    };
    age();
    let store = RunStore::open(folder.path()).unwrap();
    let nothing = store.prune(old.submitted_ms).unwrap();
    assert_eq!((nothing.runs, nothing.files), (0, 0));
    rusqlite_execute(
        &folder.path().join("journal.db"),
        &format!("UPDATE runs SET ended_ms = 5 WHERE id = '{}'", old.run_id),
    )
    .unwrap();
    let pruned = store.prune(6).unwrap();
    assert_eq!((pruned.runs, pruned.files), (1, 0), "the fork names the same files");
    assert!(store.report(&old.run_id).is_err());
    assert_eq!(store.report(&kept.run_id).unwrap().status, RunStatus::Completed);
    let pruned = store.prune(u64::MAX >> 1).unwrap();
    assert_eq!((pruned.runs, pruned.files), (1, 2));
    assert_eq!(store.list(&RunFilter::new()).unwrap(), []);
}

#[tokio::test]
async fn an_archive_is_unpacked_for_the_run_and_a_broken_one_fails_it() {
    let folder = tempfile::tempdir().unwrap();
    // A tar of one file: a header of 512 bytes with its checksum, a block of content, two empty blocks.
    let mut tar = vec![0_u8; 4 * 512];
    tar[..8].copy_from_slice(b"src/a.py");
    for (at, text) in
        [(100, "0000644"), (108, "0000000"), (116, "0000000"), (124, "00000000005"), (136, "00000000000")]
    {
        tar[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    tar[156] = b'0';
    tar[257..265].copy_from_slice(b"ustar\x0000");
    tar[148..156].fill(b' ');
    let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar[512..517].copy_from_slice(b"hello");
    fs::write(folder.path().join("good.tar"), &tar).unwrap();
    fs::write(folder.path().join("bad.tar"), &tar[..700]).unwrap();
    let script = Script::new(|cx| async move {
        let text: String = cx
            .step("read")
            .run(|cx| async move { Ok(fs::read_to_string(cx.workspace().root().join("src/a.py"))?) })
            .await?;
        cx.step("scan").call_named("probe", json!({})).await?;
        Ok(json!(text))
    });
    let (builder, _) = builder();
    let runner = builder.workflow(script).build().unwrap();
    let run = |name: &str| runner.run("script", Target::Archive(folder.path().join(name)), Value::Null);
    let report = run("good.tar").await.unwrap();
    assert_eq!((report.status, &report.output), (RunStatus::Completed, &json!("hello")), "{report:?}");
    let report = run("bad.tar").await.unwrap();
    assert_eq!(report.status, RunStatus::Failed);
}

#[tokio::test]
async fn a_target_that_is_gone_fails_the_run_but_not_the_runner() {
    let folder = tempfile::tempdir().unwrap();
    let (builder, _) = builder();
    let script = Script::new(|cx| async move {
        cx.step("scan").call_named("probe", json!({})).await?;
        Ok(Value::Null)
    });
    let runner = builder.state_dir(folder.path()).workflow(script).build().unwrap();
    let report =
        runner.run("script", Target::Directory("/does/not/exist".into()), Value::Null).await.unwrap();
    assert_eq!(report.status, RunStatus::Failed);
    assert!(report.error.unwrap().contains("/does/not/exist"));
}
