//! Targets of this program, fuzzed by processes of this program. Nothing here is instrumented: the inputs are blind, and
//! what is tested is that every kind of death is survived, told apart, and replayed.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::exit, reason = "a test")]

use crashwise_core::testing::{ModuleTest, ModuleTestResult};
use crashwise_core::{ModuleError, Stats};
use crashwise_modules::fuzzing::FuzzModule;
use serde_json::{Value, json};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The system's allocator behind a lock that all threads share: what dies while it holds it leaves nobody any memory.
struct OneLock(AtomicBool);

#[global_allocator]
static ALLOCATOR: OneLock = OneLock(AtomicBool::new(false));

impl OneLock {
    fn lock(&self) {
        while self.0.swap(true, Ordering::Acquire) {
            std::thread::yield_now();
        }
    }

    fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}

// SAFETY: what the system's allocator gives is passed on.
#[allow(unsafe_code, reason = "an allocator")]
unsafe impl GlobalAlloc for OneLock {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.lock();
        // SAFETY: the caller's promise.
        let memory = unsafe { System.alloc(layout) };
        self.unlock();
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        self.lock();
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) };
        self.unlock();
    }
}

async fn fuzz(module: FuzzModule, config: Value) -> Result<ModuleTestResult, ModuleError> {
    let mut all = json!({"timeout_seconds": 200, "minimise_seconds": 2, "seed": 7, "sandbox": "limits"});
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    ModuleTest::new(module).config(all).run().await
}

/// Seconds that a machine gets, a slow one more of them.
const PATIENCE: [u64; 3] = [6, 40, 200];

/// Fuzzes until the findings are of these rules, on a slow machine for longer.
async fn fuzz_until(
    rules_found: &[&str],
    module: impl Fn() -> FuzzModule,
    config: Value,
) -> Result<ModuleTestResult, ModuleError> {
    let mut config = config;
    let mut result = None;
    for seconds in PATIENCE {
        config["timeout_seconds"] = seconds.into();
        let one = fuzz(module(), config.clone()).await;
        let is_found = one.as_ref().is_ok_and(|result| rules(result) == rules_found);
        result = Some(one);
        if is_found {
            break;
        }
    }
    result.unwrap()
}

/// The rules of the findings, sorted, and what the first is called.
fn rules(result: &ModuleTestResult) -> Vec<&str> {
    result.findings.iter().map(|finding| finding.rule_id.as_str()).collect()
}

#[tokio::test]
async fn panics_are_survived_and_told_apart() {
    let module = FuzzModule::new("panics", |data: &[u8]| match data.first() {
        Some(0..64) => panic!("low"),
        Some(64..128) => panic!("middle of {}", data.len()),
        _ => {}
    });
    let result = fuzz(module, json!({"max_iterations": 20_000})).await.unwrap();
    assert_eq!(rules(&result), ["fuzz/rust-panic", "fuzz/rust-panic"], "{:#?}", result.findings);
    let executions = result.summary.values["total_executions"].as_u64().unwrap();
    assert!(executions >= 20_000, "one process ran on: {executions}");
    assert_eq!(result.summary.values["crashes_found"], 2);
    assert_eq!(result.summary.values["coverage"], Value::Null);
    for finding in &result.findings {
        assert_eq!(finding.evidence["reproducible"], true);
        assert_eq!(finding.evidence["input_size"], 1, "made smaller: {finding:?}");
        assert!(
            finding.evidence["replay"]
                .as_str()
                .unwrap()
                .contains("&& CRASHWISE_FUZZ_TARGET=panics in_process-")
        );
    }
    assert!(result.stats.iter().any(|stats| matches!(stats, Stats::FuzzingLiveUpdate { .. })));
}

#[tokio::test]
async fn deaths_that_cannot_be_caught() {
    let target = |data: &[u8]| match data.first() {
        Some(0..40) => std::process::abort(),
        Some(40..80) => std::process::exit(3),
        Some(80..120) => {
            let nowhere = std::hint::black_box(64_usize) as *const u8;
            // SAFETY: none, that is the point.
            #[allow(unsafe_code, reason = "a fault")]
            let byte = unsafe { nowhere.read_volatile() };
            std::hint::black_box(byte);
        }
        _ => {}
    };
    let expected = ["fuzz/abrt", "fuzz/fuzz-target-exited", "fuzz/segv"];
    let result = fuzz_until(&expected, || FuzzModule::new("deaths", target), json!({})).await.unwrap();
    assert_eq!(rules(&result), expected, "{:#?}", result.findings);
}

