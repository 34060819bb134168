//! Traps of WebAssembly, as Wasmtime tells of them.
//!
//! ```text
//!     0: error while executing at wasm backtrace:
//!            0:  0x2c5 - demo.wasm!parse
//!                            at /src/demo/parse.c:3:5
//!     1: wasm trap: integer divide by zero
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    if !lines.at(index).contains("error while executing at wasm backtrace:") {
        return None;
    }
    let text = lines.from(index + 1).take(1100).find_map(|(_, line)| after(line, "wasm trap: "))?;
    let kind = if text.contains("call stack exhausted") { "stack-overflow" } else { "wasm-trap" };
    let mut clue = Clue::new(Weight::Program, index, kind, text);
    if kind == "wasm-trap" {
        clue.cause = Some(cause(text).into());
    }
    clue.stack = stack;
    Some(clue)
}

fn cause(text: &str) -> &'static str {
    const PARTS: &[(&str, &str)] = &[
        ("out of bounds memory access", "out-of-bounds-memory"),
        ("out of bounds table access", "index-out-of-bounds"),
        ("undefined element", "index-out-of-bounds"),
        ("uninitialized element", "null-dereference"),
        ("indirect call type mismatch", "incorrect-function-pointer"),
        ("integer divide by zero", "division-by-zero"),
        ("integer overflow", "arithmetic-overflow"),
        ("invalid conversion to integer", "float-cast-overflow"),
        ("unreachable", "unreachable"),
    ];
    PARTS.iter().find(|(part, _)| text.contains(part)).map_or("trap", |(_, cause)| cause)
}

fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames: Vec<RawFrame<'a>> = Vec::new();
    for (_, line) in lines.from(from).take(1024) {
        let text = line.trim_start();
        if let (Some(place), Some(last)) = (text.strip_prefix("at "), frames.last_mut()) {
            if last.file.is_none() {
                *last = RawFrame::at(last.function, place);
            }
            continue;
        }
        let Some((_, call)) = number(text).and_then(|(_, rest)| rest.strip_prefix(':')?.split_once(" - "))
        else {
            break;
        };
        let function = call.split_once('!').map_or(call, |(_, function)| function);
        frames.push(RawFrame { function, ..RawFrame::default() });
    }
    frames
}
