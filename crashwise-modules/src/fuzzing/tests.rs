//! The modules over trees that need no compiler: what is wrong is said, and nothing run is never a clean result.

use crashwise_core::process::Spec;
use crashwise_core::testing::{ModuleTest, ModuleTestResult};
use crashwise_core::{CancellationToken, CoverageStatus, ModuleError, Stats};
use serde_json::json;

use super::config::Options;
use super::session::{self, Native, Ready};
use super::{AflFuzzer, AtherisFuzzer, CargoFuzzer, LibfuzzerFuzzer, RegressionFuzzer};
use crashwise_core::store::{CorpusId, Store};

const MANIFEST: &str = "[package]\nname = \"demo-fuzz\"\nversion = \"0.0.0\"\n[package.metadata]\ncargo-fuzz = true\n\
    [dependencies]\nlibfuzzer-sys = \"0.4\"\n[[bin]]\nname = \"parse\"\npath = \"fuzz_targets/parse.rs\"\n\
    [[bin]]\nname = \"render\"\npath = \"fuzz_targets/render.rs\"\n";

/// Behaves like a libFuzzer target: crashes at once on what contains `boom`, and after a while otherwise.
const TARGET: &str = r#"#!/bin/sh
prefix=./; input=; replay=
for arg in "$@"; do
  case $arg in
    -artifact_prefix=*) prefix=${arg#*=} ;;
    -runs=0) replay=1 ;;
    -*) ;;
    *) [ -d "$arg" ] || input=$arg ;;
  esac
done
crash() {
  echo "==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602 at pc 0x5 bp 0x7 sp 0x7" >&2
  echo "WRITE of size 1 at 0x602 thread T0" >&2
  echo "    #0 0x1 in parse src/parse.c:1:5" >&2
  echo "    #1 0x2 in LLVMFuzzerTestOneInput src/fuzz.c:1:1" >&2
  echo "" >&2
  exit 77
}
if [ -n "$input" ]; then grep -q boom "$input" && crash; exit 0; fi
echo "INFO: Loaded 1 modules   (40 inline 8-bit counters): 40 [0x55, 0x56)," >&2
printf '#2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 30Mb\n#1000\tNEW    cov: 10 ft: 9 corp: 2/3b exec/s: 500 rss: 31Mb\n' >&2
[ -z "$replay" ] || { echo 'stat::number_of_executed_units: 2' >&2; exit 0; }
sleep 0.2
echo "xxboomxx" > "${prefix}crash-01"
echo "artifact_prefix='$prefix'; Test unit written to ${prefix}crash-01" >&2
crash
"#;

