//! Signals, as Android, Chromium, gdb, the JVM, shells and test runners tell of them.

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};
use super::report::{Access, AccessKind};
use super::{native, symbolized};

const SIGNALS: [(&str, &str, u64); 9] = [
    ("SIGSEGV", "segv", 11),
    ("SIGABRT", "abrt", 6),
    ("SIGBUS", "bus", 7),
    ("SIGFPE", "fpe", 8),
    ("SIGILL", "ill", 4),
    ("SIGTRAP", "trap", 5),
    ("SIGSYS", "bad-system-call", 31),
    ("SIGXCPU", "timeout", 24),
    ("SIGKILL", "killed", 9),
];

/// What shells and the C library call them.
const WORDS: [(&str, &str); 7] = [
    ("Segmentation fault", "SIGSEGV"),
    ("Bus error", "SIGBUS"),
    ("Illegal instruction", "SIGILL"),
    ("Floating point exception", "SIGFPE"),
    ("Trace/breakpoint trap", "SIGTRAP"),
    ("Aborted", "SIGABRT"),
    ("Bad system call", "SIGSYS"),
];

/// The name of a signal of Linux by its number.
pub(in crate::fuzzing) fn name(number: u64) -> Option<&'static str> {
    SIGNALS.iter().find(|(_, _, value)| *value == number).map(|(name, _, _)| *name)
}

/// The name of the signal that `text` begins with in words.
pub(super) fn worded(text: &str) -> Option<&'static str> {
    WORDS.iter().find(|(words, _)| text.starts_with(words)).map(|(_, name)| *name)
}

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if let Some(rest) = after(line, "Received signal ") {
        let (signal, rest) = number(rest)?;
        let kind = SIGNALS.iter().find(|(_, _, value)| *value == signal)?.1;
        let mut clue = Clue::new(weight(kind), index, kind, line);
        if let Some(hex) = rest.rsplit(' ').find(|word| word.len() >= 8) {
            clue.address = u64::from_str_radix(hex.trim_start_matches("0x"), 16).ok();
        }
        return Some(clue.near_null());
    }
    if line.contains("fatal signal")
        || line.contains("Fatal signal")
        || line.contains("received signal")
        || line.contains("signal ")
        || line.contains("(signal: ")
        || line.contains("terminated by ")
        || line.contains("crashed with ")
        || line.contains(" (SIG")
    {
        let numbered = || after(line, "terminated with signal ").and_then(number).map(|(number, _)| number);
        let (_, kind, _) = SIGNALS
            .iter()
            .find(|(name, _, _)| line.contains(name))
            .or_else(|| SIGNALS.iter().find(|(_, _, value)| numbered() == Some(*value)))?;
        let mut clue = Clue::new(weight(kind), index, *kind, line);
        clue.stack = stack;
        clue.address = after(line, "fault addr ")
            .or_else(|| after(line, "addr="))
            .and_then(|rest| if rest.starts_with("0x") { number(rest) } else { None })
            .map(|(address, _)| address);
        // Where the instruction itself cannot be read: the innermost frame is there.
        let counter = if *kind == "segv" { counter(lines, index) } else { None };
        if counter.is_some_and(|counter| clue.address.map_or(counter == 0, |address| address == counter)) {
            clue.address = counter;
            clue.access = Some(Access { kind: AccessKind::Execute, size: None });
        }
        return Some(clue.near_null());
    }
    let (_, name) = WORDS.iter().find(|(word, _)| {
        after(line, word).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '.', '(']))
            && (line.starts_with(word) || line.contains(": ") || line.contains("  "))
    })?;
    let (_, kind, _) = SIGNALS.iter().find(|(signal, _, _)| signal == name)?;
    Some(Clue::new(Weight::Signal, index, *kind, line))
}

/// The stack, or the frame that gdb shows where the program stopped: `0x0000555 in parse (k=1) at c.c:12`.
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frames = native::stack(lines, from);
    if !frames.is_empty() {
        return frames;
    }
    let stopped = |line: &'a str| {
        let addressed = line.strip_prefix("0x").and_then(|hex| Some(hex.split_once(" in ")?.1));
        let text = addressed.unwrap_or(line);
        let (function, rest) = text.split_once(" (")?;
        let placed = rest.contains(") at ") || rest.contains(") from /");
        let ends = placed || (addressed.is_some() && rest.ends_with(')'));
        (ends && !function.contains(": ")).then(|| symbolized::body(text))
    };
    lines.from(from).take(3).find_map(|(_, line)| stopped(line)).into_iter().collect()
}

/// The program counter, as gdb (`0x0000000000000000 in ?? ()`) and Android (`#00 pc 000f4240  <unknown>`) print it for code that they
/// do not know.
fn counter(lines: &Lines<'_>, index: usize) -> Option<u64> {
    let (_, line) = lines
        .from(index + 1)
        .take(60)
        .find(|(_, line)| line.contains(" in ?? ()") || line.contains("#00 pc "))?;
    let hex = after(line, "#00 pc ").filter(|_| line.ends_with("<unknown>")).or_else(|| after(line, "0x"))?;
    let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
    u64::from_str_radix(&hex[..end], 16).ok()
}

fn weight(kind: &str) -> Weight {
    if matches!(kind, "abrt" | "trap" | "ill" | "killed") { Weight::Signal } else { Weight::Consequence }
}
