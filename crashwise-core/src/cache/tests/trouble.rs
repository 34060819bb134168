//! Full and read-only disks, stores that fail, folders that may not be read.

use super::*;

/// A file system of its own, or none where the test may not mount.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path, options: &str) -> Option<Self> {
        use rustix::mount::{MountFlags, mount};
        fs::create_dir_all(at).expect("writable");
        let options = std::ffi::CString::new(options).expect("no NUL");
        mount("tmpfs", at, "tmpfs", MountFlags::empty(), Some(options.as_c_str())).ok()?;
        Some(Self(at.to_owned()))
    }

    fn make_read_only(&self) {
        use rustix::mount::{MountFlags, mount_remount};
        mount_remount(&self.0, MountFlags::RDONLY, c"").expect("own mount");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        overlay::unmount_below(&self.0);
    }
}

#[tokio::test]
async fn a_full_disk_is_told_after_room_was_made() {
    let place = Place::new();
    let (big, old) = (place.target("big", 900_000).await, place.target("old", 300_000).await);
    let huge = place.target("huge", 3_000_000).await;
    let Some(_disk) = Mounted::new(&place.root(), "size=2m") else {
        // Without a disk of its own there is nothing to fill; the writer's own errors are tested with the archive.
        assert!(rustix::process::getuid().as_raw() != 0 || overlay_is_denied(place.dir.path()));
        return;
    };
    let cache = place.open();
    drop(cache.acquire(&place.request(&old, Isolation::Shared)).await.expect("fits"));
    drop(
        cache.acquire(&place.request(&big, Isolation::Shared)).await.expect("fits when the old one is gone"),
    );
    assert!(place.said().contains(&format!("Evicted from cache: {}", id(&old))));
    for mode in MODES {
        match cache.acquire(&place.request(&huge, mode)).await {
            Err(CacheError::Full { target, .. }) => assert_eq!(target, id(&huge)),
            other => panic!("{mode:?}: {other:?}"),
        }
        assert!(place.leftovers().is_empty(), "{mode:?}");
    }
    drop(cache.acquire(&place.request(&old, Isolation::Shared)).await.expect("the cache is sound"));
}

fn overlay_is_denied(dir: &Path) -> bool {
    Mounted::new(&dir.join("probe"), "size=1m").is_none()
}

#[tokio::test]
async fn a_read_only_cache_serves_what_it_has() {
    let place = Place::new();
    let (one, two) = (place.target("one", 1000).await, place.target("two", 1000).await);
    let Some(disk) = Mounted::new(&place.root(), "size=8m") else {
        assert!(rustix::process::getuid().as_raw() != 0 || overlay_is_denied(place.dir.path()));
        return;
    };
    drop(place.open().acquire(&place.request(&one, Isolation::Shared)).await.expect("fetched"));
    disk.make_read_only();
    let cache = place.open();
    assert!(!cache.info().expect("readable").writable);
    let lease = cache.acquire(&place.request(&one, Isolation::Shared)).await.expect("there");
    assert_eq!(fs::read(lease.workspace().root().join("name")).expect("there"), b"one");
    for (target, mode) in
        [(&two, Isolation::Shared), (&one, Isolation::Isolated), (&one, Isolation::CopyOnWrite)]
    {
        let refused = cache.acquire(&place.request(target, mode)).await;
        assert!(matches!(refused, Err(CacheError::ReadOnly(_))), "{mode:?}: {refused:?}");
    }
    assert!(cache.clear().expect("nothing to do").targets.is_empty());
}

/// Nothing of a target that did not arrive whole may be in the cache.
fn holds_nothing(place: &Place, target: &TargetId) {
    let (blob, meta) = (format!("blobs/{target}"), format!("meta/{target}.json"));
    assert!(place.leftovers().is_empty());
    assert!(!place.root().join(target.as_str()).exists());
    for name in [blob, meta] {
        assert!(!place.root().join(".crashwise").join(&name).exists(), "{name}");
    }
}

#[tokio::test]
async fn a_failing_store_leaves_the_cache_sound() {
    let place = Place::new();
    let target = place.target("a", 3 << 20).await;
    let archive = place.dir.path().join("copy");
    place.store.fetch_target(&id(&target), &archive).await.expect("stored");
    let cache = place.open();
    // Damage is fetched once more, and what the second try brings is no better.
    for (fault, unavailable) in [
        (Fault::Down, true),
        (Fault::DownHalfWay, true),
        (Fault::Flip, false),
        (Fault::Nothing, false),
        (Fault::Excess, false),
    ] {
        for mode in MODES {
            let store = faulty(fault);
            store.put_target(&archive).await.expect("stored");
            let request = Request::new(target.clone(), RunId::generate(), mode).with_store(store.clone());
            match (cache.acquire(&request).await.map(drop), unavailable) {
                (Err(CacheError::Store { source, .. }), true) => {
                    assert_eq!(source.kind(), StoreErrorKind::Unavailable);
                }
                (Err(CacheError::Damaged(damaged)), false) => assert_eq!(damaged, id(&target)),
                (other, _) => panic!("{fault:?} {mode:?}: {other:?}"),
            }
            holds_nothing(&place, &id(&target));
        }
    }
    let lease = cache.acquire(&place.request(&target, Isolation::Shared)).await.expect("the cache is sound");
    assert_eq!(fs::read(lease.workspace().root().join("name")).expect("there"), b"a");
}

