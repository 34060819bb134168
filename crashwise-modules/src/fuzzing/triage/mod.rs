//! Reads the log of a crash and says what happened, where, how bad it is, and whether it was seen before.
//!
//! ```
//! use crashwise_modules::fuzzing::triage::{Scope, triage};
//!
//! let log = b"thread 'main' (12) panicked at src/parse.rs:41:9:\n\
//!             index out of bounds: the len is 3 but the index is 7\n";
//! let crash = triage(log, &Scope::new()).unwrap();
//! assert_eq!(crash.kind, "rust-panic");
//! assert_eq!(crash.cause.as_deref(), Some("index-out-of-bounds"));
//! assert_eq!(crash.blame().unwrap().to_string(), "src/parse.rs:41:9");
//! ```
//!
//! One file per family of reports: it recognises the line that opens a report (a *clue*), and reads the stack that
//! follows. A log often holds several, such as a panic and the signal it ends in; the clue that says most wins. The
//! parsers work on lines, without regular expressions, and give up quietly on anything that is not what it seems.

mod apple;
mod asan;
mod assertion;
mod beam;
mod c_runtime;
mod clue;
mod clusterfuzz;
mod compiled;
mod debugger;
mod dedup;
mod demangle;
mod detected;
mod dotnet;
mod drmemory;
mod engine;
mod fault;
mod frame;
mod function;
mod go;
mod gwp;
mod handler;
mod hash;
mod haskell;
mod interpreted;
mod ips;
mod java;
mod julia;
mod jvm;
mod kernel;
mod leak;
mod libfuzzer;
mod lines;
mod lua;
mod machinery;
mod memory;
mod message;
mod minidump;
mod miri;
mod names;
mod native;
mod ocaml;
mod paths;
mod php;
mod python;
mod report;
mod rlang;
mod roles;
mod ruby;
mod rubyvm;
mod rust;
mod scope;
mod script;
mod severity;
mod signal;
mod stamps;
mod stdlib;
mod summary;
mod swift;
mod symbolized;
mod thread;
mod undefined;
mod v8;
mod valgrind;
mod violation;
mod wasm;
mod windbg;
mod zig;

pub use dedup::{Known, Sighting};
pub use frame::{Frame, Role};
pub use function::function_name;
pub use hash::StackHash;
pub use message::fold;
pub use report::{Access, AccessKind, CrashReport};
pub use scope::Scope;
pub use severity::Exploitability;
pub(super) use signal::name as signal_name;

use lines::Lines;

/// The crash that `log` tells of, or `None` if it tells of none.
///
/// Looks at the first and last 4 MiB of a longer log. Text that is not UTF-8 is read with replacement characters.
pub fn triage(log: &[u8], scope: &Scope) -> Option<CrashReport> {
    let text = lines::clean(log);
    let lines = Lines::new(&text);
    let clue = clue::best(&lines)?;
    Some(report::assemble(&lines, clue, scope))
}

/// A hash by which logs of one and the same build are told apart without looking up names: much cheaper than a report, as
/// the fuzzer need not symbolise its stacks. `None` if the log tells of no crash.
pub fn signature(log: &[u8]) -> Option<StackHash> {
    let text = lines::clean(log);
    let lines = Lines::new(&text);
    let clue = clue::best(&lines)?;
    Some(report::signature(&lines, &clue))
}

#[cfg(test)]
mod tests;
