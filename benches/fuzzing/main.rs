//! Fuzzing against the bare fuzzer, over the same targets: `cargo bench --bench fuzzing [-- --dir DIR] [PART...]`.
//!
//! Parts are `speed`, `drive`, `supervisor`, `cores` and `bugs`; all of them without a name. `DIR` holds the targets, which
//! `prepare.sh` makes there; without it they are made below the directory for temporary files, which takes some minutes and
//! fetches old crates. CPU time is that of processes that have ended, to a hundredth of a second.

#[path = "../measure.rs"]
mod measure;
mod peers;

use crashwise_core::CancellationToken;
use crashwise_modules::fuzzing::libfuzzer::{Campaign, CampaignEvent, Target, Totals};
use measure::{children_seconds, median, process_seconds, wall_seconds};
use peers::{Peer, Peers};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

const ROUNDS: usize = 5;
/// Rounds of the comparison whose difference is the smallest.
const DRIVEN: usize = 15;
const PARTS: [&str; 5] = ["speed", "drive", "supervisor", "cores", "bugs"];
/// Targets with a bug, and whether it is recursion without bound.
const BUGS: [(&str, bool); 6] = [
    ("asn1", false),
    ("hpack", false),
    ("colors", false),
    ("template", false),
    ("yaml", true),
    ("ron", true),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let at = words.iter().position(|word| word == "--dir");
    let dir = at
        .and_then(|at| words.get(at + 1))
        .map_or_else(|| std::env::temp_dir().join("crashwise-bench-fuzzing"), PathBuf::from);
    let named: Vec<&str> = words
        .iter()
        .enumerate()
        .filter(|(index, _)| at.is_none_or(|at| *index != at && *index != at + 1))
        .map(|(_, word)| word.as_str())
        .collect();
    if let Some(unknown) = named.iter().find(|part| !PARTS.contains(part)) {
        eprintln!("there is no part {unknown:?}: expected {}", PARTS.join(", "));
        std::process::exit(64);
    }
    let peers = Peers::open(&dir);
    for part in PARTS.iter().filter(|part| named.is_empty() || named.contains(part)) {
        match *part {
            "speed" => speed(&peers),
            "drive" => drive(&peers),
            "supervisor" => supervisor(&peers),
            "cores" => cores(&peers),
            _ => bugs(&peers),
        }
    }
}

/// Executions per second of CPU time, in the program itself and by libFuzzer.
fn speed(peers: &Peers) {
    for (target, runs) in [("empty", 8_000_000), ("json", 800_000)] {
        let mut rates = [Vec::new(), Vec::new()];
        for round in 1..=ROUNDS {
            for (peer, rates) in [Peer::Inside, Peer::Outside].into_iter().zip(&mut rates) {
                rates.push(f64::from(runs) / peers.fuzz(peer, target, runs, round));
            }
        }
        let ratio = ratio(&rates[0], &rates[1]);
        let [inside, outside] = rates.map(|rates| median(rates) / 1e6);
        println!(
            "speed {target}: {inside:.2} M executions per CPU second in process, {outside:.2} M by libFuzzer: {ratio:.2} times"
        );
    }
}

/// What driving a libFuzzer program costs it: the same runs of the same seed, each with a corpus that begins empty and grows on
/// disk, by turns of which every other one is driven first.
fn drive(peers: &Peers) {
    for (target, runs) in [("empty", 8_000_000), ("json", 800_000)] {
        let (mut driven, mut bare) = (Vec::new(), Vec::new());
        for round in 1..=DRIVEN {
            let seed = u32::try_from(round).unwrap_or(1);
            let mut alone = || bare.push(f64::from(runs) / peers.fuzz(Peer::Outside, target, runs, round));
            if round % 2 == 0 {
                alone();
            }
            let before = children_seconds();
            let totals = campaign(
                peers,
                target,
                |_| (),
                |campaign| {
                    campaign
                        .with_executions(u64::from(runs))
                        .with_budget(Duration::from_mins(10))
                        .with_seed(seed)
                },
            );
            #[expect(clippy::cast_precision_loss, reason = "a rate")]
            driven.push(totals.last.executions as f64 / (children_seconds() - before));
            if round % 2 == 1 {
                alone();
            }
        }
        let fewer = |ratio: f64| (1.0 - ratio) * 100.0;
        let best = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
        println!(
            "drive {target}: {:.2} % fewer executions per CPU second than the bare program in the middle, {:.2} % in the best round \
             of each",
            fewer(ratio(&driven, &bare)),
            fewer(best(&driven) / best(&bare)),
        );
    }
}

