//! Findings through the spool into a SARIF log and back, against `serde_json` writing and reading the same results.
//!
//! ```text
//! cargo bench --bench sarif -- 1000000
//! ```
//!
//! The argument is the number of findings. Figures are CPU time of one thread; memory is the peak of the process.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../measure.rs"]
mod measure;

use crashwise_core::{
    Finding, FindingLines, FindingSpool, Location, Position, Region, RelPath, RuleId, Severity,
};
use crashwise_sarif::{Opened, ReadOptions, Report, Tool};
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::{env, fs, hint};

fn main() {
    let count: u32 = env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(100_000);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (lines, log) = (directory.path().join("findings.jsonl"), directory.path().join("log.sarif"));
    println!("{count} findings");

    let spool = FindingSpool::new(directory.path());
    measure("spool: push", count, || {
        for n in 0..count {
            // Bits turned around: findings arrive out of order.
            spool.push(finding(n.reverse_bits())).expect("a temporary file");
        }
    });
    let mut counts = None;
    measure("spool: sort and write lines", count, || {
        let mut file = BufWriter::new(File::create(&lines).expect("a file"));
        counts = Some(spool.finish(&mut file).expect("all findings"));
    });
    let counts = counts.expect("counts");
    assert_eq!(counts.total(), u64::from(count));

    let source = lines.clone();
    let open = move || Ok(FindingLines::new(BufReader::new(File::open(&source)?)));
    let report = Report::new(Tool::new("crashwise", "0.1.0"), "bench").with_source(Opened::new(open), counts);
    measure("report: lines to SARIF", count, || {
        let mut file = BufWriter::new(File::create(&log).expect("a file"));
        crashwise_sarif::write(&report, &mut file).expect("a log");
        file.flush().expect("a file");
    });
    let mut read = 0;
    measure("read: SARIF to findings", count, || {
        let input = File::open(&log).expect("the log");
        crashwise_sarif::read(input, &ReadOptions::new(), &mut |finding| {
            read += u64::from(hint::black_box(finding).primary().is_some());
            Ok(())
        })
        .expect("a log");
    });
    assert_eq!(read, u64::from(count));
    println!("log {} MB, peak memory of the process {} MB", megabytes(&log), measure::peak_megabytes());

    against_serde_json();
}

/// Findings in memory to a log in memory, against the same results as values.
fn against_serde_json() {
    const COUNT: u32 = 20_000;
    let report = Report::new(Tool::new("crashwise", "0.1.0"), "bench")
        .with_findings((0..COUNT).map(finding).collect());
    let mut log = Vec::new();
    crashwise_sarif::write(&report, &mut log).expect("a log");
    let parsed: Value = serde_json::from_slice(&log).expect("a log");
    let results = parsed["runs"][0]["results"].as_array().expect("results");
    println!("{COUNT} findings in memory, best of five");
    let best = |run: &mut dyn FnMut()| (0..5).map(|_| seconds(&mut *run)).fold(f64::MAX, f64::min);
    let ours = best(&mut || crashwise_sarif::write(&report, &mut io::sink()).expect("a log"));
    let theirs = best(&mut || {
        let mut out = BufWriter::new(io::sink());
        for result in results {
            serde_json::to_writer(&mut out, result).expect("a value");
        }
    });
    println!("write: {:.2} x serde_json writing the same results", ours / theirs);
    let ours = best(&mut || {
        let input = io::Cursor::new(&log);
        crashwise_sarif::read(input, &ReadOptions::new(), &mut |finding| {
            hint::black_box(finding);
            Ok(())
        })
        .expect("a log");
    });
    let theirs = best(&mut || {
        hint::black_box(serde_json::from_reader::<_, Value>(io::Cursor::new(&log)).expect("a log"));
    });
    println!("read: {:.2} x serde_json reading the log into a value", ours / theirs);
}

fn finding(n: u32) -> Finding {
    let start = Position::new(n / 500 + 1, 5).expect("a position");
    let end = Position::new(n / 500 + 1, 40).expect("a position");
    let path = RelPath::new(format!("src/module_{:03}/file_{:02}.py", n % 700, n % 13)).expect("a path");
    let place = Location::new(path)
        .with_region(Region::between(start, end))
        .with_snippet(format!("cursor.execute(query_{n} + name)"));
    let rule = RuleId::new(format!("code/python/rule-{}", n % 40)).expect("a rule id");
    Finding::new(rule, "SQL built from strings", Severity::High)
        .with_message(format!("query_{n} holds name, which comes from the request"))
        .with_location(place)
        .with_category("sql_injection")
        .with_recommendation("Pass the value as a parameter.")
        .with_cwe(89)
}

fn measure(name: &str, count: u32, work: impl FnOnce()) {
    let seconds = seconds(work);
    println!("{name:30} {seconds:7.2} s  {:9.0} findings/s", f64::from(count) / seconds);
}

fn seconds(work: impl FnOnce()) -> f64 {
    let started = measure::thread_seconds();
    work();
    measure::thread_seconds() - started
}

fn megabytes(path: &std::path::Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len() / 1_000_000)
}
