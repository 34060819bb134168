//! `MemorySanitizer`.
//!
//! ```text
//! ==1==WARNING: MemorySanitizer: use-of-uninitialized-value
//!     #0 0x56065be0ce08 in parse /src/c.c:22:38
//! ```

use super::asan::access;
use super::clue::{Clue, Weight};
use super::fault;
use super::lines::{Lines, after};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let text = after(line, "MemorySanitizer: ")?;
    if line.contains("SUMMARY:") {
        return None;
    }
    let (kind, weight) = match text.split([' ', ':', '(']).next()? {
        "use-of-uninitialized-value" => ("use-of-uninitialized-value", Weight::Sanitizer),
        "bad-free" | "attempting" if text.contains("double-free") => ("double-free", Weight::Sanitizer),
        "use-after-poison" => ("use-after-poison", Weight::Sanitizer),
        "requested" => ("allocation-size-too-big", Weight::Limit),
        "out-of-memory" => ("out-of-memory", Weight::Limit),
        _ => return fault::clue(lines, index, text),
    };
    let mut clue = Clue::new(weight, index, kind, text);
    clue.access = (index + 1..index + 4).find_map(|near| access(lines.at(near)));
    clue.address = fault::address(text);
    Some(clue)
}
