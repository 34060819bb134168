use super::*;
use crashwise_core::{
    ArtifactRef, Coverage, CoverageStatus, Finding, GapReason, ModuleContext, ModuleError, ModuleHost,
    ModuleInfo, ModuleKind, RunId, Stats, StepIdentity, Workspace,
};
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::{fs, os::unix::fs::symlink, thread};

#[derive(Default)]
struct Host(Mutex<Vec<Stats>>);

impl ModuleHost for Host {
    fn report(&self, _: Finding) -> io::Result<()> {
        Ok(())
    }
    fn stats(&self, stats: Stats) {
        self.0.lock().unwrap().push(stats);
    }
    fn heartbeat(&self, _: serde_json::Value) {}
    fn store(&self, _: &str, _: &mut dyn Read) -> io::Result<ArtifactRef> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn open(&self, _: &ArtifactRef) -> io::Result<Box<dyn Read + Send>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn context(folder: &tempfile::TempDir, host: &Arc<Host>) -> ModuleContext {
    let info = ModuleInfo::new("walker", "1.0.0", ModuleKind::Scanner, "walks");
    let run = StepIdentity::new(RunId::generate(), "test", "walk");
    ModuleContext::new(run, &info, Workspace::in_place(folder.path().join("w")), host.clone())
}

struct Tree {
    folder: tempfile::TempDir,
    host: Arc<Host>,
    cx: ModuleContext,
}

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = Arc::new(Host::default());
        let cx = context(&folder, &host);
        let tree = Self { folder, host, cx };
        fs::create_dir(tree.root()).unwrap();
        for (path, text) in files {
            let path = tree.root().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        tree
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("w")
    }

    /// A context of its own over the same tree.
    fn context(&self) -> ModuleContext {
        context(&self.folder, &self.host)
    }

    fn walk(&self, options: WalkOptions) -> Walk {
        Walk::new(self.cx.workspace(), options).unwrap()
    }

    /// The paths visited, sorted.
    fn visited(&self, walk: &Walk) -> Vec<String> {
        let paths = Mutex::new(Vec::new());
        walk.run(&self.cx, &|file: &WalkedFile, _: &[u8]| {
            paths.lock().unwrap().push(file.path.to_string());
            Ok(0)
        })
        .unwrap();
        let mut paths = paths.into_inner().unwrap();
        paths.sort();
        paths
    }
}

fn gaps(coverage: &Coverage) -> Vec<(&str, GapReason)> {
    coverage.gaps.iter().map(|gap| (gap.what.as_str(), gap.reason)).collect()
}

#[test]
fn honours_ignore_files_and_patterns() {
    let tree = Tree::new(&[
        (".gitignore", "*.log\n/build/\n!keep.log\n"),
        ("a.log", ""),
        ("keep.log", ""),
        ("build/x.rs", ""),
        ("src/build/y.rs", ""),
        ("src/.gitignore", "!b.log\n"),
        ("src/b.log", ""),
        ("src/.crashwiseignore", "gen*\n"),
        ("src/gen.rs", ""),
        (".git/config", ""),
        ("sub/.git", "gitdir: ../.git/modules/sub"),
    ]);
    let all = ["a.log", "build/x.rs", "keep.log", "src/b.log", "src/build/y.rs", "src/gen.rs"];
    let files = |options| {
        let mut files = tree.visited(&tree.walk(options));
        files.retain(|path| !path.ends_with("ignore"));
        (files, tree.cx.take_coverage())
    };
    let (found, coverage) = files(WalkOptions::new());
    assert_eq!(found, ["keep.log", "src/b.log", "src/build/y.rs"]);
    assert_eq!((coverage.excluded["files"], coverage.excluded["folders"]), (2, 1));
    assert_eq!((coverage.status, coverage.looked_at["files"]), (CoverageStatus::Complete, 6));
    assert_eq!(files(WalkOptions::new().with_ignore_files(false)).0, all);
    let include =
        WalkOptions::new().with_ignore_files(false).with_include(["*.rs"]).with_exclude(["/build/"]);
    assert_eq!(files(include).0, ["src/build/y.rs", "src/gen.rs"]);
    let vcs = WalkOptions::new().with_include([".git"]).with_vcs_folders(true);
    assert_eq!(files(vcs).0, [".git/config", "sub/.git"]);
    assert!(Walk::new(tree.cx.workspace(), WalkOptions::new().with_include(["a{b"])).is_err());
}

