//! What programs of Windows and their tools say of an exception of the processor, each in its own words.
//!
//! ```text
//! Unhandled exception at 0x00401a2b in demo.exe: 0xC0000005: Access violation reading location 0x00000004.
//! demo.exe caused an Access Violation at location 6c3475ed reading from location 00000000
//! Exception: 0xC0000005  (EXCEPTION_ACCESS_VIOLATION)
//! process didn't exit successfully: `demo.exe` (exit code: 0xc0000005, STATUS_ACCESS_VIOLATION)
//! Process finished with exit code -1073741819 (0xC0000005)
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::Lines;
use super::report::{Access, AccessKind};
use super::{minidump, native, windbg};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    const NAMES: &[(&str, u32)] = &[
        ("access violation", 0xc000_0005),
        ("access_violation", 0xc000_0005),
        ("exception_stack_overflow", 0xc000_00fd),
        ("status_stack_overflow", 0xc000_00fd),
        ("int_divide_by_zero", 0xc000_0094),
        ("integer_divide_by_zero", 0xc000_0094),
        ("status_heap_corruption", 0xc000_0374),
        ("status_stack_buffer_overrun", 0xc000_0409),
    ];
    let line = lines.at(index);
    // cdb's own reader says more.
    if line.contains(" - code ") || line.contains("ERROR: AddressSanitizer") || line.len() > 1000 {
        return None;
    }
    let lower = line.to_ascii_lowercase();
    let named = NAMES.iter().find(|(name, _)| lower.contains(name)).map(|(_, code)| *code);
    let code = named.or_else(|| coded(&lower))?;
    let (kind, cause, weight) = windbg::kind(code)?;
    let mut clue = Clue::new(weight.min(Weight::Program), index, kind, line);
    clue.cause = cause.map(Into::into);
    if kind == "segv" {
        let access = access(line).or_else(|| (index + 1..index + 9).find_map(|near| access(lines.at(near))));
        clue.access = access.map(|(kind, _)| Access { kind, size: None });
        clue.address = access.and_then(|(_, address)| address);
    }
    clue.stack = stack;
    Some(clue.near_null())
}

/// The code of an exception, as hexadecimal or as a process ends with it.
fn coded(lower: &str) -> Option<u32> {
    let hexadecimal = lower.match_indices("0xc000").map(|(at, _)| &lower[at + 2..]).find_map(|hex| {
        let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
        (end == 8).then(|| u32::from_str_radix(&hex[..end], 16).ok())?
    });
    hexadecimal.or_else(|| {
        let text = &lower[lower.find("exit code")? + "exit code".len()..];
        let number = text.trim_start_matches([':', ' ']).split([' ', '.', ',', ')']).next()?;
        let signed = number.parse::<i32>().ok().filter(|code| *code < 0).map(i32::cast_unsigned);
        signed.or_else(|| number.parse::<u32>().ok().filter(|code| *code >= 0xc000_0000))
    })
}

/// Whether a line says that it was a read or a write, and of what.
fn access(line: &str) -> Option<(AccessKind, Option<u64>)> {
    const WORDS: &[(&str, AccessKind)] = &[
        ("violation_read", AccessKind::Read),
        ("violation_write", AccessKind::Write),
        ("violation_exec", AccessKind::Execute),
        ("reading ", AccessKind::Read),
        ("writing ", AccessKind::Write),
        ("executing ", AccessKind::Execute),
        ("read from ", AccessKind::Read),
        ("read of ", AccessKind::Read),
        ("read at ", AccessKind::Read),
        ("write to ", AccessKind::Write),
        ("write of ", AccessKind::Write),
        ("write at ", AccessKind::Write),
        ("execute at ", AccessKind::Execute),
    ];
    let lower = line.to_ascii_lowercase();
    let (word, kind) = WORDS.iter().find(|(word, _)| lower.contains(word))?;
    let rest = line.get(lower.find(word)? + word.len()..)?;
    let address = rest.split([' ', '.', ',', ')', ':']).find_map(|word| {
        let hex = word.trim_start_matches("0x");
        let known = hex.len() >= 8 || word.len() > hex.len();
        (known && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .then(|| u64::from_str_radix(hex, 16).ok())?
    });
    (address.is_some() || word.contains("violation")).then_some((*kind, address))
}

fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let listed = minidump::listing(lines, from);
    if listed.is_empty() { native::stack(lines, from) } else { listed }
}
