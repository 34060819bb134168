//! The cache under many processes: one download for all, nothing in use is evicted, and `kill -9` at any moment leaves
//! the old entry or the new one. The test starts itself as its own child processes.
//!
//! `CRASHWISE_KILL_ROUNDS` sets the number of rounds of the second part (300). `scripts/test-power-cuts.sh` starts it for
//! power cuts, which need a disk of their own.

#![allow(clippy::print_stdout, reason = "a test without harness tells what it did")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crashwise_core::archive::{PackOptions, pack};
use crashwise_core::cache::{Cache, CacheConfig, Lease, Request};
use crashwise_core::store::Store;
use crashwise_core::{ByteSize, Isolation, RunId, Target, TargetId};

const MODES: [Isolation; 3] = [Isolation::Isolated, Isolation::Shared, Isolation::CopyOnWrite];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["child-acquire", dir, id] => acquire(Path::new(dir), id),
        ["child-use", dir, seed] => use_forever(Path::new(dir), seed),
        ["child-evict", dir] => evict_forever(Path::new(dir)),
        ["power-prepare", dir] => drop(some_targets(Path::new(dir))),
        ["power-use", dir, at, sync] => publish_forever(Path::new(dir), Path::new(at), sync == "sync"),
        ["power-check", dir, at] => return after_power_cut(Path::new(dir), Path::new(at)),
        ["--list", ..] => println!("cache_processes: test"),
        _ => {
            one_download_for_all();
            kill_at_any_moment();
        }
    }
    ExitCode::SUCCESS
}

/// On memory where there is some, because making files is what takes time.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("crashwise-cache-").tempdir_in(parent).expect("writable")
}

#[allow(clippy::disallowed_methods, reason = "the child is this test itself")]
fn child(arguments: &[&str]) -> Child {
    Command::new(std::env::current_exe().expect("running"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("startable")
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
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

fn cache(dir: &Path) -> CacheConfig {
    CacheConfig::new(dir.join("cache")).without_sync().with_patience(Duration::from_mins(1))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime")
}

/// Packs a tree of `files` files of `size` bytes into the store at `dir/store`.
fn stored(dir: &Path, name: &str, files: u64, size: usize) -> (TargetId, Contents) {
    let tree = dir.join(format!("tree-{name}"));
    fs::create_dir_all(tree.join("sub")).expect("writable");
    for i in 0..files {
        let at = tree.join(if i % 2 == 0 { format!("f{i}") } else { format!("sub/f{i}") });
        fs::write(at, noise(i + name.len() as u64 * 1000 + u64::from(name.as_bytes()[0]), size))
            .expect("writable");
    }
    let archive = dir.join(format!("{name}.tar.zst"));
    pack(&tree, File::create(&archive).expect("writable"), &PackOptions::new()).expect("readable");
    let store = Store::local(&dir.join("store")).expect("writable");
    let id = runtime().block_on(store.put_target(&archive)).expect("stored");
    fs::remove_file(archive).expect("there");
    let contents = contents(&tree);
    fs::remove_dir_all(tree).expect("there");
    (id, contents)
}

type Contents = BTreeMap<String, String>;

/// Hash of every file by its path.
fn contents(root: &Path) -> Contents {
    let mut out = Contents::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
                let mut hasher = blake3::Hasher::new();
                hasher.update_mmap_or_read(&path);
                out.insert(name, hasher.finalize().to_hex().to_string());
            }
        }
    }
    out
}

trait ReadAll {
    fn update_mmap_or_read(&mut self, path: &Path);
}

impl ReadAll for blake3::Hasher {
    fn update_mmap_or_read(&mut self, path: &Path) {
        self.update_reader(File::open(path).expect("there")).expect("readable");
    }
}

/// 64 tasks ask for one target, tell what it cost, and keep their leases until told to end.
fn acquire(dir: &Path, id: &str) {
    let target = Target::Stored(TargetId::new(id).expect("an id"));
    let cache = Cache::open(cache(dir)).expect("writable");
    let store = Store::local(&dir.join("store")).expect("there");
    let leases: Vec<Lease> = runtime().block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let request =
                Request::new(target.clone(), RunId::generate(), Isolation::Shared).with_store(store.clone());
            let cache = cache.clone();
            tasks.spawn(async move { cache.acquire(&request).await.expect("fetched") });
        }
        tasks.join_all().await
    });
    let counters = cache.counters();
    println!("{} {}", counters.downloads, counters.extractions);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the parent tells when");
    let all = contents(leases[0].workspace().root());
    assert_eq!(all.len(), 25, "a file is missing");
    for lease in &leases {
        let file = fs::metadata(lease.workspace().root().join("f0")).expect("leased");
        assert_eq!(file.len(), 10 << 20);
    }
    println!("{}", blake3::hash(format!("{all:?}").as_bytes()).to_hex());
}

