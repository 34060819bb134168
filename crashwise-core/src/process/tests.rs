use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use tokio_util::sync::CancellationToken;

use crate::Protection;

use super::{
    Cause, Exit, Layer, Level, Limits, Means, ProcessError, Spec, Status, Stdin, Stream, TreeKill, probe,
};

/// A duration for `sleep` that no other process has, by which a test's processes are found again.
fn nap() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("60.{}{:04}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn alive(nap: &str) -> usize {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .filter(|entry| {
            fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| line.windows(nap.len()).any(|window| window == nap.as_bytes()))
        })
        .count()
}

fn shell(script: &str) -> Spec {
    Spec::new("sh").args(["-c", script])
}

async fn run(spec: Spec) -> Exit {
    spec.run(&CancellationToken::new()).await.expect("starts")
}

/// The levels of every machine, and containers where `CRASHWISE_TEST_ENGINE` is set, as `scripts/test-container.sh` does.
fn levels() -> Vec<Level> {
    let containers = std::env::var_os("CRASHWISE_TEST_ENGINE").map(|_| Level::Container);
    [Level::None, Level::Limits, Level::Sandbox].into_iter().chain(containers).collect()
}

/// How long a tree may take to be dead: engines take their time.
fn quick(level: Level) -> Duration {
    Duration::from_secs(if level == Level::Container { 20 } else { 3 })
}

#[tokio::test]
async fn status_output_and_usage_come_back() {
    for level in levels() {
        let exit = run(shell("echo out; echo err >&2; cat; exit 7")
            .level(level)
            .stdin(Stdin::Bytes(b"in".to_vec())))
        .await;
        assert_eq!((exit.status, exit.cause), (Status::Code(7), Cause::Own), "{level:?}");
        assert_eq!(
            (exit.stdout.text().as_str(), exit.stderr.text().as_str()),
            ("out\nin", "err\n"),
            "{level:?}"
        );
        assert!(
            exit.usage.wall > Duration::ZERO && (level == Level::Container || exit.usage.memory > 0),
            "{level:?}: {:?}",
            exit.usage
        );

        for (signal, number) in [("ABRT", 6), ("SEGV", 11), ("TERM", 15), ("KILL", 9)] {
            let exit = run(shell(&format!("kill -{signal} $$")).level(level)).await;
            assert_eq!((exit.status, exit.cause), (Status::Signal(number), Cause::Own), "{level:?}");
        }
    }
}

#[tokio::test]
async fn the_environment_is_scrubbed() {
    let exit = run(shell("env").env("GIVEN", "x").pass(["CARGO_MANIFEST_DIR", "NOT_SET_ANYWHERE"])).await;
    let text = exit.stdout.text();
    let names: Vec<&str> =
        text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert!(
        names.contains(&"GIVEN") && names.contains(&"PATH") && names.contains(&"CARGO_MANIFEST_DIR"),
        "{names:?}"
    );
    assert!(!names.contains(&"HOME") && !names.contains(&"CARGO_PKG_NAME"), "{names:?}");
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let start =
        |spec: Spec| async move { spec.run(&CancellationToken::new()).await.expect_err("must not start") };
    let error = start(Spec::new("cargo-fuzz-of-nobody").hint("build it")).await;
    assert_eq!(error.to_string(), "`cargo-fuzz-of-nobody` was not found; build it");
    let directory = tempfile::tempdir().expect("directory");
    let error = start(Spec::new("true").directory(directory.path().join("gone"))).await;
    assert!(matches!(error, ProcessError::Directory { .. }), "{error:?}");

    let garbage = directory.path().join("garbage");
    fs::write(&garbage, "#!/nowhere/interpreter\n").expect("write");
    let mut mode = fs::metadata(&garbage).expect("metadata").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    fs::set_permissions(&garbage, mode).expect("mode");
    for level in levels() {
        let error = start(Spec::new(&garbage).level(level)).await;
        assert!(matches!(error, ProcessError::NotExecutable { .. }), "{level:?} {error:?}");
    }
    let error = start(Spec::new("true").require([Layer::Memory])).await;
    assert!(matches!(error, ProcessError::Unenforced { layer: Layer::Memory, .. }), "{error:?}");
}

