//! What `minidump_stackwalk` prints, for machines and for people.
//!
//! ```text
//! Crash|SIGSEGV|0x10|0
//! 0|0|demo|demo::parse(char const*)|hg:hg.example.org/demo:src/parse.cpp:957a743c|42|0x0
//!
//! Crash reason:  SIGSEGV / SEGV_MAPERR
//! Crash address: 0x10
//! Thread 0 (crashed)
//!  0  demo!demo::parse(char const*) [parse.cpp : 42 + 0x5]
//! ```

use super::clue::{Clue, Weight};
use super::debugger;
use super::frame::RawFrame;
use super::lines::{Lines, after, number};
use super::report::{Access, AccessKind};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let (reason, address) = if let Some(text) = line.strip_prefix("Crash|") {
        let mut parts = text.split('|');
        (parts.next()?, parts.next())
    } else {
        let reason = line.strip_prefix("Crash reason:")?.trim();
        let address = (index + 1..index + 4).find_map(|near| lines.at(near).strip_prefix("Crash address:"));
        (reason, address.map(str::trim))
    };
    let (kind, weight) = kind(reason)?;
    let mut clue = Clue::new(weight, index, kind, reason);
    clue.address = address.and_then(number).map(|(address, _)| address);
    clue.access =
        [("_READ", AccessKind::Read), ("_WRITE", AccessKind::Write), ("_EXEC", AccessKind::Execute)]
            .iter()
            .find(|(end, _)| reason.contains(&format!("VIOLATION{end}")))
            .map(|(_, kind)| Access { kind: *kind, size: None });
    clue.stack = if line.starts_with("Crash|") { table } else { listing };
    Some(clue.near_null())
}

/// Signals, Mach exceptions, and what Windows calls them.
fn kind(reason: &str) -> Option<(&'static str, Weight)> {
    let name = reason.split([' ', '/']).next()?;
    Some(match name.strip_prefix("EXCEPTION_") {
        Some(name) if name.starts_with("ACCESS_VIOLATION") => ("segv", Weight::Fault),
        Some("STACK_OVERFLOW") => ("stack-overflow", Weight::Fault),
        Some("INT_DIVIDE_BY_ZERO" | "FLT_DIVIDE_BY_ZERO") => ("fpe", Weight::Fault),
        Some("IN_PAGE_ERROR") => ("bus", Weight::Fault),
        Some("ILLEGAL_INSTRUCTION" | "PRIV_INSTRUCTION") => ("ill", Weight::Consequence),
        Some("BREAKPOINT") => ("trap", Weight::Consequence),
        _ => return debugger::kind(name),
    })
}

/// `thread|frame|module|function|repository:host/name:path:revision|line|offset`, of the thread that crashed.
fn table<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let thread = lines.at(from.saturating_sub(1)).rsplit('|').next().unwrap_or("");
    let frame = |line: &'a str| {
        let mut parts = line.split('|');
        if parts.next()? != thread {
            return None;
        }
        parts.next()?.parse::<u32>().ok()?;
        let (module, function, source) = (parts.next()?, parts.next()?, parts.next()?);
        let (number, offset) = (parts.next()?.parse().ok(), parts.next()?);
        let file = source.split(':').nth(2).unwrap_or(source);
        Some(RawFrame {
            function,
            file: (!file.is_empty()).then_some(file),
            line: number,
            module: (!module.is_empty()).then_some(module),
            offset: offset.strip_prefix("0x"),
            ..RawFrame::default()
        })
    };
    let mut frames = lines.first_run(from, 20_000, frame);
    frames.truncate(1024);
    frames
}

/// ` 0  demo!demo::parse(char const*) [parse.cpp : 42 + 0x5]`, with registers between the frames.
pub(super) fn listing<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let crashed = lines
        .from(from)
        .take(200)
        .find(|(_, line)| line.starts_with("Thread ") && line.contains("(crashed)"));
    let Some((begin, _)) = crashed else { return Vec::new() };
    let frame = |line: &'a str| {
        let (_, rest) = number(line.trim_start())?;
        let rest = rest.strip_prefix("  ")?;
        let Some((module, rest)) = rest.split_once('!') else {
            let (module, offset) = rest.split_once(" + 0x")?;
            return Some(RawFrame { module: Some(module), offset: Some(offset), ..RawFrame::default() });
        };
        let (function, place) = rest.rsplit_once(" [").unwrap_or((rest, ""));
        let mut parts = place.trim_end_matches(']').split(" : ");
        let file = parts.next().filter(|file| !file.is_empty() && *file != "unknown");
        let line = parts.next().and_then(number).and_then(|(line, _)| u32::try_from(line).ok());
        let function = after(function, "operator")
            .map_or_else(|| function.split(" + 0x").next().unwrap_or(function), |_| function);
        Some(RawFrame { function, file, line, module: Some(module), ..RawFrame::default() })
    };
    lines
        .from(begin + 1)
        .take(20_000)
        .take_while(|(_, line)| !line.trim().is_empty())
        .filter_map(|(_, line)| frame(line))
        .take(1024)
        .collect()
}
