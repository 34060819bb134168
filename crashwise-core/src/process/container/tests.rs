//! The protocol and what can go wrong with it, against an engine that does as it is told. `scripts/test-container.sh` runs all tests
//! of processes on real ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use super::fake::Answer::{Hang, Raw, Say, Stream};
use super::fake::{Fake, Rules};
use super::start_on;
use super::wire::Wire;
use crate::process::{
    Cause, Exit, Layer, Level, Limits, Means, Network, ProcessError, Running, Spec, Status, Stdin, TreeKill,
};

const PATIENCE: Duration = Duration::from_millis(700);

async fn start(fake: &Fake, spec: Spec, cancel: &CancellationToken) -> Result<Running, ProcessError> {
    let engine = Engine::connect(Wire::new(&fake.socket, PATIENCE)).await?;
    start_on(Arc::new(engine), spec.level(Level::Container), cancel, true, PATIENCE).await
}

async fn run(fake: &Fake, spec: Spec) -> Result<Exit, ProcessError> {
    Ok(start(fake, spec, &CancellationToken::new()).await?.finish().await)
}

/// What the error and its causes say.
fn said(error: &ProcessError) -> String {
    crate::error_chain(error)
}

/// Rules, what the program wrote, how it ended and why, and how often its removal was asked for.
async fn ends(rules: Rules, stdout: &str, status: Status, cause: Cause, removals: usize) {
    let text = format!("{rules:?}");
    let fake = Fake::start(rules);
    let exit =
        run(&fake, Spec::new("true").limits(Limits::new().with_memory(1 << 30))).await.expect("starts");
    assert_eq!((exit.stdout.text().as_str(), exit.status, exit.cause), (stdout, status, cause), "{text}");
    assert_eq!(fake.seen("DELETE").len(), removals, "{text}");
}

#[tokio::test]
async fn an_end_is_what_the_engine_says_of_it() {
    for (state, status, cause) in [
        (
            r#"{"Id":"a","State":{"Status":"exited","Running":false,"ExitCode":0}}"#,
            Status::Code(0),
            Cause::Own,
        ),
        (
            r#"{"Id":"a","State":{"Status":"stopped","Running":false,"ExitCode":3}}"#,
            Status::Code(3),
            Cause::Own,
        ),
        (
            r#"{"Id":"a","State":{"Status":"exited","Running":false,"ExitCode":139}}"#,
            Status::Signal(11),
            Cause::Own,
        ),
        (
            r#"{"Id":"a","State":{"Status":"exited","Running":false,"ExitCode":128}}"#,
            Status::Code(128),
            Cause::Own,
        ),
        (
            r#"{"Id":"a","State":{"Status":"exited","Running":false,"ExitCode":255}}"#,
            Status::Code(255),
            Cause::Own,
        ),
        // Podman does not say that memory ran out.
        (
            r#"{"Id":"a","State":{"Status":"exited","Running":false,"ExitCode":137}}"#,
            Status::Signal(9),
            Cause::Memory,
        ),
        (
            r#"{"Id":"a","State":{"Status":"exited","Running":false,"ExitCode":1,"OOMKilled":true}}"#,
            Status::Code(1),
            Cause::Memory,
        ),
    ] {
        let output = Stream(b"\x01\0\0\0\0\0\0\x02hi", false);
        ends(vec![("/attach", output), ("/json HTTP", Say(200, state))], "hi", status, cause, 1).await;
    }
}

#[tokio::test]
async fn what_nobody_saw_to_its_end_is_unknown() {
    let hi = b"\x01\0\0\0\0\0\0\x02hi";
    let running = r#"{"Id":"a","State":{"Status":"running","Running":true,"ExitCode":0}}"#;
    for rules in [
        // Its output ended and it goes on.
        vec![("/attach", Stream(hi, false)), ("/json HTTP", Say(200, running))],
        // Somebody removed it.
        vec![("/attach", Stream(hi, false)), ("/json HTTP", Say(404, "{}"))],
        vec![("/attach", Stream(hi, false)), ("/json HTTP", Say(500, "{}"))],
        vec![("/attach", Stream(hi, false)), ("/json HTTP", Say(200, "{}"))],
        vec![("/attach", Stream(hi, false)), ("/json HTTP", Hang)],
        vec![("/attach", Stream(hi, false)), ("/json HTTP", Raw(b"nonsense"))],
        // Output is missing.
        vec![("/attach", Stream(b"\x01\0\0\0\0\0\0\x09hi", false))],
        vec![("/attach", Stream(b"\x01\0\0\0\0\0\0\x02hi\x09\0\0\0\0\0\0\x02hi", false))],
    ] {
        ends(rules, "hi", Status::Unknown, Cause::Own, 1).await;
    }
}