#[tokio::test]
async fn what_a_store_holds_under_a_wrong_name_is_not_served() {
    let place = Place::new();
    let target = place.target("a", 100_000).await;
    let whole = fs::read(place.dir.path().join("a.tar.zst")).expect("packed");
    let another = fs::read(place.archive("b", 100_000)).expect("packed");
    let cache = place.open();
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("the first half", whole[..whole.len() / 2].to_vec()),
        ("all but a byte", whole[..whole.len() - 1].to_vec()),
        ("a byte more", [&whole[..], b"x"].concat()),
        ("twice", whole.repeat(2)),
        ("another archive", another),
    ] {
        let store = holding(&id(&target), bytes).await;
        for mode in MODES {
            let request = Request::new(target.clone(), RunId::generate(), mode).with_store(store.clone());
            let before = cache.counters().downloads;
            let error = cache.acquire(&request).await.map(drop).expect_err(what);
            assert!(
                matches!(&error, CacheError::Damaged(damaged) if *damaged == id(&target)),
                "{what}: {error}"
            );
            assert_eq!(cache.counters().downloads - before, 2, "{what} is fetched once more");
            holds_nothing(&place, &id(&target));
        }
    }
    let lease =
        cache.acquire(&place.request(&target, Isolation::Isolated)).await.expect("the cache is sound");
    assert_eq!(fs::read(lease.workspace().root().join("name")).expect("there"), b"a");
}

#[tokio::test]
async fn what_breaks_on_the_way_is_fetched_again() {
    for (fault, downloads) in [(Fault::FlipOnce, 2), (Fault::EndEarly, 1), (Fault::CutEvery(1 << 18), 1)] {
        for mode in MODES {
            let place = Place::new();
            let archive = place.archive("a", 1 << 20);
            let store = faulty(fault);
            let target = Target::Stored(store.put_target(&archive).await.expect("stored"));
            let cache = place.open();
            let request = Request::new(target.clone(), RunId::generate(), mode).with_store(store);
            let lease = cache.acquire(&request).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            let tree = |path: &Path| tree::digest(path).expect("readable");
            assert_eq!(tree(lease.workspace().root()), tree(&place.dir.path().join("tree-a")), "{fault:?}");
            assert_eq!(cache.counters().downloads, downloads, "{fault:?} {mode:?}");
            let damaged = format!("Damaged in cache: {}, fetching again", id(&target));
            assert_eq!(place.said().contains(&damaged), downloads > 1, "{fault:?} {mode:?}");
            lease.release().await.expect("removable");
        }
    }
}

/// Runs something as a user whom permissions mean something to.
fn as_nobody(work: impl FnOnce() + Send) {
    use rustix::process::{Uid, getuid};
    std::thread::scope(|threads| {
        let nobody = threads.spawn(|| {
            if getuid().is_root() {
                let uid = Uid::from_raw(65_534);
                rustix::thread::set_thread_res_uid(uid, uid, uid).expect("root may");
            }
            work();
        });
        nobody.join().expect("the test's own panic");
    });
}

#[test]
fn permission_denied_inside_a_target_names_the_file() {
    let place = Place::new();
    let root = place.dir.path();
    let project = root.join("project");
    fs::create_dir_all(project.join("src/closed")).expect("writable");
    fs::write(project.join("src/secret"), "x").expect("writable");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("own file");
    };
    mode(root, 0o777);
    for (denied, closed, open) in [("src/secret", 0o000, 0o644), ("src/closed", 0o000, 0o755)] {
        let denied = project.join(denied);
        mode(&denied, closed);
        as_nobody(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let cache = place.open();
                let target = Target::Directory(project.clone());
                let error = cache.acquire(&place.request(&target, Isolation::Isolated)).await;
                let text = crate::error_chain(&error.expect_err("denied"));
                assert!(text.contains(&denied.display().to_string()), "{text}");
                assert!(text.contains("ermission denied"), "{text}");
                assert!(place.leftovers().is_empty());
            });
        });
        mode(&denied, open);
    }
    as_nobody(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let request = place.request(&Target::Directory(project.clone()), Isolation::Isolated);
            drop(place.open().acquire(&request).await.expect("the cache is sound"));
        });
    });
}
