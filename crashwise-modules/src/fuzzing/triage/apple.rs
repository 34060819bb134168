//! Crash reports of macOS and iOS.
//!
//! ```text
//! Exception Type:        EXC_BAD_ACCESS (SIGSEGV)
//! Exception Codes:       KERN_INVALID_ADDRESS at 0x0000000000000010
//! Thread 0 Crashed:: Dispatch queue: com.apple.main-thread
//! 0   demo            0x000000010578119d demo::parse(char const*) + 669 (parse.cpp:50)
//! 1   libsystem_c     0x00007fff841e10ff 0x101c38000 + 17592322
//! ```

use super::clue::{Clue, Weight};
use super::debugger;
use super::frame::RawFrame;
use super::lines::{Lines, after, number};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let Some(text) = lines.at(index).strip_prefix("Exception Type:").map(str::trim) else {
        return short(lines, index);
    };
    let mach = text.split(' ').next()?;
    let signal = after(text, "(").and_then(|text| text.split(')').next());
    let (kind, weight) = signal.and_then(debugger::kind).or_else(|| debugger::kind(mach))?;
    let mut clue = Clue::new(weight, index, kind, text);
    for (_, near) in lines.from(index + 1).take(24) {
        if let Some(at) = after(near, " at 0x").filter(|_| near.contains("KERN_")) {
            let end = at.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(at.len());
            clue.address = clue.address.or_else(|| u64::from_str_radix(&at[..end], 16).ok());
        }
        if near.starts_with("-->") && near.to_ascii_uppercase().contains("STACK GUARD") {
            clue.kind = "stack-overflow".into();
        }
        if near.starts_with("Thread ") {
            break;
        }
    }
    // Of an abort the application says why; of a fault, at most something else.
    if weight == Weight::Consequence
        && let Some((said, _)) = lines
            .from(index + 1)
            .take(40)
            .find(|(_, line)| line.starts_with("Application Specific Information:"))
        && !lines.at(said + 1).trim().is_empty()
    {
        clue.message = lines.at(said + 1).trim().into();
    }
    clue.stack = stack;
    Some(clue.near_null())
}

/// `EXC_BAD_ACCESS KERN_INVALID_ADDRESS 0x0000000000000020`, as services for crashes put it.
fn short<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if line.contains("stop reason = ") {
        return None;
    }
    let text = &line[line.find("EXC_")?..];
    let (kind, weight) = debugger::kind(text.split([' ', ',', ':', '(']).next()?)?;
    let mut clue = Clue::new(weight, index, kind, text);
    let address = after(text, "KERN_").and_then(|text| after(text, "0x"));
    clue.address = address.and_then(|hex| {
        let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
        u64::from_str_radix(&hex[..end], 16).ok()
    });
    clue.stack = stack;
    Some(clue.near_null())
}

fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let crashed = |line: &str| {
        (line.starts_with("Thread ") && line.contains(" Crashed")) || line.starts_with("Crashed: ")
    };
    let Some((begin, _)) = lines.from(from).take(5000).find(|(_, line)| crashed(line)) else {
        return Vec::new();
    };
    lines.from(begin + 1).take(1024).map_while(|(_, line)| frame(line)).collect()
}

/// The name of a module may have spaces; its address has none.
fn frame(line: &str) -> Option<RawFrame<'_>> {
    let (_, rest) = number(line)?;
    let (module, rest) = rest.split_once("0x")?;
    let (_, rest) = rest.split_once(' ')?;
    let module = module.trim();
    let (text, place) = match rest.trim().strip_suffix(')').and_then(|text| text.rsplit_once(" (")) {
        Some((text, place)) if place.contains(':') => (text, place),
        _ => (rest.trim(), ""),
    };
    let (function, offset) = text.rsplit_once(" + ").unwrap_or((text, ""));
    let nameless = function.starts_with("0x") || function == "0";
    if !place.is_empty() {
        return Some(RawFrame::at(function, place));
    }
    Some(RawFrame {
        function: if nameless { "" } else { function },
        module: (module != "???").then_some(module),
        offset: nameless.then_some(offset),
        ..RawFrame::default()
    })
}
