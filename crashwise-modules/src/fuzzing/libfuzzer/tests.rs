//! Campaigns over a shell script that behaves like a libFuzzer target, so that no compiler is needed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crashwise_core::process::{Spec, find_tool};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::job::{self, Time};
use super::{ArtifactKind, Campaign, CampaignEvent, Ending, FlagsBy, Progress, Replay, Target, Totals};
use crate::fuzzing::triage::Scope;

/// Prints what libFuzzer prints. An input or corpus file that contains `boom` crashes.
const SCRIPT: &str = r#"#!/bin/sh
runs=0; prefix=./; corpus=; input=
for arg in "$@"; do
  case $arg in
    -artifact_prefix=*) prefix=${arg#*=} ;;
    -runs=*) runs=${arg#*=} ;;
    -*) ;;
    *) if [ -d "$arg" ]; then corpus="$corpus $arg"; else input=$arg; fi ;;
  esac
done
crash() {
  echo "==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602 at pc 0x5 bp 0x7 sp 0x7" >&2
  echo "READ of size 1 at 0x602 thread T0" >&2
  echo "    #0 0x1 in parse src/parse.c:3:5" >&2
  echo "" >&2
  [ -n "$1" ] && cp "$1" "${prefix}crash-0123" && echo "artifact_prefix='$prefix'; Test unit written to ${prefix}crash-0123" >&2
  exit 77
}
if [ -n "$input" ]; then
  grep -q boom "$input" && crash ""
  exit 0
fi
echo "INFO: Seed: 1" >&2
echo "INFO: Loaded 1 modules   (40 inline 8-bit counters): 40 [0x55, 0x56)," >&2
for file in $(find $corpus -type f 2>/dev/null); do
  grep -q boom "$file" && crash "$file"
done
printf '#2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 30Mb\n' >&2
sleep 0.1
printf '#1000\tNEW    cov: 5 ft: 9 corp: 2/3b lim: 4 exec/s: 500 rss: 31Mb L: 1/1 MS: 1 ChangeBit-\n' >&2
BODY
"#;

struct Bench {
    directory: tempfile::TempDir,
    target: Target,
}

fn bench(body: &str) -> Bench {
    let directory = tempfile::tempdir().expect("directory");
    let script = directory.path().join("target.sh");
    fs::write(&script, SCRIPT.replace("BODY", body)).expect("write");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("mode");
    Bench { target: Target::new("demo", script), directory }
}

impl Bench {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn campaign(&self) -> Campaign {
        Campaign::new(self.target.clone(), self.path("corpus"), self.path("work"))
            .with_budget(Duration::from_mins(2))
    }
}

type Crash = (Option<ArtifactKind>, Option<Vec<u8>>);

async fn run(campaign: &Campaign, cancel: &CancellationToken) -> (Totals, Vec<Crash>, u32) {
    run_until(campaign, cancel, |_| false).await
}

/// The same, cancelled by the first progress that is `enough`.
async fn run_until(
    campaign: &Campaign,
    cancel: &CancellationToken,
    enough: impl Fn(&Progress) -> bool,
) -> (Totals, Vec<Crash>, u32) {
    let (sender, mut events) = mpsc::channel(16);
    let listen = async {
        let (mut crashes, mut ticks) = (Vec::new(), 0);
        while let Some(event) = events.recv().await {
            match event {
                CampaignEvent::Crash { kind, input, .. } => crashes.push((kind, input)),
                CampaignEvent::Progress(progress) => {
                    ticks += 1;
                    if enough(&progress) {
                        cancel.cancel();
                    }
                }
            }
        }
        (crashes, ticks)
    };
    let fuzz = async {
        let totals = campaign.run(cancel, &sender).await;
        drop(sender);
        totals
    };
    let (totals, (crashes, ticks)) = tokio::join!(fuzz, listen);
    (totals.expect("starts"), crashes, ticks)
}

#[tokio::test]
async fn a_campaign_goes_on_after_each_crash() {
    let bench = bench("echo boom > $prefix/seed; crash $prefix/seed");
    let campaign = bench.campaign().with_budget(Duration::from_mins(5)).with_executions(30_000).with_jobs(2);
    let (totals, crashes, ticks) = run(&campaign, &CancellationToken::new()).await;
    // Both jobs may be at work when the last execution is counted.
    assert!((30..=31).contains(&totals.rounds) && crashes.len() as u64 == totals.rounds, "{totals:?}");
    assert!(
        crashes.iter().all(|crash| *crash == (Some(ArtifactKind::Crash), Some(b"boom\n".to_vec()))),
        "{crashes:?}"
    );
    assert_eq!(totals.last.crashes, totals.rounds);
    assert_eq!(totals.last.executions, 1000 * totals.rounds);
    assert_eq!((totals.last.edges, totals.last.edges_total, totals.last.features), (5, 40, 9));
    assert!(ticks >= 1 && totals.cut_short.is_none(), "{totals:?}");
}

