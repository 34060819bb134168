//! Reports of real tools, and ones written like them, with what they must be read as: `data/*.txt`.

use std::fmt::Write;

use proptest::prelude::*;

use super::{AccessKind, CrashReport, Exploitability, Known, Role, Scope, triage};

const DATA: &[(&str, &str)] = &[
    ("asan", include_str!("data/asan.txt")),
    ("asan_gcc", include_str!("data/asan_gcc.txt")),
    ("asan_logs", include_str!("data/asan_logs.txt")),
    ("asan_rust", include_str!("data/asan_rust.txt")),
    ("c", include_str!("data/c.txt")),
    ("clusterfuzz", include_str!("data/clusterfuzz.txt")),
    ("cut", include_str!("data/cut.txt")),
    ("dotnet", include_str!("data/dotnet.txt")),
    ("go", include_str!("data/go.txt")),
    ("handlers", include_str!("data/handlers.txt")),
    ("java", include_str!("data/java.txt")),
    ("kernel", include_str!("data/kernel.txt")),
    ("languages", include_str!("data/languages.txt")),
    ("libfuzzer", include_str!("data/libfuzzer.txt")),
    ("machinery", include_str!("data/machinery.txt")),
    ("managed", include_str!("data/managed.txt")),
    ("msan", include_str!("data/msan.txt")),
    ("python", include_str!("data/python.txt")),
    ("runtimes", include_str!("data/runtimes.txt")),
    ("rust", include_str!("data/rust.txt")),
    ("rust_logs", include_str!("data/rust_logs.txt")),
    ("sanitizers", include_str!("data/sanitizers.txt")),
    ("script", include_str!("data/script.txt")),
    ("signal", include_str!("data/signal.txt")),
    ("system", include_str!("data/system.txt")),
    ("toolchains", include_str!("data/toolchains.txt")),
    ("tsan", include_str!("data/tsan.txt")),
    ("ubsan", include_str!("data/ubsan.txt")),
];

struct Case {
    name: String,
    expect: String,
    log: &'static str,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (family, text) in DATA {
        for section in text.split("=== ").skip(1) {
            // Sanitizers draw lines of equal signs too.
            let Some((head, log)) = section.split_once("\n---\n") else { continue };
            let (name, expect) = head.split_once('\n').expect("expectations");
            let start = log.as_ptr() as usize - text.as_ptr() as usize;
            let end = text[start..].find("\n=== ").map_or(text.len(), |end| start + end + 1);
            cases.push(Case {
                name: format!("{family}: {name}"),
                expect: expect.to_owned(),
                log: &text[start..end],
            });
        }
    }
    cases
}

fn told(crash: &CrashReport) -> String {
    let mut told = format!("kind: {}\n", crash.kind);
    if let Some(cause) = &crash.cause {
        let _ = writeln!(told, "cause: {cause}");
    }
    if let Some(access) = crash.access {
        let kind = match access.kind {
            AccessKind::Read => "read",
            AccessKind::Write => "write",
            AccessKind::Execute => "execute",
            AccessKind::Unknown => "unknown",
        };
        let _ =
            writeln!(told, "access: {kind}{}", access.size.map_or(String::new(), |size| format!(" {size}")));
    }
    if let Some(frame) = crash.blame() {
        let place =
            if frame.file.is_some() || frame.module.is_some() { format!(" {frame}") } else { String::new() };
        let _ = writeln!(told, "blame: {}{place}", frame.function);
    }
    let class = match crash.exploitability {
        Exploitability::Exploitable => "exploitable",
        Exploitability::ProbablyExploitable => "probably",
        Exploitability::NotExploitable => "not",
    };
    told + "class: " + class
}

