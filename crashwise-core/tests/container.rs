//! Containers of a real engine, which `scripts/test-container.sh` starts: what only shows there.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use crashwise_core::CancellationToken;
use crashwise_core::process::{
    Cause, Exit, Level, Limits, Means, ProcessError, Spec, Status, TreeKill, probe_containers,
};

/// How long an engine may take to remove a container.
const SOON: Duration = Duration::from_secs(30);
/// The variable by which this program knows that it is to be the host of a container, which prints this.
const HOST: &str = "CRASHWISE_TEST_HOST_OF";

fn socket() -> PathBuf {
    let host = env::var("DOCKER_HOST").expect("scripts/test-container.sh sets DOCKER_HOST");
    PathBuf::from(host.strip_prefix("unix://").expect("a socket"))
}

fn shell(script: &str) -> Spec {
    Spec::new("sh").args(["-c", script]).level(Level::Container).deadline(Duration::from_mins(2))
}

async fn run(spec: Spec) -> Exit {
    spec.run(&CancellationToken::new()).await.expect("starts")
}

/// Names of containers of which one label holds `owner`.
fn containers(owner: u32) -> Vec<String> {
    let mut stream = UnixStream::connect(socket()).expect("connects");
    stream
        .write_all(b"GET /containers/json?all=true HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("asks");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    let label = format!(" {owner} ");
    answer.split("{\"Id\":").skip(1).filter(|one| one.contains(&label)).map(str::to_owned).collect()
}

/// Processes whose command line has this word.
fn alive(word: &str) -> usize {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .filter(|entry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|one| one == word.as_bytes())
        })
        .count()
}

async fn soon(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < SOON, "{what} took more than {SOON:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn nap(number: u32) -> String {
    format!("70.{}{number}", std::process::id())
}

