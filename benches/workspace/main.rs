//! Archives and workspaces against the tools that people would use instead, same tree, same file system, best of three.
//! Ratios are of the wall and, for what takes long enough, of CPU time, which other work on the machine changes less.
//!
//! ```text
//! cargo bench --bench workspace -- /dev/shm /var/tmp
//! ```
//!
//! The first folder is where trees are made; the second is on the disk that durable publishing shall wait for.

#![allow(clippy::print_stdout, reason = "a bench tells its results")]

#[path = "../measure.rs"]
mod measure;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crashwise_core::archive::{ExtractOptions, PackOptions, extract_file, pack};
use crashwise_core::cache::{Cache, CacheConfig, Request};
use crashwise_core::{Isolation, RunId, Target};

const FILES: usize = 20_000;
/// Of what the disk decides.
const ROUNDS: usize = 7;

fn main() {
    let mut places = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let place = places.next().unwrap_or("/dev/shm".into());
    let disk = places.next().unwrap_or(place.clone());
    let dir = tempfile::Builder::new().prefix("crashwise-bench-").tempdir_in(&place).expect("writable");
    let root = dir.path();
    println!("{FILES} files in {place}");
    make_tree(&root.join("tree"));
    tool(root, "tar", &["-cf", "t.tar", "-C", "tree", "."]);
    tool(root, "tar", &["-czf", "t.tar.gz", "-C", "tree", "."]);
    archives(root);
    packing(root);
    let cache = workspaces(root);
    hits(root, &cache);
    durability(root, Path::new(&disk));
}

/// About 200 MB of text that compresses to a quarter.
fn make_tree(tree: &Path) {
    let mut state = 1u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for i in 0..FILES {
        let dir = tree.join(format!("d{}/e{}", i % 60, i / 60 % 60));
        fs::create_dir_all(&dir).expect("writable");
        let mut text = String::new();
        let lines = 20 + next() % 400;
        for line in 0..lines {
            text.push_str("    let value = compute(");
            text.push_str(&next().to_string());
            text.push_str(if line % 3 == 0 { "); // checked\n" } else { ");\n" });
        }
        fs::write(dir.join(format!("f{i}.rs")), text).expect("writable");
    }
}

#[allow(clippy::disallowed_methods, reason = "the peers are programs")]
fn tool(dir: &Path, program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).current_dir(dir).status().expect("installed");
    assert!(status.success(), "{program} {arguments:?}");
}

/// Seconds by the wall, and of CPU time with that of children.
#[derive(Clone, Copy)]
struct Took {
    wall: f64,
    cpu: f64,
}

/// The best of three, everything that is made is removed outside of the time.
fn best(made: &Path, mut work: impl FnMut()) -> Took {
    let cpu = || measure::process_seconds() + measure::children_seconds();
    let mut best = Took { wall: f64::MAX, cpu: f64::MAX };
    for _ in 0..3 {
        let (start, used) = (Instant::now(), cpu());
        work();
        best.wall = best.wall.min(start.elapsed().as_secs_f64());
        best.cpu = best.cpu.min(cpu() - used);
        let _ = fs::remove_dir_all(made);
        let _ = fs::remove_file(made);
    }
    best
}

fn tell(what: &str, ours: Took, peer: &str, theirs: Took) {
    let ratio = ours.wall / theirs.wall;
    let cpu = ours.cpu / theirs.cpu;
    println!(
        "{what:<34} {:>9.2} ms   {peer:<18} {:>9.2} ms   ratio {ratio:.3}, CPU {cpu:.3}",
        ours.wall * 1e3,
        theirs.wall * 1e3
    );
}

fn archives(root: &Path) {
    for (file, flag) in [("t.tar", "-xf"), ("t.tar.gz", "-xzf")] {
        let out = root.join("out");
        let theirs = best(&out, || {
            fs::create_dir(&out).expect("writable");
            tool(root, "tar", &[flag, file, "-C", "out"]);
        });
        let ours = best(&out, || {
            extract_file(&root.join(file), &out, &ExtractOptions::new()).expect("good");
        });
        tell(&format!("extract {file}"), ours, &format!("tar {flag}"), theirs);
    }
}

