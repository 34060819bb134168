//! Windows debuggers: cdb, `WinDbg`.
//!
//! ```text
//! (e64.c84): Access violation - code c0000005 (first chance)
//! FAULTING_IP:
//! demo!parse+13 [c:\src\demo\parse.c @ 42]
//!    ExceptionCode: c0000005 (Access violation)
//! Attempt to read from address 2b2ffff0
//! STACK_TEXT:
//! 0041dc04 015abad0 0041de08 0041dc68 0041e650 demo!parse+0x13 [c:\src\demo\parse.c @ 42]
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after};
use super::report::{Access, AccessKind};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let analysed = line.trim_start().strip_prefix("ExceptionCode: ");
    let code = match analysed {
        Some(code) => code,
        None => after(line, " - code ").filter(|_| line.starts_with('(') && line.contains("): "))?,
    };
    let code = code.split([' ', ',']).next()?.trim_start_matches("0x");
    let (kind, cause, weight) = kind(u32::from_str_radix(code, 16).ok()?)?;
    // The analysis says more than the line at which the debugger stopped.
    let weight = if analysed.is_none() && weight > Weight::Consequence { Weight::Program } else { weight };
    let mut clue = Clue::new(weight, index, kind, line);
    clue.cause = cause.map(Into::into);
    for near in (index + 1..index + 8).map(|near| lines.at(near).trim_start()) {
        let Some(text) = near.strip_prefix("Attempt to ") else { continue };
        let access = match text.split(' ').next()? {
            "read" => AccessKind::Read,
            "write" => AccessKind::Write,
            "execute" => AccessKind::Execute,
            _ => AccessKind::Unknown,
        };
        clue.access = Some(Access { kind: access, size: None });
        clue.address = after(text, "address ").and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    }
    clue.stack = if analysed.is_some() { analysed_stack } else { listed_stack };
    Some(clue.near_null())
}

/// What a code of the system means. Single steps are the debugger's own.
pub(super) fn kind(code: u32) -> Option<(&'static str, Option<&'static str>, Weight)> {
    Some(match code {
        0xc000_0005 => ("segv", None, Weight::Fault),
        0xc000_0006 => ("bus", None, Weight::Fault),
        0xc000_00fd => ("stack-overflow", None, Weight::Fault),
        0xc000_0094 | 0xc000_008e => ("fpe", Some("division-by-zero"), Weight::Fault),
        0xc000_0095 => ("fpe", Some("integer-overflow"), Weight::Fault),
        0xc000_008c => ("index-out-of-bounds", None, Weight::Fault),
        0xc000_0017 => ("out-of-memory", None, Weight::Limit),
        0xc000_0374 => ("heap-corruption", None, Weight::Program),
        0xc000_0409 => ("stack-smashing", None, Weight::Program),
        0xc000_0420 => ("assertion", None, Weight::Program),
        0xe06d_7363 => ("uncaught-exception", None, Weight::Program),
        0xc000_001d | 0xc000_0096 => ("ill", None, Weight::Consequence),
        0x8000_0003 => ("trap", None, Weight::Consequence),
        _ => return None,
    })
}

/// The stack of the analysis; where it names nothing, the place of the instruction.
fn analysed_stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let begin = lines.from(from).take(400).find(|(_, line)| line.starts_with("STACK_TEXT:"));
    let mut frames = begin.map(|(begin, _)| read(lines, begin + 1)).unwrap_or_default();
    if !frames.iter().any(|frame| frame.file.is_some() || !frame.function.is_empty()) {
        frames = listed_stack(lines, from);
    }
    let faulting = || {
        let (at, _) = (from.saturating_sub(12)..from)
            .map(|at| (at, lines.at(at)))
            .find(|(_, line)| *line == "FAULTING_IP:")?;
        call_site(lines.at(at + 1))
    };
    match faulting() {
        Some(top)
            if !top.function.is_empty()
                && frames.first().is_none_or(|first| first.function != top.function) =>
        {
            let known = frames.iter().any(|frame| frame.function == top.function);
            if known { frames } else { std::iter::once(top).chain(frames).collect() }
        }
        _ => frames,
    }
}

/// What `k` printed last: the stack of the exception, after the one of the handler.
fn listed_stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let heads =
        |line: &str| line.contains("RetAddr") && (line.contains("Child") || line.contains("Call Site"));
    let last = lines.from(from).take(2000).filter(|(_, line)| heads(line)).last();
    last.map(|(begin, _)| read(lines, begin + 1)).unwrap_or_default()
}

fn read<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    lines
        .from(from)
        .take(1024)
        .take_while(|(_, line)| !line.trim().is_empty() && !line.contains(":000> "))
        .filter_map(|(_, line)| call_site(after_numbers(line)?))
        .collect()
}

/// What follows the addresses and arguments, of which there are at least two: `0041dc04 015abad0 …`, or
/// `00000000`0040bc40 00000001`3f4fc95e : … : `.
fn after_numbers(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    let mut count = 0;
    while let Some((word, after)) = rest.split_once(' ') {
        let address = word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'`');
        if !address && word != ":" && !(count == 0 && word.len() == 2) {
            break;
        }
        count += usize::from(address);
        rest = after.trim_start();
    }
    (count >= 2).then_some(rest)
}

/// `demo!parse+0x13 [c:\src\demo\parse.c @ 42]`, `ntdll+0x3c7ec`.
fn call_site(text: &str) -> Option<RawFrame<'_>> {
    let (site, place) = match text.strip_suffix(']').and_then(|text| text.rsplit_once(" [")) {
        Some((site, place)) => (site, Some(place)),
        None => (text.trim_end(), None),
    };
    let Some((module, function)) = site.split_once('!') else {
        let (module, offset) = site.split_once("+0x")?;
        let named = !module.is_empty() && !module.contains(' ');
        return named.then(|| RawFrame { module: Some(module), offset: Some(offset), ..RawFrame::default() });
    };
    if module.contains(' ') {
        return None;
    }
    let function = function.rsplit_once('+').map_or(function, |(name, _)| name);
    let mut frame = RawFrame { function, module: Some(module), ..RawFrame::default() };
    if let Some((file, line)) = place.and_then(|place| place.rsplit_once(" @ ")) {
        frame.file = Some(file);
        frame.line = line.parse().ok();
    }
    Some(frame)
}
