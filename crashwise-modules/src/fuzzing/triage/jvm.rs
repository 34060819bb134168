//! Crashes of the Java virtual machine itself, most often in native code that it called.
//!
//! ```text
//! # A fatal error has been detected by the Java Runtime Environment:
//! #  SIGSEGV (0xb) at pc=0x0000000122dc412f, pid=85490, tid=6915
//! # Problematic frame:
//! # C  [libdemo.so+0x312f]  Java_org_example_Demo_parse+0x6b
//! Native frames: (J=compiled Java code, j=interpreted, Vv=VM code, C=native code)
//! C  [libdemo.so+0x312f]  Java_org_example_Demo_parse+0x6b
//! j  org.example.Demo.parse([B)V+0
//! ```

use super::clue::{Clue, Weight};
use super::debugger;
use super::frame::RawFrame;
use super::lines::{Lines, after, number};
use super::report::{Access, AccessKind};

const AHEAD: usize = 400;

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let (_, said) = lines.from(index + 1).take(4).find(|(_, line)| !uncommented(line).is_empty())?;
    let said = uncommented(said);
    let name = said.split(' ').next()?;
    let (kind, weight) = match name {
        "EXCEPTION_ACCESS_VIOLATION" => ("segv", Weight::Fault),
        "EXCEPTION_STACK_OVERFLOW" => ("stack-overflow", Weight::Fault),
        "Internal" => ("fatal-error", Weight::Program),
        "Out" => ("out-of-memory", Weight::Limit),
        name => debugger::kind(name)?,
    };
    let mut clue = Clue::new(weight, index, kind, said);
    for (_, line) in lines.from(index).take(AHEAD) {
        for (word, access) in [
            ("si_addr: ", None),
            ("reading address ", Some(AccessKind::Read)),
            ("writing address ", Some(AccessKind::Write)),
        ] {
            if let Some(rest) = after(line, word).filter(|_| line.contains("siginfo: ")) {
                clue.address = number(rest).map(|(address, _)| address);
                clue.access = access.map(|kind| Access { kind, size: None });
            }
        }
    }
    clue.stack = stack;
    Some(clue.near_null())
}

/// A line without the mark of a comment, which some logs put a level in front of.
fn uncommented(line: &str) -> &str {
    line.split_once('#').map_or(line, |(_, text)| text).trim()
}

/// The native frames and those of Java that called them; without the long report, the frame of the summary.
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let after_line = |marker: &str| lines.from(from).take(AHEAD).find(|(_, line)| line.contains(marker));
    if let Some((begin, _)) = after_line("Native frames:") {
        let native = lines.from(begin + 1).take(1024).map_while(|(_, line)| frame(uncommented(line)));
        let managed = after_line("Java frames:").into_iter().flat_map(|(begin, _)| {
            lines.from(begin + 1).take(1024).map_while(|(_, line)| frame(uncommented(line)))
        });
        return native.chain(managed).collect();
    }
    after_line("Problematic frame:")
        .and_then(|(at, _)| frame(uncommented(lines.at(at + 1))))
        .into_iter()
        .collect()
}

/// `C  [libdemo.so+0x312f]  parse+0x6b`, `j  org.example.Demo.parse([B)V+0`, `v  ~StubRoutines::call_stub`.
fn frame(text: &str) -> Option<RawFrame<'_>> {
    let (mark, rest) = text.split_once(' ')?;
    if !matches!(mark, "C" | "V" | "j" | "J" | "v" | "A") {
        return None;
    }
    let rest = rest.trim_start();
    if let Some((module, function)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let (module, offset) = module.split_once("+0x").unwrap_or((module, ""));
        let function = function.trim().rsplit_once("+0x").map_or("", |(name, _)| name);
        return Some(RawFrame {
            function,
            module: Some(module),
            offset: Some(offset),
            ..RawFrame::default()
        });
    }
    let function = rest.split('(').next().unwrap_or(rest).trim_start_matches('~');
    // Compiled frames have a number and the compiler's tier before the name.
    let function = function.rsplit(' ').next().unwrap_or(function);
    let module = (mark == "v").then_some("libjvm.");
    Some(RawFrame { function, module, ..RawFrame::default() })
}