#[tokio::test]
async fn a_whole_sandbox_can_be_required() {
    for level in levels() {
        let protection = Protection::new(true);
        // There is no such group of limits on any machine: an rlimit is all that there is of a tree's.
        let limits = Limits::new().with_memory(1 << 30).with_processes(64);
        let spec = Spec::new("/bin/true").level(level).limits(limits);
        let ended = Arc::clone(&protection).over(spec.clone().run(&CancellationToken::new())).await;
        let plain = run(spec).await;
        let missing = plain.enforcement.missing().len();
        let rlimit = [&plain.enforcement.memory, &plain.enforcement.processes].contains(&&Means::Rlimit);
        let seen = protection.take();
        match ended {
            Ok(exit) => {
                assert!(level < Level::Sandbox || (missing == 0 && !rlimit), "{:?}", exit.enforcement);
                assert_eq!(seen[&format!("{level} true")], plain.enforcement.layers(), "{level:?}");
            }
            Err(ProcessError::Unprotected { missing: said, .. }) => {
                assert!(level >= Level::Sandbox && !said.is_empty() && (missing > 0 || rlimit), "{said:?}");
                assert!(seen.is_empty(), "{seen:?}");
            }
            Err(error) => panic!("{level:?}: {error:?}"),
        }
    }
}

#[test]
fn what_a_required_sandbox_lacks_is_said_at_once() {
    let mut enforcement = super::Enforcement::nothing(TreeKill::Reaper);
    enforcement.memory = Means::Missing("no cgroup".into());
    enforcement.processes = Means::Rlimit;
    enforcement.files = Means::Landlock;
    let check = |whole: bool, kills: bool, expect: Option<&str>| {
        let mut spec = Spec::new("true").level(Level::Sandbox);
        spec.whole = whole;
        let error = super::plan::require(&spec, &enforcement, kills).err();
        assert_eq!(error.map(|error| error.to_string()).as_deref(), expect);
    };
    check(false, false, None);
    let memory = "its memory limit (no cgroup), its process limit (only an rlimit of each process alone)";
    let lacks = "a whole sandbox is required, and this machine cannot enforce";
    check(true, true, Some(&format!("{lacks} {memory}")));
    let tree = "its kill of the whole process tree (neither cgroup.kill nor a PID namespace)";
    check(true, false, Some(&format!("{lacks} {tree}, {memory}")));
}

#[tokio::test]
async fn six_ways_to_escape_end_dead() {
    for level in levels() {
        for script in [
            "sleep NAP",
            "trap '' TERM INT HUP QUIT; sleep NAP & while :; do wait; done",
            "setsid sleep NAP & wait",
            "(setsid sh -c 'sleep NAP & sleep NAP' &) ; sleep NAP",
            "(sleep NAP & ) ; (setsid setsid sleep NAP > /dev/null 2>&1 < /dev/null &) ; sleep NAP",
            "sh -c 'sleep NAP & exec setsid sleep NAP' & kill -STOP $$",
        ] {
            let nap = nap();
            let begin = Instant::now();
            let exit =
                run(shell(&script.replace("NAP", &nap)).level(level).deadline(Duration::from_millis(150)))
                    .await;
            assert_eq!(exit.cause, Cause::Deadline, "{level:?} {script}: {exit:?}");
            assert_eq!(alive(&nap), 0, "{level:?} {script}");
            assert!(begin.elapsed() < quick(level), "{level:?} {script} took {:?}", begin.elapsed());
        }
    }
}