async fn refused(test: ModuleTest) -> String {
    match test.run().await {
        Err(error @ ModuleError::Config(_)) => error.to_string(),
        other => panic!("expected a wrong configuration, got {other:?}"),
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let text = refused(ModuleTest::new(CargoFuzzer::new()).file("src/lib.rs", "")).await;
    assert!(text.contains("no fuzz targets") && text.contains("cargo fuzz init"), "{text}");
    let cargo = || ModuleTest::new(CargoFuzzer::new()).file("fuzz/Cargo.toml", MANIFEST);
    let text = refused(cargo().config(json!({"target_name": "prase"}))).await;
    assert!(text.contains("did you mean \"parse\"") && text.contains("parse, render"), "{text}");
    let text = refused(cargo().config(json!({"sanitizer": "undefined"}))).await;
    assert!(text.contains("sanitizer") && text.contains("address"), "{text}");
    let text = refused(ModuleTest::new(AtherisFuzzer::new()).file("fuzz_x.py", "print(1)")).await;
    assert!(text.contains("TestOneInput"), "{text}");
    let python = ModuleTest::new(AtherisFuzzer::new()).file("fuzz_x.py", "def TestOneInput(data): pass");
    let text = refused(python.config(json!({"target_file": "fuzz_y.py"}))).await;
    assert!(text.contains("did you mean \"fuzz_x.py\""), "{text}");
    let text = refused(ModuleTest::new(LibfuzzerFuzzer::new()).file("a.out", "\u{7f}ELF")).await;
    assert!(text.contains("no libFuzzer targets"), "{text}");
    for name in ["../outside", "gone"] {
        let case = ModuleTest::new(LibfuzzerFuzzer::new()).file("a", "").config(json!({"targets": [name]}));
        assert!(refused(case).await.contains("targets: "), "{name}");
    }
}

fn scripted(target: &str, config: &serde_json::Value) -> (tempfile::TempDir, ModuleTest) {
    use std::os::unix::fs::PermissionsExt;
    let tree = tempfile::tempdir().expect("directory");
    std::fs::create_dir(tree.path().join("src")).expect("directory");
    for (name, text) in [("target", target), ("src/parse.c", "int x;\n"), ("src/fuzz.c", "int y;\n")] {
        std::fs::write(tree.path().join(name), text).expect("write");
    }
    std::fs::set_permissions(tree.path().join("target"), std::fs::Permissions::from_mode(0o755))
        .expect("mode");
    let test = ModuleTest::new(LibfuzzerFuzzer::new()).tree(tree.path()).config(config.clone());
    (tree, test)
}

#[tokio::test]
async fn a_crash_is_reported_once_small_and_with_its_replay() {
    let config = json!({
        "targets": ["target"], "timeout_seconds": 300, "minimise_seconds": 100, "max_iterations": 15_000,
    });
    let (_tree, test) = scripted(TARGET, &config);
    let result: ModuleTestResult = test.run().await.expect("runs");
    assert_eq!(result.places(), ["fuzz/heap-buffer-overflow src/parse.c:1:5"]);
    let finding = &result.findings[0];
    assert_eq!(finding.cwe, [122]);
    assert_eq!(finding.code_flow.len(), 2);
    assert_eq!(finding.evidence["reproducible"], true);
    let name =
        finding.artifacts.iter().find(|file| file.name.ends_with("/input")).expect("input").name.clone();
    assert_eq!(result.artifact(&name).expect("stored"), b"boom");
    let folder = name.trim_end_matches("/input");
    let replay = format!("mkdir -p {folder} && printf 'boom' > {name} && ./target {name}");
    assert_eq!(finding.evidence["replay"], replay);
    let test = result.artifact(&name.replace("/input", "/regression.rs")).expect("stored");
    let test = String::from_utf8(test).expect("text");
    assert!(test.contains("#[test]") && test.contains("b\"boom\""), "{test}");

    assert_eq!(result.summary.values["crashes_found"], 1);
    assert!(result.summary.values["total_crashes"].as_u64() > Some(1));
    assert_eq!(result.coverage.status, CoverageStatus::Complete);
    let Some(Stats::FuzzingLiveUpdate { executions, unique_crashes, coverage, .. }) = result.stats.last()
    else {
        panic!("no statistics: {:?}", result.stats);
    };
    assert_eq!((*unique_crashes, *coverage), (1, Some(25.0)));
    assert!(*executions >= 1000);
    assert!(result.stats.len() >= 3, "{} events", result.stats.len());
}

#[tokio::test]
async fn nothing_run_is_not_clean() {
    let config = json!({"targets": ["target"], "timeout_seconds": 2});
    let (_tree, test) = scripted("#!/bin/sh\necho 'ERROR: unknown flag' >&2\nexit 1\n", &config);
    let error = test.run().await.expect_err("nothing ran");
    assert!(error.to_string().contains("nothing was executed"), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_cancelled_run_ends_soon_with_what_it_has() {
    let config = json!({
        "targets": ["target"], "timeout_seconds": 600, "minimise_seconds": 600, "sandbox": "limits",
    });
    // It leaves a mark at each replay.
    let marking =
        TARGET.replace("if [ -n \"$input\" ]; then", "if [ -n \"$input\" ]; then echo >>\"$0.seen\";");
    assert!(marking != TARGET);
    let (tree, test) = scripted(&marking, &config);
    let cancel = CancellationToken::new();
    let begin = std::time::Instant::now();
    let stop = async {
        let seen = tree.path().join("target.seen");
        // The crash is confirmed by the first replay of its input, after the one that probes for leaks.
        while std::fs::metadata(&seen).map_or(0, |data| data.len()) < 4 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(test.cancel(cancel.clone()).run(), stop);
    assert!(begin.elapsed() < std::time::Duration::from_mins(5));
    assert_eq!(result.expect("a result").findings.len(), 1);
}

/// The script in a tree, and a module over it.
fn kept(module: impl crashwise_core::AnyModule, target: &str) -> (tempfile::TempDir, ModuleTest) {
    let config =
        json!({"targets": ["target"], "timeout_seconds": 5, "minimise_seconds": 100, "project": "demo"});
    let (tree, _) = scripted(target, &config);
    let test = ModuleTest::new(module).tree(tree.path()).config(config);
    (tree, test)
}

#[tokio::test]
async fn what_a_run_learns_the_next_one_knows() {
    let store = Store::memory();
    let fuzzer = || LibfuzzerFuzzer::new().with_store(store.clone());
    let replay = || RegressionFuzzer::new().with_store(store.clone());
    // It also writes an input into the corpus, as a fuzzer does.
    let growing = TARGET.replace(
        "sleep 0.2\n",
        "sleep 0.2\nfor arg in \"$@\"; do [ -d \"$arg\" ] && echo seed > \"$arg/seed\"; done\n",
    );
    let (_tree, test) = kept(fuzzer(), &growing);
    let first = test.run().await.expect("runs");
    assert_eq!(first.findings.len(), 1);
    assert_eq!(first.summary.values["known_crashes"], 0);

    let id = CorpusId::of("demo", "target");
    let mut corpus = store.corpus(&id);
    assert_eq!(corpus.count().await.expect("reads").inputs, 1);
    let crashes = corpus.crashes().await.expect("reads");
    assert_eq!(corpus.crash_input(&crashes[0].key).await.expect("reads").as_deref(), Some(&b"boom"[..]));

    let (_tree, test) = kept(replay(), TARGET);
    let still = test.run().await.expect("runs");
    assert_eq!(still.places(), first.places());
    assert_eq!(still.findings[0].fingerprint, first.findings[0].fingerprint);
    assert!(still.findings[0].evidence.contains_key("first_found_by"));
    assert_eq!(
        (&still.summary.values["known_crashes"], &still.summary.values["fixed_crashes"]),
        (&json!(1), &json!(0))
    );

    let mended = TARGET.replace("grep -q boom", "grep -q never");
    let (_tree, test) = kept(replay(), &mended);
    let fixed = test.run().await.expect("runs");
    assert!(fixed.findings.is_empty());
    assert_eq!(fixed.summary.values["fixed_crashes"], 1);
    assert!(
        fixed.summary.values["fixed"][0].as_str().is_some_and(|text| text.contains("heap-buffer-overflow"))
    );
    assert_eq!(corpus.crashes().await.expect("reads")[0].about["fixed"], true);

    // Broken again.
    let (_tree, test) = kept(replay(), TARGET);
    assert_eq!(test.run().await.expect("runs").findings[0].evidence["was_fixed"], true);
}

#[tokio::test]
async fn a_damaged_corpus_is_a_gap_and_no_end() {
    let place = tempfile::tempdir().expect("directory");
    let store = Store::local(place.path()).expect("a store");
    let pack = place.path().join("corpora/demo/target/inputs");
    std::fs::create_dir_all(&pack).expect("directory");
    std::fs::write(pack.join("00"), "garbage").expect("write");
    let (_tree, test) = kept(LibfuzzerFuzzer::new().with_store(store), TARGET);
    let result = test.run().await.expect("runs");
    assert_eq!(result.findings.len(), 1);
    assert_eq!(result.coverage.status, CoverageStatus::Partial);
}

const HARNESS: &str = "#include <stddef.h>\n#include <stdint.h>\n#include <stdlib.h>\n\
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {\n  \
    if (size < 2 || data[0] != 'n') return 0;\n  \
    uint8_t *copy = malloc(size);\n  copy[size + (data[1] == '!')] = 1;\n  free(copy);\n  return 0;\n}\n";

#[tokio::test]
async fn afl_finds_what_is_there_or_is_missed() {
    let config = json!({
        "timeout_seconds": 8, "minimise_seconds": 60, "jobs": 2, "seed": 1, "sandbox": "limits", "project": "demo",
    });
    let store = Store::memory();
    let fuzzer = AflFuzzer::new().with_store(store.clone());
    let result = ModuleTest::new(fuzzer).file("harness.c", HARNESS).config(config).run().await;
    let installed = ["afl-fuzz", "afl-clang-fast"]
        .map(|tool| crashwise_core::process::find_tool(tool).is_ok())
        .into_iter()
        .all(|there| there);
    if !installed {
        let text = result.expect_err("it is not installed").to_string();
        assert!(text.contains("afl-") && text.contains("afl++"), "{text}");
        return;
    }
    let result = result.expect("runs");
    assert_eq!(result.findings.len(), 1, "{:?}", result.places());
    assert!(result.places()[0].starts_with("fuzz/heap-buffer-overflow harness.c:7"), "{:?}", result.places());
    let finding = &result.findings[0];
    assert_eq!(
        (&finding.evidence["engine"], &finding.evidence["reproducible"]),
        (&json!("AFL++"), &json!(true))
    );
    assert!(finding.evidence["input_size"].as_u64().is_some_and(|size| size <= 4), "{:?}", finding.evidence);
    let Some(Stats::FuzzingLiveUpdate { executions, details, .. }) = result.stats.last() else {
        panic!("no statistics: {:?}", result.stats);
    };
    assert!(*executions > 1000 && details.contains_key("stability"), "{executions} {details:?}");

    // What was kept is replayed, also when it is mended.
    let replay = async |text: &str| {
        let config = json!({"timeout_seconds": 100, "sandbox": "limits", "project": "demo"});
        let fuzzer = RegressionFuzzer::new().with_store(store.clone());
        ModuleTest::new(fuzzer).file("harness.c", text).config(config).run().await.expect("runs")
    };
    let still = replay(HARNESS).await;
    assert_eq!(still.places(), result.places());
    let value = |name: &str| still.summary.values[name].as_u64().expect("a number");
    assert_eq!((value("known_crashes"), value("total_executions")), (1, value("corpus_size") + 1));
    assert!(value("corpus_size") > 0);
    let mended = replay(&HARNESS.replace("size + (data[1] == '!')", "size - 1")).await;
    assert!(mended.findings.is_empty(), "{:?}", mended.places());
    assert_eq!(
        (mended.coverage.status, &mended.summary.values["fixed_crashes"]),
        (CoverageStatus::Complete, &json!(1))
    );
}

const LEAKS: &str = "#include <stddef.h>\n#include <stdint.h>\n#include <stdlib.h>\n\
    void *volatile kept;\n\
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {\n  \
    if (size > 0 && data[0] == 'l') {\n    kept = malloc(20);\n    kept = NULL;\n  }\n  return 0;\n}\n";

#[tokio::test]
async fn a_leak_is_found_in_the_sandbox() {
    let tree = tempfile::tempdir().expect("directory");
    std::fs::write(tree.path().join("leaks.c"), LEAKS).expect("write");
    let compiler = Spec::new("clang")
        .args(["-g", "-O1", "-fsanitize=fuzzer,address", "leaks.c", "-o", "leaks"])
        .directory(tree.path());
    match compiler.run(&CancellationToken::new()).await {
        Ok(built) => assert!(built.status.success(), "{}", built.stderr.text()),
        Err(error) => {
            assert!(error.to_string().contains("apt-get install clang"), "{error}");
            return;
        }
    }
    // In containers too where there is an engine for tests, as with `scripts/test-container.sh`.
    let container = std::env::var_os("CRASHWISE_TEST_ENGINE").map(|_| ("container", 20));
    for (sandbox, seconds) in [("sandbox", 6)].into_iter().chain(container) {
        let config = json!({
            "targets": ["leaks"], "timeout_seconds": seconds, "minimise_seconds": 5, "seed": 1, "sandbox": sandbox,
        });
        let result = ModuleTest::new(LibfuzzerFuzzer::new()).tree(tree.path()).config(config).run().await;
        let result = result.expect("runs");
        assert_eq!(result.places(), ["fuzz/memory-leak leaks.c:7:12"], "{:?}", result.coverage);
        assert_eq!(result.findings[0].evidence["reproducible"], true);
        assert_eq!(result.coverage.status, CoverageStatus::Complete, "{:?}", result.coverage);
    }
}

#[tokio::test]
async fn afl_says_what_does_not_build_and_what_is_missing() {
    let installed = crashwise_core::process::find_tool("afl-fuzz").is_ok();
    for (module, config, expect) in [
        (ModuleTest::new(AflFuzzer::new()).file("a.c", "int x;"), json!({}), "no targets for AFL++"),
        (
            ModuleTest::new(AflFuzzer::new()).file("a.c", "int LLVMFuzzerTestOneInput(nonsense"),
            json!({"sandbox": "limits"}),
            "a.c:1",
        ),
        (
            ModuleTest::new(AflFuzzer::new()).file("a", "x"),
            json!({"command": ["gone", "@@"]}),
            "there is no file \"gone\"",
        ),
        (
            ModuleTest::new(AflFuzzer::new()).file("parse.c", HARNESS),
            json!({"sources": ["prase.c"]}),
            "did you mean \"parse.c\"",
        ),
    ] {
        let text = module.config(config).run().await.expect_err("cannot run").to_string();
        assert!(text.contains(if installed { expect } else { "afl-fuzz" }), "{text}");
    }
}

#[tokio::test]
async fn coverage_that_cannot_be_reported_is_said() {
    let config =
        json!({"targets": ["target"], "timeout_seconds": 2, "minimise_seconds": 1, "coverage": true});
    let (_tree, test) = scripted(TARGET, &config);
    // The tools may not be there either, and then it says so before it begins.
    let said = match test.run().await {
        Ok(result) => {
            assert_eq!((result.coverage.status, result.findings.len()), (CoverageStatus::Partial, 1));
            format!("{:?}", result.coverage)
        }
        Err(error) => error.to_string(),
    };
    assert!(said.contains("target_coverage") || said.contains("llvm-cov"), "{said}");
}

/// A target and its build without a sanitizer, both scripts.
struct Pair {
    store: Store,
    native: bool,
    replay: bool,
}

/// What both begin with: they take their arguments.
const ARGUMENTS: &str = r#"#!/bin/sh
prefix=./; folders=; input=
for arg in "$@"; do
  case $arg in
    -artifact_prefix=*) prefix=${arg#*=} ;;
    -*) ;;
    *) if [ -d "$arg" ]; then folders="$folders $arg"; else input=$arg; fi ;;
  esac
done
"#;

/// Behaves like a target with a sanitizer that is too slow to find anything by itself: it reads its corpus.
const SLOW: &str = r#"crash() {
  if [ -z "$input" ]; then
    cp "$2" "${prefix}crash-01"
    echo "artifact_prefix='$prefix'; Test unit written to ${prefix}crash-01" >&2
  fi
  echo "==7==ERROR: AddressSanitizer: $1-buffer-overflow on address 0x602 at pc 0x5 bp 0x7 sp 0x7" >&2
  echo "    #0 0x1 in $1 src/parse.c:1:5" >&2
  echo "" >&2
  exit 77
}
[ -n "$input" ] || echo "INFO: Seed: 1" >&2
for file in $input $(find $folders -type f 2>/dev/null | sort); do
  grep -q boom "$file" && crash heap "$file"
  grep -q quiet "$file" && crash stack "$file"
done
[ -z "$input" ] || exit 0
printf '#2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 30Mb\n' >&2
echo 'stat::number_of_executed_units: 1000' >&2
"#;

/// Behaves like the same without: it sees nothing in `quiet`, which it finds, and dies of what `boom` and `alone` are.
const FAST: &str = r#"crash() {
  echo "thread '<unnamed>' panicked at src/parse.c:$1:1:" >&2
  echo "it is $2" >&2
  if [ -z "$input" ]; then
    echo "$2" > "${prefix}crash-02"
    echo "artifact_prefix='$prefix'; Test unit written to ${prefix}crash-02" >&2
  fi
  exit 77
}
if [ -n "$input" ]; then
  grep -q boom "$input" && crash 1 boom
  grep -q alone "$input" && crash 9 alone
  exit 0
