//! `GWP-ASan`, of Android, Chromium and Scudo.
//!
//! ```text
//! *** GWP-ASan detected a memory error ***
//! Use After Free at 0x7fc290298000 (0 bytes into a 32-byte allocation at 0x7fc290298000) by thread 12 here:
//!   #0 ./demo(parse+0x31) [0x5bf001]
//! ```

use super::clue::{Clue, Weight};
use super::lines::{Lines, after, number};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let text = match after(line, "[GWP-ASan]: ") {
        Some(text) => text,
        None if line.contains(" detected a memory error") => {
            let next = lines.at(index + 1);
            // tcmalloc has a prefix on each line.
            after(next, ">>> ").unwrap_or(next).trim()
        }
        None => return None,
    };
    let kind = match text.split([',', '(']).next()?.split(" at ").next()?.trim() {
        "Use After Free" => "heap-use-after-free",
        "Buffer Overflow" | "Buffer Underflow" => "heap-buffer-overflow",
        "Double Free" => "double-free",
        "Invalid (Wild) Free" | "Invalid" => "bad-free",
        _ => "unknown-crash",
    };
    let mut clue = Clue::new(Weight::Sanitizer, index, kind, text);
    clue.address =
        after(text, " at ").filter(|rest| rest.starts_with("0x")).and_then(number).map(|(at, _)| at);
    Some(clue)
}
