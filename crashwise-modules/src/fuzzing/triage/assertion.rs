//! Assertions and checks of C and C++ that a program fails.
//!
//! ```text
//! c: c.c:30: int parse(int): Assertion `n == 3' failed.
//! Assertion failed: (n == 3), function parse, file c.c, line 30.
//! Assertion failure: n == 3, at /src/c.cpp:30
//! ASSERT: "n == 3" in file c.cpp, line 30
//! [12:34:0101/120000.1:FATAL:x.cc(12)] Check failed: a == b (1 vs. 2)
//! F0102 03:04:05.6 7 x.cc:12] Check failed: a == b
//! ```

use super::clue::{Clue, Weight};
use super::frame::{RawFrame, split_place};
use super::lines::{Lines, after, number};
use super::native;

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let (kind, message, place) =
        assertion(line).map(|(message, place)| ("assertion", message, place)).or_else(|| check(line))?;
    let mut clue = Clue::new(Weight::Program, index, kind, message);
    clue.place = place;
    clue.stack = native::fuller_stack;
    Some(clue)
}

/// What was asserted, and where.
fn assertion(line: &str) -> Option<(&str, Option<RawFrame<'_>>)> {
    // glibc: `program: file:line: function: Assertion `x' failed.`
    if let Some(at) = line.find(": Assertion ")
        && line.contains("failed")
    {
        let (head, tail) = (&line[..at], &line[at + ": Assertion ".len()..]);
        let message = tail.split("failed").next().unwrap_or(tail).trim();
        return Some((message.trim_matches(['`', '\'', '"', ' ', ':']), placed(head)));
    }
    // libc++: `file:line: assertion x failed: message`
    if let Some((head, tail)) = line.split_once(": assertion ")
        && let Some((asserted, _)) = tail.split_once(" failed")
        && let Some(place) = placed(head)
    {
        return Some((asserted, Some(place)));
    }
    // musl, macOS, Windows: `Assertion failed: x (file: function: line)`, `…, function f, file x.c, line 3.`, `…, file x.c, line 3`
    if let Some(rest) = after(line, "Assertion failed: ").or_else(|| after(line, "ASSERTION FAILED: ")) {
        if let Some((head, tail)) = rest.split_once(", function ").or_else(|| rest.split_once(", file ")) {
            let function =
                if rest.contains(", function ") { tail.split(',').next().unwrap_or("") } else { "" };
            return Some((head, Some(RawFrame { function, ..named(&rest[head.len()..]) })));
        }
        let (head, place) = rest.split_once(" (").unwrap_or((rest, ""));
        return Some((head, three(place.trim_end_matches(')'))));
    }
    // An agent of the Java machine: `*** java.lang.instrument ASSERTION FAILED ***: "x" with message m at f.c line: 7`
    if let Some(rest) = after(line, " ASSERTION FAILED ***: ") {
        let (message, place) = rest.rsplit_once(" at ").unwrap_or((rest, ""));
        let place = place.split_once(" line: ").and_then(|(file, row)| {
            Some(RawFrame {
                file: Some(file),
                line: Some(number(row)?.0.try_into().ok()?),
                ..RawFrame::default()
            })
        });
        return Some((message, place));
    }
    // Mozilla
    let crash = after(line, "Hit MOZ_CRASH(");
    if let Some(rest) = after(line, "Assertion failure: ").or(crash) {
        let (message, place) = rest.rsplit_once(" at ").unwrap_or((rest, ""));
        let place = split_place(place).1.map(|_| RawFrame::at("", place));
        let message = message.trim_end_matches(',');
        return Some((crash.and_then(|_| message.strip_suffix(')')).unwrap_or(message), place));
    }
    // systemd: `Assertion 'x' failed at src/x.c:12, function int f(void)(). Aborting.`
    if let Some((message, rest)) = after(line, "Assertion '").and_then(|rest| rest.split_once("' failed at "))
        && let Some((place, function)) = rest.split_once(", function ")
        && split_place(place).1.is_some()
    {
        let function = function.split("(). ").next().unwrap_or(function);
        return Some((message, Some(RawFrame::at(function, place))));
    }
    // `src/x.c: assert failed on line 12: x`
    if let Some((file, rest)) = line.split_once(": assert failed on line ") {
        let (row, message) = rest.split_once(": ").unwrap_or((rest, ""));
        let file = file.rsplit(' ').next();
        return Some((message, Some(RawFrame { file, line: row.parse().ok(), ..RawFrame::default() })));
    }
    // `Assertion failure [demo.c:12] [(x)]` and alike, of programs with their own.
    let own = ["Assertion failure", "Assertion failed", "ASSERTION FAILURE", "assertion failure"];
    if let Some(rest) = own.iter().find_map(|words| after(line, words).filter(|rest| !rest.contains("%s"))) {
        let frame = rest
            .split([' ', '[', ']', '(', ')', ',', '"', '\''])
            .map(|word| RawFrame::at("", word.trim_end_matches([':', '.'])))
            .find(|frame| frame.line.is_some() && frame.file.is_some_and(|file| file.contains('.')));
        if frame.is_some() {
            return Some((rest.trim_matches([' ', ':']), frame));
        }
    }
    // Qt, BSD: `ASSERT: "x" in file c.cpp, line 3`, `ASSERT failure in f: "x", file c.cpp, line 3`, `assertion "x" failed: file "c.c", line 3`
    if let Some(rest) = after(line, "ASSERT: ")
        .or_else(|| after(line, "ASSERT failure in "))
        .or_else(|| after(line, "assertion \"").filter(|rest| rest.contains("\" failed")))
        && let Some((head, _)) = rest.split_once("file ")
    {
        let message =
            head.trim_end_matches(" in ").trim_end_matches([',', ' ']).trim_end_matches("\" failed:");
        return Some((message.trim_matches('"'), Some(named(&rest[head.len()..]))));
    }
    // Envoy: `[critical][assert] [source/x.cc:12] assert failure: x.`
    if let Some((head, message)) = line.split_once("assert failure: ") {
        let place = head.rsplit_once('[').and_then(|(_, place)| place.split(']').next());
        return Some((
            message,
            place.filter(|place| split_place(place).1.is_some()).map(|place| RawFrame::at("", place)),
        ));
    }
    if line.trim_start().starts_with("ASSERTION FAILED:") {
        return Some((after(line, ": ").unwrap_or(line), None));
    }
    // GLib: `GLib:ERROR:file:line:function: assertion failed: (x)`
    let glib = after(line, "ERROR:")
        .filter(|_| line.contains("assertion failed") || line.contains("code should not be reached"))?;
    let message = after(glib, "assertion failed").unwrap_or(glib).trim_start_matches([' ', ':']);
    let head = glib.split(": ").next().unwrap_or("");
    let place = match head.rsplit_once(':') {
        Some((place, function)) if split_place(place).1.is_some() => RawFrame::at(function, place),
        _ => RawFrame::at("", head),
    };
    Some((message, Some(place)))
}

