//! Memcheck and Helgrind of Valgrind.
//!
//! ```text
//! ==8123== Invalid write of size 4
//! ==8123==    at 0x10916B: fill (fill.c:9)
//! ==8123==    by 0x1091A4: main (main.c:12)
//! ==8123==  Address 0x4a8a068 is 0 bytes after a block of size 40 alloc'd
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};
use super::report::{Access, AccessKind};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    // Documents leave the number of the process out.
    let numbered = said(lines.at(index));
    let text = numbered.or_else(|| frame(lines.at(index + 1)).map(|_| lines.at(index)))?.trim_start();
    let access =
        |kind| after(text, " of size ").and_then(number).map(|(size, _)| Access { kind, size: Some(size) });
    let (kind, weight, access) = if text.starts_with("Invalid read of size ") {
        ("invalid-read", Weight::Sanitizer, access(AccessKind::Read))
    } else if text.starts_with("Invalid write of size ") {
        ("invalid-write", Weight::Sanitizer, access(AccessKind::Write))
    } else if let Some(text) = text.strip_prefix("Possible data race during ") {
        let kind = if text.starts_with("write") { AccessKind::Write } else { AccessKind::Read };
        ("data-race", Weight::Sanitizer, access(kind))
    } else if text.starts_with("Invalid free()") {
        ("bad-free", Weight::Sanitizer, None)
    } else if text.starts_with("Mismatched free()") {
        ("alloc-dealloc-mismatch", Weight::Sanitizer, None)
    } else if text.starts_with("Jump to the invalid address") {
        ("segv", Weight::Sanitizer, Some(Access { kind: AccessKind::Execute, size: None }))
    } else if text.contains("uninitialised value") && !text.starts_with("Uninitialised") {
        ("use-of-uninitialized-value", Weight::Undefined, None)
    } else if text.starts_with("Source and destination overlap in ") {
        ("param-overlap", Weight::Sanitizer, None)
    } else if text.starts_with("Syscall param ") && text.contains("uninitialised byte") {
        ("use-of-uninitialized-value", Weight::Undefined, None)
    } else if text.starts_with("Syscall param ") && text.contains("unaddressable byte") {
        ("invalid-read", Weight::Sanitizer, None)
    } else if text.contains("has a fishy (possibly negative) value") {
        ("negative-size-param", Weight::Sanitizer, None)
    } else if text.contains(" lost in loss record ") {
        ("memory-leak", Weight::Leak, None)
    } else if let Some(signal) = after(text, "Process terminating with default action of signal ") {
        let name = signal.split(['(', ')', ':']).nth(1)?;
        // The fault is said before, as a wrong access; it ended the process, and so says more.
        match name {
            "SIGSEGV" => ("segv", Weight::Sanitizer, None),
            "SIGBUS" => ("bus", Weight::Sanitizer, None),
            "SIGFPE" => ("fpe", Weight::Fault, None),
            "SIGABRT" => ("abrt", Weight::Consequence, None),
            "SIGILL" => ("ill", Weight::Fault, None),
            _ => return None,
        }
    } else {
        return None;
    };
    let mut clue = Clue::new(weight, index, kind, text);
    clue.access = access;
    clue.stack = stack;
    let near = || {
        lines.from(index + 1).take(64).map_while(|(_, line)| match numbered {
            Some(_) => said(line),
            None => (!line.is_empty()).then_some(line),
        })
    };
    clue.address = near()
        .find_map(|line| {
            let told = line.trim_start().strip_prefix("Address ");
            told.or_else(|| after(line, "mapped region at address "))
        })
        .and_then(number)
        .map(|(address, _)| address);
    if matches!(kind, "invalid-read" | "invalid-write" | "segv")
        && clue.address.is_some_and(|address| address < super::severity::NEAR_NULL)
    {
        clue.kind = "segv".into();
        clue.cause = Some("null-dereference".into());
    }
    let block = near().find_map(|line| line.trim_start().strip_prefix("Address ")).unwrap_or_default();
    if matches!(kind, "invalid-read" | "invalid-write") && block.contains(" a block of size ") {
        let freed = block.contains(" inside ") && block.ends_with("free'd");
        let outside = block.contains(" after ") || block.contains(" before ");
        if freed {
            clue.kind = "heap-use-after-free".into();
        } else if outside {
            clue.kind = "heap-buffer-overflow".into();
        }
    }
    Some(clue)
}

/// A line without the number of the process.
fn said(line: &str) -> Option<&str> {
    let (_, rest) = number(line.strip_prefix("==")?)?;
    // Editors take the blank at the end of a line away.
    rest.strip_prefix("== ").or_else(|| rest.strip_prefix("==").filter(|rest| rest.is_empty()))
}

/// `==8123==    at 0x10916B: fill (fill.c:9)`, with the number of the process or without.
fn frame(line: &str) -> Option<RawFrame<'_>> {
    let text = said(line).unwrap_or(line).trim_start();
    let text = text.strip_prefix("at 0x").or_else(|| text.strip_prefix("by 0x"))?;
    let (_, text) = text.split_once(": ")?;
    let (function, place) = text.strip_suffix(')')?.rsplit_once(" (")?;
    let function = function.trim_matches(['(', ')']);
    let function = if function == "???" { "" } else { function };
    Some(match place.strip_prefix("in ").or_else(|| place.strip_prefix("within ")) {
        Some(module) => RawFrame { function, module: Some(module), ..RawFrame::default() },
        None => RawFrame::at(function, place),
    })
}

pub(super) fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    lines
        .from(from)
        .take(8)
        .find(|(_, line)| frame(line).is_some())
        .map(|(begin, _)| lines.from(begin).take(1024).map_while(|(_, line)| frame(line)).collect())
        .unwrap_or_default()
}