fi
echo "INFO: Seed: 1" >&2
printf '#2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 30Mb\n#1000\tNEW    cov: 10 ft: 9 corp: 2/3b exec/s: 500 rss: 31Mb\n' >&2
grep -qr quiet $folders || echo quiet > "$(echo $folders | cut -d' ' -f1)/quiet"
echo x >> "${prefix}rounds"
case $(wc -l < "${prefix}rounds") in 1|3) crash 1 boom ;; 2) crash 9 alone ;; esac
echo 'stat::number_of_executed_units: 1000' >&2
"#;

#[crashwise_core::async_trait]
impl crashwise_core::Module for Pair {
    type Config = serde_json::Value;

    fn info(&self) -> crashwise_core::ModuleInfo {
        crashwise_core::ModuleInfo::new("pair", "1.0.0", crashwise_core::ModuleKind::Fuzzer, "Two scripts")
    }

    async fn run(
        &self,
        cx: &crashwise_core::ModuleContext,
        _: serde_json::Value,
    ) -> Result<crashwise_core::Summary, ModuleError> {
        let root = session::root(cx);
        let target = super::libfuzzer::Target::new("pair", root.join("slow")).with_readable(&root);
        let mut ready = Ready::new(target, "scripts", "./slow".into());
        ready.native = self.native.then(|| Native {
            program: root.join("fast"),
            command: "./fast".into(),
            runner: "RUN".into(),
        });
        let second = std::time::Duration::from_secs(1);
        let options = Options {
            budget: second * 300,
            executions: Some(10_000),
            jobs: 1,
            seed: 1,
            minimise: second * 60,
            project: Some("demo".into()),
            store: Some(self.store.clone()),
            sources: Vec::new(),
            replay: self.replay,
            minimise_corpus: false,
        };
        let work = session::work()?;
        session::fuzz(cx, vec![ready], options, work.path().to_owned()).await
    }
}