/// `program: file:line: function`
fn placed(head: &str) -> Option<RawFrame<'_>> {
    let mut parts = head.splitn(3, ": ");
    let (first, second, third) = (parts.next()?, parts.next(), parts.next());
    for (place, function) in [(second, third), (Some(first), second)] {
        let Some(place) = place else { continue };
        let frame = RawFrame::at(function.unwrap_or(""), place);
        if frame.line.is_some() {
            return Some(frame);
        }
    }
    None
}

/// `file c.c, line 30`, the file in quotes or not.
fn named(text: &str) -> RawFrame<'_> {
    let file = after(text, "file ").and_then(|file| file.split(", line").next());
    let row = after(text, "line ").and_then(number).and_then(|(row, _)| u32::try_from(row).ok());
    RawFrame { file: file.map(|file| file.trim_matches('"')), line: row, ..RawFrame::default() }
}

/// `file: function: line`
fn three(text: &str) -> Option<RawFrame<'_>> {
    let mut parts = text.split(": ");
    let (file, function, row) = (parts.next()?, parts.next()?, parts.next()?);
    Some(RawFrame { function, file: Some(file), line: row.parse().ok(), ..RawFrame::default() })
}

/// A line of a log at the level that ends the program: its kind, what it says, and where.
fn check(line: &str) -> Option<(&'static str, &str, Option<RawFrame<'_>>)> {
    let close = line.find("] ");
    // Chromium: `[…:FATAL:file(line)] text`
    if let Some(at) = line.find("FATAL:")
        && let Some(close) = close.filter(|close| *close > at)
    {
        let place = &line[at + "FATAL:".len()..close];
        let place = match place.split_once('(') {
            Some((file, row)) => RawFrame {
                file: Some(file),
                line: row.trim_end_matches(')').parse().ok(),
                ..RawFrame::default()
            },
            None => RawFrame::at("", place),
        };
        let (kind, text) = fatal(&line[close + 2..]);
        return Some((kind, text, Some(place)));
    }
    // glog and Abseil: `F0102 03:04:05.6 7 file:line] text`
    if line.starts_with('F') && line.as_bytes().get(1).is_some_and(u8::is_ascii_digit) {
        let place = RawFrame::at("", line[..close?].rsplit(' ').next()?);
        place.line?;
        let (kind, text) = fatal(&line[close? + 2..]);
        return Some((kind, text, Some(place)));
    }
    // Android: `frameworks/x.cpp:123 CHECK(a == b) failed.`
    let (head, text) = line.split_once(" CHECK")?;
    let place = RawFrame::at("", head.rsplit(' ').next()?);
    place.line?;
    let message = text.trim_end().trim_end_matches('.').strip_suffix(" failed")?;
    Some(("check-failed", message, Some(place)))
}

fn fatal(text: &str) -> (&'static str, &str) {
    match after(text, "heck failed: ").or_else(|| after(text, "CHECK failed: ")) {
        Some(text) => ("check-failed", text),
        None => ("fatal-error", text),
    }
}
