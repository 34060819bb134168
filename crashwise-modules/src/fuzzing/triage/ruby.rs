//! Exceptions of Ruby, as its interpreter prints them and as frameworks log them.
//!
//! ```text
//! /src/x.rb:12:in `parse': undefined method … (NoMethodError)
//!         from /src/main.rb:4:in `<main>'
//! NoMethodError (undefined method `take' for nil):             Rails
//!
//! app/models/demo.rb:12:in `parse'
//! ```

use super::clue::{Clue, Stack, Weight};
use super::frame::{RawFrame, split_place};
use super::lines::Lines;

/// `/src/x.rb:12:in 'C#parse': message (Class)`
pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    raised(lines, index).or_else(|| logged(lines, index))
}

fn raised<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let (place, rest) = line.split_once(":in ")?;
    let (function, message) = rest.strip_prefix(['`', '\''])?.split_once("': ")?;
    // A message of several lines has the class behind its last.
    let last = (index..index + AHEAD)
        .take_while(|at| *at == index || frame(lines.at(*at)).is_none())
        .find(|at| lines.at(*at).ends_with(')') && lines.at(*at).contains(" ("))?;
    let class = lines.at(last).strip_suffix(')')?.rsplit_once(" (")?.1;
    let message =
        message.strip_suffix(')').and_then(|text| text.rsplit_once(" (")).map_or(message, |(text, _)| text);
    let next = lines.at(last + 1);
    let traced = next.trim_start().starts_with("from ") || next.is_empty() || last > index;
    let named = class.chars().next().is_some_and(char::is_uppercase) && !class.contains(' ');
    if !traced || !named || split_place(place).1.is_none() {
        return None;
    }
    let kind = if class == "SystemStackError" { "stack-overflow" } else { "ruby-exception" };
    let mut clue = Clue::new(Weight::Program, index, kind, message);
    clue.cause = (kind == "ruby-exception").then(|| class.rsplit(':').next().unwrap_or(class).into());
    clue.place = Some(RawFrame::at(function, place));
    clue.stack = stack;
    Some(clue)
}

fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let (place, function) = line.trim_start().strip_prefix("from ")?.split_once(":in ")?;
        Some(RawFrame::at(function.trim_matches(['`', '\'']), place))
    };
    // The first frame stands in the line before.
    let first = lines.at(from.saturating_sub(1)).split_once(":in ").and_then(|(place, rest)| {
        Some(RawFrame::at(rest.strip_prefix(['`', '\''])?.split_once("': ")?.0, place))
    });
    // Between them may stand the rest of the message, and the source.
    let below =
        lines.from(from).take(1024).skip_while(|(at, line)| *at < from + AHEAD && frame(line).is_none());
    first.into_iter().chain(below.map_while(|(_, line)| frame(line))).collect()
}

/// How far a stack may stand from the line that names the class: source may be shown between.
const AHEAD: usize = 16;

/// A line that names the class, and a stack below it, as logs have them.
fn logged<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if let Some(shown) = template(line) {
        let (class, message) =
            (index.saturating_sub(4)..index).rev().find_map(|near| class(lines.at(near)))?;
        let mut clue = Clue::new(Weight::Program, index, "ruby-exception", message);
        clue.cause = Some(named(class).into());
        clue.place = Some(shown);
        return Some(clue);
    }
    if line.ends_with("):") && line.contains("Error (") {
        let (class, message) = class(line)?;
        return Some(told(index, class, message, |lines, from| {
            let near = lines.from(from).take(AHEAD).find(|(_, line)| frame(line).is_some());
            near.map(|(begin, _)| traced(lines, begin)).unwrap_or_default()
        }));
    }
    frame(line)?;
    if index > 0 && frame(lines.at(index - 1)).is_some() {
        return None;
    }
    let (class, message) = (index.saturating_sub(6)..index).rev().find_map(|near| class(lines.at(near)))?;
    Some(told(index, class, message, |lines, from| traced(lines, from - 1)))
}

fn told<'a>(index: usize, class: &'a str, message: &'a str, stack: Stack<'a>) -> Clue<'a> {
    let kind = if class == "SystemStackError" { "stack-overflow" } else { "ruby-exception" };
    let mut clue = Clue::new(Weight::Program, index, kind, message);
    clue.cause = (kind == "ruby-exception").then(|| named(class).into());
    clue.stack = stack;
    clue
}

/// A class without its modules, but for one that says nothing alone: `ActionView::Template::Error`.
fn named(class: &str) -> &str {
    class.rsplit(':').next().filter(|name| *name != "Error").unwrap_or(class)
}

fn traced<'a>(lines: &Lines<'a>, begin: usize) -> Vec<RawFrame<'a>> {
    lines.from(begin).take(1024).map_while(|(_, line)| frame(line)).collect()
}

/// `On line #64 of app/views/demo/index.html.erb`, `Showing app/views/demo/index.html.erb where line #9 raised:`.
fn template(line: &str) -> Option<RawFrame<'_>> {
    let text = line.trim();
    let (row, file) = match text.strip_prefix("Showing ") {
        Some(text) => {
            let (file, text) = text.split_once(" where line #")?;
            (text.strip_suffix(" raised:")?, file)
        }
        None => text.strip_prefix("On line #")?.split_once(" of ")?,
    };
    Some(RawFrame { file: Some(file), line: Some(row.parse().ok()?), ..RawFrame::default() })
}

/// The class that a line names before anything else of it, and the line.
fn class(line: &str) -> Option<(&str, &str)> {
    let word = line
        .split([' ', '(', ')', ',', '[', '<', '>'])
        .map(|word| word.trim_end_matches(':'))
        .find(|word| word.ends_with("Error") || word.ends_with("Exception") || *word == "Errno::ENOENT")?;
    let named = word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":_".contains(&byte));
    named.then_some((word, line))
}

/// A file, a line and `in 'parse'`, with or without the blanks and the `from` of a terminal.
fn frame(line: &str) -> Option<RawFrame<'_>> {
    let text = line.trim();
    let text = text.strip_prefix("from ").unwrap_or(text);
    let (place, rest) = text.split_once(":in ")?;
    let function = rest.strip_prefix(['`', '\''])?.strip_suffix('\'')?;
    // Of a template only its digits tell one run from another.
    let function = match function.find("_erb_").or_else(|| function.find("_haml_")) {
        Some(at) => &function[..at + 4],
        None => function,
    };
    split_place(place).1.map(|_| RawFrame::at(function, place))
}
