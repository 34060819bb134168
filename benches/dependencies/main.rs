//! Lockfiles against advisories in-process, a monorepo, and the size and memory of databases.
//!
//! ```text
//! cargo bench --bench dependencies -- --lock Cargo.lock osv.zip
//! cargo bench --bench dependencies -- --monorepo Cargo.lock osv.zip
//! cargo bench --bench dependencies -- --database osv.zip...
//! cargo bench --bench dependencies -- --synthetic 250000
//! cargo bench --bench dependencies -- --scale DIR
//! cargo bench --bench dependencies -- --compare Alpine < PAIRS
//! ```
//!
//! Figures are the best of several repetitions; memory is the peak of a process that opens the database and judges one
//! lockfile. `--scale` reads what `scale.py` writes. `cargo_audit.py` beside this compares whole processes with cargo-audit, and `versions.py` compares what
//! `--compare` says of pairs of versions with the tools of their ecosystems.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod synthetic;

use crashwise_core::RelPath;
use crashwise_modules::dependencies::advisory::{Database, DatabaseBuilder};
use crashwise_modules::dependencies::version::Order;
use crashwise_modules::dependencies::{analyze, inventory_of, inventory_of_texts};
use std::cmp::Ordering;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, hint, process};

const REPETITIONS: usize = 40;
const LOCKFILES: usize = 200;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--lock", lock, sources @ ..] if !sources.is_empty() => in_process(lock, sources),
        ["--monorepo", lock, sources @ ..] if !sources.is_empty() => monorepo(lock, sources),
        ["--database", sources @ ..] if !sources.is_empty() => databases(sources),
        ["--scale", folder] => scale(Path::new(folder)),
        ["--synthetic", count] => synthetic_database(count.parse().expect("a number of advisories")),
        ["--compare", order] => compare(order),
        ["--judge", database, lock] => judge(Path::new(database), Path::new(lock)),
        _ => {
            println!("name what to measure, see the head of this file");
        }
    }
}

fn build(sources: &[&str], folder: &Path) -> PathBuf {
    let file = folder.join("advisories.cwdb");
    let mut builder = DatabaseBuilder::new();
    for source in sources {
        builder.add(Path::new(source)).expect("advisories");
    }
    builder.write(&file).expect("a database");
    file
}

fn best(mut work: impl FnMut()) -> Duration {
    best_with(|| (), |()| work())
}

/// The best time of the work, what it takes in having been made before the clock runs.
fn best_with<T>(mut given: impl FnMut() -> T, mut work: impl FnMut(T)) -> Duration {
    let mut once = |given: T| {
        let start = Instant::now();
        work(given);
        start.elapsed()
    };
    (0..REPETITIONS).map(|_| once(given())).min().unwrap_or_default()
}

/// The name under which a file such as `app.Cargo.lock` is read.
fn name_of(lock: &str) -> RelPath {
    let name = Path::new(lock).file_name().expect("a file");
    RelPath::new(name).expect("a plain name")
}

fn in_process(lock: &str, sources: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = build(sources, folder.path());
    let text = fs::read_to_string(lock).expect("a lockfile");
    let (inventory, gaps) = inventory_of_texts([(name_of(lock), text.clone())]);
    assert!(gaps.is_empty(), "{gaps:?}");
    let open = best(|| drop(hint::black_box(Database::open(&file).expect("a database"))));
    let texts = || [(name_of(lock), text.clone())];
    let read = best_with(texts, |texts| drop(hint::black_box(inventory_of_texts(texts))));
    let database = Database::open(&file).expect("a database");
    let matched = best(|| drop(hint::black_box(analyze(&inventory, &database, true).expect("an analysis"))));
    let whole = best_with(texts, |texts| {
        let database = Database::open(&file).expect("a database");
        let (inventory, _) = inventory_of_texts(texts);
        drop(hint::black_box(analyze(&inventory, &database, true).expect("an analysis")));
    });
    let found = analyze(&inventory, &database, true).expect("an analysis").vulnerabilities.len();
    println!("{lock}: {} packages, {found} vulnerabilities", inventory.packages.len());
    println!("open {open:?}, read {read:?}, match {matched:?}; all three {whole:?}");
}

