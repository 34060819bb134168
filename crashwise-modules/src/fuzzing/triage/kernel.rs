//! Reports of the Linux kernel: KASAN, KMSAN, KCSAN, KFENCE, UBSAN, oopses, lockups.
//!
//! ```text
//! BUG: KASAN: slab-out-of-bounds in parse+0x1a/0x20 drivers/x.c:12
//! Read of size 4 at addr ffff888… by task syz/12
//! RIP: 0010:parse+0x1a/0x20 drivers/x.c:12
//! Call Trace:
//!  parse+0x1a/0x20 drivers/x.c:12
//! ```

use super::clue::{Clue, Weight};
use super::frame::{RawFrame, split_place};
use super::lines::{Lines, after, number};
use super::report::{Access, AccessKind};
use super::{native, symbolized};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let (kind, weight, text) = opening(line)?;
    let mut clue = Clue::new(weight, index, kind, text);
    if matches!(kind, "kernel-bug" | "kernel-warning") {
        // `kernel BUG at mm/slub.c:305!`, `WARNING: CPU: 0 PID: 7 at mm/slub.c:305 check+0x1a/0x20`
        let place = text.split_whitespace().next().unwrap_or("").trim_end_matches('!');
        clue.place = split_place(place).1.map(|_| RawFrame::at("", place));
    }
    if line.contains("UBSAN: ") {
        let place = after(text, " in ").unwrap_or_default().trim();
        clue.place = split_place(place).1.map(|_| RawFrame::at("", place));
    }
    if text.contains("in range [0x0000000000000000") || line.contains("null-ptr-deref") {
        clue.cause = Some("null-dereference".into());
    }
    for near in (index..index + 5).map(|near| lines.at(near)) {
        for (word, kind) in [
            ("Read of size ", AccessKind::Read),
            ("Write of size ", AccessKind::Write),
            ("supervisor read access", AccessKind::Read),
            ("supervisor write access", AccessKind::Write),
            ("supervisor instruction fetch", AccessKind::Execute),
            (" read at 0x", AccessKind::Read),
            (" write at 0x", AccessKind::Write),
            ("Read at addr ", AccessKind::Read),
            ("Write at addr ", AccessKind::Write),
        ] {
            if clue.access.is_none()
                && let Some(rest) = after(near, word)
            {
                let size = word.contains("size").then(|| number(rest).map(|(size, _)| size)).flatten();
                clue.access = Some(Access { kind, size });
            }
        }
        clue.address = clue.address.or_else(|| address(near));
        if near.contains("null-ptr-deref in range") && clue.kind == "segv" {
            clue.cause = Some("null-dereference".into());
        }
    }
    clue.stack = stack;
    Some(clue.near_null())
}

