//! Speed and false findings on a clean tree.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crashwise_core::LineIndex;
use crashwise_modules::prefilter::Prefilter;
use crashwise_modules::secrets::{ScanOptions, SecretScanner};

/// Reads the text files of a tree, scans each once and prints the figures.
pub fn run(root: &Path, args: &[String]) {
    let mut left = super::option(args, "--megabytes").and_then(|text| text.parse().ok()).unwrap_or(200_usize)
        * 1_000_000;
    let show = super::option(args, "--show").is_some();
    let mut files = Vec::new();
    read(root, &mut left, &mut files);
    let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
    let lines: usize = files.iter().map(|(_, text)| LineIndex::new(text).lines()).sum();

    let started = cpu_seconds();
    let depth = super::option(args, "--decode-depth").and_then(|text| text.parse().ok()).unwrap_or(3);
    let generic = super::option(args, "--generic").is_none_or(|text| text != "no");
    let scanner = SecretScanner::new(ScanOptions::new().with_decode_depth(depth).with_generic(generic));
    let built = cpu_seconds() - started;
    let mut rules: BTreeMap<String, usize> = BTreeMap::new();
    let started = cpu_seconds();
    for (path, text) in &files {
        for one in scanner.scan_bytes(&path.to_string_lossy(), text) {
            *rules.entry(one.rule.id.to_string()).or_default() += 1;
            if show {
                let index = LineIndex::new(text);
                let line = String::from_utf8_lossy(index.line_text(text, one.span.start)).into_owned();
                let place = index.position(text, one.span.start);
                let from = (place.column.number() as usize).saturating_sub(60);
                let line: String = line.chars().skip(from).take(150).collect();
                println!(
                    "{}:{place} {} {:?}\n    {}",
                    path.display(),
                    one.rule.id,
                    one.confidence,
                    line.trim()
                );
            }
        }
    }
    let seconds = cpu_seconds() - started;
    let found: usize = rules.values().sum();
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (speed, rate) = (bytes as f64 / seconds / 1e9, found as f64 / (lines as f64 / 1e6));
    println!(
        "{} files, {} MB, {lines} lines; scanner built in {:.1} ms",
        files.len(),
        bytes / 1_000_000,
        built * 1e3
    );
    println!("{speed:.3} GB/s of one core; {found} findings, {rate:.1} per million lines");
    for (rule, count) in rules {
        println!("  {count:5} {rule}");
    }
    if args.iter().any(|arg| arg == "--literals") {
        literals(&scanner, &files);
    }
}

/// The speed of the prefilter alone, and the literals that hit most often.
fn literals(scanner: &SecretScanner, files: &[(PathBuf, Vec<u8>)]) {
    let mut builder = Prefilter::builder();
    builder.add_all(scanner.literals()).expect("literals of a scanner");
    let prefilter = builder.build();
    let mut hits = vec![0_usize; prefilter.len()];
    let started = cpu_seconds();
    for (_, text) in files {
        prefilter.scan(text, |hit| hits[hit.literal.index()] += 1);
    }
    let seconds = cpu_seconds() - started;
    let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let speed = bytes as f64 / seconds / 1e9;
    println!(
        "prefilter alone: {} literals, {speed:.3} GB/s, {} hits",
        prefilter.len(),
        hits.iter().sum::<usize>()
    );
    let mut order: Vec<(usize, String)> = scanner
        .literals()
        .zip(hits)
        .map(|((literal, _), count)| (count, String::from_utf8_lossy(literal).into_owned()))
        .collect();
    order.sort_unstable_by(|a, b| b.cmp(a));
    for (count, literal) in order.iter().take(60) {
        println!("  {count:8} {literal:?}");
    }
}

/// CPU time of this thread; wall time where the system does not tell it.
fn cpu_seconds() -> f64 {
    let nanoseconds = fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(
        || std::time::UNIX_EPOCH.elapsed().map_or(0.0, |time| time.as_secs_f64()),
        |nanoseconds| nanoseconds / 1e9,
    )
}

fn read(dir: &Path, left: &mut usize, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    let mut entries: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if *left == 0 {
            return;
        }
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            read(&entry.path(), left, files);
        } else if kind.is_file()
            && let Ok(bytes) = fs::read(entry.path())
            && !bytes[..bytes.len().min(8192)].contains(&0)
        {
            *left = left.saturating_sub(bytes.len());
            files.push((entry.path(), bytes));
        }
    }
}