#[test]
fn says_what_it_could_not_look_at() {
    let tree = Tree::new(&[
        ("a.txt", "a"),
        ("big.txt", "0123456789"),
        ("deep/er/est/x", ""),
        ("gone", ""),
        ("no", ""),
    ]);
    let root = tree.root();
    fs::write(tree.folder.path().join("secret"), "s").unwrap();
    symlink("../secret", root.join("out")).unwrap();
    symlink("/nowhere/at/all", root.join("out-dangling")).unwrap();
    symlink("nothing", root.join("dangling")).unwrap();
    symlink("a.txt", root.join("link")).unwrap();
    symlink("..", root.join("deep/up")).unwrap();
    symlink("loop2", root.join("loop1")).unwrap();
    symlink("loop1", root.join("loop2")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), rustix::fs::Mode::RWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let mut walk = tree.walk(WalkOptions::new().with_max_file_size(9).with_max_depth(3));
    walk.fault = Some(|path| match path {
        "gone" => Some(io::ErrorKind::NotFound.into()),
        "no" => Some(io::ErrorKind::PermissionDenied.into()),
        _ => None,
    });
    assert_eq!(tree.visited(&walk), ["a.txt"]);
    let coverage = tree.cx.take_coverage();
    assert_eq!(
        gaps(&coverage),
        [
            ("big.txt", GapReason::TooLarge),
            ("deep/er/est", GapReason::TooDeep),
            ("deep/up", GapReason::Symlink),
            ("fifo", GapReason::SpecialFile),
            ("gone", GapReason::Vanished),
            ("loop1", GapReason::Symlink),
            ("loop2", GapReason::Symlink),
            ("no", GapReason::Unreadable),
            ("out", GapReason::Symlink),
            ("out-dangling", GapReason::Symlink),
            ("socket", GapReason::SpecialFile),
        ]
    );
    assert_eq!((coverage.looked_at["links"], coverage.status), (2, CoverageStatus::Partial));
}

