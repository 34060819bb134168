//! What `ClusterFuzz` and OSS-Fuzz say of a crash: on the page of a test case, in an issue, in OSV.
//!
//! ```text
//! Crash Type: Heap-buffer-overflow READ 4
//! Crash Address: 0x602000000031
//! Crash State:
//!   demo::Parser::field
//!   demo::Parser::record
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, number};
use super::report::{Access, AccessKind};

/// Lines from the type to the state.
const AHEAD: usize = 6;
/// Functions that a state has, and one line that is none.
const STATE: usize = 6;

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let text = field(lines.at(index), "crash type:")?;
    state(lines, index)?;
    let (name, access) = parted(text);
    let name = name.to_ascii_lowercase();
    let kind = KINDS
        .iter()
        .find(|(known, _)| *known == name)
        .map_or_else(|| plain(&name), |(_, kind)| (*kind).into());
    let address = (index + 1..index + AHEAD).find_map(|at| field(lines.at(at), "crash address:"));
    let mut clue = Clue::new(Weight::Signal, index, kind, text);
    clue.access = access;
    clue.address = address.and_then(number).map(|(address, _)| address);
    if name.starts_with("null-dereference") {
        clue.cause = Some("null-dereference".into());
    }
    clue.stack = stack;
    Some(clue.near_null())
}

/// What stands behind the name of a field, which an issue may have in bold.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let line = line.trim_start_matches([' ', '*', '-', '>']);
    let (head, rest) = line.split_at_checked(name.len())?;
    head.eq_ignore_ascii_case(name).then(|| rest.trim_matches([' ', '*', '`']))
}

/// The line of the state.
fn state(lines: &Lines<'_>, index: usize) -> Option<usize> {
    (index + 1..index + AHEAD).find(|at| field(lines.at(*at), "crash state:").is_some())
}

/// The name of an error and the access: `Heap-buffer-overflow READ 4`, `UNKNOWN WRITE`, `Heap-use-after-free READ {*}`.
fn parted(text: &str) -> (&str, Option<Access>) {
    for (word, kind) in [(" READ", AccessKind::Read), (" WRITE", AccessKind::Write)] {
        if let Some((name, size)) = text.split_once(word) {
            let size = number(size.trim()).map(|(size, _)| size);
            return (name.trim(), Some(Access { kind, size }));
        }
    }
    (text, None)
}

/// Names that are not those of the sanitizers in another spelling.
const KINDS: &[(&str, &str)] = &[
    ("abrt", "abrt"),
    ("assert", "assertion"),
    ("bad-cast", "bad-cast"),
    ("check failure", "check-failed"),
    ("dcheck failure", "check-failed"),
    ("security check failure", "check-failed"),
    ("security dcheck failure", "check-failed"),
    ("data race", "data-race"),
    ("direct-leak", "memory-leak"),
    ("indirect-leak", "memory-leak"),
    ("divide-by-zero", "division-by-zero"),
    ("fatal error", "fatal-error"),
    ("fatal signal", "abrt"),
    ("floating-point-exception", "fpe"),
    ("heap-double-free", "double-free"),
    ("incorrect-function-pointer-type", "incorrect-function-pointer"),
    ("integer-overflow", "signed-integer-overflow"),
    ("invalid-bool-value", "invalid-bool"),
    ("invalid-enum-value", "invalid-enum"),
    ("invalid-free", "bad-free"),
    ("memcpy-param-overlap", "param-overlap"),
    ("no-return-value", "missing-return"),
    ("non-positive-vla-bound-value", "non-positive-vla-bound"),
    ("null-dereference", "segv"),
    ("null-reference", "null-reference"),
    ("object-size", "insufficient-object-size"),
    ("segv", "segv"),
    ("segv on unknown address", "segv"),
    ("undefined-shift", "invalid-shift"),
    ("unexpected-exit", "fuzz-target-exited"),
    ("uncaught exception", "uncaught-exception"),
    ("unknown", "segv"),
    ("unreachable code", "unreachable"),
];

/// `Heap-buffer-overflow` and alike.
fn plain(name: &str) -> std::borrow::Cow<'static, str> {
    let known = name.len() < 64
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"- ".contains(&byte));
    if known { name.replace(' ', "-").into() } else { "unknown-crash".into() }
}

fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let Some(begin) = state(lines, from.saturating_sub(1)) else { return Vec::new() };
    lines
        .from(begin + 1)
        .take(STATE)
        .map(|(_, line)| line.trim().trim_matches('`'))
        .take_while(|text| !text.is_empty() && !text.contains(": ") && !text.ends_with(':'))
        .filter(|text| *text != "- crash stack -" && *text != "NULL")
        .map(|function| RawFrame { function, ..RawFrame::default() })
        .collect()
}
