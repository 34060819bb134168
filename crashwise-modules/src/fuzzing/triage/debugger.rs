//! Debuggers and tools that watch a whole program: lldb, honggfuzz's report.
//!
//! ```text
//! * thread #1, stop reason = EXC_BAD_ACCESS (code=1, address=0x10)
//!   * frame #0: 0x0000000100003f2c demo`parse(s="x") at parse.c:19:12
//! SIGNAL: SIGSEGV (11)
//! #0  0x00007ffff7b055f5 in parse (text=0x0) at parse.c:19              the stack of gdb alone
//!  <0x00005555555551d4> [func:parse_chunk file:/src/demo/chunk.c line:66 module:/out/demo]
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};
use super::names::libc_name;
use super::native;

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let clue = if let Some(text) = after(line, "stop reason = ") {
        let name = text.strip_prefix("signal ").unwrap_or(text);
        let (kind, weight) = kind(name.split([' ', ':']).next()?)?;
        let mut clue = Clue::new(weight, index, kind, text);
        clue.stack = lldb;
        clue.address = after(text, "address=").and_then(number).map(|(address, _)| address);
        clue
    } else if line.starts_with("#0  ") {
        // All that is left where somebody copied no more than the stack.
        let frames = native::stack(lines, index);
        let aborts = |frame: &RawFrame<'_>| {
            let function = frame.function.split(" (").next().unwrap_or_default();
            function.ends_with("abort") && libc_name(function)
        };
        let kind = if frames.iter().any(aborts) { "abrt" } else { "unknown-crash" };
        if frames.len() < 2 || !line.contains('(') {
            return None;
        }
        let mut clue = Clue::new(Weight::Signal, index, kind, "");
        clue.stack = |lines, from| native::stack(lines, from - 1);
        clue
    } else {
        let name = line.strip_prefix("SIGNAL: ")?.split(' ').next()?;
        let (kind, weight) = kind(name)?;
        let mut clue = Clue::new(weight, index, kind, line);
        clue.stack = honggfuzz;
        let address = lines.from(index + 1).take(4).find_map(|(_, line)| after(line, "FAULT ADDRESS: "));
        clue.address = address.and_then(number).map(|(address, _)| address);
        clue
    };
    Some(clue.near_null())
}

/// The kind of a signal or of a Mach exception, by its name.
pub(super) fn kind(name: &str) -> Option<(&'static str, Weight)> {
    Some(match name {
        "SIGSEGV" | "EXC_BAD_ACCESS" => ("segv", Weight::Fault),
        "SIGBUS" => ("bus", Weight::Fault),
        "SIGFPE" | "EXC_ARITHMETIC" => ("fpe", Weight::Fault),
        "SIGABRT" => ("abrt", Weight::Consequence),
        "SIGILL" | "EXC_BAD_INSTRUCTION" => ("ill", Weight::Consequence),
        "SIGTRAP" | "EXC_BREAKPOINT" => ("trap", Weight::Consequence),
        _ => return None,
    })
}

fn lldb<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames: Vec<RawFrame<'a>> = Vec::new();
    for (_, line) in lines.from(from).take(2000) {
        let Some((index, rest)) = after(line, "frame #").and_then(number) else { continue };
        // The stop is shown once before the stack is.
        if index == 0 {
            frames.clear();
        } else if index != frames.len() as u64 {
            break;
        }
        // A thread that takes backticks for its own leaves a blank, or nothing.
        let unquoted = || rest.split_once("0x")?.1.split_once(' ')?.1.split_once(' ');
        let Some((module, rest)) = rest.split_once('`').or_else(unquoted) else { break };
        let (function, place) = rest.trim_end().rsplit_once(" at ").unwrap_or((rest, ""));
        let function = function.split(" + ").next().unwrap_or(function);
        let module = if place.is_empty() { module.rsplit(' ').next() } else { None };
        // Older ones print the type too: `Demo.title.setter : Swift.String(…)`.
        let function = function.split('(').next().unwrap_or(function);
        let function = function.split(" : ").next().unwrap_or(function);
        frames.push(RawFrame { module, ..RawFrame::at(function, place) });
    }
    frames
}

fn honggfuzz<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let inner = after(line.trim_start().strip_prefix("<0x")?, "[func:")?.strip_suffix(']')?;
        let (inner, module) = inner.rsplit_once(" module:")?;
        let (inner, number) = inner.rsplit_once(" line:")?;
        let (function, file) = inner.rsplit_once(" file:")?;
        let file = Some(file).filter(|file| !file.is_empty() && *file != "??");
        let function = if function == "UNKNOWN" { "" } else { function };
        let line = number.parse().ok().filter(|line| *line > 0);
        Some(RawFrame { function, file, line, module: Some(module), ..RawFrame::default() })
    };
    lines.first_run(from, 200, frame)
}