/// Kind and weight of the line that opens a report, and what it says.
fn opening(line: &str) -> Option<(&'static str, Weight, &str)> {
    const TEXTS: &[(&str, &str, Weight)] = &[
        ("BUG: KMSAN: ", "use-of-uninitialized-value", Weight::Sanitizer),
        ("BUG: KCSAN: ", "data-race", Weight::Sanitizer),
        ("BUG: unable to handle kernel ", "segv", Weight::Fault),
        ("BUG: unable to handle page fault ", "segv", Weight::Fault),
        ("BUG: kernel NULL pointer dereference", "segv", Weight::Fault),
        ("BUG: soft lockup", "timeout", Weight::Limit),
        ("BUG: memory leak", "memory-leak", Weight::Leak),
        ("Unable to handle kernel ", "segv", Weight::Fault),
        ("kernel BUG at ", "kernel-bug", Weight::Program),
        ("Kernel panic - not syncing: ", "kernel-panic", Weight::Consequence),
        ("general protection fault", "segv", Weight::Fault),
        ("detected stall", "timeout", Weight::Limit),
        ("possible circular locking dependency detected", "lock-order-inversion", Weight::Sanitizer),
        ("possible recursive locking detected", "lock-order-inversion", Weight::Sanitizer),
    ];
    if let Some(text) = after(line, "BUG: KASAN: ") {
        return Some((sanitized(text)?, Weight::Sanitizer, text));
    }
    // What it was called before it was part of the kernel.
    if let Some(text) = after(line, "BUG: KASan: ") {
        let kind = match text.split(" in ").next()? {
            "use after free" => "heap-use-after-free",
            "out of bounds on stack" => "stack-buffer-overflow",
            "out of bounds on global" => "global-buffer-overflow",
            what if what.starts_with("out of bounds") => "heap-buffer-overflow",
            "null pointer access" | "wild memory access" | "user memory access" => "segv",
            _ => "unknown-crash",
        };
        return Some((kind, Weight::Sanitizer, text));
    }
    if let Some(text) = after(line, "BUG: KFENCE: ") {
        return Some((sanitized(text)?, Weight::Sanitizer, text));
    }
    if let Some(text) = after(line, "UBSAN: ") {
        let kind = match text.split(' ').next()? {
            "array-index-out-of-bounds" => "index-out-of-bounds",
            "shift-out-of-bounds" => "invalid-shift",
            "signed-integer-overflow" => "signed-integer-overflow",
            "division-overflow" => "division-by-zero",
            "misaligned-access" => "misaligned-address",
            "object-size-mismatch" => "insufficient-object-size",
            "invalid-load" => "invalid-bool",
            _ => "undefined-behavior",
        };
        return text.contains(" in ").then_some((kind, Weight::Undefined, text));
    }
    if let Some(text) = after(line, "WARNING: CPU: ") {
        return Some(("kernel-warning", Weight::Undefined, after(text, " at ")?));
    }
    let (phrase, kind, weight) = TEXTS.iter().find(|(phrase, _, _)| line.contains(phrase))?;
    let text = after(line, phrase).map(str::trim).filter(|text| !text.is_empty()).unwrap_or(line);
    Some((kind, *weight, text.trim_start_matches([':', ',', ' '])))
}

fn sanitized(text: &str) -> Option<&'static str> {
    Some(match text.split(' ').next()? {
        "slab-use-after-free" | "use-after-free" => "heap-use-after-free",
        "stack-out-of-bounds" => "stack-buffer-overflow",
        "global-out-of-bounds" => "global-buffer-overflow",
        "double-free" => "double-free",
        "invalid-free" | "invalid" => "bad-free",
        "slab-out-of-bounds" | "out-of-bounds" | "vmalloc-out-of-bounds" | "memory" => "heap-buffer-overflow",
        "null-ptr-deref" | "wild-memory-access" | "user-memory-access" => "segv",
        _ => "unknown-crash",
    })
}

/// `at addr ffff888…`, `address: 0000…`, `virtual address 0000…`, `for address: ffff…`
fn address(line: &str) -> Option<u64> {
    let rest = ["addr ", "address: ", "virtual address ", "non-canonical address ", "dereference at "]
        .iter()
        .find_map(|word| after(line, word))?;
    // As older kernels print it, behind blanks.
    if rest.trim_start().starts_with("(null)") {
        return Some(0);
    }
    let rest = rest.strip_prefix("0x").unwrap_or(rest);
    let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
    u64::from_str_radix(&rest[..end], 16).ok()
}

/// The function that the registers point at, and the trace below it; or, of a kernel built as a library, a native stack.
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames: Vec<RawFrame<'a>> = Vec::new();
    for (index, line) in lines.from(from).take(100) {
        let text = unstamped(line);
        if text.contains("Call Trace:") || text.contains("Call trace:") || text.starts_with("Backtrace:") {
            let trace = trace(lines, index + 1);
            if trace
                .first()
                .is_some_and(|first| frames.first().is_some_and(|top| top.function == first.function))
            {
                frames.clear();
            }
            frames.extend(trace);
            break;
        }
        let pointed = text.strip_prefix("RIP: 0010:").or_else(|| text.strip_prefix("pc : "));
        let pointed = ["PC is at ", "IP: ", "RIP: ", "EIP is at ", "NIP ", "epc : "]
            .iter()
            .fold(pointed, |found, head| found.or_else(|| text.strip_prefix(head)));
        if let Some(pointed) = pointed
            && frames.is_empty()
        {
            let pointed = pointed.rsplit(">] ").next().unwrap_or(pointed);
            frames.extend(frame(pointed.trim()).filter(|frame| !machinery(frame)));
        }
        if symbolized::frame(text).is_some() {
            frames = native::stack(lines, index);
            break;
        }
    }
    if frames.is_empty() {
        // Without a trace, what the first line says: `slab-out-of-bounds in parse+0x1a/0x20 [demo]`.
        let named = after(lines.at(from.saturating_sub(1)), " in ");
        frames.extend(named.and_then(frame).filter(|frame| !machinery(frame)));
    }
    frames
}

