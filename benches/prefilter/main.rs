//! Throughput of the literal prefilter against aho-corasick, same literals, same bytes, same thread.
//!
//! ```text
//! cargo bench --bench prefilter -- /usr/include 100
//! ```
//!
//! The arguments are a directory and the most megabytes to read from it. Literals are the keywords of a gitleaks or
//! Betterleaks TOML file in `CRASHWISE_BENCH_RULES` (default `../shared/data/rules/betterleaks.toml`), or a
//! generated set of 430 where there is none.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs, hint};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use crashwise_modules::prefilter::{Case, Prefilter};

fn main() {
    let mut args = env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let root = PathBuf::from(args.next().unwrap_or_else(|| "/usr/include".into()));
    let megabytes: usize = args.next().and_then(|arg| arg.parse().ok()).unwrap_or(64);
    let mut files = Vec::new();
    read(&root, &mut megabytes.saturating_mul(1_000_000), &mut files);
    let bytes: usize = files.iter().map(Vec::len).sum();
    let literals = literals();
    println!("{} literals, {} files, {} MB", literals.len(), files.len(), bytes / 1_000_000);

    let started = cpu_seconds();
    let mut builder = Prefilter::builder();
    builder
        .add_all(literals.iter().map(|literal| (literal, Case::Insensitive)))
        .expect("literals of 2 bytes or more");
    let prefilter = builder.build();
    println!("prefilter built in {:.2} ms", (cpu_seconds() - started) * 1e3);
    let hits = measure("prefilter", bytes, || {
        let mut hits = 0_usize;
        for file in &files {
            prefilter.scan(file, |hit| hits += hint::black_box(hit).start.min(1) | 1);
        }
        hits
    });
    for (name, kind) in [
        ("aho-corasick, contiguous NFA", AhoCorasickKind::ContiguousNFA),
        ("aho-corasick, DFA", AhoCorasickKind::DFA),
    ] {
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(kind))
            .build(&literals)
            .expect("an automaton");
        let peer = measure(name, bytes, || {
            files.iter().map(|file| automaton.find_overlapping_iter(file).count()).sum()
        });
        assert_eq!(hits, peer, "both find the same");
    }
    let sum = measure("sum of bytes", bytes, || {
        files.iter().flatten().fold(0_usize, |sum, &byte| sum.wrapping_add(byte.into()))
    });
    hint::black_box(sum);
}

/// Best of five runs, in CPU time of this thread.
fn measure(name: &str, bytes: usize, mut run: impl FnMut() -> usize) -> usize {
    let mut best = f64::MAX;
    let mut result = 0;
    for _ in 0..5 {
        let started = cpu_seconds();
        result = hint::black_box(run());
        best = best.min(cpu_seconds() - started);
    }
    println!("{name:32} {:8.3} GB/s per core   {result} hits", bytes_per_second(bytes, best) / 1e9);
    result
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn bytes_per_second(bytes: usize, seconds: f64) -> f64 {
    bytes as f64 / seconds
}

/// CPU time of this thread; wall time where the system does not tell it.
fn cpu_seconds() -> f64 {
    let nanoseconds = fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(
        || std::time::UNIX_EPOCH.elapsed().map_or(0.0, |time| time.as_secs_f64()),
        |nanoseconds| nanoseconds / 1e9,
    )
}

fn literals() -> Vec<String> {
    let path =
        env::var("CRASHWISE_BENCH_RULES").unwrap_or_else(|_| "../shared/data/rules/betterleaks.toml".into());
    let Ok(text) = fs::read_to_string(&path) else {
        println!("no rules at {path}: generated literals");
        return (0..430_u32).map(|n| format!("{:x}_{}", n.wrapping_mul(2_654_435_761), n % 10)).collect();
    };
    // Generic words are the assignment scanner's, not the prefilter's.
    let generic =
        ["key", "token", "secret", "auth", "api", "password", "access", "credential", "passwd", "cred"];
    let words: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("keywords"))
        .flat_map(|list| list.split('"').skip(1).step_by(2))
        .map(str::to_lowercase)
        .filter(|word| word.len() >= 3 && !generic.contains(&word.as_str()))
        .collect();
    words.into_iter().collect()
}

fn read(dir: &Path, left: &mut usize, files: &mut Vec<Vec<u8>>) {
    let mut entries: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if *left == 0 {
            return;
        }
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            read(&entry.path(), left, files);
        } else if kind.is_file()
            && let Ok(bytes) = fs::read(entry.path())
        {
            *left = left.saturating_sub(bytes.len());
            files.push(bytes);
        }
    }
}