#[test]
fn survives_a_tree_deeper_than_a_path_may_be() {
    let tree = Tree::new(&[]);
    let name = "d".repeat(200);
    let mut at =
        rustix::fs::open(tree.root(), rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..150 {
        rustix::fs::mkdirat(&at, &name, rustix::fs::Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, &name, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
        rustix::fs::openat(&at, "f", rustix::fs::OFlags::CREATE, rustix::fs::Mode::RWXU).unwrap();
    }
    assert_eq!(tree.visited(&tree.walk(WalkOptions::new())).len(), 99);
    assert_eq!(tree.cx.take_coverage().gaps[0].reason, GapReason::TooDeep);
}

#[test]
fn a_sparse_file_of_two_gigabytes_is_a_gap() {
    let tree = Tree::new(&[("a.txt", "a")]);
    fs::File::create(tree.root().join("huge")).unwrap().set_len(2 << 30).unwrap();
    assert_eq!(tree.visited(&tree.walk(WalkOptions::new())), ["a.txt"]);
    assert_eq!(gaps(&tree.cx.take_coverage()), [("huge", GapReason::TooLarge)]);
}

#[test]
fn what_vanishes_during_the_walk_is_a_gap() {
    let tree = Tree::new(&[("a.txt", ""), ("b.txt", ""), ("later/c.txt", ""), ("rest/d.txt", "")]);
    let walk = tree.walk(WalkOptions::new().with_threads(NonZeroUsize::MIN));
    let root = tree.root();
    walk.run(&tree.cx, &|file: &WalkedFile, _: &[u8]| {
        if file.path.as_str() == "a.txt" {
            fs::remove_file(root.join("b.txt"))?;
            fs::remove_dir_all(root.join("later"))?;
            fs::remove_dir_all(root.join("rest"))?;
            symlink("/etc", root.join("rest"))?;
        }
        Ok(0)
    })
    .unwrap();
    assert_eq!(
        gaps(&tree.cx.take_coverage()),
        [("b.txt", GapReason::Vanished), ("later", GapReason::Vanished), ("rest", GapReason::Unreadable)]
    );
}

#[test]
fn visitors_share_one_read() {
    struct Names(Mutex<Vec<String>>, Want);
    impl Visitor for Names {
        fn wants(&self, file: &WalkedFile) -> Want {
            if file.path.extension() == Some("png") { Want::Nothing } else { self.1 }
        }
        fn visit(&self, file: &WalkedFile, bytes: &[u8]) -> Result<u64, ModuleError> {
            self.0.lock().unwrap().push(format!("{} {}", file.path, bytes.len()));
            Ok(1)
        }
    }
    let tree = Tree::new(&[("a.txt", "abc"), ("b.png", "png"), ("long", &"x".repeat(10_000))]);
    for (wants, limit, first, second) in [
        (
            (Want::Head, Want::Whole),
            10_000,
            ["a.txt 3", "long 10000"].as_slice(),
            ["a.txt 3", "long 10000"].as_slice(),
        ),
        ((Want::Head, Want::Whole), 9000, &["a.txt 3", "long 8192"], &["a.txt 3"]),
        ((Want::Metadata, Want::Nothing), 9, &["a.txt 0", "long 0"], &[]),
    ] {
        let both = (Names(Mutex::default(), wants.0), Names(Mutex::default(), wants.1));
        let walk = tree.walk(WalkOptions::new().with_max_file_size(limit).with_threads(NonZeroUsize::MIN));
        let totals = walk.run(&tree.cx, &both).unwrap();
        assert_eq!(*both.0.0.lock().unwrap(), first);
        assert_eq!(*both.1.0.lock().unwrap(), second);
        assert_eq!(totals.findings, (first.len() + second.len()) as u64);
    }
}

#[test]
fn utf16_is_decoded_and_marks_are_left_out() {
    let tree = Tree::new(&[("bom", "\u{FEFF}x")]);
    fs::write(tree.root().join("wide"), [0xFE, 0xFF, 0, b'h', 0, b'i']).unwrap();
    fs::write(tree.root().join(std::ffi::OsStr::from_bytes(b"n\xFFme")), "y").unwrap();
    let seen = Mutex::new(Vec::new());
    tree.walk(WalkOptions::new())
        .run(&tree.cx, &|file: &WalkedFile, bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            seen.lock().unwrap().push((file.path.to_string(), text, file.offset));
            Ok(0)
        })
        .unwrap();
    let mut seen = seen.into_inner().unwrap();
    seen.sort();
    let expect = [("bom", "x", 3), ("n\u{FFFD}me", "y", 0), ("wide", "hi", 0)];
    assert_eq!(seen, expect.map(|(path, text, offset)| (path.to_owned(), text.to_owned(), offset)));
}

#[test]
fn a_panicking_visitor_costs_one_file() {
    let tree = Tree::new(&[("a", ""), ("b", ""), ("c", "")]);
    let visits = AtomicUsize::new(0);
    tree.walk(WalkOptions::new())
        .run(&tree.cx, &|file: &WalkedFile, _: &[u8]| {
            visits.fetch_add(1, Ordering::Relaxed);
            assert_ne!(file.path.as_str(), "b", "hostile");
            Ok(0)
        })
        .unwrap();
    assert_eq!(visits.into_inner(), 3);
    assert_eq!(gaps(&tree.cx.take_coverage()), [("b", GapReason::Panicked)]);
}

#[test]
fn stops_on_cancel_and_on_errors() {
    let names: Vec<String> = (0..100).map(|n| format!("f{n}")).collect();
    let tree = Tree::new(&names.iter().map(|name| (name.as_str(), "")).collect::<Vec<_>>());
    let visits = AtomicUsize::new(0);
    let walk = tree.walk(WalkOptions::new().with_threads(NonZeroUsize::MIN));
    let error =
        walk.run(&tree.cx, &|_: &WalkedFile, _: &[u8]| Err(ModuleError::Config("no".into()))).unwrap_err();
    assert_eq!(error.kind(), "config");
    let totals = walk
        .run(&tree.cx, &|_: &WalkedFile, _: &[u8]| {
            if visits.fetch_add(1, Ordering::Relaxed) == 9 {
                tree.cx.cancel_token().cancel();
            }
            Ok(0)
        })
        .unwrap();
    assert_eq!((visits.into_inner(), totals.cancelled, totals.files), (10, true, 10));
    let gone = Workspace::in_place(tree.root().join("gone"));
    assert!(
        Walk::new(&gone, WalkOptions::new())
            .unwrap()
            .run(&tree.cx, &|_: &WalkedFile, _: &[u8]| Ok(0))
            .is_err()
    );
}

#[test]
fn many_threads_see_every_file_once() {
    let names: Vec<String> = (0..400).map(|n| format!("{}/{}/f{n}", n % 7, n % 3)).collect();
    let tree = Tree::new(&names.iter().map(|name| (name.as_str(), "x")).collect::<Vec<_>>());
    let mut expect = names;
    expect.sort();
    for threads in [1, 2, 8] {
        let options = WalkOptions::new().with_threads(NonZeroUsize::new(threads).unwrap());
        assert_eq!(tree.visited(&tree.walk(options)), expect);
    }
    let stats = tree.host.0.lock().unwrap();
    assert!(matches!(
        stats.last(),
        Some(Stats::ScanProgress { files_scanned: 400, scan_percentage: 100.0, .. })
    ));
    drop(stats);
    assert!(tree.visited(&tree.walk(WalkOptions::new().with_max_entries(50))).len() < 60);
    assert!(tree.cx.take_coverage().gaps.iter().all(|gap| gap.reason == GapReason::TooMany));
}

#[test]
fn folders_by_path_show_what_folders_by_descriptor_show() {
    use super::{folder, folder_portable};
    let tree = Tree::new(&[("b.txt", "two"), ("sub/a.txt", "one")]);
    let root = tree.root();
    symlink("b.txt", root.join("link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), rustix::fs::Mode::RUSR).unwrap();
    macro_rules! seen {
        ($room:ident) => {{
            let top = $room::Folder::root(&root).unwrap();
            let (entries, more) = top.entries(10).unwrap();
            let mut buffer = Vec::new();
            let file = top.file("b.txt".as_ref()).unwrap();
            let whole = file.read(&mut buffer, 2).unwrap();
            let (in_parts, mut part) = (top.file("b.txt".as_ref()).unwrap(), Vec::new());
            let ends = [2, 2, 3, 9].map(|len| in_parts.append(&mut part, len).unwrap());
            assert_eq!((ends, &*part), ([false, false, false, true], &b"two"[..]));
            (
                entries.into_iter().map(|(name, kind)| format!("{name:?} {kind:?}")).collect::<Vec<_>>(),
                (more, top.entries(1).unwrap().1),
                (file.size, top.size("b.txt".as_ref()).unwrap(), whole, buffer),
                top.folder("sub".as_ref()).unwrap().entries(9).unwrap().0.len(),
                top.link("link".as_ref()).unwrap(),
                ["pipe", "link", "sub"]
                    .map(|name| matches!(top.file(name.as_ref()), Err($room::OpenError::NotAFile))),
                ["pipe", "link", "none"].map(|name| top.folder(name.as_ref()).is_err()),
                $room::Folder::root(&root.join("b.txt")).is_err(),
            )
        }};
    }
    assert_eq!(seen!(folder), seen!(folder_portable));
}

#[test]
fn a_folder_listed_by_many_at_once_is_whole_for_each() {
    let tree = Tree::new(&[]);
    let root = tree.root();
    let names: Vec<_> = (0..1500).map(|n| format!("a file with the number {n:04}")).collect();
    for name in &names {
        fs::write(root.join(name), "").unwrap();
    }
    let folder = super::folder::Folder::root(&root).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (entries, more) = folder.entries(2000).unwrap();
                assert!(!more && entries.iter().map(|(name, _)| name.to_str().unwrap()).eq(&names));
            });
        }
    });
}

