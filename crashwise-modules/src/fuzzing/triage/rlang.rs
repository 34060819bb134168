//! Crashes and errors of R.
//!
//! ```text
//!  *** caught segfault ***
//! address 0x30, cause 'memory not mapped'
//! Traceback:
//!  1: parse_header(x, 7)
//! Error in field(x, 7) : subscript out of bounds
//! Calls: main -> record -> field
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if let Some(fault) = after(line, "*** caught ").and_then(|text| text.strip_suffix(" ***")) {
        let kind = match fault {
            "segfault" => "segv",
            "bus error" => "bus",
            "illegal operation" => "ill",
            _ => return None,
        };
        let said = lines.at(index + 1);
        let mut clue = Clue::new(Weight::Fault, index, kind, said);
        let address = after(said, "address ");
        let null = address.is_some_and(|text| text.starts_with("(nil)")).then_some(0);
        clue.address = address.and_then(number).map(|(address, _)| address).or(null);
        clue.stack = stack;
        return Some(clue.near_null());
    }
    let (_, text) = line.strip_prefix("Error in ")?.split_once(" : ")?;
    let ended = lines
        .from(index + 1)
        .take(8)
        .any(|(_, line)| line == "Execution halted" || line.starts_with("Calls: "));
    if !ended {
        return None;
    }
    let message = if text.trim().is_empty() { lines.at(index + 1) } else { text };
    let mut clue = Clue::new(Weight::Program, index, "r-error", message);
    clue.stack = failed_call;
    Some(clue)
}

/// The call that `Error in field(x, 7) : …` names, of the line before `from`.
fn failed_call<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let call = from.checked_sub(1).and_then(|at| lines.at(at).strip_prefix("Error in "));
    let function = call.and_then(|call| call.split('(').next());
    function.into_iter().map(|function| RawFrame { function, ..RawFrame::default() }).collect()
}

/// ` 1: parse_header(x, 7)`, the innermost first.
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let (_, call) = number(line.trim_start())?;
        let function = call.strip_prefix(": ")?.split('(').next()?;
        let machinery =
            ["eval", "doTryCatch", "tryCatch", "tryCatchList", "tryCatchOne", "withCallingHandlers"];
        let module = machinery.contains(&function).then_some("libR.so");
        Some(RawFrame { function, module, ..RawFrame::default() })
    };
    lines
        .from(from)
        .take(300)
        .skip_while(|(at, line)| *at < from + 6 && frame(line).is_none())
        .map_while(|(_, line)| frame(line))
        .collect()
}
