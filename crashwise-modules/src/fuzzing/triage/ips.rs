//! Crash reports of macOS 12 and iOS 15 and later, which are JSON.
//!
//! ```text
//! {"app_name":"demo","timestamp":"2026-11-22 10:00:00.00 +0000","bug_type":"309","name":"demo"}
//! {
//!   "exception" : {"codes":"0x1, 0x10","type":"EXC_BAD_ACCESS","signal":"SIGSEGV","subtype":"KERN_INVALID_ADDRESS at 0x10"},
//!   "faultingThread" : 0,
//!   "threads" : [{"triggered":true,"id":7,"frames":[{"imageOffset":16168,"sourceLine":12,"sourceFile":"parse.c","symbol":"parse","imageIndex":0}]}],
//!   "usedImages" : [
//!   {
//!     "path" : "\/Users\/me\/demo",
//!     "name" : "demo"
//!   },
//! ```
//!
//! Read as text, since a report out of an issue is seldom whole. Names stay as they are escaped.

use super::clue::{Clue, Weight};
use super::debugger;
use super::frame::RawFrame;
use super::lines::{Lines, number};

/// Lines of one report.
const AHEAD: usize = 20_000;

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let text = lines.at(index).trim_start().strip_prefix("\"exception\"")?;
    // Some tools write it over several lines.
    let own = || std::iter::once(text).chain((1..8).map(|more| lines.at(index + more)));
    let field =
        |name| own().take_while(|line| !line.contains("\"termination\"")).find_map(|line| string(line, name));
    let mach = field("type")?;
    let (kind, weight) = field("signal").and_then(debugger::kind).or_else(|| debugger::kind(mach))?;
    let subtype = field("subtype").unwrap_or("");
    let mut clue = Clue::new(weight, index, kind, if subtype.is_empty() { mach } else { subtype });
    if let Some((_, at)) = subtype.split_once(" at ").filter(|_| subtype.starts_with("KERN_")) {
        clue.address = number(at).map(|(address, _)| address);
    }
    for (_, near) in lines.from(index + 1).take(24) {
        if string(near, "vmregioninfo").is_some_and(|text| text.to_ascii_uppercase().contains("STACK GUARD"))
        {
            clue.kind = "stack-overflow".into();
        }
        // What the application, or a library in its name, said of an abort.
        if weight == Weight::Consequence
            && let Some(said) =
                near.trim_start().strip_prefix("\"asi\"").and_then(|text| text.split_once('['))
            && let Some(said) = quoted(said.1.trim_start())
        {
            clue.message = said.into();
        }
    }
    clue.stack = stack;
    Some(clue.near_null())
}

/// The frames of the thread that was triggered.
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let images: Vec<&str> = lines
        .from(from)
        .take(AHEAD)
        .skip_while(|(_, line)| !line.contains("\"usedImages\""))
        .take_while(|(_, line)| !line.contains("\"sharedCache\""))
        .filter_map(|(_, line)| string(line, "name"))
        .collect();
    let Some((mut at, _)) =
        lines.from(from).take(AHEAD).find(|(_, line)| after_key(line, "triggered").is_some())
    else {
        return Vec::new();
    };
    let line = lines.at(at);
    let mut rest = line.find("\"triggered\"").map_or(line, |begin| &line[begin..]);
    // The thread's registers come before its frames, perhaps on lines of their own.
    while after_key(rest, "frames").is_none() {
        at += 1;
        if at > from + AHEAD || at >= lines.len() {
            return Vec::new();
        }
        rest = lines.at(at);
    }
    let mut frames = Vec::new();
    let mut rest = after_key(rest, "frames").unwrap_or("");
    while frames.len() < 1024 {
        let Some((object, more)) = rest.split_once('}') else {
            // An object over several lines is put together from its first to its last one, field by field.
            let Some(more) = lines_of_object(lines, &mut at, rest, &mut frames, &images) else { break };
            rest = more;
            continue;
        };
        if let Some(frame) = frame(&[object], &images) {
            frames.push(frame);
        }
        rest = more.trim_start();
        if rest.starts_with(']') {
            break;
        }
    }
    frames
}

/// Reads one frame that does not end on its line; what follows it.
fn lines_of_object<'a>(
    lines: &Lines<'a>,
    at: &mut usize,
    first: &'a str,
    frames: &mut Vec<RawFrame<'a>>,
    images: &[&'a str],
) -> Option<&'a str> {
    let mut parts = vec![first];
    loop {
        *at += 1;
        let line = lines.at(*at);
        if *at >= lines.len() || parts.len() > 24 || line.trim_start().starts_with(']') {
            return None;
        }
        let Some((part, more)) = line.split_once('}') else {
            parts.push(line);
            continue;
        };
        parts.push(part);
        frames.extend(frame(&parts, images));
        let more = more.trim_start();
        return (!more.starts_with(']')).then_some(more);
    }
}

fn frame<'a>(parts: &[&'a str], images: &[&'a str]) -> Option<RawFrame<'a>> {
    let text = |name| parts.iter().find_map(|part| string(part, name));
    let count = |name| parts.iter().find_map(|part| number(after_key(part, name)?)).map(|(number, _)| number);
    let image = usize::try_from(count("imageIndex")?).ok()?;
    let function = text("symbol").unwrap_or("");
    let line = count("sourceLine").and_then(|line| u32::try_from(line).ok()).filter(|line| *line > 0);
    Some(RawFrame {
        function,
        file: text("sourceFile"),
        line,
        module: images.get(image).copied(),
        ..RawFrame::default()
    })
}

/// What follows `"name" :` or `"name":`.
fn after_key<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = text;
    loop {
        let at = rest.find(name)?;
        let (before, follows) = (&rest[..at], &rest[at + name.len()..]);
        if before.ends_with('"')
            && let Some(value) =
                follows.strip_prefix('"').and_then(|text| text.trim_start().strip_prefix(':'))
        {
            return Some(value.trim_start());
        }
        rest = follows;
    }
}

fn string<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    quoted(after_key(text, name)?)
}

/// The text between two quotes, its escapes left alone.
fn quoted(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = inner.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    Some(&inner[..end])
}
