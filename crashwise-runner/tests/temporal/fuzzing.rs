//! A fuzzer on a worker: a second attempt goes on from the corpus of the first, and a cancel ends its processes.
#![allow(clippy::disallowed_methods, reason = "it kills a worker")]

use crate::support::{Bench, address, vertical};
use crashwise_core::store::Store;
use crashwise_core::workflow::AnyWorkflow;
use crashwise_runner::definition::{Definition, Source};
use crashwise_runner::temporal::{ClusterRun, Submission};
use crashwise_runner::{RunRequest, RunStatus};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Behaves like a libFuzzer target: it puts an input into its corpus and goes on, and crashes when it begins with that input.
const TARGET: &str = r#"#!/bin/sh
prefix=./; input=; corpus=
for arg in "$@"; do
  case $arg in
    -artifact_prefix=*) prefix=${arg#*=} ;;
    -*) ;;
    *) if [ -d "$arg" ]; then corpus=$arg; else input=$arg; fi ;;
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
if [ -n "$corpus" ] && grep -q learnt -r "$corpus"; then
  echo "xxboomxx" > "${prefix}crash-01"
  echo "artifact_prefix='$prefix'; Test unit written to ${prefix}crash-01" >&2
  crash
fi
echo learnt > "$corpus/learnt"
sleep 600.MARK
"#;

struct Worker(Child);

impl Worker {
    fn start(bench: &Bench, vertical: &str, number: u32) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crashwise"));
        command.args(["worker", "--vertical", vertical, "--temporal", &address()]);
        if number == 2 {
            // It takes steps by what the machine has room for.
            command.args(["--slots", "resource"]);
        }
        command.arg("--store").arg(bench.folder.path().join("store"));
        command.env("CACHE_DIR", bench.folder.path().join(format!("cache-{number}")));
        command.env("CRASHWISE_STATE_DIR", bench.folder.path().join(format!("state-{number}")));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// As a machine that loses its power.
    fn kill(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The processes that have a mark among their arguments.
fn processes(mark: &str) -> usize {
    let folders = std::fs::read_dir("/proc").unwrap().flatten();
    let arguments = folders.filter_map(|folder| std::fs::read(folder.path().join("cmdline")).ok());
    arguments.filter(|text| String::from_utf8_lossy(text).contains(mark)).count()
}

async fn until(what: &str, most: Duration, mut is_so: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < most, "not within {most:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

/// Whether an input of the corpus is this text.
async fn keeps(store: &Store, text: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    store.corpus(&"demo/target".parse().unwrap()).unpack(folder.path()).await.unwrap();
    let mut inputs = std::fs::read_dir(folder.path()).unwrap().flatten();
    inputs.any(|input| std::fs::read_to_string(input.path()).is_ok_and(|input| input.trim_end() == text))
}

/// Begins a run that fuzzes, on a worker of its own.
async fn fuzzing(bench: &Bench, name: &str, mark: &str) -> (ClusterRun, Worker, String) {
    let vertical = vertical(name);
    let metadata = format!("name: fuzzes\nversion: 1.0.0\ndescription: Fuzzes.\nvertical: {vertical}\n");
    let steps = "steps:\n  - id: fuzz\n    module: libfuzzer_fuzzer\n    \
        with: {targets: [target], timeout_seconds: 20, minimise_seconds: 5, project: demo}\n";
    let source = Source::new(("metadata.yaml", &*metadata), ("workflow.yaml", steps));
    let mut modules = crashwise_modules::registry();
    for module in crashwise_modules::fuzzing::modules() {
        // One that is there already is the same.
        let _ = modules.add_shared(module);
    }
    let definition = Definition::parse(&source, &modules).unwrap();
    let tree = bench.folder.path().join("target");
    for (name, text) in [("target", &*TARGET.replace("MARK", mark)), ("src/parse.c", "int x;\n")] {
        std::fs::write(tree.join(name), text).unwrap();
    }
    std::fs::set_permissions(tree.join("target"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let worker = Worker::start(bench, &vertical, 1);
    bench.ready(&vertical).await;
    let workflow: Arc<dyn AnyWorkflow> = Arc::new(definition.clone());
    let request = RunRequest::new("fuzzes", bench.target());
    let submission = Submission::new(request, workflow).with_definition(definition).with_source(&source);
    (bench.cluster.submit(submission).await.unwrap(), worker, vertical)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_after_a_killed_worker_goes_on_from_the_corpus() {
    let mark = format!("1{}", std::process::id());
    let bench = Bench::without_worker().await;
    let (run, mut worker, vertical) = fuzzing(&bench, "fuzz-killed", &mark).await;
    until("the fuzzer runs", Duration::from_mins(1), || processes(&mark) > 0).await;
    let store = Store::local(&bench.folder.path().join("store")).unwrap();
    let began = Instant::now();
    while !keeps(&store, "learnt").await {
        assert!(began.elapsed() < Duration::from_mins(1), "the corpus is not kept");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worker.kill();
    until("no process is left", Duration::from_secs(30), || processes(&mark) == 0).await;
    let _other = Worker::start(&bench, &vertical, 2);
    let report = run.wait().await.unwrap();
    assert_eq!(report.status, RunStatus::Completed, "{report:?}");
    // The target crashes only on what the killed attempt had put into the corpus.
    assert_eq!((report.counts.total(), report.step("fuzz").unwrap().attempts), (1, 2), "{report:?}");
    assert_eq!(processes(&mark), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_leaves_no_process_of_the_fuzzer_after_two_seconds() {
    let mark = format!("2{}", std::process::id());
    let bench = Bench::without_worker().await;
    let (run, _worker, _) = fuzzing(&bench, "fuzz-cancelled", &mark).await;
    until("the fuzzer runs", Duration::from_mins(1), || processes(&mark) > 0).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = Instant::now();
    run.cancel().await.unwrap();
    until("no process is left", Duration::from_secs(10), || processes(&mark) == 0).await;
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(run.wait().await.unwrap().status, RunStatus::Cancelled);
}
