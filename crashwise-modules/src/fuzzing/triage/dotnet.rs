//! Exceptions of .NET and Mono.
//!
//! ```text
//! Unhandled exception. System.IndexOutOfRangeException: …
//!    at Demo.Parser.Parse(String s) in /src/Parser.cs:line 12
//! System.IO.IOException                                          Visual Studio
//!   HResult=0x80131620
//!   StackTrace:
//!    at Demo.Parser.Parse(String s) in /src/Parser.cs:line 12
//! System.IO.IOException: … at Demo.Parser.Parse(String s) at Demo.Program.Main()
//! ```

use super::clue::Clue;
use super::frame::RawFrame;
use super::lines::{Lines, after};
use super::script::{exception, follows, script_frame, stack as plain_stack};

/// How far below an exception its stack may begin.
const AHEAD: usize = 12;

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let unhandled = after(line, "Unhandled exception. ")
        .or_else(|| after(line, "Unhandled Exception: "))
        // Mono prints the exception on the next line.
        .or_else(|| line.ends_with("Unhandled Exception:").then(|| lines.at(index + 1)));
    // Flutter's says where in its engine.
    if let Some(text) = unhandled.filter(|_| !line.contains("[ERROR:flutter/")) {
        return thrown(lines, index, text);
    }
    // What the machine of .NET cannot go on after.
    if let Some(text) = line.strip_prefix("Fatal error. ").filter(|_| follows(lines, index)) {
        return exception(index, "csharp-exception", text);
    }
    // Visual Studio, of one that it saw.
    if let Some((class, _)) = line.split_once(" was unhandled")
        && bare(class).is_some_and(|text| text.len() == class.trim_start().len())
    {
        return thrown(lines, index, class);
    }
    let text = bare(line)?;
    let framed = |line: &'a str| {
        (line.trim_start().starts_with("at ") && script_frame(line).is_some()) || localized(line).is_some()
    };
    // A page may have a blank line behind each.
    let spread = lines.at(index + 1).is_empty() && framed(lines.at(index + 2));
    let below = lines
        .from(index + 1)
        .take(AHEAD)
        .take_while(|(_, line)| !line.is_empty() || spread)
        .find(|(_, line)| framed(line));
    (below.is_some() || written_out(line).next().is_some()).then(|| thrown(lines, index, text))?
}

/// The exception that `line` begins with, perhaps behind what a log says of it: `Demo.ParseException: …`.
fn bare(line: &str) -> Option<&str> {
    let head = line.split(": ").find(|part| part.ends_with("Exception"))?;
    let class = head.rsplit(' ').next()?;
    let named = class.contains('.')
        && class.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._`+".contains(&byte));
    let at = head.as_ptr() as usize - line.as_ptr() as usize + head.len() - class.len();
    (named && !line.trim_start().starts_with("at ") && !line.trim_start().starts_with("---"))
        .then(|| &line[at..])
}

fn thrown<'a>(lines: &Lines<'a>, index: usize, text: &'a str) -> Option<Clue<'a>> {
    // The innermost of a chain, whose stack stands first.
    let inner = lines
        .from(index + 1)
        .take(50)
        .take_while(|(_, line)| script_frame(line).is_none())
        .filter_map(|(_, line)| line.trim_start().strip_prefix("---> "))
        .last();
    let text = inner.unwrap_or(text);
    // On one line with the outer one it is one only if it has an end; else it is text.
    let ends = || {
        lines.from(index + 1).take(400).any(|(_, line)| line.contains("End of inner exception stack trace"))
    };
    let text =
        if text.contains(" ---> ") && ends() { text.rsplit(" ---> ").next().unwrap_or(text) } else { text };
    let message = text.find(" at ").filter(|_| inner.is_none() && written_out(text).next().is_some());
    let mut clue = exception(index, "csharp-exception", message.map_or(text, |end| &text[..end]))?;
    clue.stack = stack;
    Some(clue)
}

/// The stack that a log without lines has behind the message.
fn written_out(line: &str) -> impl Iterator<Item = RawFrame<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let at = rest.find(" at ")?;
        let from = &rest[at..];
        let end = from[4..].find(" at ").map_or(from.len(), |end| end + 4);
        rest = &from[end..];
        Some(from[..end].split(" --- ").next().unwrap_or(from))
    })
    .map(str::trim_end)
    .filter_map(script_frame)
    .filter(|frame| frame.function.contains('.'))
}

fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let own: Vec<RawFrame<'a>> = written_out(lines.at(from.saturating_sub(1))).take(1024).collect();
    if !own.is_empty() {
        return own;
    }
    let frames = plain_stack(lines, from);
    if !frames.is_empty() {
        return frames;
    }
    let begin = lines.from(from).take(AHEAD).find(|(_, line)| localized(line).is_some());
    begin
        .map(|(begin, _)| lines.from(begin).take(1024).map_while(|(_, line)| localized(line)).collect())
        .unwrap_or_default()
}

/// A frame in another language: `bei Demo.Parser.Parse(String s) in C:\demo\Parser.cs:Zeile 12.`
fn localized(line: &str) -> Option<RawFrame<'_>> {
    let (word, text) = line.strip_prefix("   ")?.split_once(' ')?;
    let (function, rest) = text.split_once('(')?;
    let named = function.contains('.') && !function.contains(' ');
    if !named || word.is_empty() || word.chars().count() > 6 || word == "at" || word.contains(['.', '(', '#'])
    {
        return None;
    }
    let place = rest.split_once(") ").and_then(|(_, rest)| {
        let (file, row) = rest.split_once(' ')?.1.rsplit_once(' ')?;
        let row = row.trim_end_matches(['.', '\u{3002}']).parse().ok()?;
        let (file, _) = file.rsplit_once(':')?;
        Some((file, row))
    });
    let (file, line) = place.map_or((None, None), |(file, row)| (Some(file), Some(row)));
    (place.is_some() || rest.ends_with(')')).then_some(RawFrame {
        function,
        file,
        line,
        ..RawFrame::default()
    })
}
