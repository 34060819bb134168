//! Python tracebacks, as the interpreter and atheris print them.
//!
//! ```text
//!  === Uncaught Python exception: ===
//! ValueError: bad input 12
//! Traceback (most recent call last):
//!   File "/src/p.py", line 7, in f
//!     raise ValueError("bad input 12")
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if line.contains("=== Uncaught Python exception: ===") {
        let text = lines.at(index + 1);
        return Some(build(index, text, stack));
    }
    if let Some(text) = line.strip_prefix("Exception Type: ") {
        return page(lines, index, text);
    }
    if let Some(name) = after(line, "Fatal Python error: ") {
        return Some(fatal(index, name));
    }
    if line.trim_start().starts_with("+ Exception Group Traceback (most") {
        let (_, text) = lines.from(index + 1).take(5000).find(|(_, line)| !grouped(line).starts_with(' '))?;
        return exception(grouped(text)).map(|_| build(index, grouped(text), group_stack));
    }
    if !line.trim_start().starts_with("Traceback (most recent call last):") {
        return headless(lines, index);
    }
    if last_atheris(lines, index) {
        return None;
    }
    // The last of a chain of tracebacks is the one that nobody caught.
    let (end, text) = end(lines, index)?;
    let chained = lines.from(end + 1).take(4).any(|(_, line)| {
        line.contains("direct cause of the following exception")
            || line.contains("another exception occurred")
    });
    if chained || exception(text).is_none() {
        return None;
    }
    Some(build(index, text, stack))
}

/// An exception below the last frames of a traceback whose beginning is cut off.
fn headless<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let (class, _) = exception(line)?;
    let shown = (index.saturating_sub(3)..index).any(|at| file(lines.at(at)).is_some());
    if !shown || !(class.ends_with("Error") || class.ends_with("Exception")) {
        return None;
    }
    let head = (index.saturating_sub(CUT)..index).rev().find(|at| !lines.at(*at).starts_with(' '));
    let headed = head.is_some_and(|at| {
        let head = lines.at(at).trim_start_matches(['+', '|', ' ']);
        head.starts_with("Traceback (")
            || head.starts_with("Exception Group Traceback")
            || exception(head).is_some()
    });
    (!headed).then(|| {
        build(index, line, |lines, from| {
            let end = from.saturating_sub(1);
            let cut = end.saturating_sub(CUT)..end;
            cut.rev()
                .map(|at| lines.at(at))
                .take_while(|line| line.starts_with(' '))
                .filter_map(file)
                .collect()
        })
    })
}

/// How many lines of a traceback without its beginning are looked at.
const CUT: usize = 100;

/// What a page of Django says of an exception, below the traceback.
fn page<'a>(lines: &Lines<'a>, index: usize, text: &'a str) -> Option<Clue<'a>> {
    let class = text.split(' ').next()?;
    exception(class).filter(|_| !page_stack(lines, index + 1).is_empty())?;
    let mut clue = build(index, class, page_stack);
    if let Some(message) = lines.at(index + 1).strip_prefix("Exception Value: ") {
        clue.message = message.trim().into();
    }
    Some(clue)
}

/// `File "/src/p.py" in f` with the line below it, in front of the source; newer ones as the interpreter prints them.
fn page_stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let end = from.saturating_sub(1);
    let begin = (end.saturating_sub(400)..end).rev().find(|at| lines.at(*at).starts_with("Traceback"));
    let Some(begin) = begin else { return Vec::new() };
    let frame = |at: usize| {
        let line = lines.at(at);
        let rest = || line.trim_start().strip_prefix("File \"")?.split_once("\" in ");
        file(line).or_else(|| {
            let (path, function) = rest()?;
            let number = super::lines::number(lines.at(at + 1).trim_start()).map(|(number, _)| number);
            let number = number.and_then(|number| u32::try_from(number).ok());
            Some(RawFrame { function, file: Some(path), line: number, ..RawFrame::default() })
        })
    };
    (begin + 1..end).rev().filter_map(frame).collect()
}

/// What the interpreter says of a fault, when its `faulthandler` is on.
fn fatal(index: usize, name: &str) -> Clue<'_> {
    let (kind, weight) = match name.trim() {
        "Segmentation fault" => ("segv", Weight::Fault),
        "Bus error" => ("bus", Weight::Fault),
        "Floating point exception" | "Floating-point exception" => ("fpe", Weight::Fault),
        "Illegal instruction" => ("ill", Weight::Fault),
        name if name.contains("stack overflow") => ("stack-overflow", Weight::Fault),
        _ => ("abrt", Weight::Program),
    };
    let mut clue = Clue::new(weight, index, kind, name);
    clue.stack = fatal_stack;
    clue
}

