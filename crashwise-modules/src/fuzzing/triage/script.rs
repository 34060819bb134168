//! Exceptions of JavaScript (Node, Jazzer.js, WebAssembly in them), C#, Ruby and PHP.
//!
//! ```text
//! Uncaught Exception: TypeError: x is not a function              Jazzer.js
//!     at parse (/src/index.js:3:11)
//! Unhandled exception. System.IndexOutOfRangeException: …         .NET
//!    at Demo.Parser.Parse(String s) in /src/Parser.cs:line 12
//! /src/x.rb:12:in `parse': undefined method … (NoMethodError)   Ruby
//!         from /src/main.rb:4:in `<main>'
//! PHP Fatal error:  Uncaught TypeError: … in /src/x.php:21      PHP
//! ```

use super::clue::{Clue, Weight};
use super::frame::{RawFrame, split_place};
use super::lines::{Lines, after};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let unhandled = after(line, "Unhandled exception. ")
        .or_else(|| after(line, "Unhandled Exception: "))
        // Mono prints the exception on the next line.
        .or_else(|| line.ends_with("Unhandled Exception:").then(|| lines.at(index + 1)));
    // Flutter's says where in its engine.
    if let Some(text) = unhandled.filter(|_| !line.contains("[ERROR:flutter/")) {
        // The innermost of a chain, whose stack stands first.
        let inner = lines
            .from(index + 1)
            .take(50)
            .take_while(|(_, line)| script_frame(line).is_none())
            .filter_map(|(_, line)| line.trim_start().strip_prefix("---> "))
            .last();
        return exception(index, "csharp-exception", inner.unwrap_or(text));
    }
    // What the machine of .NET cannot go on after.
    if let Some(text) = line.strip_prefix("Fatal error. ").filter(|_| follows(lines, index)) {
        return exception(index, "csharp-exception", text);
    }
    if let Some(text) =
        after(line, "PHP Fatal error:  Uncaught ").or_else(|| after(line, "Fatal error: Uncaught "))
        && let Some((text, place)) = text.rsplit_once(" in ")
    {
        // Of `called in A on line N and defined in B:M` the second is the place.
        let mut clue = exception(index, "php-error", text)?;
        clue.cause = text.split(": ").next().and_then(|class| class.rsplit('\\').next()).map(Into::into);
        clue.place = Some(RawFrame::at("", place));
        clue.stack = php_stack;
        return Some(clue);
    }
    if let Some(clue) = ruby(lines, index) {
        return Some(clue);
    }
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
    if line.contains("Error") && !line.starts_with(' ') && follows(lines, index) && is_error(line) {
        return exception(index, "js-exception", line);
    }
    None
}

/// `/src/x.rb:12:in 'C#parse': message (Class)`
fn ruby<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let (place, rest) = line.split_once(":in ")?;
    let (function, message) = rest.strip_prefix(['`', '\''])?.split_once("': ")?;
    let (message, class) = message.strip_suffix(')')?.rsplit_once(" (")?;
    let traced = lines.at(index + 1).trim_start().starts_with("from ") || lines.at(index + 1).is_empty();
    let named = class.chars().next().is_some_and(char::is_uppercase) && !class.contains(' ');
    if !traced || !named || split_place(place).1.is_none() {
        return None;
    }
    let kind = if class == "SystemStackError" { "stack-overflow" } else { "ruby-exception" };
    let mut clue = Clue::new(Weight::Program, index, kind, message);
    clue.cause = (kind == "ruby-exception").then(|| class.rsplit(':').next().unwrap_or(class).into());
    clue.place = Some(RawFrame::at(function, place));
    clue.stack = ruby_stack;
    Some(clue)
}

fn ruby_stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let (place, function) = line.trim_start().strip_prefix("from ")?.split_once(":in ")?;
        Some(RawFrame::at(function.trim_matches(['`', '\'']), place))
    };
    // The first frame stands in the line before.
    let first = lines.at(from.saturating_sub(1)).split_once(":in ").and_then(|(place, rest)| {
        Some(RawFrame::at(rest.strip_prefix(['`', '\''])?.split_once("': ")?.0, place))
    });
    first.into_iter().chain(lines.from(from).take(1024).map_while(|(_, line)| frame(line))).collect()
}

/// `#0 /src/main.php(9): Demo\Parser->take()`: where each was called.
fn php_stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let (_, rest) = super::lines::number(line.trim_start().strip_prefix('#')?)?;
        let (place, function) = rest.trim_start().split_once("): ")?;
        let (file, number) = place.rsplit_once('(')?;
        let function = function.split('(').next().unwrap_or(function);
        Some(RawFrame { function, file: Some(file), line: number.parse().ok(), ..RawFrame::default() })
    };
    lines
        .from(from)
        .take(1024)
        .skip_while(|(_, line)| frame(line).is_none())
        .map_while(|(_, line)| frame(line))
        .collect()
}

fn follows(lines: &Lines<'_>, index: usize) -> bool {
    (1..4).any(|more| script_frame(lines.at(index + more)).is_some())
}

fn is_error(line: &str) -> bool {
    let class = line.split(": ").next().unwrap_or(line);
    class.len() < 80
        && class.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && class.ends_with("Error")
}

fn exception<'a>(index: usize, kind: &'static str, text: &'a str) -> Option<Clue<'a>> {
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

fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames = Vec::new();
    for (_, line) in lines.from(from).take(1024) {
        match script_frame(line) {
            Some(frame) => frames.push(frame),
            None if frames.is_empty() => {}
            None => break,
        }
    }
    frames
}

/// `at f (/src/x.js:3:11)`, `at /src/x.js:3:11`, `at N.C.F(String s) in /src/x.cs:line 12`.
fn script_frame(line: &str) -> Option<RawFrame<'_>> {
    let text = line.trim_start().strip_prefix("at ")?;
    if line.len() == text.len() + 3 {
        return None;
    }
    let text = text.strip_prefix("async ").unwrap_or(text);
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
