//! Miri, the interpreter of Rust that finds undefined behaviour.
//!
//! ```text
//! error: Undefined Behavior: pointer arithmetic failed: alloc1 has size 8, so pointer to 3 bytes starting at offset 6 is out-of-bounds
//!   --> src/lib.rs:7:18
//!    = note: inside `demo::parse` at src/lib.rs:7:18
//! note: inside `demo::load`
//!   --> src/lib.rs:20:5
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let (kind, weight, text) = if let Some(text) = after(line, "error: Undefined Behavior: ") {
        (kind(text), Weight::Sanitizer, text)
    } else if let Some(text) = after(line, "error: memory leaked: ") {
        ("memory-leak", Weight::Leak, text)
    } else if let Some(text) = after(line, "error: abnormal termination: ") {
        ("abrt", Weight::Consequence, text)
    } else {
        ("deadlock", Weight::Program, after(line, "error: deadlock: ")?)
    };
    let mut clue = Clue::new(weight, index, kind, text);
    clue.stack = stack;
    Some(clue)
}

fn kind(text: &str) -> &'static str {
    const PARTS: &[(&str, &str)] = &[
        ("Data race detected", "data-race"),
        ("has been freed", "heap-use-after-free"),
        ("use-after-free", "heap-use-after-free"),
        ("uninitialized", "use-of-uninitialized-value"),
        ("borrow stack", "aliasing-violation"),
        ("Tree Borrows", "aliasing-violation"),
        ("is forbidden", "aliasing-violation"),
        ("protected", "aliasing-violation"),
        ("retag", "aliasing-violation"),
        ("null pointer", "null-dereference"),
        ("out-of-bounds", "out-of-bounds-pointer"),
        ("beyond the end of the allocation", "out-of-bounds-pointer"),
        ("is a dangling pointer", "dangling-pointer"),
        ("alignment", "misaligned-address"),
        ("constructing invalid value", "invalid-value"),
        ("unreachable code", "unreachable"),
        ("overflow", "arithmetic-overflow"),
    ];
    PARTS.iter().find(|(part, _)| text.contains(part)).map_or("undefined-behavior", |(_, kind)| kind)
}

/// Each function that it was inside of, whose place stands on the same line or on the next; the first has the place of the error.
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames: Vec<RawFrame<'a>> = Vec::new();
    let mut error = None;
    for (index, line) in lines.from(from).take(400) {
        let text = line.trim_start();
        if text.starts_with("error: ") {
            break;
        }
        if error.is_none() {
            error = text.strip_prefix("--> ");
        }
        let Some(inside) = text.trim_start_matches("= ").strip_prefix("note: inside ") else { continue };
        let (function, place) = match inside.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
            Some((function, rest)) => (function, rest.strip_prefix(" at ").unwrap_or("")),
            None => ("{closure}", ""),
        };
        let place = if place.is_empty() {
            lines.at(index + 1).trim_start().strip_prefix("--> ").unwrap_or("")
        } else {
            place
        };
        // The place is a span: `src/lib.rs:7:18: 7:30`.
        frames.push(RawFrame::at(function, place.split(": ").next().unwrap_or(place)));
    }
    if frames.is_empty() {
        frames.extend(error.map(|place| RawFrame::at("", place)));
    }
    frames
}