/// Sees its first file, or any, once another walk has joined, and remembers them.
struct Meeting {
    present: Arc<(Mutex<usize>, Condvar)>,
    has_come: AtomicBool,
    has_waited: AtomicBool,
    all_wait: bool,
    seen: Mutex<Vec<(String, usize, u64)>>,
    each: Each,
    cx: ModuleContext,
}

impl Visitor for Meeting {
    fn wants(&self, file: &WalkedFile) -> Want {
        if !self.has_come.swap(true, Ordering::Relaxed) {
            *self.present.0.lock().unwrap() += 1;
            self.present.1.notify_all();
        }
        if file.path.extension() == Some("bin") { Want::Head } else { Want::Whole }
    }

    fn visit(&self, file: &WalkedFile, bytes: &[u8]) -> Result<u64, ModuleError> {
        let (present, changed) = &*self.present;
        // Where the other one has no file to see, the threads would wait for each other.
        let waits = self.all_wait || !self.has_waited.swap(true, Ordering::Relaxed);
        let timeout = std::time::Duration::from_mins(2);
        let waited = changed.wait_timeout_while(present.lock().unwrap(), timeout, |n| waits && *n < 2);
        assert!(!waited.is_ok_and(|(_, waited)| waited.timed_out()), "nobody joined");
        self.seen.lock().unwrap().push((file.path.to_string(), bytes.len(), file.offset));
        (self.each)(&self.cx, file.path.as_str())
    }
}

