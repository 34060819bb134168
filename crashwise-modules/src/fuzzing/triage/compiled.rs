//! Errors that the run times of Ada, Crystal, D, Fortran, Nim and Pascal tell of.
//!
//! ```text
//! raised CONSTRAINT_ERROR : parse.adb:42 index check failed                              Ada
//! Unhandled exception: Index out of bounds (IndexError)                                  Crystal
//!   from src/parse.cr:42:7 in 'field'
//! core.exception.ArrayIndexError@source/parse.d(42): index [7] is out of bounds …        D
//! source/parse.d:42 ubyte demo.parse.field(ubyte[], ulong) [0x55a1c4]
//! Fortran runtime error: Index '7' of dimension 1 of array 'a' above upper bound of 3    Fortran
//! /src/demo/parse.nim(42) field                                                          Nim
//! Error: unhandled exception: index 7 not in 0 .. 2 [IndexDefect]
//! Runtime error 216 at $0000000000401234                                                 Pascal
//!   $0000000000401234  FIELD,  line 42 of parse.pas
//! ```

use super::clue::{Clue, Stack, Weight};
use super::frame::{RawFrame, split_place};
use super::lines::{Lines, number};
use super::native;

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    ada(line, index)
        .or_else(|| crystal(lines, index))
        .or_else(|| d(line, index))
        .or_else(|| fortran(lines, index))
        .or_else(|| nim(line, index))
        .or_else(|| pascal(lines, index))
}

fn exception<'a>(
    index: usize,
    kind: &'static str,
    class: &'a str,
    text: &'a str,
    stack: Stack<'a>,
) -> Clue<'a> {
    let mut clue = Clue::new(Weight::Program, index, kind, text);
    clue.cause = Some(class.into());
    clue.stack = stack;
    clue
}

fn ada(line: &str, index: usize) -> Option<Clue<'_>> {
    let (class, text) = line.trim_start().strip_prefix("raised ")?.split_once(" : ")?;
    let name = class.rsplit('.').next().unwrap_or(class);
    if class.contains(' ')
        || !name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    {
        return None;
    }
    let mut clue = exception(index, "ada-exception", class, text, native::stack);
    if name == "STORAGE_ERROR" && text.contains("stack overflow") {
        (clue.kind, clue.cause, clue.weight) = ("stack-overflow".into(), None, Weight::Fault);
    }
    let place = text.split(' ').next().unwrap_or(text);
    clue.place = split_place(place).1.map(|_| RawFrame::at("", place));
    Some(clue)
}

fn crystal<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let text = lines.at(index).strip_prefix("Unhandled exception: ")?;
    let (message, class) = text.strip_suffix(')')?.rsplit_once(" (")?;
    let frame = |line: &'a str| {
        let (place, function) = line.strip_prefix("  from ")?.split_once(" in ")?;
        Some(RawFrame::at(function.trim_matches(['\'', '`']), place))
    };
    frame(lines.at(index + 1))?;
    Some(exception(index, "crystal-exception", class, message, |lines, from| {
        lines
            .from(from)
            .take(512)
            .map_while(|(_, line)| {
                let (place, function) = line.strip_prefix("  from ")?.split_once(" in ")?;
                Some(RawFrame::at(function.trim_matches(['\'', '`']), place))
            })
            .collect()
    }))
}

fn d(line: &str, index: usize) -> Option<Clue<'_>> {
    let (class, rest) = line.split_once('@')?;
    let (file, rest) = rest.split_once('(')?;
    let (row, text) = rest.split_once("): ").or_else(|| Some((rest.strip_suffix(')')?, "")))?;
    let qualified = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_';
    if !class.contains('.') || !class.bytes().all(qualified) || row.parse::<u32>().is_err() {
        return None;
    }
    let class = class.rsplit('.').next()?;
    let mut clue = exception(index, "d-exception", class, text, d_stack);
    if class == "AssertError" {
        (clue.kind, clue.cause) = ("assertion".into(), None);
    }
    clue.place = Some(RawFrame { file: Some(file), line: row.parse().ok(), ..RawFrame::default() });
    Some(clue)
}

