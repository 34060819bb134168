use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::{Cache, CacheConfig, CacheError, CacheEvent, Request};
use crate::archive::{PackOptions, Rule, pack};
use crate::store::tests::{Fault, faulty, holding};
use crate::store::{Store, StoreErrorKind};
use crate::workspace::{overlay, tree};
use crate::{ByteSize, Isolation, RunId, Span, Target, TargetId};

mod trouble;

const MODES: [Isolation; 3] = [Isolation::Isolated, Isolation::Shared, Isolation::CopyOnWrite];

/// A place for a cache, a packed target and what the cache says.
struct Place {
    dir: tempfile::TempDir,
    store: Store,
    events: Arc<Mutex<Vec<String>>>,
    now: Arc<AtomicU64>,
}

/// Later than any real time, for the time of a new file is the real one.
const START: u64 = 4_000_000_000;
const DAY: u64 = 86_400;

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let now = Arc::new(AtomicU64::new(START));
        Self { dir, store: Store::memory(), events: Arc::default(), now }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn config(&self) -> CacheConfig {
        let (events, now) = (Arc::clone(&self.events), Arc::clone(&self.now));
        CacheConfig::new(self.root())
            .without_sync()
            .with_patience(Duration::from_secs(20))
            .with_clock(Arc::new(move || {
                SystemTime::UNIX_EPOCH + Duration::from_secs(now.load(Ordering::Relaxed))
            }))
            .with_listener(Arc::new(move |event: &CacheEvent| {
                events.lock().expect("no panics").push(event.to_string());
            }))
    }

    fn open(&self) -> Cache {
        Cache::open(self.config()).expect("writable")
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.lock().expect("no panics"))
    }

    /// A tree of some files, all telling `name`, packed into a file.
    fn archive(&self, name: &str, bytes: usize) -> PathBuf {
        let tree = self.dir.path().join(format!("tree-{name}"));
        fs::create_dir_all(tree.join("d/e")).expect("writable");
        for i in 0..10u8 {
            let noise: Vec<u8> =
                blake3::Hasher::new().update(name.as_bytes()).update(&[i]).finalize_xof_bytes(bytes / 10);
            fs::write(tree.join(format!("d/f{i}")), noise).expect("writable");
        }
        fs::write(tree.join("name"), name).expect("writable");
        std::os::unix::fs::symlink("name", tree.join("link")).expect("writable");
        let path = self.dir.path().join(format!("{name}.tar.zst"));
        pack(&tree, File::create(&path).expect("writable"), &PackOptions::new()).expect("readable");
        path
    }

    async fn target(&self, name: &str, bytes: usize) -> Target {
        Target::Stored(self.store.put_target(&self.archive(name, bytes)).await.expect("stored"))
    }

    fn request(&self, target: &Target, mode: Isolation) -> Request {
        Request::new(target.clone(), RunId::generate(), mode).with_store(self.store.clone())
    }

    /// Everything in the cache but lock files, relative, sorted.
    fn leftovers(&self) -> BTreeSet<String> {
        let control = self.root().join(".crashwise");
        ["staging", "trash"]
            .iter()
            .flat_map(|name| super::control::names(&control.join(name)).expect("readable"))
            .collect()
    }
}

trait XofBytes {
    fn finalize_xof_bytes(&self, length: usize) -> Vec<u8>;
}

impl XofBytes for blake3::Hasher {
    fn finalize_xof_bytes(&self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.finalize_xof().fill(&mut bytes);
        bytes
    }
}

fn id(target: &Target) -> TargetId {
    match target {
        Target::Stored(id) => id.clone(),
        other => panic!("{other} is not stored"),
    }
}

#[tokio::test]
async fn every_mode_has_its_layout_and_cleans_up() {
    let place = Place::new();
    let target = place.target("one", 10_000).await;
    let id = id(&target);
    let cache = place.open();
    let original = tree::digest(&place.dir.path().join("tree-one")).expect("readable");
    for mode in MODES {
        let request = place.request(&target, mode);
        let lease = cache.acquire(&request).await.expect("fetched");
        let run = place.root().join(id.as_str()).join(request.run.as_str());
        let (root, archive, read_only) = match mode {
            Isolation::Shared => {
                let dir = place.root().join(id.as_str());
                (dir.join("workspace"), dir.join("target"), true)
            }
            _ => (run.join("workspace"), run.join("target"), false),
        };
        assert_eq!(lease.workspace().root(), root);
        assert_eq!(lease.workspace().is_read_only(), read_only);
        assert!(archive.is_file(), "{mode:?}");
        assert_eq!(tree::digest(&root).expect("readable"), original, "{mode:?}");
        if !read_only {
            fs::write(root.join("d/f1"), "changed").expect("own tree");
            fs::remove_file(root.join("name")).expect("own tree");
        }
        let base = place.root().join(id.as_str()).join("shared/workspace");
        assert!(!base.exists() || tree::digest(&base).expect("readable") == original, "{mode:?}");
        lease.release().await.expect("released");
        assert!(!run.exists(), "{mode:?}");
        assert_eq!(root.exists(), read_only, "{mode:?}");
    }
    assert_eq!(cache.counters().downloads, 1);
    let locks = super::control::names(&place.root().join(".crashwise/locks")).expect("readable");
    assert_eq!(locks, [format!("{id}.fill"), format!("{id}.use"), "gc".to_owned()], "locks of runs pile up");
    assert!(place.leftovers().is_empty());
}