/// What a walk says: what was seen, totals or the error, coverage.
type Outcome = (Vec<(String, usize, u64)>, Result<WalkTotals, String>, Coverage);

type Each = fn(&ModuleContext, &str) -> Result<u64, ModuleError>;

/// Two walks over one tree, together or one after the other.
fn meet(tree: &Tree, walks: &[(WalkOptions, Each)], together: bool) -> Vec<Outcome> {
    let present = Arc::new((Mutex::new(if together { 0 } else { 2 }), Condvar::new()));
    let walk = |(options, each): &(WalkOptions, Each)| {
        let cx = tree.context();
        let visitor = Arc::new(Meeting {
            present: present.clone(),
            has_come: AtomicBool::new(false),
            has_waited: AtomicBool::new(false),
            all_wait: false,
            seen: Mutex::default(),
            each: *each,
            cx: cx.clone(),
        });
        let walk = Walk::new(cx.workspace(), options.clone()).unwrap();
        let totals = walk.run_shared(&cx, visitor.clone());
        let mut seen = std::mem::take(&mut *visitor.seen.lock().unwrap());
        seen.sort();
        (seen, totals.map_err(|error| error.to_string()), cx.take_coverage())
    };
    if together {
        std::thread::scope(|scope| {
            let threads: Vec<_> = walks.iter().map(|one| scope.spawn(|| walk(one))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    } else {
        walks.iter().map(walk).collect()
    }
}

#[test]
fn walks_that_share_a_pass_see_what_they_see_alone() {
    let mut files: Vec<_> =
        (0..60).map(|n| (format!("{}/{}/f{n}.rs", n % 5, n % 4), "text".to_owned())).collect();
    files.push((".gitignore".into(), "*.log\n/3/\n".into()));
    files.push(("1/noise.log".into(), String::new()));
    files.push(("2/mark.rs".into(), "\u{FEFF}x".into()));
    files.push(("2/large.rs".into(), "x".repeat(9000)));
    files.push(("2/large.bin".into(), "x".repeat(9000)));
    let tree =
        Tree::new(&files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>());
    symlink("..", tree.root().join("4/up")).unwrap();
    symlink("0", tree.root().join("link")).unwrap();
    let plain = || WalkOptions::new().with_max_file_size(8999);
    let nothing: Each = |_, _| Ok(1);
    let panics: Each = |_, path| {
        assert!(!path.ends_with("f7.rs"), "hostile");
        Ok(0)
    };
    for options in [
        plain(),
        plain().with_decode(false),
        plain().with_exclude(["1/", "/2/3/", "f4*.rs"]),
        plain().with_include(["/0/", "f9.rs"]),
        plain().with_exclude(["/0/", "/1/", "/2/", "/3/"]).with_include(["*.rs", "*.bin"]),
    ] {
        for each in [nothing, panics] {
            let walks = [(plain().with_exclude(["4/1"]), nothing), (options.clone(), each)];
            assert_eq!(meet(&tree, &walks, true), meet(&tree, &walks, false), "{options:?}");
        }
    }
}

#[test]
fn a_walk_that_fails_or_is_cancelled_leaves_the_others_alone() {
    let files: Vec<_> = (0..200).map(|n| format!("{}/f{n}", n % 20)).collect();
    let tree = Tree::new(&files.iter().map(|path| (path.as_str(), "x")).collect::<Vec<_>>());
    let nothing: Each = |_, _| Ok(0);
    let fails: Each = |_, _| Err(ModuleError::Config("no".into()));
    let stops: Each = |cx, _| {
        cx.cancel_token().cancel();
        Ok(0)
    };
    for (early, late) in [(nothing, fails), (fails, nothing), (nothing, stops), (stops, nothing)] {
        let outcomes = meet(&tree, &[(WalkOptions::new(), early), (WalkOptions::new(), late)], true);
        let whole = outcomes.iter().filter(|(seen, totals, coverage)| {
            let whole = totals.as_ref().is_ok_and(|totals| !totals.cancelled && totals.files == 200);
            assert!(whole || seen.len() < 100, "{totals:?}");
            whole && seen.len() == 200 && coverage.looked_at["files"] == 200
        });
        assert_eq!(whole.count(), 1, "{outcomes:?}");
    }
}

#[test]
fn files_of_a_shared_pass_are_read_once() {
    static READS: AtomicUsize = AtomicUsize::new(0);
    let files: Vec<_> = (0..600).map(|n| format!("{}/f{n}", n % 200)).collect();
    let tree = Tree::new(&files.iter().map(|path| (path.as_str(), "x")).collect::<Vec<_>>());
    let present = Arc::new((Mutex::new(0), Condvar::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let cx = tree.context();
                let mut walk = tree.walk(WalkOptions::new());
                walk.fault = Some(|_| {
                    READS.fetch_add(1, Ordering::Relaxed);
                    None
                });
                let each = |_: &ModuleContext, _: &str| Ok(0);
                let visitor = Meeting {
                    present: present.clone(),
                    has_come: AtomicBool::new(false),
                    has_waited: AtomicBool::new(false),
                    all_wait: true,
                    seen: Mutex::default(),
                    each,
                    cx: cx.clone(),
                };
                assert_eq!(walk.run_shared(&cx, Arc::new(visitor)).unwrap().files, 600);
            });
        }
    });
    let reads = READS.load(Ordering::Relaxed);
    assert!((600..700).contains(&reads), "{reads}");
}

