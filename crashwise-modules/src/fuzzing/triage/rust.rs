//! Rust panics, aborts and stack overflows.
//!
//! ```text
//! thread 'main' (27732) panicked at src/lib.rs:1:140:            since 1.73, the number since 1.91
//! index out of bounds: the len is 2 but the index is 2
//! stack backtrace:
//!    3: demo::parse
//!              at ./src/lib.rs:1:140
//!    4:     0x5596ede43d06 - demo::parse::h106c45fd6b3fc578      RUST_BACKTRACE=full
//! thread 'main' panicked at 'explicit panic', src/main.rs:2:5    before 1.73
//! The application panicked (crashed).                            color-eyre, better-panic
//! Message:  index out of bounds: the len is 1 but the index is 1
//! Location: src/main.rs:2
//! ```

use std::borrow::Cow;

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};
use super::paths::extension;
use super::{native, symbolized};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if let Some(text) = after(line, "' panicked at ")
        .or_else(|| after(line, ") panicked at "))
        .or_else(|| after(line, "> panicked at "))
        && after(line, "thread ").is_some()
    {
        return panic(lines, index, text);
    }
    // Without a place, from the payload alone.
    if let Some(text) = after(line, "' panicked: ").filter(|_| line.starts_with("thread '")) {
        return told(lines, index, text, "");
    }
    // Of a hook, such as that of WebAssembly in a browser.
    if let Some(text) = line.trim_start_matches('`').strip_prefix("panicked at ") {
        return panic(lines, index, text);
    }
    // Of a hook that says more before it, or says the place behind the message.
    let told_of = after(line, ": panicked at ").or_else(|| {
        let text = line.trim_start();
        text.strip_prefix("thread ").unwrap_or(text).strip_prefix("panicked at ")
    });
    if let Some(text) = told_of.filter(|text| told_where(text)) {
        return panic(lines, index, text);
    }
    if let Some((message, place)) = line.strip_suffix(')').and_then(|line| line.rsplit_once(" (thread "))
        && let Some((_, place)) = place.rsplit_once(", at ")
        && told_where(place)
    {
        return told(lines, index, message.trim(), place);
    }
    // Of a program with a hook of its own.
    if line.starts_with("called `Option::") || line.starts_with("called `Result::") {
        return told(lines, index, line, "");
    }
    // Of which only the stack is left.
    if line.trim() == "stack backtrace:" {
        return headless(lines, index);
    }
    if line.trim_end() == "The application panicked (crashed)." {
        return pretty(lines, index);
    }
    if line.contains("has overflowed its stack") && line.contains("thread ") {
        let mut clue = Clue::new(Weight::Fault, index, "stack-overflow", line);
        clue.stack = frames;
        return Some(clue);
    }
    if let Some(rest) = line.trim_start().strip_prefix("memory allocation of ")
        && let Some((_, rest)) = number(rest)
        && rest.starts_with(" bytes failed")
    {
        let mut clue = Clue::new(Weight::Limit, index, "out-of-memory", line);
        clue.stack = frames;
        return Some(clue);
    }
    None
}

/// Whether a text ends in a place of a source of Rust: `'message', src/main.rs:2:5`, `src/main.rs:2:5:`.
fn told_where(text: &str) -> bool {
    let place = text.trim_end_matches([':', '`']).rsplit([' ', '\'']).next().unwrap_or(text);
    let (file, line, _) = super::frame::split_place(place);
    line.is_some() && extension(file, "rs")
}

fn panic<'a>(lines: &Lines<'a>, index: usize, text: &'a str) -> Option<Clue<'a>> {
    let (message, place): (&str, &str) = match text.strip_suffix(':') {
        Some(place) if super::frame::split_place(place).1.is_some() => (lines.at(index + 1), place),
        // A thread has joined the lines.
        _ if text.split_once(": ").is_some_and(|(place, _)| super::frame::split_place(place).1.is_some()) => {
            let (place, message) = text.split_once(": ").unwrap_or_default();
            (message.trim_start(), place)
        }
        _ => match old(lines, index, text) {
            Some(found) => found,
            // Cut off before it says where.
            None => (text.strip_prefix('\'')?.trim_end_matches(['`', '\'']), ""),
        },
    };
    told(lines, index, message, place)
}

