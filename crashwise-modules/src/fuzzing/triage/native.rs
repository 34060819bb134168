//! Stacks of native code: sanitizers, libFuzzer, gdb, Android, Chromium.
//!
//! ```text
//! #0 0x55c313f8231c in parse(char const*) /src/c.cc:12:35
//! #1 0x55c313ec4310 in _start (/tmp/c+0x21310) (BuildId: 65…)
//! #2 0x55c313ec4310 (/tmp/c+0x21310)
//! #3 thr /src/c.c:8:48 (c+0xd0148) (BuildId: 0a…)                       ThreadSanitizer
//! #4  0x0000555 in parse (k=1, n=0) at c.c:12                            gdb
//! #05 pc 0000000000012345  /system/lib64/libx.so (parse+20) (BuildId: …) Android
//! #6 0x7f base::Run() [../../base/run.cc:12:3]                           Chromium
//! ```

use super::frame::RawFrame;
use super::lines::{Lines, number};

/// How many lines after a clue its first frame may stand.
const AHEAD: usize = 60;
const DEPTH: usize = 1024;

/// The first stack at or after line `from`: it begins with frame 0 (or the lowest number seen) and ends where the
/// numbers do not go on.
pub(super) fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let mut frames = Vec::new();
    let mut next = 0;
    let mut gap = 0;
    for (_, line) in lines.from(from) {
        match frame(line) {
            Some((index, frame)) if frames.is_empty() || index >= next => {
                next = index + 1;
                gap = 0;
                frames.push(frame);
            }
            // A new stack.
            Some(_) => break,
            None if frames.is_empty() => {
                gap += 1;
                if gap > AHEAD {
                    break;
                }
            }
            None if line.trim().is_empty() => break,
            // One foreign line between frames, from another thread or a source quotation.
            None => {
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
    frames
}

/// The number and the frame on `line`.
pub(super) fn frame(line: &str) -> Option<(u64, RawFrame<'_>)> {
    let hash = line.find('#')?;
    let (index, rest) = number(&line[hash + 1..])?;
    if !rest.starts_with([' ', '\t']) || index > 100_000 {
        return None;
    }
    let rest = rest.trim();
    if let Some(rest) = rest.strip_prefix("pc ") {
        return Some((index, android(rest)));
    }
    let (addressed, rest) = match rest.strip_prefix("0x") {
        Some(hex) => {
            let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
            (true, hex[end..].trim_start())
        }
        None => (false, rest),
    };
    let (named, rest) = match rest.strip_prefix("in ") {
        Some(rest) => (true, rest.trim_start()),
        None => (false, rest),
    };
    if !addressed && !named && hash > 24 {
        return None;
    }
    if !addressed && !looks_like_code(rest) {
        return None;
    }
    Some((index, body(rest)))
}

/// Without an address a frame has to be told from any other line with a number sign.
fn looks_like_code(rest: &str) -> bool {
    rest.contains("+0x") || rest.contains(" at ") || rest.contains('(') || rest.rfind(':').is_some()
}

fn body(rest: &str) -> RawFrame<'_> {
    let (rest, module, offset) = modules(rest);
    if let Some(inner) = rest.strip_suffix(']')
        && let Some(open) = inner.rfind(" [")
        && inner[open..].contains(':')
    {
        return RawFrame { module, offset, ..RawFrame::at(inner[..open].trim(), &inner[open + 2..]) };
    }
    if let Some(at) = rest.rfind(" at ") {
        // gdb; a function never ends in " at".
        return RawFrame { module, offset, ..RawFrame::at(rest[..at].trim(), rest[at + 4..].trim()) };
    }
    if let Some(from) = rest.rfind(" from /") {
        return RawFrame {
            function: rest[..from].trim(),
            module: Some(rest[from + 6..].trim()),
            ..RawFrame::default()
        };
    }
    match source(rest) {
        Some(space) => {
            RawFrame { module, offset, ..RawFrame::at(rest[..space].trim(), rest[space..].trim()) }
        }
        None => RawFrame { function: rest.trim(), module, offset, ..RawFrame::default() },
    }
}

/// Cuts `(module+0x12)` and `(BuildId: …)` from the end.
fn modules(mut rest: &str) -> (&str, Option<&str>, Option<&str>) {
    let (mut module, mut offset) = (None, None);
    loop {
        rest = rest.trim_end();
        let Some(inner) = rest.strip_suffix(')') else { break };
        let Some(open) = inner.rfind('(') else { break };
        if open > 0 && !inner[..open].ends_with(' ') {
            break;
        }
        let text = &inner[open + 1..];
        if text.starts_with("BuildId:") || text == "<unknown module>" || text == "<unknown>" {
            rest = &rest[..open];
        } else if let Some(plus) = text.rfind("+0x") {
            // macOS says which of several architectures in one file it is.
            let name = &text[..plus];
            let of = |part: &&str| [":x86_64", ":x86_64h", ":arm64", ":arm64e", ":i386"].contains(part);
            let arch = name.rfind(':').map(|colon| &name[colon..]).filter(of);
            module = Some(arch.map_or(name, |arch| &name[..name.len() - arch.len()]));
            offset = Some(&text[plus + 3..]);
            rest = &rest[..open];
        } else {
            break;
        }
    }
    (rest, module, offset)
}

/// Where the source file begins: the last word if it looks like a file, or an absolute path with spaces in it.
fn source(rest: &str) -> Option<usize> {
    if let Some(drive) = rest.find(":\\")
        && let Some(start) = drive.checked_sub(2)
        && rest.as_bytes()[start] == b' '
    {
        // A path of Windows, with spaces or without.
        return Some(start);
    }
    let depthless = rest.rfind(' ')?;
    let word = &rest[depthless + 1..];
    let (file, line, _) = super::frame::split_place(word);
    let path = file.starts_with('/')
        || file.contains(":\\")
        || file == "<null>"
        || file == "??"
        || (line.is_some() && !file.ends_with(':') && !file.contains(')'))
        || (file.contains('/') && !file.contains(['(', ')', '<', '>']));
    if path {
        if !file.starts_with('/') && line.is_some() {
            // "/home/my user/x.c:1:2" splits before "user".
            if let Some(start) = rest.find(" /")
                && !rest[start..].contains([')', '>'])
            {
                return Some(start);
            }
        }
        return Some(depthless);
    }
    None
}

/// `0000000000012345  /system/lib64/libx.so (parse+20) (BuildId: …)`
fn android(rest: &str) -> RawFrame<'_> {
    let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
    let (rest, _, _) = modules(rest[end..].trim_start());
    let (module, function) = match rest.find(" (") {
        Some(open) => (rest[..open].trim(), rest[open + 2..].trim_end_matches(')')),
        None => (rest.trim(), ""),
    };
    let function = match function.rfind('+') {
        Some(plus) if function[plus + 1..].bytes().all(|byte| byte.is_ascii_digit()) => &function[..plus],
        _ => function,
    };
    RawFrame { function, module: (!module.is_empty()).then_some(module), ..RawFrame::default() }
}

