//! `ThreadSanitizer`.
//!
//! ```text
//! WARNING: ThreadSanitizer: data race (pid=27088)
//!   Write of size 4 at 0x5654198b4260 by thread T2:
//!     #0 thr /src/c.c:8:48 (c+0xd0148)
//! ```

use super::asan;
use super::clue::{Clue, Weight};
use super::fault;
use super::lines::{Lines, after, number};
use super::native;
use super::report::{Access, AccessKind};

const KINDS: [(&str, &str); 14] = [
    ("data race on vptr", "data-race-vptr"),
    ("heap-use-after-free", "heap-use-after-free"),
    ("race on external object", "data-race"),
    ("data race", "data-race"),
    ("lock-order-inversion", "lock-order-inversion"),
    ("potential deadlock", "lock-order-inversion"),
    ("thread leak", "thread-leak"),
    ("destroy of a locked mutex", "mutex-destroy-locked"),
    ("double lock of a mutex", "mutex-double-lock"),
    ("use of an invalid mutex", "mutex-invalid"),
    ("unlock of an unlocked mutex", "mutex-bad-unlock"),
    ("read lock of a write locked mutex", "mutex-bad-lock"),
    ("signal-unsafe call", "signal-unsafe-call"),
    ("signal handler spoils errno", "signal-errno"),
];

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    let text = after(line, "ThreadSanitizer: ")
        .or_else(|| line.starts_with("WARNING: DATA RACE").then_some("data race"))?;
    if line.contains("SUMMARY:") {
        return None;
    }
    let Some(kind) = kind(text) else { return fault::clue(lines, index, text) };
    let mut clue = Clue::new(Weight::Sanitizer, index, kind, text.split(" (pid=").next().unwrap_or(text));
    if line.starts_with("WARNING: DATA RACE") {
        // Go's detector is the same, with Go's stacks.
        clue.stack = |lines, from| super::go::pairs(lines, from + 1);
    }
    if clue.kind.starts_with("data-race") {
        clue.other = Some(if line.starts_with("WARNING: DATA RACE") {
            |lines, from| previous(lines, from).map(|at| super::go::pairs(lines, at + 1)).unwrap_or_default()
        } else {
            |lines, from| previous(lines, from).map(|at| native::stack(lines, at + 1)).unwrap_or_default()
        });
    }
    for near in (index + 1..index + 4).map(|near| lines.at(near)) {
        clue.access = clue.access.or_else(|| access(near)).or_else(|| asan::access(near));
        if clue.address.is_none() {
            clue.address = after(near, " at 0x")
                .and_then(|hex| number(&near[near.len() - hex.len() - 2..]))
                .map(|(at, _)| at);
        }
    }
    Some(clue)
}

/// The name of the error in one spelling.
pub(super) fn kind(text: &str) -> Option<&'static str> {
    KINDS.iter().find(|(phrase, _)| text.starts_with(phrase)).map(|(_, kind)| *kind)
}

/// The line that begins the stack of the access before.
fn previous(lines: &Lines<'_>, from: usize) -> Option<usize> {
    let ahead = lines.from(from).take(2200).take_while(|(_, line)| !line.contains("SUMMARY: "));
    ahead.filter(|(_, line)| line.trim_start().starts_with("Previous ")).map(|(at, _)| at).next()
}

fn access(line: &str) -> Option<Access> {
    let line = line.trim_start();
    let line = line.strip_prefix("Previous ").unwrap_or(line);
    let line = line.strip_prefix("Atomic ").or_else(|| line.strip_prefix("atomic ")).unwrap_or(line);
    let size = || after(line, " of size ").and_then(number).map(|(size, _)| size);
    let kind = match line.split(' ').next()? {
        "Write" | "write" => AccessKind::Write,
        "Read" | "read" => AccessKind::Read,
        _ => return None,
    };
    Some(Access { kind, size: size() })
}