/// Four processes of 64 tasks want the same 250 MB while a fifth evicts all it can.
fn one_download_for_all() {
    let start = Instant::now();
    let dir = directory();
    let path = dir.path().to_str().expect("UTF-8");
    let (id, expected) = stored(dir.path(), "large", 25, 10 << 20);
    let mut evictor = child(&["child-evict", path]);
    let mut children: Vec<Child> = (0..4).map(|_| child(&["child-acquire", path, id.as_str()])).collect();
    let mut outputs: Vec<_> = children
        .iter_mut()
        .map(|child| BufReader::new(child.stdout.take().expect("piped")).lines())
        .collect();
    let mut line = |i: usize| outputs[i].next().expect("the child lives").expect("text");
    let mut total = (0u64, 0u64);
    for i in 0..4 {
        let told = line(i);
        let (downloads, extractions) = told.split_once(' ').expect("two numbers");
        total.0 += downloads.parse::<u64>().expect("a number");
        total.1 += extractions.parse::<u64>().expect("a number");
    }
    assert_eq!(total, (1, 1), "downloads and extractions of all processes");
    let hash = blake3::hash(format!("{expected:?}").as_bytes()).to_hex().to_string();
    for child in &mut children {
        child.stdin.take().expect("piped").write_all(b"end\n").expect("the child lives");
    }
    for (i, child) in children.iter_mut().enumerate() {
        assert_eq!(line(i), hash, "the content of process {i}");
        assert!(child.wait().expect("a child").success());
    }
    evictor.kill().expect("running");
    evictor.wait().expect("a child");
    println!("256 tasks in 4 processes: 1 download, 1 extraction, {:.1} s", start.elapsed().as_secs_f64());
}

fn evict_forever(dir: &Path) {
    let cache = Cache::open(cache(dir).with_max_size(ByteSize::from_bytes(0))).expect("writable");
    loop {
        cache.clear().expect("evictable");
        thread::sleep(Duration::from_micros(300));
    }
}

/// Stores three targets, and notes what is in them.
fn some_targets(dir: &Path) -> Vec<(TargetId, Contents)> {
    let targets: Vec<_> = ["a", "bb", "ccc"].map(|name| stored(dir, name, 40, 20_000)).into();
    fs::write(dir.join("targets.json"), serde_json::to_vec(&targets).expect("plain")).expect("writable");
    targets
}

fn targets(dir: &Path) -> Vec<(TargetId, Contents)> {
    let text = fs::read_to_string(dir.join("targets.json")).expect("written by the parent");
    serde_json::from_str(&text).expect("valid")
}

/// Acquires, checks every byte, writes where it may, releases; until it is killed.
fn use_forever(dir: &Path, seed: &str) {
    let cache = Cache::open(cache(dir)).expect("writable");
    let store = Store::local(&dir.join("store")).expect("there");
    let targets = Arc::new(targets(dir));
    let seed: usize = seed.parse().expect("a number");
    runtime().block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..3 {
            let (cache, store, targets) = (cache.clone(), store.clone(), Arc::clone(&targets));
            tasks.spawn(async move {
                for i in seed + task.. {
                    let (id, expected) = &targets[i % targets.len()];
                    let target = Target::Stored(id.clone());
                    let request =
                        Request::new(target, RunId::generate(), MODES[i / 2 % 3]).with_store(store.clone());
                    let lease = cache.acquire(&request).await.expect("the store is there");
                    let root = lease.workspace().root();
                    assert_eq!(&contents(root), expected, "half an entry was served");
                    if !lease.workspace().is_read_only() {
                        fs::write(root.join("f0"), "changed").expect("own tree");
                        fs::write(root.join("new"), "new").expect("own tree");
                    }
                    lease.release().await.expect("removable");
                }
            });
        }
        tasks.join_all().await;
    });
}

