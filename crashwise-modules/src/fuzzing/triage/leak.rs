//! `LeakSanitizer`.
//!
//! ```text
//! ==27076==ERROR: LeakSanitizer: detected memory leaks
//!
//! Direct leak of 100 byte(s) in 1 object(s) allocated from:
//!     #0 0x55725947115e in malloc (/tmp/c+0xa415e)
//!     #1 0x5572594ac665 in parse /src/c.c:21:18
//! ```

use super::clue::{Clue, Weight};
use super::fault;
use super::frame::RawFrame;
use super::lines::{Lines, after, number};
use super::native;

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if line.trim_start().starts_with("Direct leak of ") {
        // Where the head of the report was cut off. The head is the first of equal clues.
        return Some(Clue::new(
            Weight::Leak,
            index,
            "memory-leak",
            line.trim_end_matches(" allocated from:"),
        ));
    }
    let text = after(line, "LeakSanitizer: ")?;
    if line.contains("SUMMARY:") {
        return None;
    }
    if text.starts_with("CHECK failed") {
        return Some(Clue::new(Weight::Fault, index, "sanitizer-check-failed", text));
    }
    if !text.starts_with("detected memory leaks") {
        return fault::clue(lines, index, text);
    }
    let mut clue = Clue::new(Weight::Leak, index, "memory-leak", text);
    clue.stack = stack;
    if let Some(first) = first_leak(lines, index) {
        let bytes = after(lines.at(first), "leak of ").and_then(number).map(|(bytes, _)| bytes);
        clue.message = lines.at(first).trim().trim_end_matches(" allocated from:").into();
        clue.access = None;
        if bytes.is_some() && lines.at(first).trim_start().starts_with("Indirect") {
            clue.cause = Some("indirect".into());
        }
    }
    Some(clue)
}

/// The first direct leak, which owns the indirect ones; else the first.
fn first_leak(lines: &Lines<'_>, index: usize) -> Option<usize> {
    let ahead = || lines.from(index + 1).take(5000);
    let direct = ahead().find(|(_, line)| line.trim_start().starts_with("Direct leak of "));
    direct.or_else(|| ahead().find(|(_, line)| line.contains("leak of "))).map(|(index, _)| index)
}

fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    native::stack(lines, first_leak(lines, from.saturating_sub(1)).map_or(from, |leak| leak + 1))
}