#[tokio::test]
async fn the_log_has_the_known_words() {
    let place = Place::new();
    let target = place.target("one", 1000).await;
    let id = id(&target);
    let cache = place.open();
    for mode in [
        Isolation::Shared,
        Isolation::Shared,
        Isolation::CopyOnWrite,
        Isolation::CopyOnWrite,
        Isolation::Isolated,
    ] {
        let lease = cache.acquire(&place.request(&target, mode)).await.expect("fetched");
        lease.release().await.expect("removable");
    }
    cache.clear().expect("removable");
    assert_eq!(
        place.said(),
        [
            format!("Cache MISS: {id} (mode: shared), downloading from {}...", place.store),
            format!("Cache HIT: {id} (mode: shared)"),
            format!("Cache MISS: {id} (mode: copy-on-write), downloading from {}...", place.store),
            format!("Copy-on-write: Shared cache HIT for {id}"),
            format!("Cache HIT: {id} (mode: isolated)"),
            format!("Evicted from cache: {id}"),
        ]
    );
    let counters = cache.counters();
    assert_eq!((counters.hits, counters.shared_hits, counters.misses, counters.evictions), (3, 1, 2, 1));
}

#[tokio::test]
async fn local_targets() {
    let place = Place::new();
    let archive = Target::Archive(place.archive("one", 1000));
    let directory = place.dir.path().join("tree-one");
    let cache = place.open();
    for mode in MODES {
        let lease = cache.acquire(&place.request(&archive, mode)).await.expect("local archive");
        assert_eq!(fs::read(lease.workspace().root().join("name")).expect("there"), b"one");
        lease.release().await.expect("removable");
        let request = place.request(&Target::Directory(directory.clone()), mode);
        let lease = cache.acquire(&request).await.expect("local directory");
        let root = lease.workspace().root().to_owned();
        assert_eq!(root == directory, mode == Isolation::Shared);
        if mode != Isolation::Shared {
            fs::write(root.join("name"), "mine").expect("own tree");
            assert_eq!(fs::read(directory.join("name")).expect("untouched"), b"one");
        }
        lease.release().await.expect("removable");
        assert_eq!(root.exists(), mode == Isolation::Shared);
    }
    let missing = place.request(&Target::Directory(place.dir.path().join("none")), Isolation::Shared);
    assert!(matches!(cache.acquire(&missing).await, Err(CacheError::Io { .. })));
}

#[tokio::test]
async fn two_leases_of_one_run_share_its_tree() {
    let place = Place::new();
    let target = place.target("one", 1000).await;
    let cache = place.open();
    for mode in [Isolation::Isolated, Isolation::CopyOnWrite] {
        let request = place.request(&target, mode);
        let (one, two) =
            (cache.acquire(&request).await.expect("new"), cache.acquire(&request).await.expect("again"));
        fs::write(one.workspace().root().join("new"), "x").expect("own tree");
        one.release().await.expect("released");
        assert!(two.workspace().root().join("new").exists());
        let root = two.workspace().root().to_owned();
        two.release().await.expect("released");
        assert!(!root.exists());
    }
}

#[tokio::test]
async fn hostile_runs_are_refused() {
    let place = Place::new();
    let target = place.target("one", 1000).await;
    let cache = place.open();
    for name in ["workspace", "Workspace"] {
        let run = RunId::new(name).expect("of the right form");
        let request = Request::new(target.clone(), run, Isolation::Isolated).with_store(place.store.clone());
        assert!(matches!(cache.acquire(&request).await, Err(CacheError::ReservedRun(_))), "{name}");
    }
    let unknown = Target::Stored(TargetId::new("unknown").expect("valid"));
    assert!(matches!(
        cache.acquire(&place.request(&unknown, Isolation::Shared)).await,
        Err(CacheError::Store { .. })
    ));
    let without = Request::new(unknown, RunId::generate(), Isolation::Shared);
    assert!(matches!(cache.acquire(&without).await, Err(CacheError::NoStore(_))));
}