/// `  File "/src/x.py", line 19 in call`, innermost first already.
fn fatal_stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let heading = |words: &[&str]| {
        let heads = |line: &str| words.iter().any(|word| line.trim_start().starts_with(word));
        lines.from(from).take(200).find(|(_, line)| heads(line)).map(|(at, _)| at)
    };
    let current = heading(&["Current thread ", "Stack (most recent call first)"]);
    let Some(begin) = current.or_else(|| heading(&["Thread 0x"])) else { return Vec::new() };
    let frame = |line: &'a str| {
        let (path, rest) = line.trim_start().strip_prefix("File \"")?.split_once("\", line ")?;
        let (number, function) = rest.split_once(" in ")?;
        Some(RawFrame { function, file: Some(path), line: number.parse().ok(), ..RawFrame::default() })
    };
    lines.from(begin + 1).take(1024).map_while(|(_, line)| frame(line)).collect()
}

/// A line of a group of exceptions without the tree that is drawn beside it.
fn grouped(line: &str) -> &str {
    line.trim_start().strip_prefix("| ").unwrap_or(line)
}

fn group_stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames: Vec<RawFrame<'a>> = lines
        .from(from)
        .take(5000)
        .map(|(_, line)| grouped(line))
        .take_while(|line| line.starts_with(' '))
        .filter_map(file)
        .collect();
    frames.reverse();
    frames
}

fn last_atheris(lines: &Lines<'_>, index: usize) -> bool {
    (1..4).any(|back| index >= back && lines.at(index - back).contains("=== Uncaught Python exception: ==="))
}

fn build<'a>(index: usize, text: &'a str, stack: fn(&Lines<'a>, usize) -> Vec<RawFrame<'a>>) -> Clue<'a> {
    let (class, message) = exception(text).unwrap_or(("Exception", text));
    let name = class.rsplit('.').next().unwrap_or(class);
    let (kind, weight) = match name {
        // Older ones have no class for it.
        "RuntimeError" if message.starts_with("maximum recursion depth exceeded") => {
            ("stack-overflow", Weight::Fault)
        }
        "RecursionError" => ("stack-overflow", Weight::Fault),
        "MemoryError" => ("out-of-memory", Weight::Limit),
        _ => ("python-exception", Weight::Program),
    };
    let mut clue = Clue::new(weight, index, kind, if message.is_empty() { class } else { message });
    clue.cause = (kind == "python-exception").then(|| name.into());
    clue.stack = stack;
    clue
}

/// `package.Error: message`
fn exception(line: &str) -> Option<(&str, &str)> {
    let (class, message) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
    // One that stands for another: `ray.exceptions.RayTaskError(ValueError)`.
    let class =
        class.strip_suffix(')').and_then(|class| class.rsplit_once('(')).map_or(class, |(_, inner)| inner);
    let valid = !class.is_empty()
        && class.len() < 200
        && class.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.')
        && class.chars().next().is_some_and(|c| !c.is_numeric());
    valid.then_some((class, message))
}

/// The line after the indented frames.
fn end<'a>(lines: &Lines<'a>, index: usize) -> Option<(usize, &'a str)> {
    let depth = depth(lines.at(index));
    let all = lines.from(index + 1).take(5000).map(|(at, line)| (at, dedented(line, depth)));
    let mut all = all.skip_while(|(_, line)| line.starts_with(' ') || line.is_empty());
    all.next()
}

/// How far a line is indented: logs of tests indent a whole traceback.
fn depth(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// A line without as much of its indentation.
fn dedented(line: &str, depth: usize) -> &str {
    &line[self::depth(line).min(depth)..]
}

/// Frames in the order of all others: innermost first.
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    // `from` is the line after the clue: of atheris the exception, of the interpreter the first frame.
    let begin = lines
        .from(from)
        .take(4)
        .find(|(_, line)| line.trim_start().starts_with("Traceback ("))
        .map_or(from, |(at, _)| at + 1);
    let depth = depth(lines.at(begin.saturating_sub(1)));
    let mut frames = Vec::new();
    for (_, line) in lines.from(begin).take(5000) {
        let line = dedented(line, depth);
        if !line.starts_with(' ') && !line.is_empty() {
            break;
        }
        if let Some(frame) = file(line) {
            frames.push(frame);
        }
        if line.is_empty() {
            break;
        }
    }
    frames.reverse();
    frames
}

/// `  File "/src/p.py", line 7, in f`
pub(super) fn file(line: &str) -> Option<RawFrame<'_>> {
    let rest = line.trim_start().strip_prefix("File \"")?;
    let (path, rest) = rest.split_once("\", line ")?;
    // Without a function it is text that did not compile, of which the frame above it is to blame.
    let (number, function) = rest.split_once(", in ")?;
    Some(RawFrame { function, file: Some(path), line: number.trim().parse().ok(), ..RawFrame::default() })
}