#[tokio::test]
async fn a_traced_process_finds_itself_and_still_dies_as_a_tree() {
    let nap = nap();
    let script =
        format!("read -r own rest < /proc/self/stat; echo $own $$; (setsid sleep {nap} &) ; sleep {nap}");
    let spec = shell(&script).level(Level::Sandbox).traced().deadline(Duration::from_millis(300));
    let exit = run(spec).await;
    assert_eq!((exit.cause, alive(&nap)), (Cause::Deadline, 0), "{exit:?}");
    let text = exit.stdout.text();
    let (own, told) = text.trim().split_once(' ').expect("two numbers");
    // Where it cannot be had the process stays in a namespace of its own.
    assert_eq!(own == told, exit.enforcement.tree != TreeKill::PidNamespace, "{text} {:?}", exit.enforcement);
    assert!(!exit.enforcement.signals.is_missing(), "{:?}", exit.enforcement);
}

#[tokio::test]
async fn what_the_program_leaves_behind_dies_with_it() {
    for level in levels() {
        let nap = nap();
        let begin = Instant::now();
        let exit = run(shell(&format!("(setsid sleep {nap} &); echo done")).level(level)).await;
        assert_eq!((exit.status, exit.stdout.text().as_str()), (Status::Code(0), "done\n"), "{level:?}");
        assert_eq!(alive(&nap), 0, "{level:?}");
        assert!(begin.elapsed() < quick(level), "{level:?}");
    }
}

