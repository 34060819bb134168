//! An engine for tests: answers on a socket of its own as it is told, and remembers what it was asked.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What it does with a request.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// This status and body.
    Say(u16, &'static str),
    /// These bytes, then the end.
    Raw(&'static [u8]),
    /// A stream of these bytes, which then ends, or stays open until the container is removed.
    Stream(&'static [u8], bool),
    /// Nothing, with the connection open.
    Hang,
}

use Answer::{Hang, Raw, Say, Stream};

/// A rule: the answer to requests that begin so, as often as it is there.
pub(super) type Rules = Vec<(&'static str, Answer)>;

pub(super) struct Fake {
    pub(super) socket: PathBuf,
    shared: Arc<Shared>,
    _folder: TempDir,
}

struct Shared {
    rules: Mutex<Rules>,
    seen: Mutex<Vec<(String, String)>>,
    removed: AtomicBool,
}

const INFO: &str = r#"{"OSType":"linux","MemoryLimit":true,"SwapLimit":true,"PidsLimit":true,"CpuCfsQuota":true,
    "SecurityOptions":["name=seccomp,profile=default"]}"#;
pub(super) const EXITED: &str =
    r#"{"Id":"0123456789abcdef","State":{"Status":"exited","Running":false,"ExitCode":0,"Pid":0}}"#;

impl Fake {
    /// An engine that follows `rules`, the first that fits; a rule that stands more than once is used once each time but the last.
    /// What none fits is answered as by an engine where all goes well and the container ends with 0.
    pub(super) fn start(rules: Rules) -> Self {
        let folder = tempfile::tempdir().expect("directory");
        let socket = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).expect("bind");
        let shared = Arc::new(Shared {
            rules: Mutex::new(rules),
            seen: Mutex::default(),
            removed: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&own);
                thread::spawn(move || serve(&shared, stream));
            }
        });
        Self { socket, shared, _folder: folder }
    }

    /// The requests so far that begin with `what`, and their bodies.
    pub(super) fn seen(&self, what: &str) -> Vec<(String, String)> {
        let seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|(line, _)| line.starts_with(what)).cloned().collect()
    }

    /// Waits until `count` requests begin with `what`.
    pub(super) async fn sees(&self, what: &str, count: usize) {
        let begin = Instant::now();
        while self.seen(what).len() < count {
            assert!(begin.elapsed() < Duration::from_secs(20), "no {what}: {:?}", self.seen(""));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn serve(shared: &Shared, mut stream: UnixStream) {
    let Some((line, body)) = read(&mut stream) else { return };
    shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push((line.clone(), body));
    let removes = line.starts_with("DELETE");
    match answer(shared, &line) {
        Say(status, text) => {
            let head = format!(
                "HTTP/1.1 {status} So\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
            let _ = stream.write_all(head.as_bytes());
            if removes && status == 204 {
                shared.removed.store(true, Ordering::SeqCst);
            }
        }
        Raw(bytes) => drop(stream.write_all(bytes)),
        Stream(bytes, held) => {
            let _ = stream.write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
            let _ = stream.write_all(bytes);
            while held && !shared.removed.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(2));
            }
        }
        Hang => {
            // Until the other side has had enough.
            let _ = stream.read(&mut [0; 1]);
            thread::sleep(Duration::from_secs(30));
        }
    }
}

fn answer(shared: &Shared, line: &str) -> Answer {
    let mut rules = shared.rules.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = rules.iter().position(|(what, _)| line.contains(what)) {
        let again = rules.iter().filter(|(what, _)| *what == rules[at].0).count() > 1;
        return if again { rules.remove(at).1 } else { rules[at].1.clone() };
    }
    let (method, path) = line.split_once(' ').unwrap_or_default();
    match (method, path.split(['?', ' ']).next().unwrap_or_default()) {
        ("GET", "/version") => Say(200, r#"{"Version":"27.0","Components":null}"#),
        ("GET", "/info") => Say(200, INFO),
        ("GET", "/containers/json") => Say(200, "[]"),
        ("POST", "/containers/create") => Say(201, r#"{"Id":"0123456789abcdef","Warnings":[]}"#),
        ("POST", "/images/create") => Say(200, "{\"status\":\"sha256:1\"}\r\n"),
        ("POST", path) if path.ends_with("/attach") => Stream(b"", false),
        ("POST", path) if path.ends_with("/start") => Say(204, ""),
        ("POST", path) if path.ends_with("/kill") => Say(204, ""),
        ("GET", path) if path.ends_with("/json") && shared.removed.load(Ordering::SeqCst) => {
            Say(404, r#"{"message":"no such container"}"#)
        }
        ("GET", path) if path.ends_with("/json") => Say(200, EXITED),
        ("DELETE", _) if shared.removed.load(Ordering::SeqCst) => {
            Say(404, r#"{"message":"no such container"}"#)
        }
        ("DELETE", _) => Say(204, ""),
        _ => Say(500, r#"{"message":"asked for something else"}"#),
    }
}

/// The first line of a request and its body.
fn read(stream: &mut UnixStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some((head.lines().next()?.to_owned(), body.to_owned()));
        }
    }
}