#[tokio::test]
async fn an_engine_that_is_slow_to_know_is_asked_again() {
    let running = Say(200, r#"{"Id":"a","State":{"Status":"running","Running":true,"ExitCode":0}}"#);
    let over = Say(200, r#"{"Id":"a","State":{"Status":"exited","Running":false,"ExitCode":5}}"#);
    let rules = vec![("/json HTTP", running.clone()), ("/json HTTP", running), ("/json HTTP", over)];
    ends(rules, "", Status::Code(5), Cause::Own, 1).await;
    // So is one that fails to remove it.
    let busy = Say(409, r#"{"message":"removal in progress"}"#);
    let rules =
        vec![("DELETE", Say(500, "")), ("DELETE", busy), ("DELETE", Raw(b"")), ("DELETE", Say(204, ""))];
    ends(rules, "", Status::Code(0), Cause::Own, 4).await;
}

#[tokio::test]
async fn every_request_has_a_deadline_and_every_answer_is_checked() {
    const REQUESTS: [(&str, &str); 5] = [
        ("/version", "asking the engine what it is"),
        ("/info", "asking the engine what it is"),
        ("/create", "making the container"),
        ("/attach", "attaching to the container"),
        ("/start", "starting the container"),
    ];
    for (request, doing) in REQUESTS {
        for (answer, expect) in [
            (Hang, "did not answer within 0.7 s"),
            (Raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "none of its API"),
            (Raw(b""), "connection closed"),
            (Say(500, r#"{"message":"out of luck"}"#), "answers 500: out of luck"),
            (Say(502, "<html>gateway"), "answers 502: <html>gateway"),
        ] {
            let case = format!("{request} {answer:?}");
            let fake = Fake::start(vec![(request, answer)]);
            let begin = Instant::now();
            let error = run(&fake, Spec::new("true")).await.expect_err(&case);
            assert!(matches!(error, ProcessError::Engine { .. }), "{case}: {error:?}");
            let text = said(&error);
            assert!(text.starts_with(doing) && text.contains(expect), "{case}: {text}");
            assert!(begin.elapsed() < Duration::from_secs(10), "{case}: {:?}", begin.elapsed());
            assert_eq!(
                error.is_retryable(),
                expect.contains("answer within") || expect.contains("closed"),
                "{case}"
            );
            // What may have been made is removed.
            let made = !matches!(request, "/version" | "/info");
            fake.sees("DELETE", usize::from(made)).await;
        }
    }
    for (request, answer) in [("/version", "[]"), ("/version", "{}"), ("/info", "7"), ("/create", "null")] {
        let fake = Fake::start(vec![(request, Say(200, answer))]);
        let text = said(&run(&fake, Spec::new("true")).await.expect_err(answer));
        assert!(text.contains("none of its API"), "{request} {answer}: {text}");
    }
}

#[tokio::test]
async fn no_image_is_pulled() {
    let missing = Say(404, r#"{"message":"no such image"}"#);
    let fake = Fake::start(vec![("/create?name", missing.clone())]);
    let error = run(&fake, Spec::new("true").image("alpine:3")).await.expect_err("no image");
    assert_eq!(error.to_string(), "the engine has no image `alpine:3`; get it with `docker pull alpine:3`");
    assert!(fake.seen("POST /images").is_empty());

    // The empty one is made once.
    let made = Say(201, r#"{"Id":"a"}"#);
    let fake = Fake::start(vec![("/create?name", missing.clone()), ("/create?name", made)]);
    run(&fake, Spec::new("true")).await.expect("runs");
    assert_eq!((fake.seen("POST /images").len(), fake.seen("POST /containers/create").len()), (1, 2));
    let body: Value = serde_json::from_str(&fake.seen("POST /containers/create")[0].1).expect("json");
    assert_eq!(body["Image"], "localhost/crashwise-empty:latest");

    for (import, expect) in [
        (Say(200, r#"{"status":"x"}{"error":"no space"}"#), "no space"),
        (Say(200, "nonsense"), "none of its API"),
        (Say(500, r#"{"message":"read-only"}"#), "read-only"),
        (Say(200, "{}"), "no such image"),
    ] {
        let fake = Fake::start(vec![("/containers/create", missing.clone()), ("/images/create", import)]);
        let text = said(&run(&fake, Spec::new("true")).await.expect_err(expect));
        assert!(text.contains(expect), "{text}");
    }
}

#[tokio::test]
async fn what_is_missing_is_said_with_what_to_do() {
    for (rule, message, expect) in [
        ("/start", r#"{"message":"exec: \"docker-init\": executable file not found"}"#, "no init program"),
        ("/containers/create", r#"{"message":"lookup init binary: could not find \"catatonit\""}"#, ""),
        (
            "/attach",
            r#"{"message":"container-init binary not found on the host: catatonit"}"#,
            "no init program",
        ),
    ] {
        let fake = Fake::start(vec![(rule, Say(500, message))]);
        let error = run(&fake, Spec::new("true")).await.expect_err(rule);
        assert!(matches!(error, ProcessError::NoContainers { .. }), "{error:?}");
        assert!(
            error.to_string().contains(expect) && error.to_string().contains("install `tini`"),
            "{error}"
        );
    }
    let fake = Fake::start(vec![("/info", Say(200, r#"{"OSType":"windows"}"#))]);
    let error = run(&fake, Spec::new("true")).await.expect_err("windows");
    assert!(error.to_string().contains("of windows, not of Linux"), "{error}");

    let folder = tempfile::tempdir().expect("directory");
    let gone = Spec::new("true").level(Level::Container).engine(folder.path().join("gone.sock"));
    let error = gone.run(&CancellationToken::new()).await.expect_err("no engine");
    assert!(said(&error).contains("gone.sock: No such file"), "{}", said(&error));

    let fake = Fake::start(Vec::new());
    let elsewhere = tempfile::tempdir().expect("directory");
    for (spec, expect) in [
        (Spec::new("true").directory(folder.path()).read("/usr").write(comma(elsewhere.path())), "a comma"),
        (Spec::new("/bin/true").arg(not_utf8()), "not UTF-8"),
        (Spec::new("crashwise-of-nobody").hint("build it"), "was not found; build it"),
        (Spec::new("true").directory("/nowhere"), "working directory /nowhere"),
        (Spec::new(script(folder.path(), "#!/nowhere/sh\n")), "cannot be executed: No such file"),
        (Spec::new(script(folder.path(), "echo hi\n")), "cannot be executed: Exec format error"),
    ] {
        let text = said(&run(&fake, spec).await.expect_err(expect));
        assert!(text.contains(expect), "{text}");
    }
    // Nothing was asked of the engine but what it is.
    assert!(fake.seen("POST").is_empty() && fake.seen("DELETE").is_empty());
}

fn comma(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("a,readonly=false");
    std::fs::create_dir_all(&path).expect("directory");
    path
}

fn not_utf8() -> std::ffi::OsString {
    std::os::unix::ffi::OsStringExt::from_vec(vec![0xff])
}

fn script(folder: &std::path::Path, text: &str) -> std::path::PathBuf {
    let path = folder.join(format!("script{}", text.len()));
    std::fs::write(&path, text).expect("write");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("mode");
    path
}

#[tokio::test]
async fn what_the_engine_does_not_enforce_is_missing() {
    let limits = Limits::new().with_memory(1 << 30).with_processes(7).with_cores(1.0);
    let spec = || Spec::new("true").limits(limits.clone());
    let exit = run(&Fake::start(Vec::new()), spec()).await.expect("runs");
    let kept = &exit.enforcement;
    assert_eq!((kept.tree, kept.missing()), (TreeKill::Engine, Vec::new()));
    for means in [
        &kept.memory,
        &kept.processes,
        &kept.cores,
        &kept.files,
        &kept.network,
        &kept.syscalls,
        &kept.signals,
    ] {
        assert_eq!(*means, Means::Engine, "{kept:?}");
    }

    let rootless = r#"{"OSType":"linux","SecurityOptions":["name=rootless"]}"#;
    let warns = r#"{"Id":"a","Warnings":["Your kernel does not support memory limit capabilities. Limitation discarded.",
        "Your kernel does not support pids limit capabilities","no cpu cfs quota","no swap limit"]}"#;
    let limits_missing = vec![Layer::Memory, Layer::Processes, Layer::Cores];
    for (rule, answer, also) in [("/info", rootless, Some(Layer::Syscalls)), ("/create?name", warns, None)] {
        let mut expect = limits_missing.clone();
        expect.extend(also);
        let fake = Fake::start(vec![(rule, Say(201, answer))]);
        let exit = run(&fake, spec()).await.expect("runs");
        let missing: Vec<Layer> = exit.enforcement.missing().into_iter().map(|(layer, _)| layer).collect();
        assert_eq!(missing, expect, "{:?}", exit.enforcement);
        for layer in expect {
            let fake = Fake::start(vec![(rule, Say(201, answer))]);
            let error = run(&fake, spec().require([layer])).await.expect_err("required");
            assert!(
                matches!(&error, ProcessError::Unenforced { layer: one, .. } if *one == layer),
                "{error:?}"
            );
            assert!(fake.seen("POST /containers/crashwise").is_empty(), "it was started");
            assert_eq!(fake.seen("POST /containers/create").len(), fake.seen("DELETE").len());
        }
    }
}

#[tokio::test]
async fn deadline_cancel_and_drop_remove_it() {
    let held = || Fake::start(vec![("/attach", Stream(b"\x01\0\0\0\0\0\0\x03up\n", true))]);
    let fake = held();
    let exit = run(&fake, Spec::new("true").deadline(Duration::from_millis(50))).await.expect("starts");
    assert_eq!((exit.status, exit.cause), (Status::Signal(9), Cause::Deadline));
    assert_eq!(fake.seen("DELETE").len(), 1);

    let fake = held();
    let cancel = CancellationToken::new();
    let mut running = start(&fake, Spec::new("true"), &cancel).await.expect("starts");
    assert_eq!(running.next_line().await.expect("a line").text(), "up");
    running.wind_down();
    fake.sees("POST /containers/crashwise-", 3).await;
    assert!(fake.seen("POST").last().is_some_and(|(line, _)| line.contains("/kill?signal=10 ")));
    cancel.cancel();
    let exit = running.finish().await;
    assert_eq!((exit.status, exit.cause), (Status::Signal(9), Cause::Cancelled));

    let fake = held();
    drop(start(&fake, Spec::new("true"), &CancellationToken::new()).await.expect("starts"));
    fake.sees("DELETE", 1).await;
    let line = &fake.seen("DELETE")[0].0;
    assert!(
        line.starts_with("DELETE /containers/crashwise-") && line.contains("?force=true&v=true "),
        "{line}"
    );
}

#[tokio::test]
async fn an_engine_that_dies_does_not_hold_a_process() {
    let fake = Fake::start(vec![("/attach", Stream(b"", true)), ("DELETE", Hang)]);
    let begin = Instant::now();
    let exit = run(&fake, Spec::new("true").deadline(Duration::from_millis(50))).await.expect("starts");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(exit.cause, Cause::Deadline);
}

#[tokio::test]
async fn containers_of_the_dead_are_removed() {
    let own = super::owner::Owner::own().text();
    let list = format!(
        r#"[{{"Id":"mine","State":"running","Labels":{{"crashwise.owner":"{own}"}}}},
            {{"Id":"dead","State":"running","Labels":{{"crashwise.owner":"{own}0"}}}},
            {{"Id":"strange","State":"exited","Labels":{{"crashwise.owner":"?"}}}},
            {{"Id":"other","State":"exited","Labels":null}}]"#
    );
    let fake = Fake::start(vec![("/containers/json", Say(200, list.leak()))]);
    let engine = Engine::connect(Wire::new(&fake.socket, PATIENCE)).await.expect("connects");
    engine.sweep().await;
    let lines: Vec<String> = fake.seen("DELETE").into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, ["DELETE /containers/dead?force=true&v=true HTTP/1.1"]);
}

#[tokio::test]
async fn the_walls_are_asked_for() {
    let folder = tempfile::tempdir().expect("directory");
    let inside = folder.path().canonicalize().expect("path");
    let inside = inside.to_str().expect("text");
    let limits = Limits::new()
        .with_memory(64 << 20)
        .with_processes(5)
        .with_cores(1.5)
        .with_cpu_time(Duration::from_millis(1500))
        .with_file_size(1 << 20)
        .with_open_files(64)
        .with_stack(1 << 20);
    let spec = Spec::new("sh")
        .args(["-c", "exit"])
        .env("A", "b=c")
        .directory(inside)
        .stdin(Stdin::Bytes(b"x".to_vec()));
    let fake = Fake::start(Vec::new());
    run(&fake, spec.clone().limits(limits)).await.expect("runs");
    let body: Value = serde_json::from_str(&fake.seen("POST /containers/create")[0].1).expect("json");
    let host = &body["HostConfig"];
    let (user, group) = crate::process::supervisor::identity();
    for (value, expect) in [
        (&body["Cmd"], serde_json::json!(["-c", "exit"])),
        (&body["WorkingDir"], inside.into()),
        (&body["User"], format!("{user}:{group}").into()),
        (&body["OpenStdin"], true.into()),
        (&host["NetworkMode"], "none".into()),
        (&host["Init"], true.into()),
        (&host["ReadonlyRootfs"], true.into()),
        (&host["CapDrop"], serde_json::json!(["ALL"])),
        (&host["SecurityOpt"], serde_json::json!(["no-new-privileges"])),
        (&host["LogConfig"]["Type"], "none".into()),
        (&host["Memory"], (64 << 20).into()),
        (&host["MemorySwap"], (64 << 20).into()),
        (&host["PidsLimit"], 6.into()),
        (&host["NanoCpus"], 1_500_000_000.into()),
    ] {
        assert_eq!(*value, expect, "{body:#}");
    }
    assert!(body["Env"].as_array().expect("list").contains(&"A=b=c".into()), "{}", body["Env"]);
    let ulimit = |name: &str| {
        let all = host["Ulimits"].as_array().expect("list").iter();
        all.filter(|one| one["Name"] == name).map(|one| (one["Soft"].as_i64(), one["Hard"].as_i64())).next()
    };
    for (name, limit) in [("core", 0), ("cpu", 2), ("fsize", 1 << 20), ("nofile", 64), ("stack", 1 << 20)] {
        assert_eq!(ulimit(name), Some((Some(limit), Some(limit))), "{name}");
    }
    assert!(ulimit("nproc").is_some());
    let mount = |target: &str| {
        let all = host["Mounts"].as_array().expect("list").iter();
        all.filter(|one| one["Target"] == target).map(|one| one["ReadOnly"].as_bool()).next().flatten()
    };
    assert_eq!(
        (mount("/usr"), mount(inside), mount("/etc"), mount("/proc")),
        (Some(true), Some(false), None, None)
    );
    assert!(host["Tmpfs"]["/tmp"].is_string());

    // An image brings its own system, and may bring the program.
    let fake = Fake::start(Vec::new());
    let spec = Spec::new("nothing-of-the-host").image("alpine").network(Network::Host).write("/tmp");
    run(&fake, spec).await.expect("runs");
    let body: Value = serde_json::from_str(&fake.seen("POST /containers/create")[0].1).expect("json");
    let host = &body["HostConfig"];
    assert_eq!((&body["Image"], &body["Entrypoint"][0]), (&"alpine".into(), &"nothing-of-the-host".into()));
    assert_eq!((&host["NetworkMode"], &host["Tmpfs"]), (&"host".into(), &serde_json::json!({})));
    assert_eq!((&body["WorkingDir"], &body["OpenStdin"]), (&"/".into(), &false.into()));
    let targets: Vec<&str> =
        host["Mounts"].as_array().expect("list").iter().filter_map(|one| one["Target"].as_str()).collect();
    assert!(targets.iter().all(|target| target.starts_with("/tmp")), "{targets:?}");
}
