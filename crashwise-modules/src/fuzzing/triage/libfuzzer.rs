//! What libFuzzer itself reports, and Centipede.
//!
//! ```text
//! ==12==ERROR: libFuzzer: timeout after 25 seconds
//! ==12== ERROR: libFuzzer: out-of-memory (used: 2051Mb; limit: 2048Mb)
//! ==12== ERROR: libFuzzer: deadly signal
//! ========= Per-input timeout exceeded: 26 > 25 (sec); exiting
//! ```

use super::clue::{Clue, Weight};
use super::lines::{Lines, after};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let Some(text) = after(line, "ERROR: libFuzzer: ") else {
        if line.contains("SUMMARY:") {
            return None;
        }
        if let Some(text) = after(line, "========= ") {
            return centipede(index, text);
        }
        let text = after(line, "ALARM: working on the last Unit for ")?;
        return Some(Clue::new(Weight::Limit, index, "timeout", text));
    };
    let (kind, weight) = if text.starts_with("timeout") {
        ("timeout", Weight::Limit)
    } else if text.starts_with("out-of-memory") {
        ("out-of-memory", Weight::Limit)
    } else if text.starts_with("overwrites-const-input")
        || text.contains("fuzz target overwrites its const input")
    {
        ("overwrites-const-input", Weight::Sanitizer)
    } else if text.starts_with("fuzz target exited") {
        ("fuzz-target-exited", Weight::Consequence)
    } else if text.starts_with("deadly signal") {
        ("abrt", Weight::Consequence)
    } else {
        return None;
    };
    Some(Clue::new(weight, index, kind, text))
}

/// Which of its limits Centipede's runner says that an input went over.
fn centipede(index: usize, text: &str) -> Option<Clue<'_>> {
    let kind = match text.split(" exceeded: ").next()? {
        "Per-input timeout" | "Per-batch timeout" => "timeout",
        "RSS limit" | "Malloc limit" => "rss-limit-exceeded",
        "Stack limit" => "stack-overflow",
        _ => return None,
    };
    Some(Clue::new(Weight::Limit, index, kind, text))
}
