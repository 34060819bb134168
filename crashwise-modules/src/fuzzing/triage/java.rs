//! Java exceptions, as the virtual machine and Jazzer print them.
//!
//! ```text
//! == Java Exception: java.lang.ArrayIndexOutOfBoundsException: Index 2 out of bounds for length 2
//!         at demo.Parser.at(Parser.java:12)
//!         at java.base/java.lang.reflect.Method.invoke(Method.java:569)
//! Caused by: …
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after};
use super::names::runtime_name;

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let text = after(line, "== Java Exception: ")
        .or_else(|| after(line, "== Java Assertion Error").map(|_| "java.lang.AssertionError"))
        .or_else(|| {
            let rest = line.strip_prefix("Exception in thread \"")?;
            Some(&rest[rest.find("\" ")? + 2..])
        })
        .or_else(|| thrown(line).filter(|_| follows(lines, index)))?;
    let said = line.starts_with("Exception in thread \"") && is_exception(text);
    if !said && !(0..4).any(|more| at(lines.at(index + 1 + more)).is_some()) {
        return None;
    }
    // Innermost of the causes: where it began.
    let root = root(lines, index);
    let text = root.map_or(text, |index| after(lines.at(index), "Caused by: ").unwrap_or(text));
    let (class, message) = text.split_once(": ").unwrap_or((text, ""));
    let class = class.trim().trim_end_matches(':');
    let name = class.rsplit(['.', '$']).next().unwrap_or(class);
    let kind = match name {
        "StackOverflowError" => "stack-overflow",
        "OutOfMemoryError" => "out-of-memory",
        // What a sanitizer of Jazzer saw the program do, with how bad its author takes it to be.
        _ if name.starts_with("FuzzerSecurityIssue") => "security-issue",
        _ => "java-exception",
    };
    let weight = match kind {
        "stack-overflow" => Weight::Fault,
        "out-of-memory" => Weight::Limit,
        "security-issue" => Weight::Sanitizer,
        _ => Weight::Program,
    };
    let mut clue = Clue::new(weight, index, kind, if message.is_empty() { class } else { message });
    clue.cause = matches!(kind, "java-exception" | "security-issue").then(|| name.to_owned().into());
    clue.stack = stack;
    Some(clue)
}

/// Whether a stack begins in the next line that is not empty.
fn follows(lines: &Lines<'_>, index: usize) -> bool {
    let next = lines.from(index + 1).take(4).find(|(_, line)| !line.trim().is_empty());
    next.is_some_and(|(_, line)| at(line).is_some())
}

/// What a line says was thrown, behind whatever a log has in front of it: `Fatal Exception: demo.ParseException: …`.
fn thrown(line: &str) -> Option<&str> {
    let mut from = 0;
    for part in line.split(": ").take(12) {
        let word = part.rsplit([' ', '\t']).next().unwrap_or(part);
        if is_exception(word) {
            return Some(&line[from + part.len() - word.len()..]);
        }
        from += part.len() + 2;
    }
    None
}

fn is_exception(line: &str) -> bool {
    let class = line.split(": ").next().unwrap_or(line);
    class.len() < 200
        && class.contains('.')
        && class.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._$".contains(&byte))
        && (class.ends_with("Exception")
            || class.ends_with("Error")
            || class.ends_with("Throwable")
            || class.contains(".FuzzerSecurityIssue"))
}

/// The line of the last `Caused by:` of the trace that begins at `index`.
fn root(lines: &Lines<'_>, index: usize) -> Option<usize> {
    let mut found = None;
    let indent = |line: &str| line.len() - line.trim_start().len();
    let first = lines.from(index + 1).take(4).find(|(_, line)| at(line).is_some());
    let frames = first.map_or(0, |(_, line)| indent(line));
    for (index, line) in lines.from(index + 1).take(2000) {
        let text = line.trim_start();
        if text.starts_with("Caused by: ") {
            // What caused a suppressed one stands as deep as frames do.
            if indent(line) < frames || frames == 0 {
                found = Some(index);
            }
        } else if line.is_empty() || text.starts_with("==") {
            break;
        }
    }
    found
}

fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let Some(root) = root(lines, from.saturating_sub(1)) else { return section(lines, from) };
    let mut frames = section(lines, root + 1);
    // Where only the virtual machine is in it, the frames that it shares with the trace above say who called.
    if frames.iter().all(|frame| runtime_name(frame.function)) {
        let shared = lines.from(root + 1).take(frames.len() + 4).find_map(|(_, line)| {
            super::lines::number(line.trim_start().strip_prefix("... ")?).map(|(shared, _)| shared)
        });
        let above = (from..root).rev().find(|at| lines.at(*at).trim_start().starts_with("Caused by: "));
        let above = section(lines, above.map_or(from, |at| at + 1));
        let shared = shared.and_then(|shared| usize::try_from(shared).ok()).unwrap_or(above.len());
        frames.extend_from_slice(&above[above.len().saturating_sub(shared)..]);
    }
    frames
}

/// The frames of one exception of a chain, at or after line `begin`.
fn section<'a>(lines: &Lines<'a>, begin: usize) -> Vec<RawFrame<'a>> {
    let mut frames = Vec::new();
    for (_, line) in lines.from(begin).take(2000) {
        match at(line) {
            Some(frame) => frames.push(frame),
            None if frames.is_empty() => {}
            // Stores of applications put empty lines between.
            None if line.trim().is_empty() => {}
            None => break,
        }
        if frames.len() == 1024 {
            break;
        }
    }
    frames
}

/// `\tat demo.Parser.at(Parser.java:12)`, also of JavaScript-free tools: with a module and a class loader before it.
fn at(line: &str) -> Option<RawFrame<'_>> {
    let text = line.trim_start();
    let text = match text.strip_prefix("at ") {
        Some(text) => text,
        // Some logs lose the word.
        None if text.ends_with(')') && text.contains(".java:") && !text.contains(' ') => text,
        None => return None,
    };
    // Logs of frameworks add the archive: `~[app.jar:1.0]`.
    let text = match text.rfind(") ") {
        Some(end) if text[end + 2..].trim_start_matches('~').starts_with('[') => &text[..=end],
        _ => text,
    };
    let open = text.rfind('(')?;
    let place = text[open + 1..].strip_suffix(')')?;
    let source = [".java", ".kt", ".scala", ".groovy", ".clj"].iter().any(|suffix| place.contains(suffix));
    if !source && place != "Native Method" && place != "Unknown Source" && !place.starts_with('<') {
        return None;
    }
    let name = text[..open].trim_end();
    if name.contains(' ') {
        return None;
    }
    // Before it stand a class loader and a module.
    let function = name.rsplit('/').next().unwrap_or(name);
    Some(if source { RawFrame::at(function, place) } else { RawFrame { function, ..RawFrame::default() } })
}