/// The same frame of this program, whenever it is looked at.
#[inline(never)]
fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

#[tokio::test]
async fn an_input_that_takes_too_long() {
    let target = |data: &[u8]| {
        if matches!(data, [0..128, ..]) {
            spin();
        }
    };
    let module = || FuzzModule::new("hang", target);
    let result = fuzz_until(&["fuzz/timeout"], module, json!({"input_timeout_seconds": 1})).await.unwrap();
    assert_eq!(rules(&result), ["fuzz/timeout"], "{:#?}", result.findings);
}

/// Takes memory in parts of so many bytes.
#[inline(never)]
fn hoard(bytes: usize) {
    let mut kept = Vec::new();
    loop {
        kept.push(vec![1_u8; std::hint::black_box(bytes)]);
    }
}

#[tokio::test]
async fn an_input_that_takes_too_much_memory() {
    let large = |data: &[u8]| {
        if data.first().is_some_and(|byte| *byte < 128) {
            hoard(1 << 20);
        }
    };
    // It is interrupted inside the allocator nearly always.
    let small = |data: &[u8]| {
        if data.first().is_some_and(|byte| *byte < 128) {
            hoard(100);
        }
    };
    // Both before either is fuzzed: the child of the second does not get to the first.
    let modules = [FuzzModule::new("large", large), FuzzModule::new("small", small)];
    for module in modules {
        let name = module.name();
        let module = || module.clone();
        let result = fuzz_until(&["fuzz/out-of-memory"], module, json!({"memory_mib": 200})).await.unwrap();
        assert_eq!(rules(&result), ["fuzz/out-of-memory"], "{name}: {:#?}", result.findings);
        let stack = result.findings[0].evidence["stack"].to_string();
        assert!(stack.contains("hoard"), "{name}, it says where: {stack}");
    }
}

#[tokio::test]
async fn deaths_while_the_allocator_is_locked() {
    let target = |data: &[u8]| {
        let Some(first @ 0..80) = data.first() else { return };
        ALLOCATOR.lock();
        if *first < 40 {
            std::process::abort();
        }
        spin();
    };
    let expected = ["fuzz/abrt", "fuzz/timeout"];
    let module = || FuzzModule::new("locked", target);
    let result = fuzz_until(&expected, module, json!({"input_timeout_seconds": 1})).await.unwrap();
    assert_eq!(rules(&result), expected, "{:#?}", result.findings);
    for finding in &result.findings {
        let stack = finding.evidence["stack"].to_string();
        assert!(stack.contains("deaths_while_the_allocator_is_locked"), "it says where: {stack}");
        assert_eq!(finding.evidence["reproducible"], true);
    }
}

fn nested(data: &[u8]) -> usize {
    match data.split_first() {
        Some((b'[', rest)) => 1 + std::hint::black_box(nested(std::hint::black_box(rest))),
        _ => 0,
    }
}

#[tokio::test]
async fn recursion_without_bound_overflows_the_default_stack_too() {
    let target = |data: &[u8]| {
        nested(data);
    };
    let module = || FuzzModule::new("recursion", target);
    let config = json!({"max_iterations": 2_000_000});
    let result = fuzz_until(&["fuzz/stack-overflow"], module, config).await.unwrap();
    assert_eq!(rules(&result), ["fuzz/stack-overflow"], "{:#?}", result.findings);
    assert!(result.findings[0].evidence["input_size"].as_u64().unwrap() > 10_000);
}

#[tokio::test]
async fn a_target_that_always_dies_is_said_and_the_corpus_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let module = FuzzModule::new("empty", |data: &[u8]| assert!(!data.is_empty(), "nothing to read"));
    let config = json!({"timeout_seconds": 200, "max_iterations": 5000, "corpus": folder.path()});
    let result = fuzz(module, config).await.unwrap();
    assert_eq!(rules(&result), ["fuzz/rust-panic"]);
    assert_eq!(result.findings[0].evidence["input_size"], 0);

    let module = || FuzzModule::new("abort", |_: &[u8]| std::process::abort());
    let result = fuzz_until(&["fuzz/abrt"], module, json!({})).await.unwrap();
    assert_eq!(rules(&result), ["fuzz/abrt"]);
    assert_eq!(result.coverage.gaps[0].detail, "it crashes on the empty input");

    let module = || FuzzModule::new("slow", |_: &[u8]| std::thread::sleep(Duration::from_micros(200)));
    let result = fuzz_until(&[], module, json!({})).await.unwrap();
    assert!(result.findings.is_empty());
    let executions = result.summary.values["total_executions"].as_u64().unwrap();
    assert!((10..1_000_000).contains(&executions), "{executions}");
}