#[tokio::test]
async fn a_refused_archive_leaves_nothing() {
    let place = Place::new();
    let path = place.dir.path().join("bad.tar");
    fs::write(&path, b"not an archive").expect("writable");
    let target = Target::Stored(place.store.put_target(&path).await.expect("stored"));
    let cache = place.open();
    for mode in MODES {
        match cache.acquire(&place.request(&target, mode)).await {
            Err(CacheError::Archive { source, .. }) => assert_eq!(source.rule(), Some(Rule::UnknownFormat)),
            other => panic!("{mode:?}: {other:?}"),
        }
        assert!(place.leftovers().is_empty(), "{mode:?}");
        assert!(!place.root().join(id(&target).as_str()).exists(), "{mode:?}");
    }
}

#[tokio::test]
async fn what_is_old_or_too_much_goes_and_what_is_used_stays() {
    let place = Place::new();
    let mut targets = Vec::new();
    for name in ["a", "b", "c"] {
        targets.push(place.target(name, 200_000).await);
    }
    let cache = place.open();
    for target in &targets {
        drop(cache.acquire(&place.request(target, Isolation::Shared)).await.expect("fetched"));
        place.now.fetch_add(60, Ordering::Relaxed);
    }
    let size = cache.info().expect("readable").bytes / 3;
    let there = |cache: &Cache| -> BTreeSet<TargetId> {
        cache.list().expect("readable").into_iter().map(|entry| entry.target).collect()
    };
    let ids: Vec<TargetId> = targets.iter().map(id).collect();
    // Used again, the first is not the least recently used any more.
    let lease = cache.acquire(&place.request(&targets[0], Isolation::Shared)).await.expect("hit");
    drop(lease);
    let small =
        Cache::open(place.config().with_max_size(ByteSize::from_bytes(size * 5 / 2))).expect("writable");
    assert_eq!(there(&small), [ids[0].clone(), ids[2].clone()].into());
    // A dry run only tells.
    let lease = small.acquire(&place.request(&targets[2], Isolation::Shared)).await.expect("hit");
    place.now.fetch_add(8 * DAY, Ordering::Relaxed);
    let told = small.prune(true).expect("readable");
    assert_eq!((told.targets, told.in_use), (vec![ids[0].clone()], vec![ids[2].clone()]));
    assert_eq!(there(&small).len(), 2);
    // Neither another handle nor a full clear removes what is leased.
    let other = Cache::open(place.config().with_ttl(Span::new(Duration::ZERO))).expect("writable");
    assert_eq!(there(&other), [ids[2].clone()].into());
    assert_eq!(other.clear().expect("removable").in_use, [ids[2].clone()]);
    assert_eq!(fs::read(lease.workspace().root().join("name")).expect("leased"), b"c");
    drop(lease);
    assert_eq!(other.clear().expect("removable").targets, [ids[2].clone()]);
    assert_eq!(other.info().expect("readable").bytes, 0);
    assert!(
        super::control::names(&place.root())
            .expect("readable")
            .iter()
            .all(|name| name.starts_with(['.', 'C']))
    );
}

#[tokio::test]
async fn a_clock_that_goes_backwards_makes_nothing_older() {
    let place = Place::new();
    let target = place.target("a", 1000).await;
    let cache = place.open();
    drop(cache.acquire(&place.request(&target, Isolation::Shared)).await.expect("fetched"));
    let before = cache.list().expect("readable")[0].last_used;
    place.now.store(START - 100 * DAY, Ordering::Relaxed);
    drop(cache.acquire(&place.request(&target, Isolation::Shared)).await.expect("hit"));
    let after = cache.list().expect("readable")[0].last_used;
    assert!(after >= before);
    assert!(cache.prune(false).expect("removable").targets.is_empty());
}

#[tokio::test]
async fn sizes_survive_a_lost_record() {
    let place = Place::new();
    let target = place.target("a", 100_000).await;
    let cache = place.open();
    for mode in [Isolation::Shared, Isolation::CopyOnWrite] {
        let lease = cache.acquire(&place.request(&target, mode)).await.expect("fetched");
        lease.release().await.expect("removable");
    }
    let bytes = cache.info().expect("readable").bytes;
    assert!(bytes > 300_000, "{bytes}");
    for name in super::control::names(&place.root().join(".crashwise/meta")).expect("readable") {
        fs::write(place.root().join(".crashwise/meta").join(name), "damaged").expect("writable");
    }
    assert_eq!(place.open().info().expect("readable").bytes, bytes);
}

