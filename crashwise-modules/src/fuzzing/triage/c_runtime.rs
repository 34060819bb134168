//! What the C and C++ runtimes print before they abort: assertions, checks, uncaught exceptions, heap corruption.
//!
//! ```text
//! c: c.c:30: int parse(int): Assertion `n == 3' failed.
//! terminate called after throwing an instance of 'std::out_of_range'
//!   what():  vector::_M_range_check
//! double free or corruption (fasttop)
//! [12:34:0101/120000.1:FATAL:x.cc(12)] Check failed: a == b (1 vs. 2)
//! # Fatal error in ../src/x.cc, line 12
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    assertion(index, line)
        .or_else(|| check(lines, index, line))
        .or_else(|| exception(lines, index, line))
        .or_else(|| heap(index, line))
}

fn assertion(index: usize, line: &str) -> Option<Clue<'_>> {
    let build = |message, place| {
        let mut clue = Clue::new(Weight::Program, index, "assertion", message);
        clue.place = place;
        clue
    };
    // glibc: `program: file:line: function: Assertion `x' failed.`
    if let Some(at) = line.find(": Assertion ")
        && line.contains("failed")
    {
        let (head, tail) = (&line[..at], &line[at + ": Assertion ".len()..]);
        let message = tail.split("failed").next().unwrap_or(tail).trim();
        return Some(build(message.trim_matches(['`', '\'', '"', ' ', ':']), placed(head)));
    }
    // musl, BSD, macOS: `Assertion failed: x (file: function: line)` or `Assertion failed: (x), function f, file x.c, line 3.`
    if let Some(rest) = after(line, "Assertion failed: ").or_else(|| after(line, "ASSERTION FAILED: ")) {
        if let Some((head, tail)) = rest.split_once(", function ") {
            let function = tail.split(',').next().unwrap_or("");
            let file = after(tail, "file ").and_then(|file| file.split(',').next());
            let row = after(tail, "line ").and_then(number).and_then(|(row, _)| u32::try_from(row).ok());
            let place = RawFrame { function, file, line: row, ..RawFrame::default() };
            return Some(build(head, Some(place)));
        }
        return Some(build(rest.split(" (").next().unwrap_or(rest), None));
    }
    if line.trim_start().starts_with("ASSERTION FAILED:") || line.contains("Assertion failure: ") {
        return Some(build(after(line, ": ").unwrap_or(line), None));
    }
    let glib = after(line, "ERROR:")
        .filter(|_| line.contains("assertion failed") || line.contains("code should not be reached"))?;
    Some(build(
        after(glib, "assertion failed").unwrap_or(glib).trim_start_matches([' ', ':']),
        Some(RawFrame::at("", glib.split(": ").next().unwrap_or(""))),
    ))
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

fn check<'a>(lines: &Lines<'a>, index: usize, line: &'a str) -> Option<Clue<'a>> {
    if let Some(rest) = after(line, "# Fatal error in ") {
        let (file, row) = rest.split_once(", line ").unwrap_or((rest.trim_end_matches([',', ' ']), ""));
        let text = lines.at(index + 1).trim_start_matches(['#', ' ']);
        let kind = if text.starts_with("Check failed") { "check-failed" } else { "fatal-error" };
        let mut clue = Clue::new(Weight::Program, index, kind, text.trim_start_matches("Check failed: "));
        let file = (!file.is_empty() && file != ",").then_some(file);
        clue.place = Some(RawFrame { file, line: row.trim().parse().ok(), ..RawFrame::default() });
        return Some(clue);
    }
    // Chromium and glog: `[…:FATAL:file(line)] text`, `F0102 03:04:05.6 7 file:line] text`.
    let close = line.find("] ");
    if let Some(at) = line.find("FATAL:")
        && let Some(close) = close.filter(|close| *close > at)
    {
        let place = &line[at + "FATAL:".len()..close];
        let text = &line[close + 2..];
        let kind = if text.contains("heck failed") { "check-failed" } else { "fatal-error" };
        let mut clue = Clue::new(Weight::Program, index, kind, after(text, "heck failed: ").unwrap_or(text));
        clue.place = Some(match place.split_once('(') {
            Some((file, row)) => RawFrame {
                file: Some(file),
                line: row.trim_end_matches(')').parse().ok(),
                ..RawFrame::default()
            },
            None => RawFrame::at("", place),
        });
        return Some(clue);
    }
    if line.starts_with('F')
        && line.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
        && let Some(close) = close
    {
        let place = line[..close].rsplit(' ').next()?;
        let frame = RawFrame::at("", place);
        frame.line?;
        let text = &line[close + 2..];
        let kind = if text.contains("heck failed") { "check-failed" } else { "fatal-error" };
        let mut clue = Clue::new(Weight::Program, index, kind, after(text, "heck failed: ").unwrap_or(text));
        clue.place = Some(frame);
        return Some(clue);
    }
    None
}

fn exception<'a>(lines: &Lines<'a>, index: usize, line: &'a str) -> Option<Clue<'a>> {
    if let Some(rest) =
        after(line, "after throwing an instance of '").or_else(|| after(line, "uncaught exception of type "))
    {
        let class = rest.split(['\'', ':']).next().filter(|class| !class.is_empty()).unwrap_or(rest);
        let class = if rest.starts_with("std::") {
            rest.split(['\'', ' ']).next()?.trim_end_matches(':')
        } else {
            class
        };
        let what = lines.at(index + 1);
        let message =
            after(what, "what():").or_else(|| rest.split_once(": ").map(|(_, what)| what)).unwrap_or(class);
        let mut clue = Clue::new(Weight::Program, index, "uncaught-exception", message);
        clue.cause = Some(class.to_owned().into());
        return Some(clue);
    }
    if line.contains("terminate called without an active exception")
        || line.contains("terminate called recursively")
    {
        return Some(Clue::new(Weight::Program, index, "uncaught-exception", line));
    }
    if line.contains("pure virtual method called") || line.contains("Pure virtual function called") {
        return Some(Clue::new(Weight::Program, index, "pure-virtual-call", line));
    }
    None
}

fn heap(index: usize, line: &str) -> Option<Clue<'_>> {
    const TEXTS: &[(&str, &str)] = &[
        ("*** stack smashing detected ***", "stack-smashing"),
        ("*** buffer overflow detected ***", "fortify-buffer-overflow"),
        ("detected source and destination buffer overlap", "param-overlap"),
        ("double free or corruption", "heap-corruption"),
        ("double free detected in tcache", "heap-corruption"),
        ("free(): invalid pointer", "heap-corruption"),
        ("free(): invalid size", "heap-corruption"),
        ("free(): invalid next size", "heap-corruption"),
        ("free(): corrupted unsorted chunks", "heap-corruption"),
        ("munmap_chunk(): invalid pointer", "heap-corruption"),
        ("malloc(): corrupted", "heap-corruption"),
        ("malloc(): memory corruption", "heap-corruption"),
        ("malloc(): invalid size", "heap-corruption"),
        ("malloc(): unaligned tcache chunk", "heap-corruption"),
        ("malloc_consolidate(): ", "heap-corruption"),
        ("realloc(): invalid", "heap-corruption"),
        ("corrupted size vs. prev_size", "heap-corruption"),
        ("corrupted double-linked list", "heap-corruption"),
        ("malloc(): unsorted double linked list corrupted", "heap-corruption"),
        ("FORTIFY: ", "fortify-buffer-overflow"),
    ];
    let (_, kind) = TEXTS.iter().find(|(text, _)| line.contains(text))?;
    Some(Clue::new(Weight::Program, index, *kind, line))
}
