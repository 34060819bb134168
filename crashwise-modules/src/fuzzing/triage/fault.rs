//! A signal that a sanitizer caught, which all of them word alike.
//!
//! ```text
//! ==12==ERROR: ThreadSanitizer: SEGV on unknown address 0x000000000000 (pc 0x55… bp 0x7f… sp 0x7f… T1)
//! ==12==The signal is caused by a WRITE memory access.
//! ```

use super::asan;
use super::clue::{Clue, Weight};
use super::lines::{Lines, after, number};
use super::report::{Access, AccessKind};

/// The clue of a text such as `SEGV on unknown address …`, after the sanitizer's name.
pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize, text: &'a str) -> Option<Clue<'a>> {
    let (kind, weight) = match text.split([' ', ':', '(']).next()? {
        "SEGV" => ("segv", Weight::Fault),
        "BUS" => ("bus", Weight::Fault),
        "FPE" => ("fpe", Weight::Fault),
        "stack-overflow" => ("stack-overflow", Weight::Fault),
        "ABRT" => ("abrt", Weight::Consequence),
        "ILL" => ("ill", Weight::Consequence),
        "TRAP" => ("trap", Weight::Consequence),
        _ => return None,
    };
    let mut clue = Clue::new(weight, index, kind, text);
    clue.access = (index + 1..index + 4).find_map(|near| asan::access(lines.at(near)));
    clue.address = address(text);
    jump(&mut clue, text);
    Some(clue.near_null())
}

/// What follows `address `.
pub(super) fn address(text: &str) -> Option<u64> {
    after(text, "address ").filter(|rest| rest.starts_with("0x")).and_then(number).map(|(at, _)| at)
}

/// Whether the program counter itself is the address that cannot be read.
pub(super) fn jump(clue: &mut Clue<'_>, text: &str) {
    let counter = after(text, "(pc ").or_else(|| after(text, " pc ")).and_then(number).map(|(pc, _)| pc);
    if clue.kind == "segv" && counter.is_some() && counter == clue.address {
        clue.access = Some(Access { kind: AccessKind::Execute, size: None });
    }
}
