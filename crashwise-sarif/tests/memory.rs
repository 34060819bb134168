//! Peak memory does not grow with the number of findings.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "a global allocator that counts is unsafe by its trait")]

use crashwise_core::{
    Finding, FindingLines, FindingSpool, Location, Position, RelPath, RuleId, Severity, SeverityCounts,
};
use crashwise_sarif::{Opened, ReadOptions, Report, Tool, read};
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io::BufReader;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(NOW.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes at the highest point of `work` beyond those before it.
fn peak_of(work: impl FnOnce()) -> usize {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    work();
    PEAK.load(Relaxed) - before
}

fn finding(n: u32) -> Finding {
    let place =
        Location::new(RelPath::new(format!("src/module_{:03}/file_{:02}.py", n % 700, n % 13)).unwrap())
            .with_start(Position::new(n / 500 + 1, 5).unwrap())
            .with_snippet(format!("cursor.execute(query_{n} + name)"));
    Finding::new(
        RuleId::new(format!("code/python/rule-{}", n % 40)).unwrap(),
        "SQL built from strings",
        Severity::High,
    )
    .with_message(format!("query_{n} holds name, which comes from the request"))
    .with_location(place)
    .with_cwe(89)
}

#[test]
fn many_findings_in_bounded_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (lines, log) = (directory.path().join("findings.jsonl"), directory.path().join("log.sarif"));
    let spooling = peak_of(|| {
        let spool = FindingSpool::new(directory.path()).with_memory(1 << 20);
        for n in 0..20_000 {
            spool.push(finding(n)).unwrap();
        }
        assert_eq!(spool.finish(&mut File::create(&lines).unwrap()).unwrap().high, 20_000);
    });
    let writing = peak_of(|| {
        let open = lines.clone();
        let source = Opened::new(move || Ok(FindingLines::new(BufReader::new(File::open(&open)?))));
        let report =
            Report::new(Tool::new("crashwise", "0.1.0"), "w").with_source(source, SeverityCounts::default());
        crashwise_sarif::write(&report, &mut File::create(&log).unwrap()).unwrap();
    });
    let mut results = 0;
    let reading = peak_of(|| {
        let summary = read(File::open(&log).unwrap(), &ReadOptions::new(), &mut |_| {
            results += 1;
            Ok(())
        });
        assert_eq!(summary.unwrap().runs[0].results, 20_000);
    });
    assert_eq!(results, 20_000);
    assert!(
        std::fs::metadata(&log).unwrap().len() > 6 << 20,
        "the log is larger than what the limits allow to hold"
    );
    for (what, peak, limit) in
        [("spooling", spooling, 6 << 20), ("writing", writing, 2 << 20), ("reading", reading, 2 << 20)]
    {
        assert!(peak < limit, "{what} took {peak} bytes at its peak");
    }
}
