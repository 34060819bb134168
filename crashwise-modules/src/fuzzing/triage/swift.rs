//! Traps of Swift, and the backtraces that its runtime prints.
//!
//! ```text
//! demo/Parse.swift:12: Fatal error: Index out of range
//! Fatal error: Unexpectedly found nil while unwrapping an Optional value: file demo/Parse.swift, line 12
//! *** Program crashed: Bad pointer dereference at 0x0000000000000008 ***
//! Thread 0 "demo" crashed:
//! 0 0x000055f2 parse(_:) + 60 in demo at /src/demo/Parse.swift:12:9
//! ```

use super::clue::{Clue, Weight};
use super::frame::{RawFrame, split_place};
use super::lines::{Lines, after, number};
use super::paths::extension;

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if let Some(text) = after(line, "Program crashed: ") {
        let (kind, weight) = match text {
            _ if text.starts_with("Bad pointer dereference") => ("segv", Weight::Fault),
            _ if text.starts_with("Stack overflow") => ("stack-overflow", Weight::Fault),
            _ if text.starts_with("Illegal instruction") => ("ill", Weight::Consequence),
            _ if text.starts_with("Aborted") => ("abrt", Weight::Consequence),
            _ => ("trap", Weight::Consequence),
        };
        let mut clue = Clue::new(weight, index, kind, text.trim_end_matches([' ', '*']));
        clue.address = after(text, " at ").and_then(number).map(|(address, _)| address);
        clue.stack = stack;
        return Some(clue.near_null());
    }
    let (before, text) = line.split_once("Fatal error: ").or_else(|| line.split_once("fatal error: "))?;
    let (text, place) = match text
        .rsplit_once(": file ")
        .and_then(|(text, place)| Some((text, place.rsplit_once(", line ")?)))
    {
        Some((text, (file, line))) => {
            (text, RawFrame { file: Some(file), line: line.trim().parse().ok(), ..RawFrame::default() })
        }
        None => (text, RawFrame::at("", before.trim_end_matches([':', ' ']))),
    };
    let placed = place.file.is_some_and(|file| extension(file, "swift"));
    // Xcode shows no more than what only Swift says.
    let said = |said: &&str| text.get(1..).is_some_and(|text| text.starts_with(*said));
    if !placed && !["nexpectedly found nil while", "ndex out of range"].iter().any(said) {
        return None;
    }
    let mut clue = Clue::new(Weight::Program, index, "swift-fatal-error", text);
    clue.cause = cause(text).map(Into::into);
    clue.place = Some(place).filter(|_| placed);
    clue.stack = stack;
    Some(clue)
}

fn cause(text: &str) -> Option<&'static str> {
    const PARTS: &[(&str, &str)] = &[
        ("ndex out of range", "index-out-of-bounds"),
        ("ndex is out of bounds", "index-out-of-bounds"),
        ("out of bounds", "index-out-of-bounds"),
        ("can't form Range", "slice-out-of-bounds"),
        ("found nil", "unwrap-none"),
        ("ivision by zero", "division-by-zero"),
        ("arithmetic overflow", "arithmetic-overflow"),
        ("not enough bits to represent", "arithmetic-overflow"),
        ("would overflow", "arithmetic-overflow"),
        ("expression unexpectedly raised an error", "unwrap-err"),
    ];
    PARTS.iter().find(|(part, _)| text.contains(part)).map(|(_, cause)| *cause)
}

/// `0 0x55f2 parse(_:) + 60 in demo at /src/demo/Parse.swift:12:9`, or before 5.9 `0    libswiftCore.so 0x7f parse + 69`.
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let (_, rest) = number(line.trim_start())?;
        let rest = rest.strip_prefix(' ')?.trim_start();
        let rest = rest.strip_prefix("[ra] ").or_else(|| rest.strip_prefix("[inlined] ")).unwrap_or(rest);
        if let Some(hex) = rest.strip_prefix("0x") {
            let text = hex.split_once(' ')?.1.trim_start();
            let text = text.strip_prefix("[ra] ").or_else(|| text.strip_prefix("[inlined] ")).unwrap_or(text);
            let (text, place) = text
                .rsplit_once(" at ")
                .filter(|(_, place)| split_place(place).1.is_some())
                .unwrap_or((text, ""));
            let (function, module) = text.rsplit_once(" in ").unwrap_or((text, ""));
            let function = function.rsplit_once(" + ").map_or(function, |(name, _)| name);
            let module = (!module.is_empty() && place.is_empty()).then_some(module);
            return Some(RawFrame { module, ..RawFrame::at(function, place) });
        }
        let (module, rest) = rest.split_once(" 0x")?;
        let function = rest.split_once(' ')?.1.rsplit_once(" + ")?.0;
        Some(RawFrame { function: function.trim(), module: Some(module.trim()), ..RawFrame::default() })
    };
    let mut frames = Vec::new();
    for (_, line) in lines.from(from).take(4096) {
        match frame(line) {
            Some(frame) => frames.push(frame),
            // Lines of source stand between the frames.
            None if frames.is_empty() || line.is_empty() || line.contains('│') => {}
            None => break,
        }
    }
    frames
}
