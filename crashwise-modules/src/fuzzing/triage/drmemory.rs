//! Dr. Memory, and compute-sanitizer, its like for programs of CUDA.
//!
//! ```text
//! ~~Dr.M~~ Error #1: UNADDRESSABLE ACCESS beyond heap bounds: writing 0x02f9b34c-0x02f9b350 4 byte(s)
//! ~~Dr.M~~ # 1 field                         [d:\src\demo\parse.c:42]
//! ========= Invalid __global__ write of size 4 bytes
//! =========     at fill_rows(unsigned char *, int)+0x120 in /src/demo/kernels.cu:42
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};
use super::report::{Access, AccessKind};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if let Some(text) = line.strip_prefix("========= ") {
        return device(lines, index, text);
    }
    let (_, text) = after(line, "Error #").and_then(number)?;
    let text = text.strip_prefix(": ")?;
    let (kind, weight) = match text.split(':').next()?.split(" beyond").next()? {
        "UNADDRESSABLE ACCESS" | "UNADDRESSABLE ACCESS of freed memory" => ("", Weight::Sanitizer),
        "UNINITIALIZED READ" => ("use-of-uninitialized-value", Weight::Undefined),
        "INVALID HEAP ARGUMENT" => ("bad-free", Weight::Sanitizer),
        leak if leak.starts_with("LEAK ") || leak.starts_with("POSSIBLE LEAK ") => {
            ("memory-leak", Weight::Leak)
        }
        heap if heap.starts_with("INVALID HEAP ARGUMENT") => ("bad-free", Weight::Sanitizer),
        _ => return None,
    };
    let access = if text.contains(": writing ") {
        AccessKind::Write
    } else if text.contains(": reading ") {
        AccessKind::Read
    } else {
        AccessKind::Unknown
    };
    let kind = match (kind, access) {
        ("", _) if text.starts_with("UNADDRESSABLE ACCESS of freed memory") => "heap-use-after-free",
        ("", AccessKind::Write) => "invalid-write",
        ("", _) => "invalid-read",
        (kind, _) => kind,
    };
    let mut clue = Clue::new(weight, index, kind, text);
    if weight == Weight::Sanitizer && kind != "bad-free" {
        let size = text.strip_suffix(" byte(s)").and_then(|text| text.rsplit(' ').next()?.parse().ok());
        clue.access = Some(Access { kind: access, size });
        clue.address = after(text, "ing 0x").and_then(|hex| {
            let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
            u64::from_str_radix(&hex[..end], 16).ok()
        });
        if clue.address.is_some_and(|address| address < super::severity::NEAR_NULL) {
            clue.kind = "segv".into();
        }
    }
    clue.stack = stack;
    Some(clue.near_null())
}

/// `# 1 field   [d:\src\demo\parse.c:42]`, `# 4 KERNEL32.dll!BaseThreadInitThunk`, `# 0 .text`
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frame = |line: &'a str| {
        let text =
            line.strip_prefix("~~Dr.M~~ ").unwrap_or(line).trim_start().strip_prefix('#')?.trim_start();
        let (_, rest) = number(text)?;
        let rest = rest.trim();
        let own = |frame: RawFrame<'a>| match frame.function {
            // Its own copies of what it watches.
            name if name.starts_with("replace_") => {
                RawFrame { module: Some("libclang_rt"), file: None, ..frame }
            }
            _ => frame,
        };
        if let Some((function, place)) = rest.strip_suffix(']').and_then(|text| text.rsplit_once('[')) {
            return Some(own(RawFrame::at(function.trim(), place)));
        }
        let name = rest.split_whitespace().next()?;
        let (module, function) =
            name.split_once('!').map_or((None, name), |(module, name)| (Some(module), name));
        Some(own(RawFrame { function, module, ..RawFrame::default() }))
    };
    lines
        .from(from)
        .take(512)
        .skip_while(|(at, line)| *at < from + 4 && frame(line).is_none())
        .map_while(|(_, line)| frame(line))
        .collect()
}

fn device<'a>(lines: &Lines<'a>, index: usize, text: &'a str) -> Option<Clue<'a>> {
    let access =
        |kind| after(text, " of size ").and_then(number).map(|(size, _)| Access { kind, size: Some(size) });
    let (kind, weight, access) = if text.starts_with("Invalid __") && text.contains(" write of size ") {
        ("invalid-write", Weight::Sanitizer, access(AccessKind::Write))
    } else if text.starts_with("Invalid __") && text.contains(" read of size ") {
        ("invalid-read", Weight::Sanitizer, access(AccessKind::Read))
    } else if text.starts_with("Uninitialized __") {
        ("use-of-uninitialized-value", Weight::Undefined, None)
    } else if text.contains("hazard detected at __shared__")
        || text.starts_with("Error: Race reported between")
    {
        ("data-race", Weight::Sanitizer, None)
    } else if text.starts_with("Leaked ") {
        ("memory-leak", Weight::Leak, None)
    } else {
        return None;
    };
    let mut clue = Clue::new(weight, index, kind, text);
    clue.access = access;
    let told = || lines.from(index + 1).take(6).map(|(_, line)| line.trim_start_matches('=').trim());
    clue.address = told()
        .find_map(|line| line.strip_prefix("Address ").or_else(|| line.strip_prefix("Access at ")))
        .and_then(number)
        .map(|(address, _)| address);
    clue.stack = device_stack;
    Some(clue)
}

/// `=========     at fill_rows(unsigned char *, int)+0x120 in /src/demo/kernels.cu:42`, and the frames that it is inlined into.
fn device_stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    lines
        .from(from)
        .take(64)
        .map_while(|(_, line)| line.strip_prefix("=========     "))
        .filter_map(|text| {
            let text = text.strip_prefix("at ").or_else(|| text.strip_prefix("Device Frame:"))?;
            let (call, place) = text.rsplit_once(" in ").unwrap_or((text, ""));
            Some(RawFrame::at(call.rsplit_once("+0x").map_or(call, |(call, _)| call), place))
        })
        .collect()
}
