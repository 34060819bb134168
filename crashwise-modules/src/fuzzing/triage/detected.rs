//! Sanitizers of what a program does to the system: commands, files, names, as OSS-Fuzz's look for it.
//!
//! ```text
//! ===BUG DETECTED: PySecSan: Command injection ===
//! [PYSECSAN] Stacktrace:
//!   File "demo.py", line 43, in <module>
//!   File "demo.py", line 25, in list
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after};
use super::{native, python, symbolized};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let text = after(lines.at(index), "BUG DETECTED: ")?.trim_end_matches(['=', ' ']);
    let text = text.strip_prefix("PySecSan: ").unwrap_or(text);
    let mut clue = Clue::new(Weight::Sanitizer, index, "security-issue", text);
    clue.cause = Some(text.trim().to_ascii_lowercase().replace(' ', "-").into());
    clue.stack = stack;
    Some(clue)
}

fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let first = lines
        .from(from)
        .take(60)
        .find(|(_, line)| python::file(line).is_some() || symbolized::frame(line).is_some());
    let Some((begin, line)) = first else { return Vec::new() };
    if symbolized::frame(line).is_some() {
        return native::stack(lines, begin);
    }
    let mut frames: Vec<_> = lines.from(begin).take(1024).map_while(|(_, line)| python::file(line)).collect();
    frames.reverse();
    frames
}
