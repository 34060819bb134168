//! The last line of a sanitizer's report, of a log whose beginning is lost.
//!
//! ```text
//! SUMMARY: AddressSanitizer: heap-buffer-overflow /src/c.c:12:35 in parse(char const*)
//! SUMMARY: AddressSanitizer: heap-buffer-overflow /src/c.c:12 parse            of older ones
//! SUMMARY: MemorySanitizer: use-of-uninitialized-value (/bin/c+0x4a4) in parse
//! SUMMARY: ThreadSanitizer: data race /src/c.c:12:3 in parse
//! SUMMARY: AddressSanitizer: 240 byte(s) leaked in 2 allocation(s).
//! SUMMARY: libFuzzer: timeout
//! ```

use super::clue::{Clue, Weight};
use super::frame::{RawFrame, split_place};
use super::lines::{Lines, after};
use super::{asan, thread, undefined};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let text = after(lines.at(index), "SUMMARY: ")?;
    let (tool, text) = text.split_once(": ")?;
    let leaks = || text.contains(" byte(s) leaked in ").then_some("memory-leak");
    let kind = match tool {
        "AddressSanitizer" | "HWAddressSanitizer" => asan::kind(text).or_else(leaks)?,
        "LeakSanitizer" => leaks()?,
        "MemorySanitizer" if text.starts_with("use-of-uninitialized-value") => "use-of-uninitialized-value",
        "ThreadSanitizer" => thread::kind(text).or_else(|| asan::kind(text))?,
        "UndefinedBehaviorSanitizer" => asan::kind(text).unwrap_or_else(|| undefined::summed(text)),
        "MemorySanitizer" => asan::kind(text)?,
        "libFuzzer" => match text.trim_end() {
            "timeout" => "timeout",
            "out-of-memory" => "out-of-memory",
            "fuzz target exited" => "fuzz-target-exited",
            "deadly signal" => "abrt",
            _ => return None,
        },
        _ => return None,
    };
    let mut clue = Clue::new(Weight::Signal, index, kind, text);
    // What stands above may be the stack of who allocated the memory.
    clue.stack = |lines, from| {
        let text = after(lines.at(from.saturating_sub(1)), "SUMMARY: ");
        text.and_then(|text| place(text.split_once(": ")?.1)).into_iter().collect()
    };
    Some(clue)
}

/// The place in the last line of the report that begins at `from`, where that has no stack.
pub(super) fn below<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    const AHEAD: usize = 60;
    let told = lines.from(from).take(AHEAD).find_map(|(_, line)| after(line, "SUMMARY: "));
    told.and_then(|text| place(text.split_once(": ")?.1)).into_iter().collect()
}

/// The place and the function behind the name of the error.
fn place(text: &str) -> Option<RawFrame<'_>> {
    let begins = |word: &&str| {
        word.starts_with('(') && word.contains("+0x") || split_place(word.trim_end_matches(':')).1.is_some()
    };
    let word = text.split(' ').find(begins)?;
    let rest = &text[word.as_ptr() as usize - text.as_ptr() as usize + word.len()..];
    let rest = rest.trim();
    let function = if rest == "in" { "" } else { rest.strip_prefix("in ").unwrap_or(rest) };
    let module = word.strip_prefix('(').and_then(|word| word.strip_suffix(')'));
    if let Some((module, offset)) = module.and_then(|module| module.rsplit_once("+0x")) {
        let offset = function.is_empty().then_some(offset);
        return Some(RawFrame { function, module: Some(module), offset, ..RawFrame::default() });
    }
    Some(RawFrame::at(function, word))
}