#[tokio::test]
async fn cancel_and_drop_kill_the_tree() {
    for level in levels() {
        let nap = nap();
        let cancel = CancellationToken::new();
        let spec = shell(&format!("(setsid sleep {nap} &); echo up; sleep {nap}")).level(level);
        let mut running = spec.clone().start(&cancel).await.expect("starts");
        assert_eq!(running.next_line().await.expect("a line").text(), "up");
        cancel.cancel();
        let exit = running.finish().await;
        assert_eq!((exit.cause, exit.status), (Cause::Cancelled, Status::Signal(9)), "{level:?}");
        assert_eq!(alive(&nap), 0, "{level:?}");

        let mut running = spec.start(&CancellationToken::new()).await.expect("starts");
        assert_eq!(running.next_line().await.expect("a line").text(), "up");
        drop(running);
        let begin = Instant::now();
        while alive(&nap) > 0 {
            assert!(begin.elapsed() < quick(level), "{level:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[tokio::test]
async fn a_program_that_kills_its_supervisor_gains_nothing() {
    let nap = nap();
    let exit = run(shell(&format!("kill -9 $PPID; sleep {nap}")).level(Level::None)).await;
    assert_eq!(exit.status, Status::Unknown);
    assert_eq!(alive(&nap), 0);
}

#[tokio::test]
async fn a_fork_bomb_is_stopped_and_swept() {
    let nap = nap();
    // 2^7 - 1 processes at most, each ending by itself after ten seconds.
    let bomb =
        format!("b() {{ [ $1 -gt 0 ] && {{ b $(($1-1)) & b $(($1-1)) & }}; sleep 10; : {nap}; }}; b 6; wait");
    for level in levels().into_iter().filter(|level| *level >= Level::Limits) {
        let spec = Spec::new("sh").args(["-c", &bomb, &nap]).level(level);
        let spec = spec.limits(Limits::new().with_processes(24)).deadline(Duration::from_millis(700));
        let running = spec.start(&CancellationToken::new()).await.expect("starts");
        tokio::time::sleep(Duration::from_millis(500)).await;
        let most = alive(&nap);
        let exit = running.finish().await;
        if !exit.enforcement.processes.is_missing() {
            assert!(most <= 26, "{level:?}: {most} processes");
        }
        assert_ne!(exit.status, Status::Code(0), "{level:?}");
        assert_eq!(alive(&nap), 0, "{level:?}");
    }
}

#[tokio::test]
async fn a_memory_hog_is_killed() {
    for level in levels().into_iter().filter(|level| *level >= Level::Limits) {
        let limits = Limits::new().with_memory(64 << 20);
        let exit =
            run(shell("head -c 300m /dev/zero | tail -c 300m | wc -c").level(level).limits(limits)).await;
        assert_ne!(exit.stdout.text().trim(), "314572800", "{level:?}");
        match exit.enforcement.memory {
            Means::Cgroup1 | Means::Cgroup2 => {
                assert_eq!(exit.cause, Cause::Memory, "{level:?}");
                assert!(exit.usage.memory <= 66 << 20, "{level:?}: {:?}", exit.usage);
            }
            Means::Rlimit => assert_eq!(exit.cause, Cause::Own, "{level:?}"),
            // Not every engine tells of the death of a child.
            Means::Engine => {
                let limits = Limits::new().with_memory(64 << 20);
                let exit = run(shell("exec tail /dev/zero").level(level).limits(limits)).await;
                assert_eq!((exit.status, exit.cause), (Status::Signal(9), Cause::Memory));
            }
            ref other => panic!("{level:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_gigabyte_of_output_is_read_and_cut() {
    let exit = run(shell("head -c 1G /dev/zero; echo end").output_cap(1 << 20)).await;
    assert_eq!(exit.status, Status::Code(0));
    assert_eq!(exit.stdout.total(), (1 << 30) + 4);
    assert_eq!(exit.stdout.cut(), (1 << 30) + 4 - (1 << 20));
    assert!(exit.stdout.bytes().ends_with(b"\0end\n"));
}

#[tokio::test]
async fn disk_fillers_are_stopped() {
    let directory = tempfile::tempdir().expect("directory");
    for level in levels().into_iter().filter(|level| *level >= Level::Limits) {
        let one = shell("head -c 64m /dev/zero > big").level(level).directory(directory.path());
        let exit = run(one.limits(Limits::new().with_file_size(1 << 20))).await;
        assert_ne!(exit.status, Status::Code(0), "{level:?}");
        assert_eq!(fs::metadata(directory.path().join("big")).expect("file").len(), 1 << 20, "{level:?}");

        let many = "i=0; while :; do head -c 1m /dev/zero > f$i; i=$((i+1)); [ $i -gt 200 ] && i=0; sleep 0.01; done";
        let many = shell(many).level(level).directory(directory.path()).deadline(Duration::from_secs(20));
        let exit = run(many.limits(Limits::new().with_disk(8 << 20))).await;
        assert_eq!((exit.cause, &exit.enforcement.disk), (Cause::Disk, &Means::Watched), "{level:?}");
    }
}

#[tokio::test]
async fn the_sandbox_keeps_what_it_promises() {
    let outside = tempfile::tempdir().expect("directory");
    let inside = tempfile::tempdir().expect("directory");
    fs::write(outside.path().join("secret"), "hidden").expect("write");
    fs::write(inside.path().join("input"), "given").expect("write");
    let attempt = |script: String| run(shell(&script).level(Level::Sandbox).directory(inside.path()));
    let exit = attempt("cat input && echo more > made && ls /usr > /dev/null".into()).await;
    assert_eq!(
        (exit.status, exit.stdout.text().as_str()),
        (Status::Code(0), "given"),
        "{}",
        exit.stderr.text()
    );
    let enforced = exit.enforcement;
    let outside = outside.path().display();
    let host = std::process::id();
    for (means, script) in [
        (&enforced.files, format!("cat {outside}/secret")),
        (&enforced.files, format!("echo x > {outside}/new")),
        (&enforced.files, "cat /etc/shadow".to_owned()),
        (&enforced.files, "ls /root /home".to_owned()),
        (&enforced.signals, format!("kill -0 {host}")),
        (&enforced.syscalls, "chmod 4755 made".to_owned()),
        (&enforced.syscalls, "unshare -n true".to_owned()),
        (&enforced.privileges, "chroot / true".to_owned()),
    ] {
        if !means.is_missing() {
            let exit = attempt(script.clone()).await;
            assert_ne!(exit.status, Status::Code(0), "{script}: {}", exit.stdout.text());
            assert!(!exit.stdout.text().contains("hidden"), "{script}");
        }
    }
    if enforced.network == Means::Namespace {
        let exit = attempt("cat /proc/self/net/dev".into()).await;
        let devices = exit.stdout.text().lines().filter(|line| line.contains(':')).count();
        assert!(devices <= 1, "{}", exit.stdout.text());
    }
}

#[tokio::test]
async fn lines_come_as_they_are_written() {
    let spec = shell("echo one; echo two >&2; sleep 0.2; printf three; head -c 70000 /dev/zero");
    let mut running = spec.start(&CancellationToken::new()).await.expect("starts");
    let mut out = Vec::new();
    let mut err = Vec::new();
    while let Some(line) = running.next_line().await {
        match line.stream {
            Stream::Out => out.push(line.bytes),
            Stream::Err => err.push(line.bytes),
        }
    }
    assert_eq!((out[0].as_slice(), err[0].as_slice(), err.len()), (&b"one"[..], &b"two"[..], 1));
    assert!(out[1].starts_with(b"three"));
    assert_eq!(out[1..].iter().map(Vec::len).sum::<usize>(), 70_005);
    assert!(out.iter().all(|line| line.len() <= 64 << 11));
    assert_eq!(running.finish().await.stdout.total(), 70_009);
}

#[tokio::test]
async fn who_gathers_lines_waits_neither_for_the_end_nor_for_one_that_writes_much() {
    let gather = Duration::from_secs(20);
    for (script, first, total) in [
        ("echo one; sleep 0.1; echo two; echo three", b"one".to_vec(), 14),
        ("dd if=/dev/zero bs=65536 count=20 status=none; echo end", vec![0; 64 << 10], (20 << 16) + 4),
    ] {
        let begin = Instant::now();
        let mut running =
            shell(script).gather(gather).start(&CancellationToken::new()).await.expect("starts");
        assert_eq!(running.next_line().await.expect("a line").bytes, first);
        while running.next_line().await.is_some() {}
        let exit = running.finish().await;
        assert_eq!((exit.status, exit.stdout.total()), (Status::Code(0), total));
        assert!(begin.elapsed() < gather, "{script}: {:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn an_interrupt_reaches_the_program() {
    for level in levels() {
        let spec = shell("trap 'echo bye; exit 3' INT; echo up; while :; do sleep 0.02; done").level(level);
        let mut running = spec.start(&CancellationToken::new()).await.expect("starts");
        assert_eq!(running.next_line().await.expect("a line").text(), "up");
        running.interrupt();
        let exit = running.finish().await;
        assert_eq!((exit.status, exit.stdout.text().as_str()), (Status::Code(3), "up\nbye\n"), "{level:?}");
    }
}

/// As in a program that a shell started in the background, where an interrupt is ignored.
#[tokio::test]
async fn what_the_host_ignores_reaches_the_program() {
    // SAFETY: nothing else here uses this signal.
    #[allow(unsafe_code, reason = "there is no other way to ignore a signal")]
    unsafe {
        libc::signal(libc::SIGUSR2, libc::SIG_IGN);
    }
    for level in levels() {
        let exit = run(shell("trap 'exit 3' USR2; kill -USR2 $$; exit 0").level(level)).await;
        assert_eq!(exit.status, Status::Code(3), "{level:?}");
    }
}

#[test]
fn a_command_line_can_be_typed_again() {
    let spec = Spec::new("./fuzz").args(["-runs=1", "a b", "it's", ""]);
    assert_eq!(spec.command_line(), r"./fuzz -runs=1 'a b' 'it'\''s' ''");
}

#[test]
fn the_probe_agrees_with_what_is_enforced() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let exit = runtime
        .block_on(run(Spec::new("true").level(Level::Sandbox).limits(Limits::new().with_memory(1 << 30))));
    let found = |name: &str| probe().into_iter().find(|one| one.name == name).expect("listed").available;
    assert_eq!(found("kill of the whole process tree"), exit.enforcement.tree != TreeKill::Reaper);
    assert_eq!(found("file confinement"), exit.enforcement.files == Means::Landlock);
    assert_eq!(found("memory limit"), matches!(exit.enforcement.memory, Means::Cgroup1 | Means::Cgroup2));
}
