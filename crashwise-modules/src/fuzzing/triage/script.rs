//! Exceptions of JavaScript: Node, Jazzer.js, WebAssembly in them.
//!
//! ```text
//! Uncaught Exception: TypeError: x is not a function              Jazzer.js
//!     at parse (/src/index.js:3:11)
//! ```

use super::clue::{Clue, Weight};
use super::frame::{RawFrame, split_place};
use super::lines::{Lines, after};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if let Some(text) = after(line, "Uncaught Exception: ").or_else(|| after(line, "Uncaught ")) {
        let text = text.strip_prefix("Jazzer.js: ").unwrap_or(text);
        if is_error(lines.at(index + 1)) && follows(lines, index + 1) {
            return exception(index, "js-exception", lines.at(index + 1));
        }
        if follows(lines, index) {
            return exception(
                index,
                "js-exception",
                text.strip_prefix("Error: ").filter(|text| text.contains("Error: ")).unwrap_or(text),
            );
        }
    }
    // Node says that nobody caught it, and has no more of one thrown by the machine.
    if is_error(line)
        && line.contains(": ")
        && (1..6).any(|back| index >= back && lines.at(index - back).contains("triggerUncaughtException("))
    {
        return exception(index, "js-exception", line);
    }
    if !line.contains("Error") || !follows(lines, index) {
        return None;
    }
    // Test runners indent it, and loggers put a level in front.
    if is_error(line.trim_start()) {
        return exception(index, "js-exception", line.trim_start());
    }
    let frame = script_frame(lines.at(index + 1))?;
    let (at, _) = line.match_indices("Error: ").find(|(at, _)| {
        let class = line[..*at].rsplit(' ').next().unwrap_or_default();
        class.len() < *at && class.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })?;
    let class = line[..at].rsplit(' ').next().unwrap_or_default();
    frame.column.is_some().then(|| exception(index, "js-exception", &line[at - class.len()..]))?
}

/// Whether a stack begins in the lines below.
pub(super) fn follows(lines: &Lines<'_>, index: usize) -> bool {
    (1..4).any(|more| script_frame(lines.at(index + more)).is_some())
}

fn is_error(line: &str) -> bool {
    let class = line.split(": ").next().unwrap_or(line);
    class.len() < 80
        && class.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && class.ends_with("Error")
}

/// An exception of the class that `text` begins with.
pub(super) fn exception<'a>(index: usize, kind: &'static str, text: &'a str) -> Option<Clue<'a>> {
    let (class, message) = text.split_once(": ").unwrap_or((text, ""));
    let name = class.trim().rsplit('.').next()?.trim();
    let kind = match name {
        "StackOverflowException" => "stack-overflow",
        "OutOfMemoryException" => "out-of-memory",
        "AccessViolationException" => "segv",
        "RangeError" if message.contains("Maximum call stack size exceeded") => "stack-overflow",
        _ => kind,
    };
    let mut clue = Clue::new(Weight::Program, index, kind, if message.is_empty() { class } else { message });
    clue.cause = kind.ends_with("exception").then(|| name.into());
    clue.stack = stack;
    Some(clue)
}

/// The first frames at or after line `from`.
pub(super) fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames = Vec::new();
    for (index, line) in lines.from(from).take(1024) {
        match script_frame(line) {
            Some(frame) => frames.push(frame),
            None if frames.is_empty() => {}
            // A page may have a blank line behind each.
            None if line.is_empty() && script_frame(lines.at(index + 1)).is_some() => {}
            None => break,
        }
    }
    frames
}

/// `at f (/src/x.js:3:11)`, `at /src/x.js:3:11`, `at N.C.F(String s) in /src/x.cs:line 12`.
pub(super) fn script_frame(line: &str) -> Option<RawFrame<'_>> {
    let text = line.trim_start().strip_prefix("at ")?;
    // Of prose that begins with the word a script's file with its column is told apart.
    if line.len() == text.len() + 3 {
        let (file, _, column) = split_place(text.trim_end_matches(')'));
        let scripted =
            [".js", ".ts", ".mjs", ".cjs", ".jsx", ".tsx", ".vue"].iter().any(|end| file.ends_with(end));
        if column.is_none() || !scripted {
            return None;
        }
    }
    let text = text.strip_prefix("async ").unwrap_or(text);
    // Compiled ahead: `N.C.F(String) + 0x12c7`
    let text = text.rsplit_once(") + 0x").map_or(text, |(call, _)| &text[..=call.len()]);
    if let Some((function, place)) = text.split_once(") in ") {
        let (file, number) = place.rsplit_once(":line ")?;
        let function = function.split('(').next().unwrap_or(function);
        return Some(RawFrame {
            function,
            file: Some(file),
            line: number.trim().parse().ok(),
            ..RawFrame::default()
        });
    }
    // Mono: `N.C.F (System.String s) [0x00012] in /src/x.cs:12`
    if let Some((call, place)) = text.split_once("] in ")
        && let Some((function, _)) = call.split_once(" [0x")
    {
        let function = function.split(" (").next().unwrap_or(function);
        let place = if place.starts_with('<') { "" } else { place };
        return Some(RawFrame::at(function, place));
    }
    if let Some(inner) = text.strip_suffix(')')
        && let Some((function, place)) = inner.rsplit_once(" (")
    {
        let place = place.strip_prefix("file://").unwrap_or(place);
        let java = [".java", ".kt", ".scala"].iter().any(|suffix| place.contains(suffix));
        return (!java && (split_place(place).1.is_some() || place == "native" || place == "<anonymous>"))
            .then(|| RawFrame::at(function.split(" [as ").next().unwrap_or(function), place));
    }
    if text.ends_with(')') && text.contains('.') && !text.contains(".java:") && text.contains('(') {
        let function = text.split('(').next()?;
        let inner = &text[function.len() + 1..text.len() - 1];
        return (inner != "Native Method" && inner != "Unknown Source" && !inner.contains(':'))
            .then(|| RawFrame { function, ..RawFrame::default() });
    }
    if text.starts_with("wasm-function[") {
        return Some(RawFrame { function: text.split(':').next()?, ..RawFrame::default() });
    }
    let place = text.strip_prefix("file://").unwrap_or(text);
    (split_place(place).2.is_some() && !place.contains(' ')).then(|| RawFrame::at("", place))
}
