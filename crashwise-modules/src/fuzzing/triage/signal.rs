//! Signals, as Android, Chromium, gdb, the JVM, shells and test runners tell of them.

use super::clue::{Clue, Weight};
use super::lines::{Lines, after, number};

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

const WORDS: [(&str, &str); 7] = [
    ("Segmentation fault", "segv"),
    ("Bus error", "bus"),
    ("Illegal instruction", "ill"),
    ("Floating point exception", "fpe"),
    ("Trace/breakpoint trap", "trap"),
    ("Aborted", "abrt"),
    ("Bad system call", "bad-system-call"),
];

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if let Some(rest) = after(line, "Received signal ") {
        let (signal, rest) = number(rest)?;
        let kind = SIGNALS.iter().find(|(_, _, value)| *value == signal)?.1;
        let mut clue = Clue::new(weight(kind), index, kind, line);
        if let Some(hex) = rest.rsplit(' ').find(|word| word.len() >= 8) {
            clue.address = u64::from_str_radix(hex.trim_start_matches("0x"), 16).ok();
        }
        return Some(null(clue));
    }
    if line.contains("fatal signal")
        || line.contains("Fatal signal")
        || line.contains("received signal")
        || line.contains("signal ")
        || line.contains("(signal: ")
        || line.contains("terminated by ")
        || line.contains("crashed with ")
    {
        let (_, kind, _) = SIGNALS.iter().find(|(name, _, _)| line.contains(name))?;
        let mut clue = Clue::new(weight(kind), index, *kind, line);
        clue.address = after(line, "fault addr ")
            .or_else(|| after(line, "addr="))
            .and_then(|rest| if rest.starts_with("0x") { number(rest) } else { None })
            .map(|(address, _)| address);
        return Some(null(clue));
    }
    let (_, kind) = WORDS.iter().find(|(word, _)| {
        after(line, word).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '.', '(']))
            && (line.starts_with(word) || line.contains(": ") || line.contains("  "))
    })?;
    Some(Clue::new(Weight::Signal, index, *kind, line))
}

fn weight(kind: &str) -> Weight {
    if matches!(kind, "abrt" | "trap" | "ill" | "killed") { Weight::Signal } else { Weight::Consequence }
}

fn null(mut clue: Clue<'_>) -> Clue<'_> {
    if clue.kind == "segv" && clue.address.is_some_and(|address| address < super::severity::NEAR_NULL) {
        clue.cause = Some("null-dereference".into());
    }
    clue
}