/// Users and an evictor are killed at random moments; then the cache must be sound and hold nothing but entries.
fn kill_at_any_moment() {
    let start = Instant::now();
    let rounds: u64 = match std::env::var("CRASHWISE_KILL_ROUNDS") {
        Ok(rounds) => rounds.parse().expect("a number"),
        Err(_) => 300,
    };
    let dir = directory();
    let path = dir.path().to_str().expect("UTF-8");
    let targets = some_targets(dir.path());
    let mut left_behind = 0;
    for round in 0..rounds {
        let seed = round.to_string();
        let mut children = vec![child(&["child-use", path, &seed]), child(&["child-use", path, &seed])];
        if round % 2 == 0 {
            children.push(child(&["child-evict", path]));
        }
        let wait = u64::from_le_bytes(noise(round + 1, 8).try_into().expect("eight"));
        thread::sleep(Duration::from_micros(8_000 + wait % 50_000));
        for child in &mut children {
            assert!(child.try_wait().expect("a child").is_none(), "a child ended by itself in round {round}");
            child.kill().expect("running");
        }
        for mut child in children {
            child.wait().expect("a child");
        }
        left_behind += u64::from(!garbage(dir.path()).is_empty());
        let cache = Cache::open(cache(dir.path())).expect("sound");
        check(dir.path(), &cache, &targets, round);
    }
    println!(
        "{rounds} rounds of kill -9: nothing broken, leftovers of {left_behind} reclaimed, {:.1} s",
        start.elapsed().as_secs_f64()
    );
}

/// Publishes and evicts all targets in turns in a cache on another disk, until its power is cut.
fn publish_forever(dir: &Path, at: &Path, sync: bool) {
    let config = CacheConfig::new(at.join("cache"));
    let cache = Cache::open(if sync { config } else { config.without_sync() }).expect("writable");
    let store = Store::local(&dir.join("store")).expect("there");
    let targets = targets(dir);
    for i in 0.. {
        let (id, _) = &targets[i % targets.len()];
        let mode = MODES[1 + i / targets.len() % 2];
        let request =
            Request::new(Target::Stored(id.clone()), RunId::generate(), mode).with_store(store.clone());
        runtime().block_on(async {
            cache.acquire(&request).await.expect("there").release().await.expect("removable");
        });
        if i % 7 == 6 {
            cache.clear().expect("removable");
        }
    }
}

/// Looks at every tree that a user would be served, then opens the cache. Tells how many trees there are and how many
/// of them are broken.
fn after_power_cut(dir: &Path, at: &Path) -> ExitCode {
    let (mut visible, mut broken) = (0, 0);
    for (id, expected) in targets(dir) {
        let target = at.join("cache").join(id.as_str());
        for tree in [target.join("workspace"), target.join("shared/workspace")] {
            if tree.exists() {
                visible += 1;
                broken += u32::from(contents(&tree) != expected);
            }
        }
    }
    let sound = Cache::open(CacheConfig::new(at.join("cache"))).is_ok_and(|cache| {
        let store = Store::local(&dir.join("store")).expect("there");
        garbage(at).is_empty()
            && runtime().block_on(async {
                let mut all = true;
                for ((id, expected), mode) in targets(dir).iter().zip([MODES[0], MODES[0], MODES[2]]) {
                    let target = Target::Stored(id.clone());
                    let request = Request::new(target, RunId::generate(), mode).with_store(store.clone());
                    let lease = cache.acquire(&request).await;
                    all &= lease.is_ok_and(|lease| &contents(lease.workspace().root()) == expected);
                }
                all
            })
    });
    println!("{visible} {broken} {}", if sound { "sound" } else { "unsound" });
    ExitCode::from(u8::from(broken > 0 || !sound))
}

/// What no process owns any more: staged and trashed trees, trees and locks of runs.
fn garbage(dir: &Path) -> Vec<PathBuf> {
    let root = dir.join("cache");
    let below = |path: PathBuf| -> Vec<PathBuf> {
        fs::read_dir(path)
            .map(|entries| entries.map(|entry| entry.expect("readable").path()).collect())
            .unwrap_or_default()
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut garbage = below(root.join(".crashwise/staging"));
    garbage.extend(below(root.join(".crashwise/trash")));
    garbage.extend(below(root.join(".crashwise/locks")).into_iter().filter(|path| name(path).contains('@')));
    for target in below(root).into_iter().filter(|path| path.is_dir() && !name(path).starts_with('.')) {
        let runs = below(target).into_iter();
        garbage.extend(runs.filter(|path| !["shared", "workspace", "target"].contains(&name(path).as_str())));
    }
    garbage
}

fn check(dir: &Path, cache: &Cache, targets: &[(TargetId, Contents)], round: u64) {
    assert_eq!(garbage(dir), Vec::<PathBuf>::new(), "round {round}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    assert!(!mounts.contains(dir.to_str().expect("UTF-8")), "round {round} left a mount");
    assert_eq!(cache.verify(false).expect("readable"), Vec::new(), "round {round}");
    for (id, expected) in targets {
        let target = dir.join("cache").join(id.as_str());
        for tree in [target.join("workspace"), target.join("shared/workspace")] {
            if tree.exists() {
                assert_eq!(&contents(&tree), expected, "round {round}: {}", tree.display());
                assert!(tree.with_file_name("target").is_file(), "round {round}");
            }
        }
    }
}
