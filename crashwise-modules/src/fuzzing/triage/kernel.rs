//! Reports of the Linux kernel: KASAN, KMSAN, KCSAN, oopses.
//!
//! ```text
//! BUG: KASAN: slab-out-of-bounds in parse+0x1a/0x20 drivers/x.c:12
//! Read of size 4 at addr ffff888… by task syz/12
//! Call Trace:
//!  parse+0x1a/0x20 drivers/x.c:12
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};
use super::report::{Access, AccessKind};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let (kind, weight, text) = if let Some(text) = after(line, "BUG: KASAN: ") {
        let kind = match text.split(' ').next()? {
            "slab-use-after-free" | "use-after-free" => "heap-use-after-free",
            "stack-out-of-bounds" => "stack-buffer-overflow",
            "global-out-of-bounds" => "global-buffer-overflow",
            "double-free" => "double-free",
            "invalid-free" => "bad-free",
            "slab-out-of-bounds" | "out-of-bounds" | "vmalloc-out-of-bounds" => "heap-buffer-overflow",
            "null-ptr-deref" | "wild-memory-access" | "user-memory-access" => "segv",
            _ => "unknown-crash",
        };
        (kind, Weight::Sanitizer, text)
    } else if let Some(text) = after(line, "BUG: KMSAN: ") {
        ("use-of-uninitialized-value", Weight::Sanitizer, text)
    } else if let Some(text) = after(line, "BUG: KCSAN: ") {
        ("data-race", Weight::Sanitizer, text)
    } else if let Some(text) = after(line, "BUG: unable to handle kernel ")
        .or_else(|| after(line, "BUG: unable to handle page fault "))
    {
        ("segv", Weight::Fault, text)
    } else if let Some(text) = after(line, "Unable to handle kernel ") {
        ("segv", Weight::Fault, text)
    } else if let Some(text) = after(line, "kernel BUG at ") {
        ("kernel-bug", Weight::Program, text)
    } else if let Some(text) = after(line, "Kernel panic - not syncing: ") {
        ("kernel-panic", Weight::Consequence, text)
    } else if let Some(text) = after(line, "general protection fault") {
        ("segv", Weight::Fault, text)
    } else {
        return None;
    };
    let mut clue = Clue::new(weight, index, kind, text);
    if line.contains("null-ptr-deref") || text.starts_with("NULL pointer dereference") {
        clue.cause = Some("null-dereference".into());
    }
    for near in (index + 1..index + 5).map(|near| lines.at(near)) {
        for (word, kind) in [("Read of size ", AccessKind::Read), ("Write of size ", AccessKind::Write)] {
            if let Some(rest) = after(near, word) {
                clue.access = Some(Access { kind, size: number(rest).map(|(size, _)| size) });
            }
        }
        if let Some(rest) = after(near, "addr ") {
            let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
            clue.address = clue.address.or_else(|| u64::from_str_radix(&rest[..end], 16).ok());
        }
    }
    clue.stack = stack;
    Some(clue)
}

fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let begin = lines
        .from(from)
        .take(60)
        .find(|(_, line)| line.contains("Call Trace:") || line.contains("Call trace:"));
    let Some((begin, _)) = begin else { return Vec::new() };
    let mut frames = Vec::new();
    for (_, line) in lines.from(begin + 1).take(256) {
        let text = match line.find("] ") {
            Some(at) if line.trim_start().starts_with(['[', '<']) => &line[at + 2..],
            _ => line,
        };
        let text = text.trim();
        if text.starts_with('<') && text.ends_with('>') {
            continue;
        }
        let Some(frame) = frame(text) else {
            if frames.is_empty() {
                continue;
            }
            break;
        };
        // The report's own machinery.
        if ![
            "dump_stack",
            "show_stack",
            "print_report",
            "kasan_",
            "__kasan",
            "check_memory_region",
            "__asan_",
            "print_address_description",
        ]
        .iter()
        .any(|own| frame.function.trim_start_matches('_').starts_with(own.trim_start_matches('_')))
        {
            frames.push(frame);
        }
    }
    frames
}

/// `parse+0x1a/0x20 drivers/x.c:12 [inline]`
fn frame(text: &str) -> Option<RawFrame<'_>> {
    let text = text.trim_end_matches(" [inline]");
    let text = text.strip_prefix("? ").unwrap_or(text);
    let (function, place) = text.split_once(' ').unwrap_or((text, ""));
    let (name, offset) = function.split_once("+0x").unwrap_or((function, ""));
    let place = place.trim();
    let placed = super::frame::split_place(place).1.is_some() && !place.contains(' ');
    if name.is_empty()
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.$".contains(&byte))
        || (offset.is_empty() && !placed)
    {
        return None;
    }
    Some(if placed { RawFrame::at(name, place) } else { RawFrame { function: name, ..RawFrame::default() } })
}