#[cfg(test)]
mod tests {
    use super::{RawFrame, frame};

    fn check(line: &str, function: &str, place: &str, module: &str) {
        let (_, found) = frame(line).unwrap_or_else(|| panic!("no frame: {line}"));
        let expect =
            RawFrame { module: (!module.is_empty()).then_some(module), ..RawFrame::at(function, place) };
        assert_eq!(RawFrame { offset: None, ..found }, expect, "{line}");
    }

    #[test]
    fn frames_of_all_tools() {
        check("    #0 0x55c3 in parse /tmp/rep/c.c:12:35", "parse", "/tmp/rep/c.c:12:35", "");
        check(
            "    #0 0x55c3 in ns::f(char const*, int) /tmp/c.cc:12",
            "ns::f(char const*, int)",
            "/tmp/c.cc:12",
            "",
        );
        check("    #4 0x55c3 in _start (/tmp/c_a+0x21310) (BuildId: 6587)", "_start", "", "/tmp/c_a");
        check("    #4 0x55c3  (/tmp/c_a+0x21310)", "", "", "/tmp/c_a");
        check("    #0 0x0  (<unknown module>)", "", "", "");
        check("    #0 thr /tmp/c.c:8:48 (c_t+0xd0148) (BuildId: 0a)", "thr", "/tmp/c.c:8:48", "c_t");
        check("    #0 pthread_create <null> (c_t+0x513cd)", "pthread_create", "", "c_t");
        check("#1  0x0000555 in parse (k=1, n=0) at c.c:12", "parse (k=1, n=0)", "c.c:12", "");
        check(
            "#0  raise () from /lib/x86_64-linux-gnu/libc.so.6",
            "raise ()",
            "",
            "/lib/x86_64-linux-gnu/libc.so.6",
        );
        check(
            "  #05 pc 0000000000012345  /system/lib64/libx.so (parse(int)+20) (BuildId: ab)",
            "parse(int)",
            "",
            "/system/lib64/libx.so",
        );
        check("#6 0x7f base::Run() [../../base/run.cc:12:3]", "base::Run()", "../../base/run.cc:12:3", "");
        check(
            "    #2 0x1 in operator new(unsigned long) (/bin/x+0x1)",
            "operator new(unsigned long)",
            "",
            "/bin/x",
        );
        check("    #2 0x1 in f /home/my user/x.c:1:2", "f", "/home/my user/x.c:1:2", "");
        check("    #2 0x1 in <a::B as c::D>::e /x/y.rs:1:2", "<a::B as c::D>::e", "/x/y.rs:1:2", "");
        check(
            "    #3 0x1 in __libc_start_main csu/../csu/libc-start.c:360:3",
            "__libc_start_main",
            "csu/../csu/libc-start.c:360:3",
            "",
        );
        check("01-02 03:04:05.678  12  34 I wrap: #1 0x7f in foo a.c:3", "foo", "a.c:3", "");
        check(r"    #0 0x1 in f C:\src\x.cc:7", "f", r"C:\src\x.cc:7", "");
        check(r"    #0 0x1 in f C:\my src\x.cc:7", "f", r"C:\my src\x.cc:7", "");
        check("    #0 0x1 in f+0x1f (app:arm64e+0x1)", "f+0x1f", "", "app");
    }

    #[test]
    fn other_lines_are_no_frames() {
        for line in ["#define X", "# 12", "#1", "issue #12 is open", "#2097152\tpulse  cov: 3 ft: 3", "#", ""]
        {
            assert_eq!(frame(line), None, "{line}");
        }
    }
}