#[tokio::test]
async fn a_seed_has_the_same_addresses_in_each_process() {
    const FILE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/addresses");
    static ONCE: std::sync::Once = std::sync::Once::new();
    let target = |data: &[u8]| {
        ONCE.call_once(|| {
            let line = format!("{:p} {:p} {:p}\n", &raw const ONCE, &raw const data, data);
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(FILE).unwrap();
            std::io::Write::write_all(&mut file, line.as_bytes()).unwrap();
        });
    };
    // Children go no further than this.
    let modules = [(); 3].map(|()| FuzzModule::new("addresses", target));
    let _ = std::fs::remove_file(FILE);
    for module in modules {
        fuzz(module, json!({"max_iterations": 1000})).await.unwrap();
    }
    let mut lines: Vec<String> = std::fs::read_to_string(FILE).unwrap().lines().map(str::to_owned).collect();
    assert!(lines.len() >= 3, "{lines:?}");
    lines.dedup();
    // A container may not allow it.
    #[allow(unsafe_code, reason = "a call of the system that changes nothing")]
    // SAFETY: it says how things are, and sets them so.
    let allowed = unsafe {
        let now = libc::personality(0xffff_ffff);
        let fixed = libc::personality((now | libc::ADDR_NO_RANDOMIZE).unsigned_abs().into()) >= 0;
        libc::personality(now.unsigned_abs().into());
        fixed
    };
    assert_eq!(lines.len() == 1, allowed, "{lines:?}");
}

#[tokio::test]
async fn values_are_made_of_inputs() {
    let module = FuzzModule::typed("typed", |(wide, name): (u16, String)| {
        assert!(wide < 60_000 || name.len() < 3, "a wide one with a name");
    });
    let result = fuzz(module, json!({"max_iterations": 300_000})).await.unwrap();
    assert_eq!(rules(&result), ["fuzz/rust-panic"], "{:#?}", result.findings);
    assert_eq!(result.findings[0].evidence["reproducible"], true);
}

#[test]
fn a_check_passes_and_shares_its_corpus() {
    let folder = tempfile::tempdir().unwrap();
    let module = FuzzModule::new("passes", |data: &[u8]| {
        std::hint::black_box(data.len());
    });
    module.with_corpus(folder.path().join("corpus")).check(Duration::from_secs(3));
    assert!(folder.path().join("corpus").is_dir());
}

#[test]
fn a_check_fails_with_what_was_found_and_its_replay() {
    let folder = tempfile::tempdir().unwrap();
    let module = FuzzModule::new("fails", |data: &[u8]| assert!(data.first() != Some(&7), "seven"));
    let module = module.with_corpus(folder.path());
    let failed =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| module.check(Duration::from_secs(4))))
            .unwrap_err();
    let text = failed.downcast_ref::<String>().unwrap();
    assert!(text.contains("rust-panic") && text.contains("CRASHWISE_FUZZ_TARGET=fails"), "{text}");
    let input = std::path::Path::new(text.rsplit(' ').next().unwrap().trim());
    assert_eq!(std::fs::read(input).unwrap(), [7]);
    std::fs::remove_dir_all("fuzz").unwrap();
}

#[inline(never)]
fn value(data: &[u8]) -> usize {
    match data.first() {
        Some(b'[') => 1 + std::hint::black_box(array(&data[1..])),
        Some(b'{') => 1 + std::hint::black_box(object(&data[1..])),
        _ => 0,
    }
}

#[inline(never)]
fn array(data: &[u8]) -> usize {
    1 + std::hint::black_box(value(std::hint::black_box(data)))
}

#[inline(never)]
fn object(data: &[u8]) -> usize {
    2 + std::hint::black_box(value(std::hint::black_box(data)))
}

#[tokio::test]
async fn one_nesting_is_reported_once_whatever_nests() {
    let target = |data: &[u8]| {
        value(data);
    };
    let module = || FuzzModule::new("nesting", target);
    let config = json!({"max_iterations": 3_000_000});
    let result = fuzz_until(&["fuzz/stack-overflow"], module, config).await.unwrap();
    assert_eq!(rules(&result), ["fuzz/stack-overflow"], "{:#?}", result.findings);
}
