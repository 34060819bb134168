//! A wrapper around `rustc` that instruments the crates to be fuzzed, on a stable toolchain, and no others: to instrument
//! everything, the fuzzer itself included, costs a factor of a hundred.
//!
//! ```text
//! RUSTC_WRAPPER=crashwise-rustc cargo run --release --target x86_64-unknown-linux-gnu --target-dir target/fuzz
//! ```
//!
//! - The crates of the workspace are instrumented, and those that `CRASHWISE_INSTRUMENT=yaml_rust,hpack` names.
//! - `--target` is needed, also for the machine at hand: without it, build scripts would share the instrumented crates and
//!   not link. Crates built without it are left as they are.
//! - A target directory of its own is needed, because cargo does not see what a wrapper does.
//! - `CRASHWISE_INNER_WRAPPER` names a wrapper to call in turn, such as sccache.

#![allow(clippy::print_stderr, reason = "a program that says why it fails")]

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::ExitCode;

/// What makes LLVM count edges and show comparisons.
const INSTRUMENTATION: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=3",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // Comparisons of constant strings stay calls, which are seen, and do not become loads, which are not.
    "-Cllvm-args=-max-loads-per-memcmp=0",
    "-Ccodegen-units=1",
];

fn main() -> ExitCode {
    let mut words: Vec<OsString> = env::args_os().skip(1).collect();
    if words.is_empty() {
        eprintln!("crashwise-rustc: call it as RUSTC_WRAPPER of cargo");
        return ExitCode::from(64);
    }
    let named = env::var("CRASHWISE_INSTRUMENT").unwrap_or_default();
    let text: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    if is_to_be_fuzzed(&text, &named) {
        words.extend(INSTRUMENTATION.map(OsString::from));
    }
    if let Some(inner) = env::var_os("CRASHWISE_INNER_WRAPPER").filter(|inner| !inner.is_empty()) {
        words.insert(0, inner);
    }
    #[allow(clippy::disallowed_methods, reason = "it becomes the compiler")]
    let error = std::process::Command::new(&words[0]).args(&words[1..]).exec();
    eprintln!("crashwise-rustc: {}: {error}", words[0].to_string_lossy());
    ExitCode::from(2)
}

/// Whether a call of the compiler builds a crate that is to be fuzzed.
fn is_to_be_fuzzed(words: &[String], named: &str) -> bool {
    let after = |flag: &str| words.iter().skip_while(|word| *word != flag).nth(1).map_or("", String::as_str);
    let name = after("--crate-name");
    let cross = words.iter().any(|word| word == "--target" || word.starts_with("--target="));
    if !cross || after("--crate-type") == "proc-macro" || name.is_empty() || name.starts_with("build_script_")
    {
        return false;
    }
    if named.split(',').any(|one| one.trim().replace('-', "_") == name) {
        return true;
    }
    let source = words.iter().find(|word| Path::new(word).extension().is_some_and(|ending| ending == "rs"));
    let fetched = |word: &String| word.contains("/registry/src/") || word.contains("/git/checkouts/");
    !name.starts_with("crashwise_") && source.is_some_and(|source| !fetched(source))
}

#[cfg(test)]
mod tests {
    use super::is_to_be_fuzzed;

    #[test]
    fn crates_of_the_workspace_and_named_ones() {
        for (call, named, expect) in [
            ("rustc --crate-name app src/main.rs --crate-type bin --target x", "", true),
            ("rustc --crate-name app src/main.rs --crate-type bin", "", false),
            ("rustc --crate-name build_script_build build.rs --crate-type bin --target x", "", false),
            ("rustc --crate-name derive src/lib.rs --crate-type proc-macro --target x", "derive", false),
            (
                "rustc --crate-name hpack /c/registry/src/i/hpack-0.3.0/src/lib.rs --crate-type lib --target=x",
                "",
                false,
            ),
            (
                "rustc --crate-name yaml_rust /c/registry/src/i/y/src/lib.rs --target x",
                "hpack, yaml-rust",
                true,
            ),
            ("rustc --crate-name crashwise_core src/lib.rs --target x", "", false),
            ("rustc -vV", "", false),
        ] {
            let words: Vec<String> = call.split(' ').map(str::to_owned).collect();
            assert_eq!(is_to_be_fuzzed(&words, named), expect, "{call}");
        }
    }
}