/// `source/parse.d:42 ubyte demo.parse.field(ubyte[], ulong) [0x55a1c4]`
fn d_stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let (place, rest) = line.split_once(' ')?;
        let call = rest.strip_suffix(']')?.rsplit_once(" [0x")?.0;
        let function = call.split('(').next()?.rsplit(' ').next()?;
        let module = place.starts_with("??").then_some("libdruntime");
        let own = RawFrame::at(function, if module.is_some() { "" } else { place });
        Some(RawFrame { module, ..own })
    };
    let dashes = |line: &str| line.len() > 8 && line.bytes().all(|byte| byte == b'-');
    lines
        .from(from)
        .take(300)
        .skip_while(|(at, line)| *at < from + 4 && !dashes(line))
        .skip(1)
        .map_while(|(_, line)| frame(line))
        .collect()
}

fn fortran<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if let Some(text) = line.strip_prefix("Fortran runtime error: ") {
        let bounds = text.contains("above upper bound") || text.contains("below lower bound");
        let mut clue = Clue::new(
            Weight::Program,
            index,
            if bounds { "index-out-of-bounds" } else { "fortran-error" },
            text,
        );
        let said = lines.at(index.checked_sub(1)?);
        clue.place = said.strip_prefix("At line ").and_then(number).and_then(|(row, rest)| {
            let file = rest.strip_prefix(" of file ")?;
            Some(RawFrame { file: Some(file), line: u32::try_from(row).ok(), ..RawFrame::default() })
        });
        clue.stack = native::stack;
        // The stack says the same with a function and a whole path.
        if native::stack(lines, index + 1)
            .iter()
            .any(|frame| frame.line == clue.place.and_then(|place| place.line))
        {
            clue.place = None;
        }
        return Some(clue);
    }
    None
}

fn nim(line: &str, index: usize) -> Option<Clue<'_>> {
    let text = line.strip_prefix("Error: unhandled exception: ")?;
    let (message, class) = text.strip_suffix(']')?.rsplit_once(" [")?;
    let mut clue = exception(index, "nim-exception", class, message, nim_stack);
    if class.starts_with("AssertionDefect") {
        (clue.kind, clue.cause) = ("assertion".into(), None);
    }
    Some(clue)
}

/// `/src/demo/parse.nim(42) field` above the message, the innermost last.
fn nim_stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let (file, rest) = line.split_once(".nim(")?;
        let (row, function) = rest.split_once(')')?;
        Some(RawFrame {
            function: function.trim(),
            file: Some(&line[..file.len() + 4]),
            line: row.split(',').next().and_then(|row| row.trim().parse().ok()),
            ..RawFrame::default()
        })
    };
    let above = (0..from.saturating_sub(1)).rev().take(512).map(|at| lines.at(at));
    above.map_while(frame).collect()
}

fn pascal<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if let Some((code, _)) =
        line.strip_prefix("Runtime error ").and_then(number).filter(|_| line.contains(" at $"))
    {
        let (kind, weight) = match code {
            200 | 208 => ("division-by-zero", Weight::Fault),
            201 => ("index-out-of-bounds", Weight::Program),
            202 => ("stack-overflow", Weight::Fault),
            203 => ("out-of-memory", Weight::Limit),
            204 => ("bad-free", Weight::Fault),
            205..=207 => ("fpe", Weight::Fault),
            215 => ("signed-integer-overflow", Weight::Program),
            216 => ("segv", Weight::Fault),
            227 => ("assertion", Weight::Program),
            _ => ("pascal-error", Weight::Program),
        };
        let mut clue = Clue::new(weight, index, kind, line);
        clue.stack = pascal_stack;
        return Some(clue);
    }
    line.strip_prefix("An unhandled exception occurred at $")?;
    let (class, text) = lines.at(index + 1).split_once(": ")?;
    let mut clue = exception(index, "pascal-exception", class, text, pascal_stack);
    if class == "EAccessViolation" {
        (clue.kind, clue.cause, clue.weight) = ("segv".into(), None, Weight::Fault);
    }
    Some(clue)
}

/// `  $0000000000401234  FIELD,  line 42 of parse.pas`
fn pascal_stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let (_, text) = line.trim_start().strip_prefix('$')?.split_once(' ')?;
        let (function, place) = text.split_once(",  line ").unwrap_or((text, ""));
        let (row, file) = place.split_once(" of ").unwrap_or(("", ""));
        let file = (!file.is_empty()).then_some(file);
        Some(RawFrame {
            function: function.trim(),
            file,
            line: row.trim().parse().ok(),
            ..RawFrame::default()
        })
    };
    lines
        .from(from)
        .take(300)
        .skip_while(|(at, line)| *at < from + 3 && frame(line).is_none())
        .map_while(|(_, line)| frame(line))
        .collect()
}