/// CPU time of the parent while it tells of progress ten times a second.
fn supervisor(peers: &Peers) {
    let often = Duration::from_millis(100);
    let now = || (process_seconds(), wall_seconds());
    let share = |from: (f64, f64), to: (f64, f64)| (to.0 - from.0) / (to.1 - from.1) * 100.0;
    // A minute of a campaign of half an hour, between two times that it told of progress.
    let (mut first, mut last, before) = (None, (0.0, 0.0), now());
    let tell = |cancel: &CancellationToken| {
        let (_, began) = *first.get_or_insert_with(now);
        if wall_seconds() - began >= 60.0 && !cancel.is_cancelled() {
            last = now();
            cancel.cancel();
        }
    };
    campaign(peers, "empty", tell, |campaign| {
        campaign.with_budget(Duration::from_mins(30)).with_every(often)
    });
    let first = first.expect("it told of progress");
    // To be woken costs more on a machine that sleeps in between: the same timer with nothing behind it, right after.
    let asleep = now();
    for _ in 0..300 {
        std::thread::sleep(often);
    }
    println!(
        "supervisor at 10 Hz: {:.3} % of a core; a thread that only sleeps: {:.3} %; a start: {:.1} ms",
        share(first, last),
        share(asleep, now()),
        (first.0 - before.0) * 1000.0
    );
    // The first seconds of a target with many finds, each of them a line.
    let before = now();
    campaign(
        peers,
        "json",
        |_| (),
        |campaign| campaign.with_budget(Duration::from_secs(14)).with_every(often).with_seed(1),
    );
    println!("supervisor at 10 Hz, the first 14 s of json: {:.3} % of a core", share(before, now()));
}

/// Two jobs against one.
fn cores(peers: &Peers) {
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    for round in 1..=3_u32 {
        let rates = [1, 2].map(|jobs| {
            let before = children_seconds();
            let totals = campaign(
                peers,
                "json",
                |_| (),
                |campaign| {
                    campaign.with_budget(Duration::from_secs(10)).with_jobs(jobs).with_seed(round * 10)
                },
            );
            #[expect(clippy::cast_precision_loss, reason = "a rate")]
            let executions = totals.last.executions as f64;
            (executions, executions / (children_seconds() - before))
        });
        wall.push(rates[1].0 / rates[0].0);
        cpu.push(rates[1].1 / rates[0].1);
    }
    println!(
        "cores: two jobs execute {:.2} times as much as one, {:.2} times as much for each second of CPU time",
        median(wall),
        median(cpu)
    );
}

/// Time to the first crash.
fn bugs(peers: &Peers) {
    for (target, recursion) in BUGS {
        let told = [Peer::Inside, Peer::Outside].map(|peer| {
            let found: Vec<_> =
                (1..=3).map(|seed| peers.first_crash(peer, target, recursion, seed)).collect();
            let count = found.iter().flatten().count();
            if count < 2 {
                return format!("{count} of 3");
            }
            // What was not found took longer than any.
            let middle = |value: fn(&(f64, f64)) -> f64| {
                median(found.iter().map(|one| one.as_ref().map_or(f64::INFINITY, value)).collect())
            };
            format!(
                "{count} of 3, {:.0} executions, {:.2} s",
                middle(|found| found.0),
                middle(|found| found.1)
            )
        });
        println!("bugs {target}: in process {}; by libFuzzer {}", told[0], told[1]);
    }
}

/// The middle of the ratios of rounds that ran one after the other.
fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect())
}

/// Drives a libFuzzer program, and calls `tell` at each event with what ends it.
fn campaign(
    peers: &Peers,
    target: &str,
    mut tell: impl FnMut(&CancellationToken),
    with: impl FnOnce(Campaign) -> Campaign,
) -> Totals {
    let folder = tempfile::tempdir().expect("a folder");
    let program = peers.program(Peer::Outside, target);
    let readable = std::fs::canonicalize(program.parent().unwrap_or(Path::new("/"))).expect("it was built");
    let target = Target::new(target, readable.join(target)).with_readable(&readable);
    let campaign = with(Campaign::new(target, folder.path().join("corpus"), folder.path().join("work")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (sender, mut events) = mpsc::channel::<CampaignEvent>(64);
        let cancel = CancellationToken::new();
        let run = async {
            let totals = campaign.run(&cancel, &sender).await;
            drop(sender);
            totals
        };
        let (totals, ()) = tokio::join!(run, async {
            while events.recv().await.is_some() {
                tell(&cancel);
            }
        });
        totals.expect("it runs")
    })
}
