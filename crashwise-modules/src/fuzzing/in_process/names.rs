//! Names for the stacks of children: they print addresses, and this process is the same program.
#![allow(unsafe_code, reason = "an address of a symbol, which nothing is read from")]

use super::stack::{Module, modules};
use std::collections::HashMap;
use std::fmt::Write;

/// Frames of one log that are looked up; each new one of a large program takes a moment.
const MOST: usize = 4096;

/// What is known of an address: functions, innermost first, each with its place if that is known.
type Names = Vec<(String, Option<String>)>;

/// A log in which the frames of this program, and of the libraries that it has loaded, have the names of their functions and
/// places. The stack ends below what calls the target.
pub(in crate::fuzzing) fn named(log: &[u8]) -> Vec<u8> {
    let modules = modules();
    let mut known: HashMap<(usize, usize), Names> = HashMap::new();
    let text = String::from_utf8_lossy(log);
    let mut out = String::with_capacity(text.len());
    let mut stack = Stack::default();
    for line in text.split_inclusive('\n') {
        let Some(frame) = Raw::parse(line.trim_end()) else {
            stack = Stack::default();
            out.push_str(line);
            continue;
        };
        let at = modules.iter().position(|module| module.name == frame.module);
        let names = match at {
            Some(at) if known.len() < MOST || known.contains_key(&(at, frame.offset)) => known
                .entry((at, frame.offset))
                .or_insert_with(|| look_up(&modules[at], frame.offset))
                .as_slice(),
            _ => &[],
        };
        stack.print(&mut out, &frame, names);
    }
    out.into_bytes()
}

/// `    #3 0x55d0  (/path/program+0x1234)`
struct Raw<'a> {
    address: &'a str,
    module: &'a str,
    offset: usize,
}

impl<'a> Raw<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let rest = line.strip_prefix("    #")?;
        let (number, rest) = rest.split_once(' ')?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
        let (address, rest) = rest.split_once("  (")?;
        let (module, offset) = rest.strip_suffix(')')?.rsplit_once("+0x")?;
        let offset = usize::from_str_radix(offset, 16).ok()?;
        address.starts_with("0x").then_some(Self { address, module, offset })
    }
}

/// What was printed of a stack.
#[derive(Default)]
struct Stack {
    number: usize,
    /// Whether what calls the target was reached.
    over: bool,
}

impl Stack {
    fn print(&mut self, out: &mut String, frame: &Raw<'_>, names: &[(String, Option<String>)]) {
        let Raw { address, module, offset } = frame;
        if names.is_empty() && !self.over {
            let _ = writeln!(out, "    #{} {address}  ({module}+0x{offset:x})", self.number);
            self.number += 1;
        }
        for (function, place) in names {
            let own = is_own(function, place.as_deref());
            // What prints is not what died.
            if self.over || (own && self.number == 0) {
                continue;
            }
            let _ = match place {
                Some(place) => writeln!(out, "    #{} {address} in {function} {place}", self.number),
                None => {
                    writeln!(out, "    #{} {address} in {function} ({module}+0x{offset:x})", self.number)
                }
            };
            self.number += 1;
            self.over = own;
        }
    }
}

/// Whether a function is of the fuzzer in the program.
fn is_own(function: &str, place: Option<&str>) -> bool {
    place.map_or_else(
        || function.starts_with("crashwise_modules::fuzzing::in_process::"),
        |place| place.contains("/fuzzing/in_process/"),
    )
}

fn look_up(module: &Module, offset: usize) -> Names {
    let mut names = Vec::new();
    // What is looked up is the instruction before, as of one that a call returns to.
    let address = std::ptr::without_provenance_mut(module.base.wrapping_add(offset).wrapping_add(1));
    backtrace::resolve(address, |symbol| {
        let Some(name) = symbol.name() else { return };
        let place = symbol.filename().map(|file| {
            let mut place = file.display().to_string();
            for number in [symbol.lineno(), symbol.colno()].into_iter().flatten() {
                let _ = write!(place, ":{number}");
            }
            place
        });
        names.push((format!("{name:#}"), place));
    });
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::triage::signature;

    #[test]
    fn frames_of_this_program_get_their_names() {
        let program = &modules()[0];
        let offset = signature as *const () as usize - program.base;
        let line =
            |number: usize, offset: usize| format!("    #{number} 0x7  ({}+0x{offset:x})\n", program.name);
        let foreign = "    #1 0x9  (/no/such/library.so+0x12)\n";
        let log = format!("head\n{}{foreign}\ntail", line(0, offset));
        let told = String::from_utf8(named(log.as_bytes())).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!((lines[0], lines[2]), ("head", foreign.trim_end()), "{told}");
        assert!(
            lines[1].starts_with("    #0 0x7 in crashwise_modules::fuzzing::triage::signature "),
            "{told}"
        );
        assert!(lines[1].contains("/src/fuzzing/triage/mod.rs:"), "{told}");
    }

    #[test]
    fn stacks_begin_behind_the_handler_and_end_with_what_calls_the_target() {
        let frame = Raw::parse("    #7 0x55d0  (/bin/demo (1)+0x1f)").unwrap();
        assert_eq!((frame.address, frame.module, frame.offset), ("0x55d0", "/bin/demo (1)", 31));
        let own =
            |file: &str| vec![("child".to_owned(), Some(format!("/c/fuzzing/in_process/{file}.rs:7:1")))];
        let other = |name: &str| vec![(name.to_owned(), Some("src/lib.rs:3:5".to_owned()))];
        let (mut out, mut stack) = (String::new(), Stack::default());
        for names in [own("signals"), other("parse"), vec![], own("child"), other("main"), vec![]] {
            stack.print(&mut out, &frame, &names);
        }
        let expect = "    #0 0x55d0 in parse src/lib.rs:3:5\n    #1 0x55d0  (/bin/demo (1)+0x1f)\n    \
                      #2 0x55d0 in child /c/fuzzing/in_process/child.rs:7:1\n";
        assert_eq!(out, expect);
    }

    #[test]
    fn other_lines_are_no_frames() {
        for line in [
            "    #0 0x1 in main src/main.rs:1:1",
            "    #x 0x1  (a+0x1)",
            "    #0 0x1  (<unknown module>)",
            "    #0 0x1  (a+0xzz)",
            "#0 0x1  (a+0x1)",
            "",
        ] {
            assert!(Raw::parse(line).is_none(), "{line}");
        }
    }
}