fn trace<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames = Vec::new();
    let mut foreign = 0;
    for (_, line) in lines.from(from).take(256) {
        let text = unstamped(line).trim();
        if text.starts_with('<') && text.ends_with('>') {
            continue;
        }
        // What only happens to lie on the stack.
        if text.starts_with("? ") {
            continue;
        }
        let Some(frame) = frame(text) else {
            foreign += 1;
            if !frames.is_empty() || foreign > 4 {
                break;
            }
            continue;
        };
        if !machinery(&frame) {
            frames.push(frame);
        }
    }
    frames
}

/// A line without `Aug 11 14:18:06 host kernel: `, `[   66.587521][T140]` and `[<ffffffff92af048c>]` in front.
fn unstamped(line: &str) -> &str {
    let mut text = after(line, " kernel: ").unwrap_or(line).trim_start();
    while text.starts_with('[')
        && let Some(end) = text.find("] ")
    {
        text = text[end + 2..].trim_start();
    }
    text
}

/// Functions that take a lock which lies in memory that is no more.
const LOCKS: &[&str] = &[
    "down_read",
    "down_write",
    "lock_acquire",
    "mutex_lock",
    "mutex_lock_common",
    "mutex_lock_nested",
    "mutex_unlock",
    "queued_spin_lock_slowpath",
    "raw_spin_lock",
    "raw_spin_lock_bh",
    "raw_spin_lock_irq",
    "raw_spin_lock_irqsave",
    "raw_spin_unlock",
    "spin_lock",
    "up_read",
    "up_write",
];

/// The report's own functions.
fn machinery(frame: &RawFrame<'_>) -> bool {
    const OWN: &[&str] = &[
        "asan_",
        "check_memory_region",
        "dump_backtrace",
        "dump_stack",
        "kasan_",
        "kcsan_",
        "kfence_",
        "kmsan_",
        "panic",
        "print_address_description",
        "print_circular_bug",
        "print_report",
        "show_stack",
        "ubsan_",
        "warn_slowpath",
    ];
    let name = frame.function.trim_start_matches('_');
    OWN.iter().any(|own| name.starts_with(own)) || LOCKS.contains(&name)
}

/// `parse+0x1a/0x20 drivers/x.c:12 [inline]`, and with the name of a function inlined into it before the place.
fn frame(text: &str) -> Option<RawFrame<'_>> {
    let text = text.trim_end_matches(" [inline]");
    // Decoded: `parse (drivers/x.c:12 drivers/x.c:40 (discriminator 3)) demo`.
    if let Some((function, places)) = text.split_once(" (")
        && let place = places.split([' ', ')']).next().unwrap_or(places)
        && split_place(place).1.is_some()
    {
        return Some(RawFrame::at(function, place));
    }
    let text = text.split(" (discriminator ").next().unwrap_or(text);
    let (function, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (name, offset) = function.split_once("+0x").unwrap_or((function, ""));
    let (inlined, place) = rest.trim().rsplit_once(' ').unwrap_or(("", rest.trim()));
    let placed = split_place(place).1.is_some();
    let known = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.$".contains(&byte))
    };
    if !known(name) || (offset.is_empty() && !placed) {
        return None;
    }
    let name = if placed && !offset.is_empty() && known(inlined) { inlined } else { name };
    Some(if placed { RawFrame::at(name, place) } else { RawFrame { function: name, ..RawFrame::default() } })
}
