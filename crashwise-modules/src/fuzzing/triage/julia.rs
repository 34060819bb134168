//! Crashes and exceptions of Julia.
//!
//! ```text
//! [4711] signal 11 (1): Segmentation fault
//! in expression starting at /src/demo/run.jl:7
//! parse at /src/demo/src/Demo.jl:19 [inlined]
//! ERROR: LoadError: BoundsError: attempt to access 3-element Vector{UInt8} at index [7]
//! Stacktrace:
//!  [2] field(x::Vector{UInt8}, at::Int64)
//!    @ Demo /src/demo/src/Demo.jl:12
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if line.starts_with("in expression starting at ") || line.contains(", in expression starting on line") {
        let said = lines.at(index.checked_sub(1)?);
        let (signal, _) = after(said, "signal ").map(|text| text.trim_start_matches('(')).and_then(number)?;
        let (kind, weight) = match signal {
            11 => ("segv", Weight::Fault),
            7 | 10 => ("bus", Weight::Fault),
            8 => ("fpe", Weight::Fault),
            6 => ("abrt", Weight::Consequence),
            4 => ("ill", Weight::Consequence),
            _ => return None,
        };
        let mut clue = Clue::new(weight, index, kind, said);
        clue.stack = native;
        return Some(clue);
    }
    let text = line.strip_prefix("ERROR: ")?;
    if !lines.from(index + 1).take(8).any(|(_, line)| line == "Stacktrace:") {
        return None;
    }
    let text = text.strip_prefix("LoadError: ").unwrap_or(text);
    let class = text.split([':', '(']).next().filter(|class| !class.contains(' '));
    let (kind, weight) = match class {
        Some("StackOverflowError") => ("stack-overflow", Weight::Fault),
        Some("OutOfMemoryError") => ("out-of-memory", Weight::Limit),
        _ => ("julia-exception", Weight::Program),
    };
    let mut clue = Clue::new(weight, index, kind, text);
    clue.cause = class
        .filter(|_| kind == "julia-exception")
        .map(|class| class.rsplit('.').next().unwrap_or(class).into());
    clue.stack = managed;
    Some(clue)
}

/// `parse at /src/demo/src/Demo.jl:19 [inlined]`, `unknown function (ip: 0x7f20c343d51d)`
fn native<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        if line.starts_with("unknown function ") {
            return Some(RawFrame::default());
        }
        let (function, place) = line.rsplit_once(" at ")?;
        let place = place.strip_suffix(" [inlined]").unwrap_or(place);
        let runtime = ["jl_", "ijl_", "_jl_"].iter().any(|start| function.starts_with(start));
        Some(match place.strip_suffix(" (unknown line)") {
            Some(module) => RawFrame { function, module: Some(module), ..RawFrame::default() },
            None if runtime => RawFrame { function, module: Some("libjulia"), ..RawFrame::default() },
            None => RawFrame::at(function, place),
        })
    };
    lines.from(from).take(1024).map_while(|(_, line)| frame(line)).collect()
}

fn managed<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let begin = lines.from(from).take(10).find(|(_, line)| *line == "Stacktrace:");
    let Some((begin, _)) = begin else { return Vec::new() };
    let mut frames: Vec<RawFrame<'a>> = Vec::new();
    for (_, line) in lines.from(begin + 1).take(2048) {
        let text = line.trim_start();
        if let Some(place) = text.strip_prefix("@ ") {
            let place = place.strip_suffix(" [inlined]").unwrap_or(place);
            // The module stands before the path; the language's own files are relative.
            let place = place.split_once(' ').map_or(place, |(_, place)| place);
            if let Some(last) = frames.last_mut() {
                *last = if place.starts_with("./") {
                    RawFrame { function: last.function, module: Some("libjulia"), ..RawFrame::default() }
                } else {
                    RawFrame::at(last.function, place)
                };
            }
        } else if let Some((_, rest)) = text.strip_prefix('[').and_then(number) {
            let Some(call) = rest.strip_prefix("] ") else { break };
            // Before 1.6 the place is on the same line.
            let (call, place) = call.rsplit_once(" at ").unwrap_or((call, ""));
            frames.push(RawFrame::at(call.split('(').next().unwrap_or(call), place));
        } else {
            break;
        }
    }
    frames
}
