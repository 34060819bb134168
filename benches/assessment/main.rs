//! `security_assessment` on a large tree, against the library of ripgrep walking the same tree and reading every file.
//!
//! ```text
//! cargo bench --no-default-features --bench assessment -- [TREE]
//! ```
//!
//! The tree is the sources of crates in the local registry unless another is named. Both use two threads and honour
//! ignore files; the rounds alternate and the figures are medians, after one round that warms the page cache.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../measure.rs"]
mod measure;

use crashwise_core::Target;
use crashwise_runner::{Runner, workflows::SecurityAssessment};
use ignore::{WalkBuilder, WalkState};
use std::env;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const THREADS: usize = 2;
const ROUNDS: usize = 5;

fn main() {
    let tree = env::args().skip(1).find(|arg| !arg.starts_with('-')).map_or_else(registry, PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .expect("a runtime");
    let (files, bytes) = read_all(&tree);
    println!("{files} files, {} MB", bytes / 1_000_000);

    let mut rounds: [Vec<[f64; 2]>; 2] = Default::default();
    let mut findings = 0;
    for _ in 0..ROUNDS {
        rounds[0].push(measured(|| assert_eq!(read_all(&tree).0, files)));
        rounds[1].push(measured(|| findings = runtime.block_on(assess(&tree))));
    }
    let median = |who: usize, what: usize| measure::median(rounds[who].iter().map(|one| one[what]).collect());
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (files, bytes) = (files as f64, bytes as f64);
    for (who, name) in ["walk and read", "security_assessment"].into_iter().enumerate() {
        let (cpu, wall) = (median(who, 0), median(who, 1));
        println!(
            "{name:20} {cpu:6.2} s CPU, {wall:6.2} s; {:7.0} files/s, {:6.3} GB per CPU second",
            files / wall,
            bytes / cpu / 1e9
        );
    }
    println!(
        "ratio: {:.2} CPU, {:.2} wall; {findings} findings; peak memory {} MB",
        median(1, 0) / median(0, 0),
        median(1, 1) / median(0, 1),
        measure::peak_megabytes()
    );
}

fn registry() -> PathBuf {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    home.expect("a home folder").join("registry/src")
}

/// CPU and wall seconds of a round.
fn measured(work: impl FnOnce()) -> [f64; 2] {
    let started = [measure::process_seconds(), measure::wall_seconds()];
    work();
    [measure::process_seconds() - started[0], measure::wall_seconds() - started[1]]
}

/// Walks and reads all; files and bytes.
fn read_all(tree: &Path) -> (u64, u64) {
    let (files, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    WalkBuilder::new(tree).threads(THREADS).hidden(false).build_parallel().run(|| {
        let mut buffer = Vec::new();
        let (files, bytes) = (&files, &bytes);
        Box::new(move |entry| {
            let Ok(entry) = entry else { return WalkState::Continue };
            if entry.file_type().is_some_and(|kind| kind.is_file()) {
                buffer.clear();
                let read = File::open(entry.path()).and_then(|mut file| file.read_to_end(&mut buffer));
                files.fetch_add(1, Ordering::Relaxed);
                bytes.fetch_add(read.unwrap_or_default() as u64, Ordering::Relaxed);
            }
            WalkState::Continue
        })
    });
    (files.into_inner(), bytes.into_inner())
}

/// Runs the workflow; how many findings it has.
async fn assess(tree: &Path) -> u64 {
    let runner = Runner::builder()
        .modules(crashwise_modules::registry())
        .workflow(SecurityAssessment)
        .build()
        .expect("a runner");
    let target = Target::from_path(tree).expect("a tree");
    let report = runner.run("security_assessment", target, serde_json::json!({})).await.expect("a report");
    report.counts.total()
}