/// This program once more, as the host of a container that sleeps.
#[allow(clippy::disallowed_methods, reason = "a host that can be killed")]
fn host(nap: &str) -> Child {
    let mut command = Command::new(env::current_exe().expect("path"));
    command.args(["--exact", "be_a_host", "--nocapture"]).env(HOST, nap).stdout(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let mut output = child.stdout.take().expect("output");
    let mut seen = String::new();
    let mut buffer = [0; 256];
    while !seen.contains("container is up") {
        let read = output.read(&mut buffer).expect("output");
        assert!(read > 0, "the host ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    child
}

#[tokio::test]
async fn be_a_host() {
    let Ok(nap) = env::var(HOST) else { return };
    let script = format!("(setsid sleep {nap} &) ; trap '' TERM; echo up; sleep {nap}");
    let mut running = shell(&script).start(&CancellationToken::new()).await.expect("starts");
    assert_eq!(running.next_line().await.expect("a line").text(), "up");
    println!("container is up");
    thread::sleep(SOON * 4);
}

/// Children of a process, as the kernel lists them by thread.
fn children(of: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{of}/task")).expect("threads").flatten();
    let lists = threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| list.split_whitespace().map(|id| id.parse().expect("id")).collect::<Vec<u32>>())
        .collect()
}

fn kill(process: u32) {
    let process = rustix::process::Pid::from_raw(i32::try_from(process).expect("id")).expect("id");
    rustix::process::kill_process(process, rustix::process::Signal::KILL).expect("kills");
}

#[tokio::test]
async fn a_killed_host_leaves_nothing() {
    let nap = nap(1);
    let mut host = host(&nap);
    assert!(alive(&nap) > 0 && containers(host.id()).len() == 1);
    host.kill().expect("kills");
    host.wait().expect("ends");
    soon("removing the container of a killed host", || alive(&nap) == 0 && containers(host.id()).is_empty())
        .await;
}

#[tokio::test]
async fn what_host_and_guardian_leave_the_next_host_removes() {
    let nap = [nap(2), nap(3)];
    let mut first = host(&nap[0]);
    let guardians = children(first.id());
    assert_eq!(guardians.len(), 1, "{guardians:?}");
    kill(guardians[0]);
    first.kill().expect("kills");
    first.wait().expect("ends");
    assert!(alive(&nap[0]) > 0 && containers(first.id()).len() == 1);

    let mut second = host(&nap[1]);
    assert!(alive(&nap[0]) == 0 && containers(first.id()).is_empty());
    assert!(alive(&nap[1]) > 0, "that of a host that lives was removed");
    second.kill().expect("kills");
    second.wait().expect("ends");
    soon("removing it", || containers(second.id()).is_empty()).await;
}

#[tokio::test]
async fn kill_the_engine() {
    let engine: u32 = env::var("CRASHWISE_TEST_ENGINE").expect("its id").parse().expect("an id");
    let nap = nap(4);
    let spec = shell(&format!("(setsid sleep {nap} &) ; echo up; sleep {nap}"));
    let mut running = spec.clone().start(&CancellationToken::new()).await.expect("starts");
    assert_eq!(running.next_line().await.expect("a line").text(), "up");
    kill(engine);
    let exit = running.finish().await;
    assert_eq!((exit.status, exit.stdout.text().as_str()), (Status::Unknown, "up\n"));
    soon("the death of what the engine left", || alive(&nap) == 0).await;
    let error = spec.run(&CancellationToken::new()).await.expect_err("no engine");
    assert!(matches!(error, ProcessError::Engine { .. }) && error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn several_at_once_are_told_apart() {
    let scripts: Vec<String> =
        (0..4).map(|number| format!("sleep 0.1; echo {number}; exit {number}")).collect();
    let running = scripts.iter().map(|script| run(shell(script)));
    let ended = futures::future::join_all(running).await;
    for (number, exit) in ended.iter().enumerate() {
        let code = i32::try_from(number).expect("small");
        assert_eq!((exit.status, exit.stdout.text()), (Status::Code(code), format!("{number}\n")));
    }
    soon("removing them", || containers(std::process::id()).is_empty()).await;
}

#[tokio::test]
async fn a_gigabyte_of_output_is_read_and_cut() {
    let exit = run(shell("head -c 1G /dev/zero; echo end").output_cap(1 << 20)).await;
    assert_eq!((exit.status, exit.stdout.total()), (Status::Code(0), (1 << 30) + 4));
    assert!(exit.stdout.bytes().ends_with(b"\0end\n"));
}

#[tokio::test]
async fn the_walls_stand() {
    let folder = tempfile::tempdir().expect("directory");
    let path = |name: &str| folder.path().join(name);
    for name in ["own", "own/inner", "given", "hidden"] {
        fs::create_dir(path(name)).expect("directory");
    }
    fs::write(path("given/input"), "given").expect("write");
    fs::write(path("hidden/secret"), "secret").expect("write");
    let limits = Limits::new().with_memory(256 << 20).with_processes(64).with_cores(1.0);
    let attempt = |script: &str| {
        let script = script.replace('@', &folder.path().display().to_string());
        // A readable folder inside a writable one stays writable.
        run(shell(&script)
            .directory(path("own"))
            .read(path("own/inner"))
            .read(path("given"))
            .limits(limits.clone()))
    };
    let exit = attempt("cat @/given/input && echo a > made && echo b > inner/made && echo c > /tmp/scratch && cd / && ls /usr > /dev/null").await;
    assert_eq!(
        (exit.status, exit.stdout.text().as_str()),
        (Status::Code(0), "given"),
        "{}",
        exit.stderr.text()
    );
    assert_eq!(fs::read_to_string(path("own/inner/made")).expect("file"), "b\n");
    assert_eq!((exit.enforcement.tree, exit.enforcement.missing()), (TreeKill::Engine, Vec::new()));
    assert_eq!(exit.enforcement.memory, Means::Engine);
    for script in [
        "cat @/hidden/secret",
        "cat /etc/shadow",
        "ls /root",
        "ls /home",
        "echo x > @/given/new",
        "echo x > /usr/new",
        "echo x > /new",
        "echo x > /etc/passwd",
        "mount -t tmpfs none /tmp",
        "unshare -n true",
        "chroot / true",
        "kill -0 @PID@",
    ] {
        let script = script.replace("@PID@", &std::process::id().to_string());
        let exit = attempt(&script).await;
        assert!(
            !exit.status.success() && !exit.stdout.text().contains("secret"),
            "{script}: {}",
            exit.stdout.text()
        );
    }
    let exit = attempt(
        "grep -c : /proc/net/dev; grep -e ^CapEff -e ^CapBnd -e ^NoNewPrivs -e ^Seccomp: /proc/self/status",
    )
    .await;
    let words: Vec<String> = exit.stdout.text().split_whitespace().map(str::to_owned).collect();
    let none = "0000000000000000";
    assert_eq!(words, ["1", "CapEff:", none, "CapBnd:", none, "NoNewPrivs:", "1", "Seccomp:", "2"]);
}

#[tokio::test]
async fn the_environment_is_that_of_the_spec() {
    let exit = run(shell("env").env("GIVEN", "a=b c").env("HOME", "/own")).await;
    let text = exit.stdout.text();
    let mut names: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    // The shell's own, those of every process, and what engines add without being asked.
    names.retain(|name| {
        !["PWD", "PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "HOSTNAME", "container", "TERM"].contains(name)
    });
    names.sort_unstable();
    assert_eq!(names, ["GIVEN", "HOME"], "{text}");
    assert!(text.contains("GIVEN=a=b c\n") && text.contains("HOME=/own\n"), "{text}");
}

#[tokio::test]
async fn an_image_brings_its_own_system() {
    let missing = Spec::new("sh").level(Level::Container).image("localhost/crashwise-nowhere");
    let error = missing.run(&CancellationToken::new()).await.expect_err("no image");
    assert!(matches!(error, ProcessError::ImageMissing { .. }), "{error:?}");

    let folder = tempfile::tempdir().expect("directory");
    let source = folder.path().join("probe.c");
    fs::write(&source, "#include <stdio.h>\nint main(void) { printf(\"%d\", fopen(\"/usr/bin/env\", \"r\") != 0); return 7; }\n").expect("write");
    let program = folder.path().join("probe");
    let built = Spec::new("cc").args(["-static", "-o"]).arg(&program).arg(&source);
    assert!(built.run(&CancellationToken::new()).await.expect("a compiler").status.success());
    let image = |spec: Spec| spec.level(Level::Container).image("localhost/crashwise-empty");
    run(shell("true")).await;
    for (spec, seen) in
        [(image(Spec::new(&program)), "0"), (Spec::new(&program).level(Level::Container), "1")]
    {
        let exit = run(spec).await;
        assert_eq!((exit.status, exit.stdout.text().as_str()), (Status::Code(7), seen));
    }
    // A program that is neither in the image nor granted: the init program says so, tini by 127 and catatonit by 1.
    let exit = run(image(Spec::new("sh"))).await;
    assert!(matches!((exit.status, exit.cause), (Status::Code(1 | 127), Cause::Own)), "{exit:?}");
    assert!(!exit.stderr.text().is_empty());
}

#[tokio::test]
async fn the_engine_is_found_out() {
    let found = probe_containers().await;
    assert!(found.iter().all(|one| one.available), "{found:?}");
    assert!(found[0].detail.contains(&socket().display().to_string()), "{found:?}");
}
