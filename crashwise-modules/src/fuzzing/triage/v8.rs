//! Checks that failed in V8, and Node without memory.
//!
//! ```text
//! # Fatal error in ../src/x.cc, line 12
//! # Check failed: a == b (1 vs. 2).
//! FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory
//!  1: 0xb8d11b node::OOMErrorHandler(char const*, v8::OOMDetails const&) [node]
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};
use super::native;

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if let Some(rest) = after(line, "# Fatal error in ") {
        let (file, row) = rest.split_once(", line ").unwrap_or((rest.trim_end_matches([',', ' ']), ""));
        let text = lines.at(index + 1).trim_start_matches(['#', ' ']);
        let (kind, text) = match after(text, "heck failed: ") {
            Some(text) => ("check-failed", text),
            None => ("fatal-error", text),
        };
        let mut clue = Clue::new(Weight::Program, index, kind, text);
        let file = (!file.is_empty() && file != ",").then_some(file);
        clue.place = Some(RawFrame { file, line: row.trim().parse().ok(), ..RawFrame::default() });
        clue.stack = native::fuller_stack;
        return Some(clue);
    }
    let text = line.strip_prefix("FATAL ERROR: ")?;
    let (kind, weight) = if text.contains("out of memory") || text.contains("Allocation failed") {
        ("out-of-memory", Weight::Limit)
    } else {
        ("fatal-error", Weight::Program)
    };
    let mut clue = Clue::new(weight, index, kind, text);
    clue.stack = stack;
    Some(clue)
}

/// ` 5: 0x112b928 v8::internal::Heap::CollectGarbage(…) [node]`
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let (_, rest) = number(line.trim_start())?;
        let (address, rest) = rest.strip_prefix(": ")?.split_once(' ')?;
        let hex = address.strip_prefix("0x").unwrap_or(address);
        if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let (function, module) = match rest.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')) {
            Some((function, module)) => (function.trim(), Some(module)),
            // On Windows names are of what Node exports, and the nearest one is seldom right.
            None => (rest.rsplit_once('+').map_or(rest, |(name, _)| name), Some("node")),
        };
        Some(RawFrame { function, module, ..RawFrame::default() })
    };
    lines
        .from(from)
        .take(2000)
        .skip_while(|(at, line)| *at < from + 6 && frame(line).is_none())
        .map_while(|(_, line)| frame(line))
        .collect()
}
