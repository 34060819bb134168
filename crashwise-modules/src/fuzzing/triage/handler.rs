//! Programs that print their own stack when a signal comes: by glog, Abseil, Open MPI, backward-cpp or LLVM, or by code of their
//! own, as Redis, `MySQL`, Godot and GCC do; and the core files that systemd keeps.
//!
//! ```text
//! *** SIGSEGV (@0x8) received by PID 4711 (TID 0x7f9a3c0) from PID 8; stack trace: ***   glog
//!     @     0x55cf9e3a demo::Parser::field()
//! [node1:02364] Signal: Segmentation fault (11)                                          Open MPI
//! [node1:02364] [ 1] /src/demo/demo(field+0x2b)[0x55d0c1]
//! mysqld got signal 11 ;                                                                 MySQL
//! /usr/sbin/mysqld(Item::fix(THD*)+0x2b) [0x55d0c1]
//! #1  0x000056523211b1d7 field (demo + 0x1e31d7)                                         systemd
//! #0    Source "/src/demo/parse.cpp", line 42, in field [0x55bfb82793ff]                 backward-cpp
//! demo.c:3:1: internal compiler error: Segmentation fault                                GCC
//! ```

use super::clue::{Clue, Stack, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};
use super::paths::library;
use super::{debugger, native, signal};

/// Lines that a stack may be behind its clue.
const AHEAD: usize = 60;

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let ahead = |word: &str| lines.from(index).take(AHEAD).find_map(|(_, line)| after(line, word));
    let address = |text: Option<&str>| text.and_then(number).map(|(address, _)| address);
    let (kind, address, stack): (_, _, Stack<'a>) = if let Some(rest) = line.strip_prefix("*** SIG") {
        let name = rest.split(' ').next()?;
        if !rest.contains(" received ") {
            return None;
        }
        let kind = debugger::kind(&line[4..4 + 3 + name.len()])?;
        (kind, address(after(rest, "(@")), reached)
    } else if line.ends_with("*** Process received signal ***") {
        (named(ahead("Signal: ")?)?, address(ahead("Failing at address: ")), symbols)
    } else if line.contains(") of user ") && line.ends_with(" dumped core.") {
        let told = (index.saturating_sub(40)..index).rev().find_map(|at| after(lines.at(at), "Signal: "));
        let kind = told.and_then(number).and_then(|(signal, _)| numbered(signal));
        (kind.unwrap_or(("unknown-crash", Weight::Consequence)), None, core)
    } else if line.starts_with("Stack trace (most recent call last):") {
        let said = lines.from(index + 1).take(1024).find_map(|(_, line)| Some((line, named(line)?)))?;
        (said.1, address(after(said.0, "object [")), outermost_first)
    } else if line == "Stack dump:" {
        let said = lines.from(index).take(400).find_map(|(_, line)| named(after(line, "command: ")?));
        (said.unwrap_or(("abrt", Weight::Consequence)), None, below_handler)
    } else if let Some(text) = after(line, "internal compiler error: ") {
        let kind = named(text).unwrap_or(("fatal-error", Weight::Program));
        (kind, None, compiler)
    } else {
        let rest = [
            " crashed by signal: ",
            " got signal ",
            " crashed with signal ",
            "Error: signal ",
            "aught signal ",
        ]
        .iter()
        .find_map(|word| after(line, word))?;
        (numbered(number(rest)?.0)?, address(ahead("Accessing address: ")), symbols)
    };
    let mut clue = Clue::new(kind.1, index, kind.0, line);
    clue.address = address;
    clue.stack = stack;
    // That nothing is at the address is not said when there is none.
    Some(clue.near_null())
}

fn numbered(signal: u64) -> Option<(&'static str, Weight)> {
    debugger::kind(signal::name(signal)?)
}

fn named(text: &str) -> Option<(&'static str, Weight)> {
    debugger::kind(signal::worded(text)?)
}

/// `PC: @ 0x55cf9e3a  demo::field()`, perhaps before the clue, and `    @ 0x55cf9f01  64  demo::record()`.
fn reached<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let text = line.strip_prefix("PC: ").unwrap_or(line).trim_start().strip_prefix("@ ")?;
        let (_, text) = text.trim_start().strip_prefix("0x")?.split_once(' ')?;
        let text = text.trim_start();
        // Abseil tells how large frames are, and that it did not know the one of the handler.
        let text = number(text).map_or(text, |(_, rest)| rest.trim_start());
        let text = text.strip_prefix("(unknown)").unwrap_or(text).trim();
        Some(RawFrame { function: text, ..RawFrame::default() })
    };
    lines
        .from(from)
        .take(1024)
        .skip_while(|(at, line)| *at < from + 4 && frame(line).is_none())
        .map_while(|(_, line)| frame(line))
        .filter(|frame| !frame.function.is_empty())
        .collect()
}

