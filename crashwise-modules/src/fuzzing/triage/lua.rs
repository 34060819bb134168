//! Errors of Lua, whatever the interpreter is called.
//!
//! ```text
//! lua: parse.lua:3: attempt to index a nil value (local 'x')
//! stack traceback:
//!         [C]: in function 'error'
//!         parse.lua:3: in upvalue 'parse'
//! ```

use super::clue::{Clue, Weight};
use super::frame::{RawFrame, split_place};
use super::lines::Lines;

/// The clue of a `stack traceback:`, which stands below the message.
pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    if lines.at(index).trim() != "stack traceback:" {
        return None;
    }
    let said =
        (index.saturating_sub(4)..index).rev().map(|at| lines.at(at).trim()).find(|line| line.contains(": "));
    let said = said.or_else(|| Some(lines.at(index.checked_sub(1)?).trim()))?;
    let (program, text) = said.split_once(": ").unwrap_or(("", said));
    // Without the interpreter's name the place comes first.
    let text = if split_place(program).1.is_some() { said } else { text };
    let (place, message) = match text.split_once(": ") {
        Some((place, message)) if split_place(place).1.is_some() => (Some(place), message),
        _ => (None, text),
    };
    let kind = if message.starts_with("stack overflow") { "stack-overflow" } else { "lua-error" };
    let mut clue = Clue::new(Weight::Program, index, kind, message);
    clue.place = place.map(|place| RawFrame::at("", place));
    clue.stack = stack;
    Some(clue)
}

fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames = Vec::new();
    for (_, line) in lines.from(from).take(512) {
        let text = line.trim_start();
        if text.len() == line.len() {
            // A message may hold a stack of its own.
            if text.starts_with("stack traceback:") {
                continue;
            }
            break;
        }
        let Some((place, function)) = text.split_once(": in ") else { continue };
        let function = ["function ", "upvalue ", "local ", "method ", "field ", "global ", "metamethod "]
            .iter()
            .find_map(|what| function.strip_prefix(what))
            .unwrap_or(function)
            .trim_matches(['\'', '<', '>']);
        let function = if function == "main chunk" { "main" } else { function };
        frames.push(if place == "[C]" {
            RawFrame { function, module: Some("[C]"), ..RawFrame::default() }
        } else {
            RawFrame::at(function, place)
        });
    }
    frames
}
