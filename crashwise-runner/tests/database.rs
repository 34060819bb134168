//! Advisory databases under the command line: kills while one is written, and mirrors at an address.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crashwise_modules::dependencies::advisory::Database;

fn record(id: &str, modified: &str) -> String {
    format!(
        r#"{{"id": "{id}", "modified": "{modified}", "summary": "about {id}", "affected": [{{"package": {{"ecosystem": "npm", "name": "p-{id}"}}, "versions": ["1.0.0"]}}]}}"#
    )
}

fn crashwise(arguments: &[&str], folder: &Path) -> Command {
    #[allow(clippy::disallowed_methods, reason = "runs the program under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_crashwise"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

#[test]
fn a_kill_leaves_the_old_database_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join("old")).unwrap();
    fs::create_dir_all(path.join("new")).unwrap();
    fs::write(path.join("old/1.json"), record("OLD-1", "2026-01-01T00:00:00Z")).unwrap();
    for number in 0..400 {
        let id = format!("NEW-{number}");
        fs::write(path.join(format!("new/{number}.json")), record(&id, "2026-02-01T00:00:00Z")).unwrap();
    }
    assert!(crashwise(&["-q", "db", "build", "old", "-o", "a.cwdb"], path).status().unwrap().success());
    let old = fs::read(path.join("a.cwdb")).unwrap();
    let mut killed = 0;
    for milliseconds in (0..12).map(|step| 1 << step) {
        fs::write(path.join("a.cwdb"), &old).unwrap();
        let mut child = crashwise(&["-q", "db", "build", "new", "-o", "a.cwdb"], path)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ended = wait(&mut child, Duration::from_millis(milliseconds));
        if !ended {
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
        }
        let database = Database::open(path.join("a.cwdb")).unwrap();
        database.verify().unwrap();
        let advisories = database.meta().advisories;
        assert!(advisories == 400 || advisories == 1 && !ended, "{advisories} advisories");
    }
    assert!(killed > 0, "each one ended first");
    // What the kills left behind is in nobody's way.
    assert!(crashwise(&["-q", "db", "build", "new", "-o", "a.cwdb"], path).status().unwrap().success());
    assert_eq!(Database::open(path.join("a.cwdb")).unwrap().meta().advisories, 400);
}

/// Whether the program ended by itself within a time.
fn wait(child: &mut std::process::Child, time: Duration) -> bool {
    let start = std::time::Instant::now();
    while start.elapsed() < time {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[cfg(feature = "update")]
mod update {
    use super::{crashwise, record};
    use crashwise_modules::dependencies::advisory::Database;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};
    use std::{fs, thread};

    /// A ZIP archive of one stored entry.
    fn archive(name: &str, text: &str) -> Vec<u8> {
        let (name, body) = (name.as_bytes(), text.as_bytes());
        let number = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
        let short = |value: usize| u16::try_from(value).unwrap().to_le_bytes();
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        common.extend(crc32(body).to_le_bytes());
        common.extend([number(body.len()), number(body.len())].concat());
        common.extend([short(name.len()), short(0)].concat());
        let mut out = [b"PK\x03\x04".as_slice(), &common, name, body].concat();
        let start = out.len();
        out.extend([b"PK\x01\x02\x14\0".as_slice(), &common, &[0; 10], &number(0), name].concat());
        let length = out.len() - start;
        out.extend(
            [b"PK\x05\x06\0\0\0\0\x01\0\x01\0".as_slice(), &number(length), &number(start), &[0, 0]].concat(),
        );
        out
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let mut sum = u32::MAX;
        for byte in bytes {
            sum ^= u32::from(*byte);
            for _ in 0..8 {
                sum = if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
            }
        }
        !sum
    }

    /// Serves `/npm/all.zip`, says what it is by a header, and whatever else with 404; keeps the first lines and the answers.
    fn serve(content: Vec<u8>, said: &'static str, asked: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = Vec::new();
                for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                    let line = line.unwrap();
                    if line.is_empty() {
                        break;
                    }
                    lines.push(line);
                }
                let first = lines.first().cloned().unwrap_or_default();
                let fresh = lines.iter().any(|line| line.eq_ignore_ascii_case(asked));
                let (status, body): (_, &[u8]) = match first.as_str() {
                    line if !line.contains("/npm/all.zip") => ("404 Not Found", b"none"),
                    _ if fresh => ("304 Not Modified", b""),
                    _ => ("200 OK", &content),
                };
                kept.lock().unwrap().push(format!("{first} -> {status}"));
                let head = format!(
                    "HTTP/1.1 {status}\r\n{said}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
            }
        });
        (address, log)
    }

    #[test]
    fn a_mirror_is_fetched_once_and_a_missing_archive_changes_nothing() {
        for (said, asked) in [
            ("etag: \"one\"", "if-none-match: \"one\""),
            (
                "last-modified: Thu, 01 Jan 2026 00:00:00 GMT",
                "if-modified-since: Thu, 01 Jan 2026 00:00:00 GMT",
            ),
        ] {
            fetch_from(said, asked);
        }
    }

    fn fetch_from(said: &'static str, asked: &'static str) {
        let folder = tempfile::tempdir().unwrap();
        let (address, log) = serve(archive("X-1.json", &record("X-1", "2026-01-01T00:00:00Z")), said, asked);
        let update = |more: &[&str]| {
            let arguments =
                [&["-q", "db", "update", &address, "-o", "a.cwdb", "--cache", "kept"], more].concat();
            crashwise(&arguments, folder.path()).output().unwrap()
        };
        for expect in ["200 OK", "304 Not Modified"] {
            let output = update(&["-e", "npm"]);
            assert!(output.status.success(), "{output:?}");
            let last = log.lock().unwrap().last().cloned().unwrap();
            assert_eq!(last, format!("GET /npm/all.zip HTTP/1.1 -> {expect}"));
            let database = Database::open(folder.path().join("a.cwdb")).unwrap();
            assert_eq!(database.meta().advisories, 1);
        }
        let before = fs::read(folder.path().join("a.cwdb")).unwrap();
        let output = update(&["-e", "npm", "-e", "PyPI"]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("/PyPI/all.zip: the mirror answers 404"), "{said}");
        assert_eq!(fs::read(folder.path().join("a.cwdb")).unwrap(), before);
    }
}