fn packing(root: &Path) {
    let out = root.join("out.tar.zst");
    let theirs = best(&out, || tool(root, "sh", &["-c", "tar -cf - -C tree . | zstd -q -3 -o out.tar.zst"]));
    let ours = best(&out, || {
        let mut file = File::create(&out).expect("writable");
        pack(&root.join("tree"), &mut file, &PackOptions::new()).expect("readable");
        file.flush().expect("writable");
    });
    tell("pack", ours, "tar | zstd -3", theirs);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn workspaces(root: &Path) -> PathBuf {
    let out = root.join("out");
    let theirs = best(&out, || tool(root, "cp", &["-a", "tree", "out"]));
    let directory = root.join("cache");
    let cache = Cache::open(CacheConfig::new(&directory).without_sync()).expect("writable");
    let request =
        || Request::new(Target::Archive(root.join("t.tar.gz")), RunId::generate(), Isolation::CopyOnWrite);
    let runtime = runtime();
    // The first fills the source.
    runtime.block_on(async {
        cache.acquire(&request()).await.expect("good").release().await.expect("removable");
    });
    let target = Target::Archive(root.join("t.tar.gz"));
    let mut leases = Vec::new();
    let ours = (0..3)
        .map(|_| {
            let request = Request::new(target.clone(), RunId::generate(), Isolation::CopyOnWrite);
            let (start, used) = (Instant::now(), measure::process_seconds());
            leases.push(runtime.block_on(cache.acquire(&request)).expect("good"));
            Took { wall: start.elapsed().as_secs_f64(), cpu: measure::process_seconds() - used }
        })
        .min_by(|a, b| a.wall.total_cmp(&b.wall))
        .expect("three");
    let way = leases[0].copy_on_write().expect("a way");
    tell(&format!("copy-on-write run by {way}"), ours, "cp -a", theirs);
    directory
}

fn hits(root: &Path, directory: &Path) {
    let cache = Cache::open(CacheConfig::new(directory).without_sync()).expect("writable");
    let runtime = runtime();
    let store = crashwise_core::store::Store::memory();
    let id = runtime.block_on(store.put_target(&root.join("t.tar.gz"))).expect("stored");
    let request = Request::new(Target::Stored(id), RunId::generate(), Isolation::Shared).with_store(store);
    runtime.block_on(async {
        cache.acquire(&request).await.expect("good").release().await.expect("removable");
    });
    let mut times: Vec<Duration> = (0..5000)
        .map(|_| {
            let start = Instant::now();
            runtime.block_on(async {
                cache.acquire(&request).await.expect("hit").release().await.expect("hit");
            });
            start.elapsed()
        })
        .collect();
    times.sort();
    let at = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e6;
    println!("hit, acquire and release            p50 {:.1} us   p99 {:.1} us", at(50), at(99));
}

/// Publishing with and without waiting for the disk, and what the disk needs for the same bytes in one file, in turns. The
/// middle of all rounds counts, because the disk has other work, too.
fn durability(archives: &Path, place: &Path) {
    let root = tempfile::Builder::new().prefix("crashwise-bench-").tempdir_in(place).expect("writable");
    let runtime = runtime();
    let cold = |config: CacheConfig| {
        let start = Instant::now();
        let cache = Cache::open(config.clone()).expect("writable");
        let target = Target::Archive(archives.join("t.tar.gz"));
        let request = Request::new(target, RunId::generate(), Isolation::Shared);
        drop(runtime.block_on(cache.acquire(&request)).expect("good"));
        let took = start.elapsed().as_secs_f64();
        cache.clear().expect("removable");
        settle(root.path());
        took
    };
    let content = fs::read(archives.join("t.tar")).expect("made before");
    let disk = || {
        let path = root.path().join("content");
        let start = Instant::now();
        let mut file = File::create(&path).expect("writable");
        file.write_all(&content).and_then(|()| file.sync_all()).expect("writable");
        let took = start.elapsed().as_secs_f64();
        fs::remove_file(path).expect("there");
        settle(root.path());
        took
    };
    let config = || CacheConfig::new(root.path().join("cold"));
    let (mut loose, mut durable, mut written) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        loose.push(cold(config().without_sync()));
        durable.push(cold(config()));
        written.push(disk());
    }
    let (loose, durable, written) =
        (measure::median(loose), measure::median(durable), measure::median(written));
    println!(
        "publish in {}, middle of {ROUNDS}: durably {:.0} ms, without sync {:.0} ms, ratio {:.3}; the same bytes in one file, \
         synced: {:.0} ms",
        place.display(),
        durable * 1e3,
        loose * 1e3,
        durable / loose,
        written * 1e3
    );
}

/// What one round leaves unwritten is not for the next one to wait for.
fn settle(place: &Path) {
    rustix::fs::syncfs(File::open(place).expect("there")).expect("a disk that works");
}
