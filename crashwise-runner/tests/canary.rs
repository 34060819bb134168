//! A raw secret is nowhere: in no report, on no stream, in no file that a run leaves behind.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Passwords and a token that appear nowhere but in the planted files.
const CANARIES: [&str; 3] = ["Zq9!canary#77", "Kx4!zebra%51q", "dapi0f3a9c1b7d5e2468ace013579bdf2468"];

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// What must be found nowhere: the canaries as they are, reversed, and encoded.
fn forbidden() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for canary in CANARIES {
        all.push(canary.as_bytes().to_vec());
        all.push(canary.bytes().rev().collect());
        all.push(hex(canary.as_bytes()).into_bytes());
        // Long enough to be no accident, and without the digits that depend on what is around them.
        all.push(base64(canary.as_bytes()).as_bytes()[..canary.len()].to_vec());
        all.push(canary.as_bytes()[..9].to_vec());
    }
    all
}

fn plant(root: &Path) {
    let [password, other, token] = CANARIES;
    let write = |name: &str, text: &str| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(".env", &format!("DB_PASSWORD={password}\nOTHER_PASSWORD=\"{other}\" # {password} {token}\n"));
    write("a.py", &format!("password = \"{password}\"; t = '{token}'; again = '{password}{other}'\n"));
    write("b/encoded.yml", &format!("blob: {}\n", base64(format!("password = \"{password}\"\n").as_bytes())));
    write("b/hex.yml", &format!("blob: {}\n", hex(format!("token: {token}\n").as_bytes())));
    write("b/url.txt", &format!("postgres://user:{}@db.example/x\n", "Zq9canary77"));
    write("marked.js", &format!("const password = '{other}'; // crashwise:allow {other}\n"));
    write(".gitleaksignore", "a.py:generic-password:1\n");
    write("broken.zip", &format!("PK\u{3}\u{4}\0\0password = '{password}'"));
    write("reversed.py", &format!("t = '{}'[::-1]\n", token.chars().rev().collect::<String>()));
}

/// A repository with the canaries in a blob that is gone again, in a message, in an address, in a tag, and in the index.
fn plant_history(root: &Path) {
    use gix::objs::{Commit, Tag, Tree, tree};
    let [password, other, token] = CANARIES;
    let repo = gix::init(root).unwrap();
    let tree = |name: &str, text: &str| {
        let oid = repo.write_blob(text).unwrap().detach();
        let entry = tree::Entry { mode: tree::EntryKind::Blob.into(), filename: name.into(), oid };
        repo.write_object(Tree { entries: vec![entry] }).unwrap().detach()
    };
    let who = gix::actor::Signature {
        name: "Ann".into(),
        email: format!("{token}@example.com").as_str().into(),
        time: gix::date::Time::new(1_700_000_000, 0),
    };
    let commit = |tree, parent: Option<gix::ObjectId>, message: String| {
        let commit = Commit {
            tree,
            parents: parent.into_iter().collect(),
            author: who.clone(),
            committer: who.clone(),
            encoding: None,
            message: message.into(),
            extra_headers: Vec::new(),
        };
        repo.write_object(commit).unwrap().detach()
    };
    let secret = format!("password = \"{password}\"; t = '{token}'; pwd = '{other}'\n");
    let first = commit(tree("a.py", &secret), None, format!("use password = \"{other}\" and {token}\n"));
    let second = commit(tree("b.txt", "gone\n"), Some(first), format!("gone: {password}\n"));
    let tag = Tag {
        target: first,
        target_kind: gix::objs::Kind::Commit,
        name: "v1".into(),
        tagger: None,
        message: format!("deploy with {token}\n").as_str().into(),
        signature: None,
    };
    let tag = repo.write_object(tag).unwrap().detach();
    let git = root.join(".git");
    fs::write(git.join("refs/heads/main"), format!("{second}\n")).unwrap();
    fs::write(git.join("refs/tags/v1"), format!("{tag}\n")).unwrap();
    fs::write(git.join("refs/heads/broken"), format!("{other}\n")).unwrap();
    fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    let mut index = repo.index_from_tree(&tree("c.py", &secret)).unwrap();
    index.set_path(git.join("index"));
    index.write(gix::index::write::Options::default()).unwrap();
}

fn run(folder: &Path, args: &[&str], input: Option<&str>) -> Output {
    #[allow(clippy::disallowed_methods, reason = "runs the program under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_crashwise"));
    command.args(args).current_dir(folder.join("tree")).env_clear();
    command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full").env("TMPDIR", folder.join("tmp"));
    command.env("CRASHWISE_STATE", folder.join("state")).env("XDG_CACHE_HOME", folder.join("cache"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    if let Some(input) = input {
        // A command line that is refused reads nothing.
        let _ = pipe.write_all(input.as_bytes());
    }
    drop(pipe);
    child.wait_with_output().unwrap()
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), out);
        } else {
            out.push(entry.path());
        }
    }
}

fn assert_clean(what: &str, bytes: &[u8], forbidden: &[Vec<u8>]) {
    for secret in forbidden {
        let found = bytes.windows(secret.len()).any(|window| window == secret);
        assert!(
            !found,
            "{what} holds {}:\n{}",
            String::from_utf8_lossy(secret),
            String::from_utf8_lossy(bytes)
        );
    }
}