#[tokio::test]
async fn every_other_pair_of_processes_has_room_once_known_crashes_are_in_the_way() {
    let bench = bench(r#"printf '%s\n' "$*" >> "${prefix}flags"; crash """#);
    let campaign = bench.campaign();
    campaign.small_stack.store(true, std::sync::atomic::Ordering::Relaxed);
    run_until(&campaign, &CancellationToken::new(), |progress| progress.crashes > 8).await;
    let flags = fs::read_to_string(bench.path("work/job-0/flags")).expect("flags");
    let small: String =
        flags.lines().map(|line| if line.contains("-stack_kib=") { 's' } else { '-' }).take(8).collect();
    assert_eq!(small, "ss-ss--s");
}

#[tokio::test]
async fn a_campaign_ends_when_its_time_is_up() {
    // One listens as libFuzzer does, one does not know the signal.
    let listens = "trap 'echo \"stat::number_of_executed_units: 1500\" >&2; exit 0' USR1; ";
    for (begin, executions) in [(listens, 1500), ("", 1000)] {
        let bench = bench(&format!("{begin}while :; do sleep 0.05; done"));
        let campaign = bench.campaign().with_budget(Duration::from_secs(2));
        let (totals, crashes, _) = run(&campaign, &CancellationToken::new()).await;
        assert!(totals.last.elapsed >= Duration::from_secs(2) && totals.cut_short.is_none(), "{totals:?}");
        assert_eq!((totals.rounds, totals.last.executions, crashes.len()), (1, executions, 0), "{begin}");
    }
}

#[tokio::test]
async fn a_process_that_does_not_hear_that_its_time_is_up_is_ended() {
    // One ends when it is interrupted, one only when it is killed, and one still reads its corpus when its time is up.
    let begun = "trap '' USR1; ";
    let slow = SCRIPT.replace("printf '#2", "trap '' USR1; sleep 1; printf '#2");
    for (body, script, deaf) in [
        (format!("{begun}trap 'exit 72' INT; while :; do sleep 0.05; done"), SCRIPT, true),
        (format!("{begun}trap '' INT; while :; do sleep 0.05; done"), SCRIPT, true),
        ("exit 0".to_owned(), slow.as_str(), false),
    ] {
        let bench = bench("");
        fs::write(&bench.target.program, script.replace("BODY", &body)).expect("write");
        fs::create_dir(bench.path("work")).expect("a folder");
        let ends = Instant::now() + Duration::from_millis(400);
        let time = Time {
            tell: Some(ends),
            bound: Some((ends, Duration::from_millis(500))),
            until: ends + Duration::from_mins(10),
        };
        let work = bench.path("work");
        let spec = bench.target.spec(&work, false, &[]);
        let round = job::run(spec, &work, time, &CancellationToken::new(), |_| ()).await.expect("starts");
        assert_eq!((round.ending, round.deaf, round.wound_down), (Ending::Done, deaf, true), "{body}");
        assert_eq!((round.executions, round.fuzzed), (1000, true), "{body}");
    }
}

#[tokio::test]
async fn executions_are_a_limit_too() {
    let bench = bench("printf 'stat::number_of_executed_units: %s\\n' $runs >&2; exit 0");
    let campaign = bench.campaign().with_executions(5000);
    let (totals, crashes, _) = run(&campaign, &CancellationToken::new()).await;
    assert_eq!((totals.last.executions, totals.rounds, crashes.len()), (5000, 1, 0));
}

#[tokio::test]
async fn an_input_of_the_corpus_that_crashes_is_reported_once_and_taken_out() {
    let bench = bench("printf 'stat::number_of_executed_units: 1000\\n' >&2; exit 0");
    fs::create_dir_all(bench.path("corpus")).expect("corpus");
    fs::write(bench.path("corpus/bad"), "xxboomxx").expect("write");
    fs::write(bench.path("corpus/good"), "fine").expect("write");
    let campaign = bench.campaign().with_executions(1000);
    let (totals, crashes, _) = run(&campaign, &CancellationToken::new()).await;
    assert_eq!(crashes, [(Some(ArtifactKind::Crash), Some(b"xxboomxx".to_vec()))]);
    assert_eq!((totals.last.executions, totals.last.corpus), (1000, 1), "{totals:?}");
    assert!(bench.path("corpus/good").exists());
}

#[tokio::test]
async fn the_death_of_a_forked_process_is_a_crash() {
    let pulse = r"printf '#2000\tpulse  cov: 5 ft: 9 corp: 2/3b lim: 4 exec/s: 500 rss: 31Mb\n' >&2";
    let fork = format!("echo boom > $prefix/seed; for child in 1 2; do (crash $prefix/seed); {pulse}; done");
    let elsewhere = "echo 'Test unit written to /etc/passwd' >&2";
    let bench = bench(&format!("{fork}; {elsewhere}; exit 0"));
    let campaign = bench.campaign().with_executions(2000);
    let (totals, crashes, _) = run(&campaign, &CancellationToken::new()).await;
    assert_eq!(crashes, [(Some(ArtifactKind::Crash), Some(b"boom\n".to_vec()))], "{totals:?}");
    assert_eq!((totals.last.executions, totals.last.crashes, totals.rounds), (2000, 1, 1));
    assert!(totals.cut_short.is_none() && !bench.path("work/job-0/crash-0123").exists());

    let text = SCRIPT.replace("&& crash \"\"", "&& (crash \"\")");
    fs::write(&bench.target.program, text).expect("write");
    let replay = Replay::new(bench.target.clone(), bench.path("replay"), Scope::new());
    for (input, expect) in [(&b"boom"[..], Some("heap-buffer-overflow")), (b"harmless", None)] {
        let replayed = replay.run(input, &CancellationToken::new()).await.expect("starts");
        let kind = replayed.report.map(|report| report.kind);
        assert_eq!((replayed.crashed, kind.as_deref()), (expect.is_some(), expect), "{:?}", replayed.status);
    }
}

#[tokio::test]
async fn an_empty_input_that_takes_long_gets_the_time_it_may_take() {
    let slow = "INFO: Seed: 1\" >&2\ncase \"$*\" in *-timeout=2*) : > ${prefix}timeout-0; \
                echo \"Test unit written to ${prefix}timeout-0\" >&2; exit 70 ;; esac";
    let bench = bench("");
    let text = SCRIPT.replace("INFO: Seed: 1\" >&2", slow).replace("BODY", "exit 0");
    fs::write(&bench.target.program, text).expect("write");
    let campaign = bench.campaign().with_executions(1000);
    let (totals, crashes, _) = run(&campaign, &CancellationToken::new()).await;
    assert_eq!(crashes, [(Some(ArtifactKind::Timeout), Some(Vec::new()))], "{totals:?}");
    assert_eq!((totals.cut_short, totals.last.executions, totals.rounds), (None, 1000, 2));
}

#[tokio::test]
async fn a_target_cannot_make_up_executions_and_is_told_of_when_blind() {
    let made_up = r"printf '#999999999999999\tpulse  cov: 5 ft: 9 corp: 1/1b exec/s: 9 rss: 9Mb\n' >&2
                    echo 'stat::number_of_executed_units: 888888888888888' >&2; exit 0";
    for (corpus, blind) in [("1/1b", true), ("2/3b", false)] {
        let bench = bench("");
        let text = SCRIPT.replace("corp: 2/3b", &format!("corp: {corpus}")).replace("\\tNEW", "\\tREDUCE");
        fs::write(&bench.target.program, text.replace("BODY", made_up)).expect("write");
        let campaign = bench.campaign().with_executions(1000);
        let (totals, _, _) = run(&campaign, &CancellationToken::new()).await;
        assert_eq!((totals.last.executions, totals.blind), (1000, blind), "{corpus}");
    }
}

#[tokio::test]
async fn what_never_fuzzes_says_so() {
    let usage = bench("");
    fs::write(&usage.target.program, "#!/bin/sh\necho 'ERROR: unknown flag' >&2; exit 1\n").expect("write");
    let (totals, crashes, _) = run(&usage.campaign(), &CancellationToken::new()).await;
    let why = totals.cut_short.expect("a reason");
    assert!(crashes.is_empty() && why.contains("exit code 1") && why.contains("unknown flag"), "{why}");
    assert_eq!(totals.last.executions, 0);

    let empty = bench("");
    let text =
        SCRIPT.replace("INFO: Seed: 1\" >&2", "INFO: Seed: 1\" >&2; : > $prefix/empty; crash $prefix/empty");
    fs::write(&empty.target.program, text).expect("write");
    let (totals, crashes, _) = run(&empty.campaign(), &CancellationToken::new()).await;
    assert_eq!(totals.cut_short.as_deref(), Some("it crashes on the empty input"));
    assert_eq!(crashes, [(Some(ArtifactKind::Crash), Some(Vec::new()))]);

    let silent = bench("");
    let text = SCRIPT.replace("printf '#2", "exec >&- 2>&-; while :; do sleep 0.05; done; printf '#2");
    fs::write(&silent.target.program, text).expect("write");
    let campaign = silent.campaign().with_budget(Duration::from_secs(1));
    let (totals, crashes, _) = run(&campaign, &CancellationToken::new()).await;
    assert!(crashes.is_empty() && totals.cut_short.is_some_and(|why| why.contains("standard error")));

    let lost = bench("kill -SEGV $$");
    let (_, crashes, _) = run(&lost.campaign().with_executions(3000), &CancellationToken::new()).await;
    assert!(crashes.contains(&(None, None)), "a death without artifact is a crash: {crashes:?}");
}

#[tokio::test]
async fn a_build_that_is_of_no_use_leaves_the_rest_to_the_other() {
    for (program, why) in [
        ("#!/bin/sh\necho 'ERROR: unknown flag' >&2; exit 1\n", "unknown flag"),
        ("#!/bin/sh\necho 'INFO: Seed: 1' >&2; exit 0\n", "executed nothing"),
        ("#!/bin/sh\necho 'INFO: Seed: 1' >&2; kill -SEGV $$\n", "dies before it tells"),
    ] {
        let bench = bench("printf 'stat::number_of_executed_units: %s\\n' $runs >&2; exit 0");
        let native = bench.path("native.sh");
        fs::copy(&bench.target.program, &native).expect("a program");
        fs::write(&native, program).expect("write");
        let campaign = bench.campaign().with_executions(5000).with_native(Target::new("demo", native));
        let (totals, _, _) = run(&campaign, &CancellationToken::new()).await;
        let told = totals.without_native.expect("a reason");
        assert!(told.contains(why) && totals.cut_short.is_none(), "{told}: {why}");
        assert_eq!((totals.last.executions, totals.rounds), (5000, 2), "{why}");
    }
}

#[tokio::test]
async fn cancel_ends_a_target_that_does_not_listen() {
    let bench = bench("trap '' INT TERM; while :; do sleep 0.1; done");
    let cancel = CancellationToken::new();
    let campaign = bench.campaign().with_budget(Duration::from_mins(30));
    let begin = Instant::now();
    let (totals, crashes, _) = run_until(&campaign, &cancel, |progress| progress.executions >= 1000).await;
    assert!(begin.elapsed() < Duration::from_mins(15), "{:?}", begin.elapsed());
    assert!(crashes.is_empty() && totals.last.executions >= 1000, "{totals:?}");
}

#[tokio::test]
async fn a_crash_is_replayed_and_made_smaller() {
    let bench = bench("exit 0");
    let replay = Replay::new(bench.target.clone(), bench.path("replay"), Scope::new());
    let cancel = CancellationToken::new();
    let replayed = replay.run(b"xxxxboomyyyy", &cancel).await.expect("starts");
    let report = replayed.report.expect("a crash");
    assert_eq!((replayed.crashed, report.kind.as_str()), (true, "heap-buffer-overflow"));
    assert!(!replay.run(b"harmless", &cancel).await.expect("starts").crashed);
    let small = replay.minimise(b"xxxxboomyyyy", Duration::from_mins(10), &cancel).await.expect("starts");
    assert_eq!(small, b"boom");
    assert!(replay.command("crash-1").ends_with("target.sh crash-1"));
    assert!(Path::new(&bench.target.program).exists());
}

/// Faults in two functions, by what it reads, and says nothing.
const FAULTS: &str = "#include <stdio.h>\n\
    int *volatile nowhere;\n\
    __attribute__((noinline)) void first(void) { *nowhere = 1; }\n\
    __attribute__((noinline)) void second(void) { *nowhere = 2; }\n\
    int main(void) { int c = getchar(); if (c == 'a') first(); if (c == 'b') second(); return 0; }\n";

#[tokio::test]
async fn faults_of_a_program_that_says_nothing_are_told_apart_by_a_debugger() {
    let directory = tempfile::tempdir().expect("directory");
    let (source, program) = (directory.path().join("faults.c"), directory.path().join("faults"));
    fs::write(&source, FAULTS).expect("write");
    let cancel = CancellationToken::new();
    let compiler = Spec::new("cc").args(["-g", "-O1", "-o"]).arg(&program).arg(&source);
    let built = compiler.run(&cancel).await.expect("a compiler");
    assert!(built.status.success(), "{}", built.stderr.text());
    let target = Target::new("faults", &program).with_flags(FlagsBy::Input);
    let replay = Replay::new(target, directory.path().join("work"), Scope::new());
    let mut reports = Vec::new();
    for input in [&b"a"[..], b"ax", b"b"] {
        let replayed = replay.run(input, &cancel).await.expect("starts");
        assert!(replayed.crashed);
        reports.push(replayed.report.expect("a report"));
    }
    let debugger = find_tool("gdb").is_ok();
    assert_eq!(reports[0].major, reports[1].major);
    assert_eq!(reports[0].major != reports[2].major, debugger, "{:?}", reports[2]);
    assert_eq!(
        reports[0].blame().is_some_and(|frame| frame.function == "first"),
        debugger,
        "{:?}",
        reports[0]
    );
    assert!(!replay.run(b"c", &cancel).await.expect("starts").crashed);
}