async fn paired(store: &Store, native: bool, replay: bool) -> ModuleTestResult {
    let (tree, _) = scripted(TARGET, &json!({}));
    for (name, text) in [("slow", SLOW), ("fast", FAST)] {
        let path = tree.path().join(name);
        std::fs::copy(tree.path().join("target"), &path).expect("a program");
        std::fs::write(path, [ARGUMENTS, text].concat()).expect("write");
    }
    let module = Pair { store: store.clone(), native, replay };
    ModuleTest::new(module).tree(tree.path()).run().await.expect("runs")
}

#[tokio::test]
async fn a_build_without_a_sanitizer_finds_and_the_one_with_it_names() {
    let store = Store::memory();
    let all = [
        "fuzz/heap-buffer-overflow src/parse.c:1:5",
        "fuzz/rust-panic src/parse.c:9:1",
        "fuzz/stack-buffer-overflow src/parse.c:1:5",
    ];
    let sorted = |result: &ModuleTestResult| {
        let mut places = result.places();
        places.sort();
        places
    };
    let first = paired(&store, true, false).await;
    assert_eq!(sorted(&first), all);
    for finding in &first.findings {
        let alone = finding.rule_id.as_str() == "fuzz/rust-panic";
        let replay = finding.evidence["replay"].as_str().expect("a command");
        assert!(replay.contains(if alone { "&& ./fast " } else { "&& ./slow " }), "{replay}");
        assert_eq!(finding.evidence.contains_key("without_sanitizer_only"), alone);
        assert_eq!(finding.evidence["reproducible"], true);
    }
    assert_eq!(first.coverage.status, CoverageStatus::Complete);
    // Three of the fast build, and `quiet` once, which that build keeps aside for itself.
    assert_eq!(first.summary.values["total_crashes"], 4);

    let again = paired(&store, true, true).await;
    assert_eq!(sorted(&again), all);
    assert_eq!(
        (&again.summary.values["known_crashes"], &again.summary.values["fixed"]),
        (&json!(3), &json!([]))
    );

    // Without that build there is nothing to say about what happens only in it.
    let with = paired(&store, false, true).await;
    assert_eq!(sorted(&with), [all[0], all[2]]);
    assert_eq!((with.coverage.status, &with.summary.values["fixed"]), (CoverageStatus::Partial, &json!([])));
}