/// `backtrace_symbols` without numbers, or with them in brackets: `[ 1] /src/demo/demo(field+0x2b)[0x55d0c1]`.
fn symbols<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    // A function that is told of alone is the innermost one of the stack that follows.
    let begin =
        lines.from(from).take(AHEAD).find(|(_, line)| *line == "Backtrace:").map_or(from, |(at, _)| at + 1);
    let mut frames: Vec<RawFrame<'a>> = lines
        .from(begin)
        .take(1024)
        .skip_while(|(at, line)| *at < begin + AHEAD && symbol(line).is_none())
        .map_while(|(_, line)| symbol(line))
        .collect();
    if let Some(last) = frames.iter().rposition(|frame| handles(frame.function)) {
        frames.drain(..=last);
    }
    // Below the program's own handler stands what the C library calls it from, which has no name.
    let called = |frame: &RawFrame<'_>| frame.function.is_empty() && frame.module.is_some_and(library);
    if let Some(at) = frames.iter().take(4).position(called)
        && at > 0
        && !frames[..at].iter().any(|frame| frame.module.is_some_and(library))
    {
        frames.drain(..=at);
    }
    frames
}

fn symbol(line: &str) -> Option<RawFrame<'_>> {
    // The host and the process of Open MPI, then the number.
    let mut text = line.trim();
    while let Some((mark, rest)) = text.strip_prefix('[').and_then(|text| text.split_once("] ")) {
        if mark.contains(['(', '/']) {
            break;
        }
        text = rest;
    }
    if !text.starts_with(['/', '.']) {
        return None;
    }
    let (call, address) = text.strip_suffix(']')?.rsplit_once("[0x")?;
    // Of a program that is linked to one address: `/src/demo/demo[0x401005]`.
    let Some(call) = call.trim_end().strip_suffix(')') else {
        let bare = !call.is_empty() && !call.contains([' ', '(']);
        return bare.then(|| RawFrame { module: Some(call), offset: Some(address), ..RawFrame::default() });
    };
    let (module, inner) = call.split_once('(')?;
    let (function, offset) = inner.rsplit_once("+0x").unwrap_or((inner, ""));
    // Redis shows its port.
    let module = module.split(" *:").next().unwrap_or(module);
    let offset = function.is_empty().then_some(offset);
    Some(RawFrame { function, module: Some(module), offset, ..RawFrame::default() })
}

/// Functions that are called because of the signal.
fn handles(function: &str) -> bool {
    let name = function.split('(').next().unwrap_or(function);
    matches!(
        name,
        "handle_fatal_signal"
            | "my_print_stacktrace"
            | "sigsegvHandler"
            | "SignalHandler"
            | "__restore_rt"
            | "crash_signal"
            | "_sigtramp"
    ) || name.starts_with("llvm::sys::")
}

fn below_handler<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames = native::stack(lines, from);
    if let Some(last) = frames.iter().rposition(|frame| handles(frame.function)) {
        frames.drain(..=last);
    }
    frames
}

/// `#1  0x000056523211b1d7 field (demo + 0x1e31d7)`; `n/a` is no name.
fn core<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let (_, rest) = number(line.trim_start().strip_prefix('#')?)?;
        let (_, rest) = rest.trim_start().strip_prefix("0x")?.split_once(' ')?;
        let (function, place) = rest.strip_suffix(')')?.rsplit_once(" (")?;
        let (module, offset) = place.split_once(" + 0x")?;
        let nameless = function == "n/a";
        Some(RawFrame {
            function: if nameless { "" } else { function },
            module: (module != "n/a").then_some(module),
            offset: nameless.then_some(offset),
            ..RawFrame::default()
        })
    };
    lines
        .from(from)
        .take(1024)
        .skip_while(|(at, line)| *at < from + AHEAD && frame(line).is_none())
        .map_while(|(_, line)| frame(line))
        .collect()
}

/// `#1    Source "/src/demo/main.cpp", line 9, in main [0x55bf]` and `#2    Object "libc.so.6", at 0x7f4e, in start`.
fn outermost_first<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let (_, rest) = number(line.strip_prefix('#')?)?;
        let rest = rest.trim_start();
        let (path, rest) = rest.split_once('"')?.1.split_once('"')?;
        let function =
            after(rest, ", in ").map_or("", |text| text.rsplit_once(" [0x").map_or(text, |(name, _)| name));
        Some(match after(rest, ", line ").and_then(number) {
            Some((row, _)) => {
                RawFrame { function, file: Some(path), line: u32::try_from(row).ok(), ..RawFrame::default() }
            }
            None => RawFrame { function, module: Some(path), ..RawFrame::default() },
        })
    };
    let mut frames: Vec<RawFrame<'a>> = Vec::new();
    for (_, line) in lines.from(from).take(4096) {
        match frame(line) {
            Some(frame) => frames.push(frame),
            // What stands in the source beside it.
            None if line.starts_with(' ') && !frames.is_empty() => {}
            None => break,
        }
    }
    frames.reverse();
    frames
}

/// `0x7a1d22 tree_code_of` with the place on the next line.
fn compiler<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames: Vec<RawFrame<'a>> = Vec::new();
    for (_, line) in lines.from(from).take(512) {
        if let Some((_, function)) = line.strip_prefix("0x").and_then(|text| text.split_once(' ')) {
            frames.push(RawFrame { function, ..RawFrame::default() });
        } else if let (Some(place), Some(last)) = (line.strip_prefix('\t'), frames.last_mut()) {
            *last = RawFrame::at(last.function, place);
        } else if !frames.is_empty() {
            break;
        }
    }
    if let Some(last) = frames.iter().rposition(|frame| handles(frame.function)) {
        frames.drain(..=last);
    }
    frames
}