/// A panic of which the stack alone is left: its first functions say that it is one, and often of what.
fn headless<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    const RAISED: &[(&str, &str)] = &[
        ("core::result::unwrap_failed", "called `Result::unwrap()` on an `Err` value"),
        ("core::option::unwrap_failed", "called `Option::unwrap()` on a `None` value"),
        ("core::panicking::panic_bounds_check", "index out of bounds"),
        ("core::slice::index::slice_", "range end index out of range"),
    ];
    let functions = || {
        let lines = lines.from(index + 1).take(64);
        lines.filter_map(|(_, line)| number(line.trim_start())?.1.strip_prefix(':')).map(|rest| {
            let rest = rest.trim_start();
            rest.split_once(" - ").filter(|_| rest.starts_with("0x")).map_or(rest, |(_, function)| function)
        })
    };
    if !functions().any(raises) {
        return None;
    }
    let told = |(name, message): &(&str, &'static str)| {
        functions().any(|function| function.starts_with(name)).then_some(*message)
    };
    let mut clue =
        Clue::new(Weight::Consequence, index, "rust-panic", RAISED.iter().find_map(told).unwrap_or_default());
    clue.cause = cause(&clue.message).map(Cow::Borrowed);
    clue.stack = |lines, from| frames(lines, from - 1);
    Some(clue)
}

/// What handlers that write for people print of a panic.
fn pretty<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let told_by = |label: &str| {
        lines
            .from(index + 1)
            .take(8)
            .find_map(|(_, line)| line.trim_start().strip_prefix(label))
            .map(str::trim)
    };
    if let Some(message) = told_by("Message:") {
        return told(lines, index, message, told_by("Location:").unwrap_or_default());
    }
    // `  attempt to subtract with overflow` and `in src/app.rs:774` below it.
    let place = told_by("in ").filter(|place| super::frame::split_place(place).1.is_some())?;
    told(lines, index, lines.at(index + 1).trim(), place)
}

fn told<'a>(lines: &Lines<'a>, index: usize, message: &'a str, place: &'a str) -> Option<Clue<'a>> {
    // The panic that ends a chain says nothing of where it began.
    if message.starts_with("panic in a destructor during cleanup")
        || message.starts_with("panic in a function that cannot unwind")
        || message.contains("on an `Err` value: Any { .. }")
    {
        return None;
    }
    let mut clue = Clue::new(Weight::Program, index, "rust-panic", message);
    clue.place = Some(place).filter(|place| !place.is_empty()).map(|place| RawFrame::at("", place));
    clue.cause = cause(message).map(Cow::Borrowed);
    if clue.message.ends_with(':') || message.starts_with("assertion `") {
        let more = (index + 2..index + 4).map(|at| lines.at(at)).filter(|line| line.starts_with(' '));
        clue.message =
            std::iter::once(message.trim()).chain(more.map(str::trim)).collect::<Vec<_>>().join(" ").into();
    }
    clue.stack = frames;
    Some(clue)
}

/// `'message', src/main.rs:2:5`; the message may go over lines.
fn old<'a>(lines: &Lines<'a>, index: usize, text: &'a str) -> Option<(&'a str, &'a str)> {
    let inner = text.strip_prefix('\'')?;
    if let Some(at) = inner.rfind("', ") {
        let place = inner[at + 3..].trim_end_matches('`');
        // A thread makes a link of the place.
        let linked = place.strip_prefix('[').and_then(|place| place.split_once("]("));
        return Some((&inner[..at], linked.map_or(place, |(place, _)| place)));
    }
    let end = lines.from(index + 1).take(20).find_map(|(_, line)| Some(&line[line.rfind("', ")? + 3..]))?;
    Some((inner, end))
}

fn cause(message: &str) -> Option<&'static str> {
    const STARTS: &[(&str, &str)] = &[
        ("index out of bounds", "index-out-of-bounds"),
        ("range end index ", "slice-out-of-bounds"),
        ("range start index ", "slice-out-of-bounds"),
        ("slice index starts at ", "slice-out-of-bounds"),
        ("range end ", "slice-out-of-bounds"),
        ("range start ", "slice-out-of-bounds"),
        ("attempted to index slice ", "slice-out-of-bounds"),
        ("source slice length ", "slice-length-mismatch"),
        ("copy_from_slice: source slice length ", "slice-length-mismatch"),
        ("destination and source slices have different lengths", "slice-length-mismatch"),
        ("byte index ", "char-boundary"),
        ("start byte index ", "char-boundary"),
        ("end byte index ", "char-boundary"),
        ("begin <= end ", "slice-out-of-bounds"),
        ("begin > end ", "slice-out-of-bounds"),
        ("attempt to divide by zero", "division-by-zero"),
        ("attempt to calculate the remainder with a divisor of zero", "division-by-zero"),
        ("called `Option::unwrap()` on a `None` value", "unwrap-none"),
        // As a thread leaves it that takes backticks for its own.
        ("called 'Option::unwrap()' on a 'None' value", "unwrap-none"),
        ("called 'Result::unwrap()' on an 'Err' value", "unwrap-err"),
        ("called `Option::expect()`", "unwrap-none"),
        ("called `Result::unwrap()` on an `Err` value", "unwrap-err"),
        ("called `Result::unwrap_err()` on an `Ok` value", "unwrap-ok"),
        ("assertion ", "assertion"),
        ("not implemented", "unimplemented"),
        ("not yet implemented", "unimplemented"),
        ("internal error: entered unreachable code", "unreachable"),
        ("already borrowed", "borrow"),
        ("already mutably borrowed", "borrow"),
        ("RefCell", "borrow"),
        ("capacity overflow", "capacity-overflow"),
        ("explicit panic", "explicit"),
        ("unsafe precondition(s) violated", "unsafe-precondition"),
        ("misaligned pointer dereference", "misaligned-address"),
        ("null pointer dereference occurred", "null-dereference"),
        ("removal index ", "index-out-of-bounds"),
        ("insertion index ", "index-out-of-bounds"),
        ("swap_remove index ", "index-out-of-bounds"),
        ("`at` split index ", "index-out-of-bounds"),
        ("mid > len", "index-out-of-bounds"),
        ("chunk size must be non-zero", "division-by-zero"),
    ];
    // The same words begin a slice beyond the end of a string and one in the middle of a character.
    if message.contains("byte index ") && message.contains(" is out of bounds of ") {
        return Some("slice-out-of-bounds");
    }
    if let Some((_, cause)) = STARTS.iter().find(|(start, _)| message.starts_with(start)) {
        return Some(cause);
    }
    if message.starts_with("attempt to ") && message.contains("overflow") {
        return Some("arithmetic-overflow");
    }
    if message.contains("is not a char boundary") {
        return Some("char-boundary");
    }
    None
}

