//! Panics of Zig.
//!
//! ```text
//! thread 318181 panic: index out of bounds: index 128, len 128
//! /src/demo/parse.zig:481:34: 0x2484f5 in parse (demo)
//!                     if (tags[i + 1] != .simple) {
//!                                  ^
//! /usr/lib/zig/std/start.zig:583:37: 0x23ae85 in posixCallMainAndExit (demo)
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let mut clue = if let Some(text) =
        after(line, "thread ").and_then(|rest| number(rest)?.1.strip_prefix(" panic: "))
    {
        let mut clue = Clue::new(Weight::Program, index, "zig-panic", text);
        clue.cause = cause(text).map(Into::into);
        clue
    } else {
        // Bun, which is written in Zig, tells the thread first.
        let text = line.strip_prefix("panic(main thread): ").unwrap_or(line);
        let text = text.strip_prefix("Segmentation fault at address ")?;
        let mut clue = Clue::new(Weight::Fault, index, "segv", line);
        clue.address = number(text).map(|(address, _)| address);
        clue.near_null()
    };
    clue.stack = stack;
    Some(clue)
}

fn cause(text: &str) -> Option<&'static str> {
    const STARTS: &[(&str, &str)] = &[
        ("index out of bounds", "index-out-of-bounds"),
        ("start index ", "slice-out-of-bounds"),
        ("end index ", "slice-out-of-bounds"),
        ("integer overflow", "arithmetic-overflow"),
        ("integer cast truncated bits", "arithmetic-overflow"),
        ("integer does not fit in destination type", "arithmetic-overflow"),
        ("attempt to cast negative value", "arithmetic-overflow"),
        ("shift amount is greater", "invalid-shift"),
        ("left shift overflowed", "invalid-shift"),
        ("division by zero", "division-by-zero"),
        ("reached unreachable code", "unreachable"),
        ("attempt to use null value", "unwrap-none"),
        ("attempt to unwrap error", "unwrap-err"),
        ("incorrect alignment", "misaligned-address"),
        ("cast causes pointer to be null", "null-dereference"),
        ("access of union field", "bad-cast"),
        ("access of inactive union field", "bad-cast"),
        ("invalid enum value", "invalid-enum"),
        ("@memcpy arguments", "param-overlap"),
    ];
    STARTS.iter().find(|(start, _)| text.starts_with(start)).map(|(_, cause)| *cause)
}

/// `/src/parse.zig:481:34: 0x2484f5 in parse (demo)`, with the source and a caret below each.
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames = Vec::new();
    let mut foreign = 0;
    for (_, line) in lines.from(from).take(2048) {
        let frame = line.split_once(": 0x").and_then(|(place, rest)| {
            let (_, function) = rest.split_once(" in ")?;
            let function = function.rsplit_once(" (").map_or(function, |(function, _)| function);
            Some(RawFrame::at(function, place.strip_prefix("???:?:?").unwrap_or(place)))
        });
        match frame {
            Some(frame) => {
                frames.push(frame);
                foreign = 0;
            }
            None => foreign += 1,
        }
        if foreign > 3 || frames.len() == 1024 {
            break;
        }
    }
    frames
}