#[tokio::test]
async fn damage_is_found_and_fetched_again() {
    let place = Place::new();
    let target = place.target("a", 50_000).await;
    let id = id(&target);
    let blob = place.root().join(".crashwise/blobs").join(id.as_str());
    let shared = place.root().join(id.as_str()).join("workspace");
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).expect("readable");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let mut permissions = fs::metadata(path).expect("there").permissions();
        #[allow(clippy::permissions_set_readonly_false, reason = "a test breaks its own file")]
        permissions.set_readonly(false);
        fs::set_permissions(path, permissions).expect("own file");
        fs::write(path, bytes).expect("own file");
    };
    // An archive is checked before it is extracted.
    let lease = place.open().acquire(&place.request(&target, Isolation::Isolated)).await.expect("fetched");
    lease.release().await.expect("removable");
    flip(&blob);
    place.said();
    let lease =
        place.open().acquire(&place.request(&target, Isolation::Shared)).await.expect("fetched again");
    assert!(place.said().contains(&format!("Damaged in cache: {id}, fetching again")));
    drop(lease);
    let cache = place.open();
    assert!(cache.verify(true).expect("readable").is_empty());
    // A missing file shows in the count, a flipped bit in the comparison.
    for (deep, part) in [(false, "workspace"), (true, "workspace"), (false, "archive")] {
        match (part, deep) {
            ("archive", _) => flip(&blob),
            (_, false) => {
                fs::set_permissions(shared.join("d"), fs::Permissions::from_mode(0o755)).expect("own folder");
                fs::remove_file(shared.join("d/f3")).expect("own file");
            }
            (_, true) => flip(&shared.join("d/f3")),
        }
        let damages = cache.verify(deep).expect("readable");
        assert_eq!(damages.len(), 1, "{part} {deep}");
        assert_eq!((damages[0].part, damages[0].removed), (part, true));
        let lease = cache.acquire(&place.request(&target, Isolation::Shared)).await.expect("fetched again");
        assert_eq!(fs::read(lease.workspace().root().join("name")).expect("there"), b"a");
    }
    assert!(cache.verify(true).expect("readable").is_empty());
}

#[tokio::test]
async fn an_unknown_format_is_left_alone() {
    let place = Place::new();
    drop(place.open());
    fs::write(place.root().join(".crashwise/version"), "crashwise cache 2\n").expect("writable");
    match Cache::open(place.config()) {
        Err(CacheError::Version { found, .. }) => assert_eq!(found, "crashwise cache 2"),
        other => panic!("{other:?}"),
    }
    // A crash right after creating it.
    fs::write(place.root().join(".crashwise/version"), "").expect("writable");
    drop(place.open());
}

#[tokio::test]
async fn a_waiter_gives_up_in_time() {
    let place = Place::new();
    let target = place.target("a", 1000).await;
    let cache = Cache::open(place.config().with_patience(Duration::from_millis(50))).expect("writable");
    let lock = cache.inner.layout.fill_lock(&id(&target));
    let held =
        super::lock::Lock::try_take(&lock, super::lock::Hold::Exclusive).expect("writable").expect("free");
    let busy = cache.acquire(&place.request(&target, Isolation::Shared)).await;
    assert!(matches!(busy, Err(CacheError::Busy(_))), "{busy:?}");
    drop(held);
    drop(cache.acquire(&place.request(&target, Isolation::Shared)).await.expect("free now"));
}

#[tokio::test]
async fn variables() {
    let config = |size: &'static str, ttl: &'static str| {
        CacheConfig::from_variables("/fallback", move |name| match name {
            "CACHE_MAX_SIZE" => Some(size.to_owned()),
            "CACHE_TTL" => Some(ttl.to_owned()),
            _ => None,
        })
    };
    let good = config("500MB", "12h").expect("valid");
    assert_eq!((good.max_size().bytes(), good.ttl().duration()), (500_000_000, Duration::from_hours(12)));
    assert_eq!(good.directory(), Path::new("/fallback"));
    assert_eq!(config("lots", "12h").expect_err("no size").name, "CACHE_MAX_SIZE");
    assert_eq!(config("", "soon").expect_err("no duration").name, "CACHE_TTL");
}

#[test]
fn the_directory_of_a_target_may_go_while_a_tree_gets_its_place() {
    let place = Place::new();
    let (cache, id) = (place.open(), TargetId::new("t").expect("valid"));
    let dir = cache.inner.layout.target(&id);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..400 {
                std::thread::sleep(Duration::from_millis(1));
                let _ = fs::remove_dir(&dir);
            }
        });
        for from in (0..3000).map(|n| place.dir.path().join(format!("staged-{n}"))) {
            fs::create_dir(&from).expect("writable");
            cache.inner.publish(&id, &from, &dir.join("run")).expect("a place");
            fs::remove_dir(dir.join("run")).expect("there");
        }
    });
}