/// Whether a function of the standard library begins to unwind.
fn raises(function: &str) -> bool {
    ["rust_begin_unwind", "core::panicking::", "std::panicking::begin_panic", "std::panicking::panic"]
        .iter()
        .any(|name| function.starts_with(name))
}

/// The backtrace that follows the panic before the next one does; without one, a native stack.
fn frames<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    for (index, line) in lines.from(from).take(400) {
        let hooked = line.starts_with("frame #0 ");
        // Behind its heading, or without one.
        let begun = line.trim_start().strip_prefix("backtrace:").unwrap_or(line).trim_start();
        let begun = hooked
            || number(begun).is_some_and(|(number, rest)| {
                (number == 0 || index < from + 3) && rest.starts_with(": ") && rest.contains("::")
            });
        if begun || line.trim_start().starts_with("stack backtrace:") || line.contains("━ BACKTRACE ━") {
            let frames = backtrace(lines, if begun { index } else { index + 1 });
            return if frames.is_empty() { native::stack(lines, index + 1) } else { frames };
        }
        if index > from && line.contains(" panicked at ") {
            break;
        }
        if symbolized::frame(line).is_some() {
            return native::stack(lines, index);
        }
    }
    Vec::new()
}

fn backtrace<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames: Vec<RawFrame<'a>> = Vec::new();
    let mut foreign = 0;
    for (_, line) in lines.from(from).take(4096) {
        let text = line.trim_start();
        let text = text.strip_prefix("backtrace:").map_or(text, str::trim_start);
        // `⋮ 6 frames hidden ⋮`
        if text.starts_with('⋮') {
            continue;
        }
        if let Some(place) = text.strip_prefix("at ") {
            if let Some(last) = frames.last_mut()
                && last.file.is_none()
                && !place.starts_with("<unknown")
            {
                *last = RawFrame::at(last.function, place);
            }
            continue;
        }
        // `frame #7  - 0x00007f36 - demo::parse`, of a hook.
        let hooked = text.strip_prefix("frame #").and_then(number);
        let hooked = hooked.and_then(|(_, rest)| rest.trim_start().strip_prefix("- "));
        let Some(rest) = hooked.or_else(|| number(text).and_then(|(_, rest)| rest.strip_prefix(':'))) else {
            // A line that another thread logged.
            foreign += 1;
            if foreign > 2 || text.is_empty() {
                break;
            }
            continue;
        };
        let rest = rest.trim_start();
        let function = match rest.strip_prefix("0x") {
            Some(hex) => match hex.find(" - ") {
                Some(at) => &hex[at + 3..],
                None => "",
            },
            None => rest,
        };
        let function = function.trim();
        frames.push(RawFrame {
            function: if function == "<unknown>" { "" } else { function },
            ..RawFrame::default()
        });
        if frames.len() == 1024 {
            break;
        }
    }
    // The part above the first user frame that `RUST_BACKTRACE=1` hides.
    let hidden = frames.iter().rposition(|frame| frame.function.contains("__rust_end_short_backtrace"));
    frames.drain(..hidden.map_or(0, |at| at + 1));
    // Older ones hide nothing, and a hook has its own functions there.
    let begun = frames.iter().position(|frame| raises(frame.function));
    let begun =
        begun.map_or(0, |at| at + frames[at..].iter().take_while(|frame| raises(frame.function)).count());
    frames.drain(..begun);
    frames
}
