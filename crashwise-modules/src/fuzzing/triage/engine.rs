//! Checks that failed in large programs with words of their own: Unreal Engine, `PostgreSQL`.
//!
//! ```text
//! LogWindows: Error: appError called: Fatal error: [File:/src/Demo/Source/Parse.cpp] [Line: 42] A table has no rows.
//! TRAP: failed Assert("count > 0"), File: "parse.c", Line: 42, PID: 4711
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let (kind, file, row, text) = if let Some(text) = line.strip_prefix("TRAP: ") {
        let file = after(text, "File: \"")?.split('"').next()?;
        ("assertion", file, after(text, "Line: ")?, text.split("\", File: ").next().unwrap_or(text))
    } else {
        let (said, place) = line.split_once("[File:")?;
        let said = said.trim_end();
        let kind = if said.ends_with("Assertion failed:") || said.contains("Assertion failed: ") {
            "assertion"
        } else if said.ends_with("atal error:") || said.ends_with("LowLevelFatalError") {
            "fatal-error"
        } else {
            return None;
        };
        let (file, rest) = place.split_once(']')?;
        let rest = after(rest, "[Line: ")?;
        (kind, file, rest, rest.split_once(']').map_or("", |(_, text)| text))
    };
    let (row, _) = number(row)?;
    let mut clue = Clue::new(Weight::Program, index, kind, text);
    clue.place = Some(RawFrame { file: Some(file), line: u32::try_from(row).ok(), ..RawFrame::default() });
    clue.stack = |_, _| Vec::new();
    Some(clue)
}