const FORMATS: [&str; 7] = ["sarif", "json", "md", "html", "csv", "xml", "txt"];

#[test]
fn no_output_log_or_journal_holds_a_raw_secret() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    for name in ["tree", "tmp", "out"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    plant(&folder.join("tree"));
    fs::create_dir(folder.join("tree/repository")).unwrap();
    plant_history(&folder.join("tree/repository"));
    let forbidden = forbidden();
    let outputs: Vec<String> = FORMATS
        .iter()
        .flat_map(|format| ["-o".to_owned(), format!("{}/out/report.{format}", folder.display())])
        .collect();
    let mut args = vec!["workflow", "run", "secret_detection"];
    args.extend(outputs.iter().map(String::as_str));
    let first = run(folder, &args, None);
    assert_eq!(
        first.status.code(),
        Some(2),
        "an archive is broken: {}",
        String::from_utf8_lossy(&first.stderr)
    );
    let text = String::from_utf8_lossy(&first.stdout);
    assert!(
        text.contains("generic-password")
            || fs::read_to_string(folder.join("out/report.txt")).unwrap().contains("generic-password")
    );

    let stdin = format!("password = \"{}\"\n{}\n", CANARIES[0], CANARIES[2]);
    let rule_file = format!("rules = \"{}\"\n", CANARIES[1]);
    fs::write(folder.join("tree/rules.toml"), rule_file).unwrap();
    let mut ran = vec![first];
    for args in [
        &["workflow", "run", "secret_detection", "-"][..],
        &["workflow", "run", "secret_detection", "-", "--format", "json"],
        &["workflow", "run", "secret_detection", ".", "--format", "sarif", "--allow-partial"],
        &["module", "run", "secret_scanner", ".", "min_confidence=low"],
        &["workflow", "run", "secret_detection", ".", "--staged"],
        &["workflow", "run", "secret_detection", ".", "scanner_config.rule_files=rules.toml"],
        &["workflow", "run", "secret_detection", ".", "--timeout", "1ms"],
        &["workflow", "run", "secret_detection", "repository", "--history"],
        &["workflow", "run", "secret_detection", "repository", "--history", "--format", "json"],
        &["workflow", "run", "secret_detection", "repository", "--range=main~1", "--format", "sarif"],
        &["workflow", "run", "secret_detection", "repository", "--staged", "--format", "json"],
        &["workflow", "run", "secret_detection", ".", "--baseline-file=a.py"],
        &["workflow", "run", "security_assessment", "."],
        &["workflow", "run", "security_assessment", ".", "--format", "sarif"],
        &["runs", "list"],
    ] {
        ran.push(run(folder, args, Some(&stdin)));
    }
    let history = String::from_utf8_lossy(&ran[9].stdout);
    for found in ["\"a.py\"", "in the entry commit ", "in the entry tag ", "databricks-token"] {
        assert!(history.contains(found), "{found}: {history}");
    }
    for output in &ran {
        assert_clean("standard output", &output.stdout, &forbidden);
        assert_clean("standard error", &output.stderr, &forbidden);
    }
    let mut left = Vec::new();
    for name in ["out", "state", "cache", "tmp"] {
        files(&folder.join(name), &mut left);
    }
    assert!(left.iter().any(|file| file.starts_with(folder.join("state"))), "the run was kept: {left:?}");
    for file in &left {
        assert_clean(&file.display().to_string(), &fs::read(file).unwrap(), &forbidden);
    }
}

#[test]
fn a_secret_is_shown_when_asked_for_and_two_runs_say_the_same() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    for name in ["tree", "tmp", "a", "b"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    plant(&folder.join("tree"));
    for out in ["a", "b"] {
        let outputs: Vec<String> = FORMATS
            .iter()
            .flat_map(|format| ["-o".to_owned(), format!("{}/{out}/report.{format}", folder.display())])
            .collect();
        let mut args = vec!["workflow", "run", "secret_detection", ".", "--allow-partial", "--quiet"];
        args.extend(outputs.iter().map(String::as_str));
        assert_eq!(run(folder, &args, None).status.code(), Some(1));
    }
    for format in FORMATS {
        let read = |out: &str| fs::read(folder.join(out).join(format!("report.{format}"))).unwrap();
        let (a, b) = (without_run(&read("a")), without_run(&read("b")));
        assert!(a == b, "{format}:\n{a}\n{b}");
        assert!(a.contains("generic-password"), "{format}");
    }
    let shown =
        run(folder, &["workflow", "run", "secret_detection", ".", "--reveal", "--format", "json"], None);
    assert!(String::from_utf8_lossy(&shown.stdout).contains(CANARIES[0]));
}

/// A report without the lines that name the run itself: its id and its times.
fn without_run(report: &[u8]) -> String {
    let text = String::from_utf8_lossy(report);
    text.lines()
        .filter(|line| {
            !["run_id", "started", "finished", "duration", "elapsed"].iter().any(|word| line.contains(word))
        })
        .collect::<Vec<_>>()
        .join("\n")
}
