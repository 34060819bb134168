//! Go panics and fatal errors.
//!
//! ```text
//! panic: runtime error: index out of range [5] with length 1
//!
//! goroutine 1 [running]:
//! main.(*P).at(...)
//!         /src/g.go:4 +0x29f
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::Lines;
use super::severity::NEAR_NULL;

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index).trim_start_matches(' ');
    if line.starts_with("[signal SIG") {
        return headless(lines, index);
    }
    let (kind, text) = if let Some(text) = line.strip_prefix("panic: ") {
        ("go-panic", text)
    } else if let Some(text) = line.strip_prefix("fatal error: ") {
        ("go-fatal-error", text)
    } else if let Some(text) = line.strip_prefix("runtime: goroutine stack exceeds ") {
        ("stack-overflow", text)
    } else if let Some((_, text)) = line.split_once(": panic: ") {
        // `testing.go:1591: panic: …`, of a test that goes on, and what a tool tells of the program below it.
        ("go-panic", text)
    } else {
        return None;
    };
    // Without a stack it must say what only Go says.
    let told = text.starts_with("runtime error: ") || SAID.iter().any(|start| text.starts_with(start));
    if !told && !lines.from(index + 1).take(30).any(|(_, line)| heads(line)) {
        return None;
    }
    let text = text.trim_end_matches(" [recovered]").trim_end_matches(" [recovered, repanicked]");
    let mut clue = Clue::new(Weight::Program, index, kind, text);
    clue.cause = cause(text).map(Into::into);
    clue.stack = stack;
    if let Some((_, signal)) =
        lines.from(index + 1).take(2).find(|(_, line)| line.trim_start().starts_with("[signal "))
        && let Some(at) = super::lines::after(signal, "addr=")
    {
        clue.address = super::lines::number(at).map(|(address, _)| address);
    }
    if text.starts_with("stack overflow") || kind == "stack-overflow" {
        clue.kind = "stack-overflow".into();
        clue.cause = None;
        clue.weight = Weight::Fault;
    } else if text.starts_with("out of memory") || text.contains("cannot allocate memory") {
        clue.kind = "out-of-memory".into();
        clue.cause = None;
        clue.weight = Weight::Limit;
    }
    Some(clue)
}

/// A panic of which only the signal behind its first line is left.
fn headless<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let told = |at: usize| lines.at(at).contains("panic: ") || lines.at(at).contains("fatal error: ");
    if (index.saturating_sub(3)..index).any(told)
        || !lines.from(index + 1).take(4).any(|(_, line)| heads(line))
    {
        return None;
    }
    let mut clue = Clue::new(Weight::Program, index, "go-panic", lines.at(index));
    clue.stack = stack;
    clue.address =
        super::lines::after(lines.at(index), "addr=").and_then(super::lines::number).map(|(at, _)| at);
    clue.cause = clue.address.is_some_and(|at| at < NEAR_NULL).then(|| "null-dereference".into());
    Some(clue)
}

/// What a program of Go says when it ends.
const SAID: &[&str] = &[
    "all goroutines are asleep - deadlock!",
    "assignment to entry in nil map",
    "close of closed channel",
    "close of nil channel",
    "concurrent map ",
    "interface conversion: ",
    "send on closed channel",
    "sync: ",
];

fn cause(text: &str) -> Option<&'static str> {
    const CAUSES: &[(&str, &str)] = &[
        ("index out of range", "index-out-of-bounds"),
        ("slice bounds out of range", "slice-out-of-bounds"),
        ("invalid memory address or nil pointer dereference", "null-dereference"),
        ("integer divide by zero", "division-by-zero"),
        ("makeslice: len out of range", "allocation-size-too-big"),
        ("makeslice: cap out of range", "allocation-size-too-big"),
        ("interface conversion", "bad-cast"),
        ("assignment to entry in nil map", "nil-map"),
        ("all goroutines are asleep - deadlock!", "deadlock"),
        ("concurrent map", "data-race"),
        ("send on closed channel", "closed-channel"),
        ("close of closed channel", "closed-channel"),
        ("negative shift amount", "invalid-shift"),
        ("unexpected signal during runtime execution", "segv"),
        ("hash of unhashable type", "unhashable"),
    ];
    CAUSES.iter().find(|(phrase, _)| text.contains(phrase)).map(|(_, cause)| *cause)
}

/// Whether a stack begins below; that of the runtime alone is there when the end of a log is cut off.
fn heads(line: &str) -> bool {
    let text = line.trim();
    (text.starts_with("goroutine ") && text.contains("]:")) || text == "runtime stack:"
}

fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let begin = lines
        .from(from)
        .take(60)
        .find(|(_, line)| heads(line) && line.contains("[running"))
        .or_else(|| lines.from(from).take(60).find(|(_, line)| heads(line) && line.contains('[')))
        .or_else(|| lines.from(from).take(60).find(|(_, line)| heads(line)));
    let Some((begin, _)) = begin else { return Vec::new() };
    let mut frames = pairs(lines, begin + 1);
    // What raises the panic stands above the frame that did it.
    let raised = frames.iter().rposition(|frame| {
        frame.function.starts_with("panic(")
            || frame.function.starts_with("runtime.sigpanic")
            || frame.function.starts_with("runtime.goPanic")
    });
    frames.drain(..raised.map_or(0, |at| at + 1));
    frames
}

/// Whether a line is a function with what it was called with: `main.(*P).at(0xc00001, 0x5, ...)`.
fn is_call(text: &str) -> bool {
    let Some((name, arguments)) = text.strip_suffix(')').and_then(|text| text.rsplit_once('(')) else {
        return false;
    };
    let called =
        arguments.is_empty() || arguments == "..." || arguments.trim_start_matches('{').starts_with("0x");
    called && name.contains('.') && !name.contains(' ')
}

fn is_place(text: &str) -> bool {
    let place = text.split(' ').next().unwrap_or(text);
    let (file, line, _) = super::frame::split_place(place);
    line.is_some() && [".go", ".s", ".c"].iter().any(|end| file.ends_with(end)) && file.contains('/')
}

/// Frames of two lines each, from line `index` to the first that is none.
pub(super) fn pairs<'a>(lines: &Lines<'a>, mut index: usize) -> Vec<RawFrame<'a>> {
    let mut frames = Vec::new();
    // Tests print them as deep as the test is.
    let first = lines.at(index);
    let depth = first.len() - first.trim_start_matches(' ').len();
    let at = |index: usize| {
        let line = lines.at(index);
        if line.bytes().take(depth).all(|byte| byte == b' ') { line.get(depth..).unwrap_or("") } else { "" }
    };
    while frames.len() < 512 {
        let line = at(index);
        let place = at(index + 1);
        // Some logs lose what stands before the place.
        if line.trim().is_empty() || !(place.starts_with(['\t', ' ']) || is_place(place)) {
            if line.starts_with("...") {
                index += 1;
                continue;
            }
            // Where its place is cut off.
            let call = line.trim();
            if !is_call(call) || at(index + 1).contains(".go:") {
                break;
            }
            frames.push(RawFrame { function: call, ..RawFrame::default() });
            index += 1;
            continue;
        }
        let created = line.strip_prefix("created by ");
        let function =
            created.map_or(line.trim(), |text| text.split(" in goroutine ").next().unwrap_or(text));
        let place = place.trim();
        let place = place.split(" +0x").next().unwrap_or(place);
        let place = place.split(" fp=0x").next().unwrap_or(place);
        frames.push(RawFrame::at(function, place));
        index += 2;
    }
    frames
}