#[test]
fn every_report_is_read_right() {
    let cases = cases();
    assert!(cases.len() >= 480, "{} cases", cases.len());
    let mut wrong = String::new();
    for case in &cases {
        let told =
            triage(case.log.as_bytes(), &Scope::new()).map_or("nothing".to_owned(), |crash| told(&crash));
        let same = told.lines().count() == case.expect.lines().count()
            && told.lines().zip(case.expect.lines()).all(|(told, expect)| match expect.strip_suffix('?') {
                Some(start) => told.starts_with(start),
                None => told == expect,
            });
        if !same {
            let _ = writeln!(wrong, "## {}\nexpected\n{}\ntold\n{told}\n", case.name, case.expect);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn each_case_is_its_own_crash_and_two_compilers_agree() {
    let crashes: Vec<(String, CrashReport)> = cases()
        .into_iter()
        .map(|case| (case.name, triage(case.log.as_bytes(), &Scope::new()).expect("a crash")))
        .collect();
    let of = |name: &str| &crashes.iter().find(|(other, _)| other == name).expect("case").1;
    for name in [
        "heap-buffer-overflow write",
        "heap-use-after-free",
        "double-free",
        "stack-overflow",
        "leak",
        "bad free",
    ] {
        let (clang, gcc) = (of(&format!("asan: clang {name}")), of(&format!("asan_gcc: gcc {name}")));
        assert_eq!(clang.major, gcc.major, "{name}");
    }
    assert_eq!(
        of("rust: bounds, full backtrace").major,
        of("rust: bounds, full backtrace, v0 names").major,
        "two manglings of one panic"
    );
    let mut known = Known::new();
    for (_, crash) in &crashes {
        known.see(crash);
    }
    assert_eq!(known.total(), crashes.len() as u64);
    assert!(known.unique() > 180, "{} of {}", known.unique(), crashes.len());
}

#[test]
fn lines_move_and_numbers_differ_but_the_bug_stays() {
    let log = |line: u32, index: u32, hash: &str| {
        format!(
            "thread 'main' panicked at src/de.rs:{line}:9:\nindex out of bounds: the len is 3 but the index is {index}\n\
             stack backtrace:\n   0: core::panicking::panic_bounds_check\n   1: demo::de::read::h{hash}\n             at ./src/de.rs:{line}:9\n\
             \x20  2: demo::load::h{hash}\n             at ./src/lib.rs:4:5\n"
        )
    };
    let read = |log: String| triage(log.as_bytes(), &Scope::new()).expect("a crash");
    let (a, b) = (read(log(7, 3, "00112233aabbccdd")), read(log(8, 99, "ffeeddccbbaa9988")));
    assert_eq!(a.major, b.major);
    assert_ne!(a.minor, b.minor);
    assert_eq!(a.minor, read(log(7, 5, "0000000000000000")).minor);
}

#[test]
fn a_recursion_is_one_bug_wherever_the_stack_ran_out() {
    let log = |start: usize| {
        let cycle = ["value", "list", "item"];
        let frames = (0..200).map(|at| {
            let name = cycle[(start + at) % 3];
            format!("    #{at} 0x55 in demo::{name} /src/demo/{name}.rs:3:5\n")
        });
        let head =
            "==1==ERROR: AddressSanitizer: stack-overflow on address 0x7ff (pc 0x5 bp 0x7 sp 0x7 T0)\n";
        head.to_owned() + &frames.collect::<String>()
    };
    let majors: Vec<_> =
        (0..3).map(|start| triage(log(start).as_bytes(), &Scope::new()).expect("a crash").major).collect();
    assert!(majors.iter().all(|major| *major == majors[0]));
}

#[test]
fn a_size_that_nobody_checks_is_one_bug_however_it_fails() {
    let stack =
        "    #0 0x1 in demo::read /src/demo/read.rs:7:3\n    #1 0x2 in demo::load /src/demo/load.rs:9:3\n\n";
    let majors = [
        "==1==ERROR: AddressSanitizer: requested allocation size 0x6f00 (0x7000 after adjustments) exceeds maximum supported size",
        "==1==ERROR: AddressSanitizer: out of memory: allocator is trying to allocate 0xff6180fc00 bytes",
        "==1== ERROR: libFuzzer: out-of-memory (malloc(2147483648))",
        "thread 'main' panicked at library/alloc/src/raw_vec.rs:28:5:\ncapacity overflow",
    ]
    .map(|head| triage(format!("{head}\n{stack}").as_bytes(), &Scope::new()).expect("a crash").major);
    assert!(majors.iter().all(|major| *major == majors[0]), "{majors:?}");
    let other = format!("==1== ERROR: libFuzzer: timeout after 10 seconds\n{stack}");
    assert_ne!(triage(other.as_bytes(), &Scope::new()).expect("a crash").major, majors[0]);
}

#[test]
fn a_harness_that_only_calls_a_library_is_not_to_blame() {
    const CRATE: &str =
        "der::tag /home/u/.cargo/registry/src/index.example.org-1949/der-0.6.1/src/lib.rs:10:2";
    const INSIDE: &str = "once /c/crashwise-modules-0.1.0/src/fuzzing/in_process/child.rs:9:1";
    let own = |function: &str, file: &str| format!("{function} /home/u/demo/{file}:20:3");
    let (closure, parse) = (own("demo::main::{closure#0}", "src/main.rs"), own("demo::parse", "src/main.rs"));
    let (target, entry) =
        (own("run", "fuzz/fuzz_targets/a.rs"), own("rust_fuzzer_test_input", "fuzz/fuzz_targets/a.rs"));
    let main = own("demo::main", "src/main.rs");
    for (stack, expect) in [
        (vec![CRATE, &closure, INSIDE, &main], "der::tag"),
        (vec![CRATE, &target, &entry], "der::tag"),
        (vec![CRATE, &parse, &closure, INSIDE], "demo::parse"),
        (vec![&target, &entry], "run"),
        (vec![&closure, CRATE, &closure, INSIDE], "demo::main::{closure}"),
        (vec![CRATE], "der::tag"),
    ] {
        let head = "==1==ERROR: AddressSanitizer: SEGV on unknown address 0x0 (pc 0x5 bp 0x7 sp 0x7 T0)\n";
        let lines = stack.iter().enumerate().map(|(number, frame)| format!("    #{number} 0x1 in {frame}\n"));
        let log: String = std::iter::once(head.to_owned()).chain(lines).collect();
        let report = triage(log.as_bytes(), &Scope::new().with_root("/home/u/demo")).expect("a crash");
        assert_eq!(report.blame().map(|frame| frame.function.as_str()), Some(expect), "{log}");
    }
}

#[test]
fn bugs_of_a_library_are_apart_below_one_harness() {
    const CRATES: &str = "/home/u/.cargo/registry/src/index.example.org-1949";
    let crash = |function: &str, entry: &str| {
        let log = format!(
            "==1==ERROR: AddressSanitizer: SEGV on unknown address 0x000000000000 (pc 0x5 bp 0x7 sp 0x7 T0)\n\
             \x20   #0 0x1 in der::{function} {CRATES}/der-0.6.1/src/lib.rs:10:2\n\
             \x20   #1 0x2 in demo::main::{{closure#0}} /home/u/demo/src/main.rs:20:3\n\
             \x20   #2 0x3 in core::ops::function::Fn::call /rustc/5980/library/core/src/ops/function.rs:79:5\n{entry}\n"
        );
        triage(log.as_bytes(), &Scope::new().with_root("/home/u/demo")).expect("a crash").major
    };
    let inside = format!(
        "    #3 0x4 in once {CRATES}/crashwise-modules-0.1.0/src/fuzzing/in_process/child.rs:9:1\n\
         \x20   #4 0x5 in demo::main /home/u/demo/src/main.rs:30:1\n"
    );
    let outside = "    #3 0x4 in LLVMFuzzerTestOneInput /home/u/demo/src/main.rs:40:1\n";
    for entry in [inside.as_str(), outside] {
        assert_ne!(crash("tag", entry), crash("length", entry), "{entry}");
    }
}

#[test]
fn a_race_is_one_bug_whichever_access_is_told_first() {
    let log = |first: &str, second: &str, at: u32| {
        format!(
            "WARNING: ThreadSanitizer: data race (pid=9)\n  {first} of size 4 at 0x56 by thread T2:\n    #0 demo::{first} /src/demo/a.c:{at}:3 (demo+0xd0)\n\n  \
             Previous {second} of size 4 at 0x56 by thread T1:\n    #0 demo::{second} /src/demo/a.c:30:3 (demo+0xe0)\n\n\
             SUMMARY: ThreadSanitizer: data race /src/demo/a.c:{at}:3 in demo::{first}\n"
        )
    };
    let major = |log: String| triage(log.as_bytes(), &Scope::new()).expect("a crash").major;
    assert_eq!(major(log("write", "read", 7)), major(log("read", "write", 8)));
    assert_ne!(major(log("write", "read", 7)), major(log("write", "write", 7)));
}

#[test]
fn a_signature_needs_no_names() {
    let log = |base: u64, offset: u64| {
        format!(
            "==1==ERROR: AddressSanitizer: SEGV on unknown address 0x000000000000 (pc 0x{base:x} bp 0x7 sp 0x7 T0)\n\
             ==1==The signal is caused by a READ memory access.\n\
             \x20   #0 0x{base:x}  (/out/parse+0x{offset:x}) (BuildId: ab)\n    #1 0x{base:x}  (/out/parse+0x77)\n\n"
        )
    };
    let of = |log: String| super::signature(log.as_bytes()).expect("a crash");
    assert_eq!(of(log(0x5500_0000, 0x10)), of(log(0x5600_0000, 0x10)));
    assert_ne!(of(log(0x5500_0000, 0x10)), of(log(0x5500_0000, 0x20)));
    assert_eq!(super::signature(b"all is well\n"), None);
}

#[test]
fn a_root_makes_paths_relative_and_strangers_dependencies() {
    let log = b"==1==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602 at pc 0x5 bp 0x7 sp 0x7\nREAD of size 1 at 0x602 thread T0\n\
        \x20   #0 0x1 in inflate /opt/zlib/inflate.c:10:2\n    #1 0x2 in unpack /home/u/demo/src/unpack.c:20:3\n";
    let crash = triage(log, &Scope::new().with_root("/home/u/demo")).expect("a crash");
    assert_eq!(crash.blame().expect("frame").to_string(), "src/unpack.c:20:3");
    assert_eq!(crash.frames[0].role, Role::Dependency);
    // The same, built elsewhere: then the first stranger is as good as the project's.
    let crash = triage(log, &Scope::new().with_root("/elsewhere")).expect("a crash");
    assert_eq!(crash.blame().expect("frame").to_string(), "/opt/zlib/inflate.c:10:2");
}

#[test]
fn a_clean_log_has_no_crash() {
    for log in [
        "",
        "\n\n",
        "INFO: Running with entropic power schedule (0xFF, 100).\n#2\tINITED cov: 3 ft: 3 corp: 1/1b exec/s: 0 rss: 30Mb\n#2097152\tpulse  cov: 3 ft: 3 corp: 1/1b lim: 4096 exec/s: 1048576 rss: 40Mb\nDone 4194304 runs in 3 second(s)\n",
        "test result: ok. 3 passed; 0 failed\n",
        "error[E0308]: mismatched types\n --> src/main.rs:1:1\n",
        "running 1 test\nthread safety is fine, no panic here\n",
    ] {
        assert_eq!(triage(log.as_bytes(), &Scope::new()), None, "{log}");
    }
}

#[test]
fn a_huge_log_is_cut_and_still_read() {
    let mut log = vec![b'x'; 20 << 20];
    log.extend_from_slice(b"\nthread 'main' panicked at src/a.rs:1:2:\nexplicit panic\n");
    assert_eq!(triage(&log, &Scope::new()).expect("a crash").kind, "rust-panic");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn hostile_logs_do_no_harm(log in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = triage(&log, &Scope::new());
    }

    #[test]
    fn damaged_reports_do_no_harm(
        case in 0_usize..1000,
        cuts in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..12),
        from in any::<proptest::sample::Index>(),
    ) {
        let cases = cases();
        let mut log = cases[case % cases.len()].log.as_bytes().to_vec();
        for (at, byte) in cuts {
            let at = at.index(log.len());
            if byte % 3 == 0 { log.remove(at); } else { log[at] = byte; }
            if log.is_empty() { log.push(b'#'); }
        }
        let from = from.index(log.len());
        let _ = triage(&log[from..], &Scope::new());
        if let Some(crash) = triage(&log, &Scope::new()) {
            prop_assert!(crash.blamed.is_none_or(|at| at < crash.frames.len()));
            prop_assert!(crash.frames.len() <= 1025);
        }
    }

    #[test]
    fn any_function_name_is_bearable(name in "[<>(){}\\[\\]:a-z _&*#0-9ñ.,-]{0,60}") {
        let short = super::function_name(&name);
        prop_assert!(short.len() <= name.len() + 32);
    }
}
