//! Accuracy and speed of the secret scanner.
//!
//! ```text
//! cargo bench --bench secrets -- --planted [COUNT]
//! cargo bench --bench secrets -- [--show fp|fn] [--repo NAME] [--low] [--folds]
//! cargo bench --bench secrets -- --tree DIR [--megabytes N] [--show fp] [--decode-depth N] [--generic no]
//! ```
//!
//! The first form makes tokens of every format of the catalogue, 10,000 unless said otherwise, and looks for them.
//!
//! The second form reads labelled repositories in the layout of `CredData` from `../shared/data/creddata-dev`, or the
//! folder in `CRASHWISE_CREDDATA`: `meta/*.csv` holds labelled lines (T, F or X, with the columns of the value where
//! known), `data/` the files. A finding that overlaps the span of a true row is a hit of that row; any other finding is
//! a false one. Rows of the same line and span count once.
//! With `--folds` the least confidence of each family of rules is chosen on all repositories but one and measured on that one.
//!
//! The third form scans a tree that is known to be clean: gigabytes per second of one core, and findings per million
//! lines.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod accuracy;
mod folds;
mod planted;
mod tree;

use std::collections::BTreeMap;

use crashwise_modules::secrets::{ScanOptions, SecretScanner};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|arg| arg == "--planted") {
        return look_for_planted(&args);
    }
    match option(&args, "--tree") {
        Some(root) => tree::run(root.as_ref(), &args),
        None => accuracy::run(&args),
    }
}

/// The argument behind `name`.
fn option(args: &[String], name: &str) -> Option<String> {
    args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).cloned()
}

/// Recall on the planted set, and what is found beside it.
fn look_for_planted(args: &[String]) {
    let count = option(args, "--planted").and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let scanner = SecretScanner::new(ScanOptions::new());
    let (mut found, mut by_rule, mut wrong, mut lines) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut missed: BTreeMap<String, usize> = BTreeMap::new();
    for file in planted::plant(count, planted::SEED) {
        let all = scanner.scan_bytes(&file.name, file.text.as_bytes());
        lines += file.text.lines().count();
        for (rule, place) in &file.tokens {
            let mut here =
                all.iter().filter(|one| one.span.start < place.end && place.start < one.span.end).peekable();
            if here.peek().is_none() {
                *missed.entry(rule.clone()).or_default() += 1;
            } else {
                found += 1;
                by_rule += usize::from(here.any(|one| one.rule.id.as_str() == rule));
            }
        }
        let is_planted = |at: usize| file.tokens.iter().any(|(_, place)| place.contains(&at));
        wrong += all.iter().filter(|one| !is_planted(one.span.start)).count();
    }
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let recall = found as f64 / count.max(1) as f64;
    println!(
        "seed {:#x}: {count} tokens in {lines} lines; recall {recall:.4}, by their own rule {by_rule}",
        planted::SEED
    );
    println!("{wrong} findings in the clean part");
    for (rule, count) in missed {
        println!("  missed {count:4} {rule}");
    }
}
