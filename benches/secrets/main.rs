//! Accuracy and speed of the secret scanner.
//!
//! ```text
//! cargo bench --bench secrets -- [--show fp|fn] [--repo NAME] [--low]
//! cargo bench --bench secrets -- --tree DIR [--megabytes N] [--show fp] [--decode-depth N] [--generic no]
//! ```
//!
//! The first form reads labelled repositories in the layout of `CredData` from `../shared/data/creddata-dev`, or the
//! folder in `CRASHWISE_CREDDATA`: `meta/*.csv` holds labelled lines (T, F or X, with the columns of the value where
//! known), `data/` the files. A finding that overlaps the span of a true row is a hit of that row; any other finding is
//! a false one. Rows of the same line and span count once.
//!
//! The second form scans a tree that is known to be clean: gigabytes per second of one core, and findings per million
//! lines.
#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

mod accuracy;
mod tree;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match option(&args, "--tree") {
        Some(root) => tree::run(root.as_ref(), &args),
        None => accuracy::run(&args),
    }
}

/// The argument behind `name`.
fn option(args: &[String], name: &str) -> Option<String> {
    args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).cloned()
}
