//! Stacks of native code, of the frames that sanitizers, fuzzers and debuggers print.

use super::frame::{RawFrame, split_place};
use super::lines::Lines;
use super::names::{libc_name, system_call};
use super::symbolized::{drawn, frame, inlined, unnumbered};

/// How many lines after a clue its first frame may stand.
const AHEAD: usize = 60;
/// How many frames a stack has at most.
pub(super) const DEPTH: usize = 1024;
/// How often a stack may begin anew: a hostile log is nothing else.
const RESTARTS: usize = 4;

/// The first stack at or after line `from`: it begins with frame 0 (or the lowest number seen) and ends where the
/// numbers do not go on.
pub(super) fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames: Vec<RawFrame<'a>> = Vec::new();
    let mut next = 0;
    let mut gap = 0;
    let mut restarts = 0;
    for (_, line) in lines.from(from) {
        match frame(line).or_else(|| drawn(line)).or_else(|| Some((next, unnumbered(line)?))) {
            Some((index, frame)) if frames.is_empty() || index >= next => {
                // Inlined frames of Fuchsia share the number of the one that holds them.
                next = if inlined(line) { index } else { index + 1 };
                gap = 0;
                frames.push(frame);
            }
            // A debugger shows where it stopped before it shows the stack.
            Some((0, frame)) if frames.len() == 1 && restarts < RESTARTS => {
                frames[0] = frame;
                restarts += 1;
            }
            // Code that the program generated calls what stands in a stack of its own.
            Some((0, frame)) if restarts < RESTARTS && frames.iter().all(generated) => {
                frames = vec![frame];
                restarts += 1;
                next = 1;
            }
            // A new stack.
            Some(_) => break,
            None if frames.is_empty() => {
                gap += 1;
                if gap > AHEAD {
                    break;
                }
            }
            None if line.trim().is_empty() || tells_of_memory(line) => break,
            None => {
                if line.starts_with([' ', '\t']) && frames.last_mut().is_some_and(|last| goes_on(last, line))
                {
                    continue;
                }
                // One foreign line between frames, from another thread or a source quotation.
                gap += 1;
                if gap > 2 {
                    break;
                }
            }
        }
        if frames.len() == DEPTH {
            break;
        }
    }
    // What a handler did that ends the program once more is not what went wrong.
    let handled = frames.iter().position(|frame| frame.function == "<signal handler called>");
    if let Some(at) = handled.filter(|at| at + 1 < frames.len() && ends(&frames[0])) {
        frames.drain(..=at);
    }
    frames
}

/// Whether a line opens the stack of who freed or allocated the memory.
fn tells_of_memory(line: &str) -> bool {
    line.contains(" is located ")
        || line.contains("freed by thread ")
        || line.contains("allocated by thread ")
}

fn generated(frame: &RawFrame<'_>) -> bool {
    frame.function.is_empty() && frame.file.is_none() && frame.module.is_none()
}

/// Whether a frame is of the C library, as that of a handler that raises its signal again, or waits for a debugger.
fn ends(frame: &RawFrame<'_>) -> bool {
    let name = frame.function.split(" (").next().unwrap_or_default();
    let bare = name.strip_prefix("__GI_").unwrap_or(name).trim_start_matches('_');
    libc_name(bare) || system_call(bare)
}

/// Whether `line` goes on with the arguments of a long frame of gdb, which says in the end where it is: `at c.c:12`, `from /lib/libx.so`.
fn goes_on<'a>(last: &mut RawFrame<'a>, line: &'a str) -> bool {
    if last.file.is_some() || last.module.is_some() {
        return false;
    }
    let text = line.trim();
    let at = text.strip_prefix("at ").or_else(|| Some(text.rsplit_once(") at ")?.1));
    if let Some(place) = at.filter(|place| split_place(place).1.is_some()) {
        *last = RawFrame::at(last.function, place);
        return true;
    }
    if let Some(module) = text.strip_prefix("from /").or_else(|| Some(text.rsplit_once(") from /")?.1)) {
        last.module = Some(&text[text.len() - module.len() - 1..]);
        return true;
    }
    let open = last.function.matches('(').count() > last.function.matches(')').count();
    open && (text.ends_with(',') || text.contains('='))
}

/// The first stack or the second, whichever says more: a program prints one of its own, with fewer names and places, before
/// the sanitizer's.
pub(super) fn fuller_stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let told = |frames: &[RawFrame<'_>]| {
        let named = |frame: &RawFrame<'_>| !matches!(frame.function, "" | "<unknown>" | "??" | "<null>");
        u8::from(frames.iter().any(named)) + u8::from(frames.iter().any(|frame| frame.file.is_some()))
    };
    let first = stack(lines, from);
    let is_frame = |line: &str| frame(line).is_some() || unnumbered(line).is_some();
    let Some((begin, _)) = lines.from(from).find(|(_, line)| is_frame(line)) else { return first };
    let second = if told(&first) == 2 { Vec::new() } else { stack(lines, begin + first.len()) };
    if told(&second) > told(&first) { second } else { first }
}
