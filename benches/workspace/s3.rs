//! 250 MB through a real S3-compatible server, also when every connection is cut after 40 MB. Started by
//! `scripts/s3-server.sh`, which sets `S3_ENDPOINT`, `S3_ACCESS_KEY`, `S3_SECRET_KEY` and `S3_BUCKET`.

#![allow(clippy::print_stdout, reason = "a bench tells its results")]

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crashwise_core::TargetId;
use crashwise_core::store::{S3Config, Store, StoreErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SIZE: usize = 250_000_000;
const CUT: usize = 40_000_000;
/// Connections that the store uses at once.
const AT_ONCE: usize = 4;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let config = S3Config::from_variables(|name| std::env::var(name).ok()).expect("set by the script");
    let Some(endpoint) = config.endpoint().map(str::to_owned) else {
        println!("S3_ENDPOINT is not set: run scripts/s3-server.sh cargo bench --bench workspace_s3");
        std::process::exit(64);
    };
    let dir = tempfile::tempdir().expect("writable");
    let file = dir.path().join("target");
    fs::write(&file, noise(SIZE)).expect("writable");
    let copy = timed(|| {
        let mut copy = File::create(dir.path().join("copy")).expect("writable");
        std::io::copy(&mut File::open(&file).expect("there"), &mut copy).expect("writable");
        copy.flush().and_then(|()| copy.sync_all()).expect("writable");
    });
    println!("cp + sync       {:.2} s", copy.as_secs_f64());
    runtime.block_on(async {
        let store = Store::s3(&config).expect("a store");
        round(&store, dir.path(), &file, "direct", copy).await;
        if std::env::var_os("S3_ONE_REQUEST").is_some() {
            println!(
                "                the server closes a connection after each request: there is nothing to cut"
            );
        } else {
            let cuts = Arc::new(Cuts::default());
            let proxy = cutting_proxy(&endpoint, Arc::clone(&cuts)).await;
            let cut = Store::s3(&config.with_endpoint(proxy)).expect("a store");
            round(&cut, dir.path(), &file, "cut at 40 MB", copy).await;
            let (up, down) = (cuts.up.load(Ordering::Relaxed), cuts.down.load(Ordering::Relaxed));
            println!("                {up} connections were cut on the way up, {down} on the way down");
            // All but what the last connections carried went over one that was cut.
            let least = (SIZE - AT_ONCE * CUT).div_ceil(CUT);
            assert!(up >= least && down >= least, "{up} up, {down} down, {least} expected");
        }
        let missing = TargetId::new("missing").expect("valid");
        let error = store.fetch_target(&missing, &dir.path().join("none")).await.expect_err("missing");
        assert_eq!(error.kind(), StoreErrorKind::NotFound);
    });
}

async fn round(store: &Store, dir: &Path, file: &Path, name: &str, copy: Duration) {
    let start = Instant::now();
    let id = store.put_target(file).await.expect("uploaded");
    let up = start.elapsed();
    let start = Instant::now();
    store.put_target(file).await.expect("there already");
    let again = start.elapsed();
    let to = dir.join("fetched");
    let start = Instant::now();
    let fetched = store.fetch_target(&id, &to).await.expect("downloaded");
    let down = start.elapsed();
    assert_eq!((fetched.size, fetched.hash.as_str()), (SIZE as u64, id.as_str()));
    fs::remove_file(to).expect("there");
    store.delete_target(&id).await.expect("deleted");
    println!(
        "{name:<15} upload {:.2} s ({:.1}x cp + sync)   there already {:.2} s   download {:.2} s",
        up.as_secs_f64(),
        up.as_secs_f64() / copy.as_secs_f64(),
        again.as_secs_f64(),
        down.as_secs_f64()
    );
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes());
    }
    out.truncate(length);
    out
}

/// How many connections were cut, by the direction of the bytes that were too many.
#[derive(Default)]
struct Cuts {
    up: AtomicUsize,
    down: AtomicUsize,
}

/// A proxy that drops each connection after so many bytes in either direction. Gives its own endpoint.
async fn cutting_proxy(endpoint: &str, cuts: Arc<Cuts>) -> String {
    let server = endpoint.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, cuts) = (server.clone(), Arc::clone(&cuts));
            tokio::spawn(async move {
                let Ok(server) = TcpStream::connect(server).await else { return };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let (way, cut) = tokio::select! {
                    cut = pump(from_client, to_server) => (&cuts.up, cut),
                    cut = pump(from_server, to_client) => (&cuts.down, cut),
                };
                way.fetch_add(cut.into(), Ordering::Relaxed);
            });
        }
    });
    format!("http://{address}")
}

/// Whether it ended because it was cut.
async fn pump(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin) -> bool {
    let mut buffer = vec![0; 64 << 10];
    let mut left = CUT;
    while left > 0 {
        let Ok(n @ 1..) = from.read(&mut buffer).await else { return false };
        let n = n.min(left);
        if to.write_all(&buffer[..n]).await.is_err() {
            return false;
        }
        left -= n;
    }
    true
}
