//! Crashes of the Ruby interpreter itself, most often in native code of a gem.
//!
//! ```text
//! /src/demo/run.rb:12: [BUG] Segmentation fault at 0x0000000000000008
//! ruby 3.2.2 (2023-03-30 revision e51014f9c0) [x86_64-linux]
//! -- Ruby level backtrace information ----------------------------------------
//! /src/demo/run.rb:12:in `<main>'
//! /src/demo/run.rb:12:in `parse'
//! -- C level backtrace information -------------------------------------------
//! /usr/lib/libruby-3.2.so.3.2(rb_bug_for_fatal_signal+0xe4) [0x7f5be2] error.c:813
//! /usr/lib/libruby-3.2.so.3.2(sigsegv+0x4d) [0x7f5be2] signal.c:964
//! /lib/x86_64-linux-gnu/libc.so.6(__restore_rt+0x0) [0x7f5be1]
//! /src/demo/ext/demo.so(parse_header+0x22) [0x7f5be0] /src/demo/ext/header.c:42
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};

/// Lines of one report; lists of loaded features follow.
const AHEAD: usize = 4000;

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let text = after(lines.at(index), "[BUG] ")?;
    if !lines.from(index + 1).take(4).any(|(_, line)| line.starts_with("ruby ") || line.starts_with("-- ")) {
        return None;
    }
    let (kind, weight) = match text.split(" at ").next().unwrap_or(text).trim() {
        "Segmentation fault" => ("segv", Weight::Fault),
        "Bus Error" => ("bus", Weight::Fault),
        "Illegal instruction" => ("ill", Weight::Consequence),
        _ if text.contains("stack overflow") || text.contains("machine stack") => {
            ("stack-overflow", Weight::Fault)
        }
        _ => ("fatal-error", Weight::Program),
    };
    let mut clue = Clue::new(weight, index, kind, text);
    clue.address = after(text, " at ").and_then(number).map(|(address, _)| address);
    clue.stack = stack;
    Some(clue.near_null())
}

/// The native frames below the handler of the signal, and those of Ruby that called them.
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let section = |title: &str| {
        let begin = lines.from(from).take(AHEAD).find(|(_, line)| line.starts_with(title));
        begin.map(|(begin, _)| {
            lines
                .from(begin + 1)
                .take(1024)
                .map(|(_, line)| line)
                .take_while(|line| !line.is_empty() && !line.starts_with("-- "))
        })
    };
    let mut native: Vec<RawFrame<'a>> =
        section("-- C level backtrace").into_iter().flatten().filter_map(native).collect();
    let handles = |frame: &RawFrame<'_>| {
        matches!(
            frame.function,
            "rb_vm_bugreport"
                | "rb_bug"
                | "rb_bug_for_fatal_signal"
                | "bug_report_end"
                | "die"
                | "sigsegv"
                | "sigbus"
                | "sigill"
                | "__restore_rt"
                | "_sigtramp"
        ) || frame.function.starts_with("rb_bug_")
            || frame.function.starts_with("rb_print_backtrace")
    };
    if let Some(last) = native.iter().rposition(handles) {
        native.drain(..=last);
    }
    // The outermost stands first here.
    let mut ruby: Vec<RawFrame<'a>> =
        section("-- Ruby level backtrace").into_iter().flatten().filter_map(ruby).collect();
    ruby.reverse();
    native.extend(ruby);
    native
}

/// `/out/demo.so(parse+0x22) [0x7f5be0] header.c:42`, or `3   demo.bundle   0x10f parse + 34` on macOS.
fn native(line: &str) -> Option<RawFrame<'_>> {
    if let Some((_, rest)) = number(line).filter(|_| line.starts_with(|c: char| c.is_ascii_digit())) {
        let (module, rest) = rest.split_once("0x")?;
        let function = rest.split_once(' ')?.1.split(" + ").next()?;
        return Some(RawFrame { function, module: Some(module.trim()), ..RawFrame::default() });
    }
    let (module, rest) = line.split_once('(')?;
    let (call, rest) = rest.split_once(") [0x")?;
    let (function, offset) = call.rsplit_once("+0x").unwrap_or((call, ""));
    let place = rest.split_once("] ").map_or("", |(_, place)| place);
    let offset = function.is_empty().then_some(offset);
    // The interpreter's own files have no folder that tells them from a gem's.
    let place = if module.contains("/libruby") || module.ends_with("/ruby") { "" } else { place };
    Some(RawFrame { module: Some(module), offset, ..RawFrame::at(function, place) })
}

/// ``/src/demo/run.rb:12:in `parse'``
fn ruby(line: &str) -> Option<RawFrame<'_>> {
    let (place, function) = line.split_once(":in ")?;
    let function = function.trim_start_matches(['`', '\'']).trim_end_matches('\'');
    Some(RawFrame::at(function, place))
}
