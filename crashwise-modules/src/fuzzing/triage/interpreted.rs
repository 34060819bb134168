//! Errors of Dart and Perl, and of Python as pytest shows them.
//!
//! ```text
//! Unhandled exception:                                                                   Dart
//! RangeError (index): Invalid value: Not in inclusive range 0..2: 7
//! #1      field (file:///src/demo/lib/parse.dart:42:9)
//! Can't call method "parse" on an undefined value at lib/Demo.pm line 42.                Perl
//!         Demo::field("x", 7) called at lib/Demo.pm line 61
//! E       IndexError: list index out of range                                            pytest
//! src/demo/parse.py:42: IndexError
//! ```

use super::clue::{Clue, Weight};
use super::frame::{RawFrame, split_place};
use super::lines::{Lines, number};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    dart(lines, index).or_else(|| perl(lines, index)).or_else(|| pytest(lines, index))
}

fn dart<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let (text, next) = if line == "Unhandled exception:" {
        (lines.at(index + 1), index + 2)
    } else {
        (line.split_once("] Unhandled Exception: ")?.1, index + 1)
    };
    if !(next..next + 4).any(|at| dart_frame(lines.at(at)).is_some()) {
        return None;
    }
    let class = text.split([':', ' ']).next()?;
    // The two that do not tell their class.
    let class = match class {
        "Bad" => "StateError",
        "Invalid" => "ArgumentError",
        class => class,
    };
    let (kind, weight) = match class {
        "Stack" => ("stack-overflow", Weight::Fault),
        "Out" => ("out-of-memory", Weight::Limit),
        _ => ("dart-exception", Weight::Program),
    };
    let mut clue = Clue::new(weight, index, kind, text);
    clue.cause = (kind == "dart-exception").then(|| class.into());
    clue.stack = |lines, from| {
        lines
            .from(from)
            .take(1024)
            .skip_while(|(at, line)| *at < from + 6 && dart_frame(line).is_none())
            .map_while(|(_, line)| dart_frame(line))
            .collect()
    };
    Some(clue)
}

/// `#1      field (file:///src/demo/lib/parse.dart:42:9)`; what is of `dart:` is the language's own.
fn dart_frame(line: &str) -> Option<RawFrame<'_>> {
    let (_, rest) = number(line.strip_prefix('#')?)?;
    let (function, place) = rest.strip_suffix(')')?.rsplit_once(" (")?;
    let function = function.trim();
    Some(if place.starts_with("dart:") || place.starts_with("package:flutter/") {
        RawFrame { function, module: Some("[C]"), ..RawFrame::default() }
    } else {
        RawFrame::at(function, place)
    })
}

fn perl<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let (text, place) = line.strip_suffix('.').unwrap_or(line).rsplit_once(" at ")?;
    let (file, row) = place.split_once(" line ")?;
    let row = row.split([',', ' ']).next()?;
    let called = |line: &str| line.starts_with('\t') && line.contains(" called at ");
    // Without a stack any message of a program could look so.
    let perl = [".pm", ".pl", ".t"].iter().any(|end| file.ends_with(end));
    if text.is_empty() || !(perl || called(lines.at(index + 1))) || called(line) {
        return None;
    }
    let deep = text.starts_with("Deep recursion");
    let mut clue =
        Clue::new(Weight::Program, index, if deep { "stack-overflow" } else { "perl-error" }, text);
    clue.place = Some(RawFrame { file: Some(file), line: row.parse().ok(), ..RawFrame::default() });
    clue.stack = perl_stack;
    Some(clue)
}

fn perl_stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let (_, place) = line.strip_prefix('\t')?.rsplit_once(" called at ")?;
        let (file, row) = place.split_once(" line ")?;
        Some(RawFrame {
            file: Some(file),
            line: row.trim_end_matches('.').parse().ok(),
            ..RawFrame::default()
        })
    };
    lines.from(from).take(512).map_while(|(_, line)| frame(line)).collect()
}

fn pytest<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let (class, text) = lines.at(index).strip_prefix("E   ")?.trim_start().split_once(": ")?;
    let named = class.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_');
    if !named || class.is_empty() {
        return None;
    }
    let name = class.rsplit('.').next()?;
    let traced = !short_stack(lines, index + 1).is_empty();
    let place = lines
        .from(index + 1)
        .take(200)
        .filter_map(|(_, line)| line.rsplit_once(": "))
        .find(|(place, of)| *of == name && split_place(place).1.is_some())
        .map(|(place, _)| place);
    if place.is_none() && !traced {
        return None;
    }
    let assertion = name == "AssertionError";
    let kind = match name {
        "RecursionError" => "stack-overflow",
        "MemoryError" => "out-of-memory",
        _ => "python-exception",
    };
    let mut clue = Clue::new(Weight::Program, index, kind, text);
    clue.cause = (kind == "python-exception").then(|| name.into());
    // An assertion of a test says no more than that it did not hold.
    clue.weight = if assertion { Weight::Consequence } else { Weight::Program };
    clue.place = place.filter(|_| !traced).map(|place| RawFrame::at(defined(lines, index), place));
    clue.stack = short_stack;
    Some(clue)
}

/// The function that a test runner shows the source of, above the error.
fn defined<'a>(lines: &Lines<'a>, index: usize) -> &'a str {
    let shown = (index.saturating_sub(100)..index).rev().map(|at| lines.at(at).trim_start());
    let mut shown = shown.take_while(|line| !line.starts_with("_ _") && !line.starts_with("___"));
    let name = shown
        .find_map(|line| line.strip_prefix("async ").unwrap_or(line).strip_prefix("def ")?.split('(').next());
    name.unwrap_or_default()
}

/// `src/demo/parse.py:42: in field` above the error, innermost last, with a line of source below each.
fn short_stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let end = from.saturating_sub(1);
    let frame = |line: &'a str| {
        let (place, function) = line.rsplit_once(": in ")?;
        (split_place(place).1.is_some() && !function.contains(' ')).then(|| RawFrame::at(function, place))
    };
    (end.saturating_sub(200)..end)
        .rev()
        .map(|at| lines.at(at))
        .take_while(|line| !line.is_empty() && !line.starts_with('_'))
        .filter_map(frame)
        .collect()
}
