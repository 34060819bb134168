//! Runs every example and compares what it prints with what its first lines promise.

use std::fs;
use std::path::{Path, PathBuf};

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect();
    found.sort();
    found
}

/// The output that the head of an example promises; a line `...` stands for any lines, `...` in a line for any text.
fn promised(source: &str) -> Vec<String> {
    let block = source.split("//! ```text\n").nth(1).unwrap().split("//! ```\n").next().unwrap();
    block.lines().map(|line| line.trim_start_matches("//!").trim().to_owned()).collect()
}

fn matches(expected: &[String], found: &[&str]) -> bool {
    match expected {
        [] => found.is_empty(),
        [first, rest @ ..] if first == "..." => (0..=found.len()).any(|skip| matches(rest, &found[skip..])),
        [first, rest @ ..] => match found {
            [line, others @ ..] => line_matches(first, line.trim_end()) && matches(rest, others),
            [] => false,
        },
    }
}

fn line_matches(expected: &str, found: &str) -> bool {
    match expected.split_once("...") {
        None => expected == found,
        Some((head, tail)) => found.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.is_char_boundary(at) && line_matches(tail, &rest[at..]))
        }),
    }
}

#[test]
fn examples_print_what_they_promise() {
    // The test binary is in target/<profile>/deps, the examples beside that folder.
    let binaries = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples");
    let mut failures = Vec::new();
    let examples = examples();
    assert!(!examples.is_empty());
    for path in examples {
        let source = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(source.starts_with("//! Shows "), "{name} opens with what it shows");
        assert!(source.contains(&format!("cargo run --example {name}")), "{name} says how to run it");
        assert!(source.lines().count() <= 60, "{name} has more than 60 lines");
        #[allow(clippy::disallowed_methods, reason = "runs an example of this workspace")]
        let output = std::process::Command::new(binaries.join(&name)).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = stdout.lines().collect();
        if !output.status.success() || !matches(&promised(&source), &lines) {
            let stderr = String::from_utf8_lossy(&output.stderr);
            failures.push(format!("{name} ({}):\n{stdout}{stderr}", output.status));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