fn monorepo(lock: &str, sources: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = build(sources, folder.path());
    let text = fs::read_to_string(lock).expect("a lockfile");
    // A tenth of the packages of a large lockfile is about what one of many projects has.
    let entries: Vec<&str> = text.split("\n[[package]]\n").collect();
    let tree = folder.path().join("tree");
    for number in 0..LOCKFILES {
        let project = tree.join(format!("group{}/project{number}", number % 10));
        fs::create_dir_all(project.join("src")).expect("a folder");
        let own: Vec<&str> = entries.iter().skip(1).skip(number % 10).step_by(10).copied().collect();
        let mut lock = "version = 4\n".to_owned();
        for entry in own {
            // What is needed lies in other lockfiles, so the lists of needs go.
            let plain = entry.split("\ndependencies = [").next().unwrap_or(entry);
            let _ = write!(lock, "\n[[package]]\n{}\n", plain.trim_end());
        }
        fs::write(project.join("Cargo.lock"), lock).expect("a file");
        fs::write(project.join("src/main.rs"), "fn main() {}\n").expect("a file");
    }
    let mut packages = 0;
    let whole = best(|| {
        let (inventory, coverage) = inventory_of(&tree).expect("an inventory");
        assert!(coverage.gaps.is_empty(), "{:?}", coverage.gaps);
        let database = Database::open(&file).expect("a database");
        packages = inventory.packages.len();
        drop(hint::black_box(analyze(&inventory, &database, true).expect("an analysis")));
    });
    println!("{LOCKFILES} lockfiles, {packages} packages: {whole:?}");
}

/// How much longer twice as much takes, for each form that `scale.py` wrote.
fn scale(folder: &Path) {
    let mut sizes: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    sizes.sort();
    for pair in sizes.chunks(2) {
        let took: Vec<f64> = pair
            .iter()
            .map(|folder| {
                let once = || {
                    let start = Instant::now();
                    drop(hint::black_box(inventory_of(folder).expect("an inventory")));
                    start.elapsed().as_secs_f64()
                };
                (0..3).map(|_| once()).fold(f64::INFINITY, f64::min)
            })
            .collect();
        let [once, twice] = took[..] else { continue };
        println!("{:50} {once:.3} s, {twice:.3} s, ratio {:.1}", pair[0].display(), twice / once);
    }
}

fn databases(sources: &[&str]) {
    for source in sources {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let start = Instant::now();
        let file = build(&[source], folder.path());
        let took = start.elapsed();
        report(source, &file, took);
    }
}

fn report(source: &str, file: &Path, took: Duration) {
    let database = Database::open(file).expect("a database");
    let json: u64 = database.meta().sources.iter().map(|source| source.bytes).sum();
    let size = fs::metadata(file).expect("the database").len();
    #[allow(clippy::cast_precision_loss, reason = "a percentage")]
    let share = size as f64 * 100.0 / json.max(1) as f64;
    let open = best(|| drop(hint::black_box(Database::open(file).expect("a database"))));
    println!(
        "{source}: {} advisories, {json} bytes of records, {size} bytes, {share:.2} %",
        database.meta().advisories
    );
    println!("built in {took:?}, opened in {open:?}");
}

fn synthetic_database(count: u32) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("npm.zip");
    synthetic::write(&archive, count).expect("an archive");
    let start = Instant::now();
    let file = build(&[archive.to_str().expect("a path")], folder.path());
    report("synthetic", &file, start.elapsed());
    let lock = folder.path().join("package-lock.json");
    fs::write(&lock, synthetic::lockfile(2_000)).expect("a lockfile");
    #[allow(clippy::disallowed_methods, reason = "the peak of memory is one of a process")]
    let status = process::Command::new(env::current_exe().expect("this program"))
        .args(["--judge".as_ref(), file.as_os_str(), lock.as_os_str()])
        .status()
        .expect("this program again");
    assert!(status.success());
}

/// Judges one lockfile and prints what that took, for a process that does nothing else.
fn judge(database: &Path, lock: &Path) {
    let start = Instant::now();
    let text = fs::read_to_string(lock).expect("a lockfile");
    let (inventory, _) = inventory_of_texts([(name_of(&lock.to_string_lossy()), text)]);
    let database = Database::open(database).expect("a database");
    let analysis = analyze(&inventory, &database, true).expect("an analysis");
    let took = start.elapsed();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown").trim();
    let (packages, found) = (inventory.packages.len(), analysis.vulnerabilities.len());
    println!("{packages} packages, {found} vulnerabilities in {took:?}; peak of the process {peak}");
}

/// For each line of two versions with a tab between them `<`, `=` or `>`, and `!` if one of them is no version.
fn compare(order: &str) {
    let named = |known: &&Order| format!("{known:?}").eq_ignore_ascii_case(order);
    let order = *Order::ALL.iter().find(named).expect("the name of an order");
    let mut answers = String::new();
    for line in io::stdin().lines() {
        let line = line.expect("a line");
        let (a, b) = line.split_once('\t').expect("two versions with a tab between them");
        answers.push_str(match (order.key(a), order.key(b)) {
            (Ok(a), Ok(b)) => match a.cmp(&b) {
                Ordering::Less => "<\n",
                Ordering::Equal => "=\n",
                Ordering::Greater => ">\n",
            },
            _ => "!\n",
        });
    }
    io::stdout().write_all(answers.as_bytes()).expect("answers");
}
