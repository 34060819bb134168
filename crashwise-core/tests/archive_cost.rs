//! What each hostile archive costs: in a process of its own it must be refused within 64 MB and a second of CPU time, and
//! leave nothing behind. Unoptimised code has thirty seconds. The test starts itself as its own child processes.
//!
//! `archive_cost extract ARCHIVE FOLDER` extracts one archive.

#![allow(clippy::print_stdout, reason = "a test without harness tells what it did")]
#![allow(clippy::cast_possible_truncation, reason = "test archives are small")]
#![allow(dead_code, reason = "the tables are shared with the unit tests, which use more of them")]
#![allow(
    clippy::too_many_lines,
    clippy::enum_glob_use,
    clippy::cast_precision_loss,
    reason = "tables, and their sum"
)]

#[path = "../src/archive/tests/build.rs"]
mod build;
#[path = "../src/archive/tests/hostile.rs"]
mod hostile;
#[path = "../src/archive/tests/uncommon.rs"]
mod uncommon;
#[path = "../src/archive/tests/zips.rs"]
mod zips;

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use crashwise_core::archive::{Bound, ExtractOptions, Limits, Rule, extract_file};
use rustix::time::{ClockId, clock_gettime};

const MEMORY: u64 = 64_000_000;
const TIME: Duration = Duration::from_secs(if cfg!(debug_assertions) { 30 } else { 1 });

/// What an archive must be refused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Rule(Rule),
    Limit(Bound),
}

/// What a case cost.
#[derive(Debug, Default)]
struct Cost {
    name: String,
    bytes: u64,
    time: Duration,
}

thread_local! {
    static COSTS: RefCell<Vec<Cost>> = const { RefCell::new(Vec::new()) };
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["extract", archive, folder] => return extract(Path::new(archive), Path::new(folder)),
        ["--list", ..] => println!("archive_cost: test"),
        _ => measure(),
    }
    ExitCode::SUCCESS
}

/// Extracts, and tells on the last line the peak of memory in bytes and the CPU time in microseconds.
fn extract(archive: &Path, folder: &Path) -> ExitCode {
    let result = extract_file(archive, folder, &ExtractOptions::new());
    let code = ExitCode::from(u8::from(result.is_err()));
    match result {
        Ok(extracted) => println!("{extracted:?}"),
        Err(error) => println!("{error}"),
    }
    let time: Duration = clock_gettime(ClockId::ProcessCPUTime).try_into().expect("not negative");
    println!("{} {}", peak(), time.as_micros());
    code
}

fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
}

fn measure() {
    let tables: [fn(); 14] = [
        hostile::names,
        hostile::links,
        hostile::kinds,
        hostile::framing,
        hostile::streams,
        hostile::bounds,
        zips::zip64_sizes,
        zips::hostile,
        zips::bombs,
        uncommon::tar_names,
        uncommon::tar_links,
        uncommon::tar_headers,
        uncommon::streams,
        uncommon::zips,
    ];
    for table in tables {
        table();
    }
    let costs = COSTS.take();
    let most = costs.iter().max_by_key(|cost| cost.bytes).expect("cases");
    let longest = costs.iter().max_by_key(|cost| cost.time).expect("cases");
    println!(
        "{} hostile archives: at most {:.1} MB ({}) and {} ms of CPU time ({})",
        costs.len(),
        most.bytes as f64 / 1e6,
        most.name,
        longest.time.as_millis(),
        longest.name
    );
}

fn accepted(_name: &str, _bytes: &[u8], _expect: &[(&str, &str)]) {}

/// Extracts in a child process. Which rule refuses it is what the unit tests look at; those with other limits than the
/// default ones are theirs alone.
#[allow(clippy::disallowed_methods, reason = "the child is this test itself")]
fn refused(name: &str, bytes: &[u8], _expect: Refusal, options: &ExtractOptions) {
    if options.limits() != &Limits::default() {
        return;
    }
    let dir = tempfile::tempdir().expect("temporary directory");
    let (archive, place) = (dir.path().join("archive"), dir.path().join("place"));
    fs::write(&archive, bytes).expect("writable");
    fs::create_dir(&place).expect("writable");
    let child = Command::new(std::env::current_exe().expect("running"))
        .args([Path::new("extract"), &archive, &place.join("tree")])
        .output()
        .expect("startable");
    let text = String::from_utf8_lossy(&child.stdout);
    assert_eq!(child.status.code(), Some(1), "{name}: {text}{}", String::from_utf8_lossy(&child.stderr));
    let left: Vec<_> = fs::read_dir(&place).expect("still there").collect();
    assert!(left.is_empty(), "{name} left {left:?} behind");
    let (bytes, time) = text.lines().next_back().and_then(|line| line.split_once(' ')).expect("two numbers");
    let cost = Cost {
        name: name.to_owned(),
        bytes: bytes.parse().expect("a number"),
        time: Duration::from_micros(time.parse().expect("a number")),
    };
    assert!(cost.bytes <= MEMORY && cost.time <= TIME, "{cost:?}");
    COSTS.with_borrow_mut(|costs| costs.push(cost));
}
