//! Errors of PHP, as its interpreter prints them into a log, a page or a terminal, and as Laravel logs exceptions.
//!
//! ```text
//! PHP Fatal error:  Uncaught TypeError: … in /src/demo/parse.php:21
//! Stack trace:
//! #0 /src/demo/main.php(9): Demo\\Parser->take()
//! Fatal error: Call to undefined function parse() in /src/demo/main.php on line 9
//! {"exception":"[object] (ErrorException(code: 0): … at /src/demo/parse.php:21)
//! ```

use super::clue::{Clue, Weight};
use super::frame::{RawFrame, split_place};
use super::lines::{Lines, after, number};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if let Some(text) = after(line, "[object] (") {
        let (class, text) = text.split_once("(code: ")?;
        let (_, text) = text.split_once("): ")?;
        let (text, place) =
            text.split_once(".php:").and_then(|(head, _)| head.rsplit_once(" at ")).map(|(text, _)| {
                let place = &line[text.as_ptr() as usize - line.as_ptr() as usize + text.len() + 4..];
                (text, place.split(')').next().unwrap_or(place))
            })?;
        let mut clue = Clue::new(Weight::Program, index, "php-error", text);
        clue.cause = class.rsplit('\\').next().map(Into::into);
        clue.place = Some(RawFrame::at("", place));
        clue.stack = stack;
        return Some(clue);
    }
    let parse = after(line, "Parse error:").or_else(|| after(line, "Parse error</b>:"));
    let text =
        after(line, "Fatal error:").or_else(|| after(line, "Fatal error</b>:")).or(parse)?.trim_start();
    // The message may go over several lines before it says where.
    let (place, told) = lines.from(index).take(4).find_map(|(_, line)| place(line))?;
    let text =
        if told.is_empty() || !line.contains(told) { text } else { text.split(told).next().unwrap_or(text) };
    let (kind, weight) = match text {
        text if text.starts_with("Allowed memory size of ") || text.starts_with("Out of memory") => {
            ("out-of-memory", Weight::Limit)
        }
        text if text.starts_with("Maximum execution time of ") => ("timeout", Weight::Limit),
        text if text.starts_with("Maximum function nesting level") || text.contains("nfinite recursion") => {
            ("stack-overflow", Weight::Fault)
        }
        _ => ("php-error", Weight::Program),
    };
    let mut clue = Clue::new(weight, index, kind, text);
    if let Some(text) = text.strip_prefix("Uncaught ") {
        let class = text.split([':', ' ']).next()?;
        clue.message = text.split_once(": ").map_or(text, |(_, message)| message).trim().into();
        clue.cause = class.rsplit('\\').next().map(Into::into);
    } else if parse.is_some() {
        clue.cause = Some("ParseError".into());
    }
    clue.place = Some(place);
    clue.stack = stack;
    Some(clue)
}

/// Where a line says that it happened, ` in F:N` or ` in F on line N`, and the words from there on. Of `called in A on line N and defined
/// in B:M` the second is the place.
fn place(line: &str) -> Option<(RawFrame<'_>, &str)> {
    let said = line.split("Stack trace:").next().unwrap_or(line);
    let at = said.rfind(" in ")?;
    let told = &line[at..];
    let text = said[at + 4..].trim().trim_end_matches([',', '.']);
    if let Some((file, row)) = text.rsplit_once(" on line ") {
        let row = plain(row).trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()?;
        return Some((RawFrame { file: Some(plain(file)), line: Some(row), ..RawFrame::default() }, told));
    }
    let frame = RawFrame::at("", plain(text));
    (frame.line.is_some() && split_place(text).0.contains(".ph")).then_some((frame, told))
}

/// A name without what a page puts around it.
fn plain(text: &str) -> &str {
    let text = text.split("<br").next().unwrap_or(text).trim();
    let text = text.strip_prefix("<b>").unwrap_or(text);
    text.strip_suffix("</b>").unwrap_or(text)
}

/// `#0 /src/main.php(9): Demo\Parser->take()`: where each was called.
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let (_, rest) = number(line.trim_start().strip_prefix('#')?)?;
        let (place, function) = rest.trim_start().split_once("): ")?;
        let (file, number) = place.rsplit_once('(')?;
        let function = function.split('(').next().unwrap_or(function);
        Some(RawFrame { function, file: Some(file), line: number.parse().ok(), ..RawFrame::default() })
    };
    lines.first_run(from, 1024, frame)
}