#[test]
fn a_walk_with_another_deadline_does_not_wait() {
    let tree = Tree::new(&[("a", ""), ("b/c", "")]);
    let stage = Arc::new((Mutex::new(0), Condvar::new()));
    let (reach, wait) = {
        let (set, get) = (stage.clone(), stage.clone());
        let reach = move |n: u32| {
            let mut at = set.0.lock().unwrap();
            *at = n.max(*at);
            drop(at);
            set.1.notify_all();
        };
        let wait = move |n| {
            let (timeout, at) = (std::time::Duration::from_mins(2), get.0.lock().unwrap());
            let at = get.1.wait_timeout_while(at, timeout, |at| *at < n).unwrap().0;
            assert!(*at >= n, "waited for {n}");
        };
        (reach, wait)
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (reach, wait) = (reach.clone(), wait.clone());
            let slow = move |_: &WalkedFile, _: &[u8]| {
                reach(1);
                wait(2);
                Ok(0)
            };
            let cx = tree.context();
            let totals = tree.walk(WalkOptions::new()).run_shared(&cx, Arc::new(slow)).unwrap();
            assert_eq!((totals.files, cx.take_coverage().gap_count()), (2, 0));
        });
        wait(1);
        let deadline = std::time::Instant::now() + std::time::Duration::from_hours(1);
        let cx = tree.context().with_deadline(Some(deadline));
        let quick = Arc::new(|_: &WalkedFile, _: &[u8]| Ok(0));
        assert_eq!(tree.walk(WalkOptions::new()).run_shared(&cx, quick).unwrap().files, 2);
        reach(2);
    });
}

#[test]
fn threads_are_started_once_there_is_work_for_two() {
    let flat: Vec<String> = (0..40).map(|number| format!("{number}.rs")).collect();
    let flat: Vec<(&str, &str)> = flat.iter().map(|name| (name.as_str(), "x")).collect();
    for (files, expect) in [
        (&[("a/x", ""), ("b/y", "")][..], 2),
        (&flat[..], 2),
        (&[("x", "")][..], 1),
        (&[("a/b/x", "")][..], 1),
    ] {
        let tree = Tree::new(files);
        let walk = tree.walk(WalkOptions::new().with_threads(NonZeroUsize::new(2).unwrap()));
        let (seen, met) = (Mutex::new(Vec::new()), Condvar::new());
        let limit = std::time::Duration::from_secs(10);
        walk.run(&tree.cx, &|_: &WalkedFile, _: &[u8]| {
            let mut threads = seen.lock().unwrap();
            threads.push(thread::current().id());
            met.notify_all();
            // The first one comes back only when another thread is here.
            drop(met.wait_timeout_while(threads, limit, |threads| threads.len() < expect).unwrap());
            Ok(0)
        })
        .unwrap();
        let threads = seen.into_inner().unwrap();
        assert_eq!(threads.iter().any(|thread| *thread != threads[0]), expect == 2, "{files:?}");
    }
}
