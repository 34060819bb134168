//! One frame of native code on a line: sanitizers, libFuzzer, gdb, Android, Chromium.
//!
//! ```text
//! #0 0x55c313f8231c in parse(char const*) /src/c.cc:12:35
//! #1 0x55c313ec4310 in _start (/tmp/c+0x21310) (BuildId: 65…)
//! #2 0x55c313ec4310 (/tmp/c+0x21310)
//! #3 thr /src/c.c:8:48 (c+0xd0148) (BuildId: 0a…)                       ThreadSanitizer
//! #4  0x0000555 in parse (k=1, n=0) at c.c:12                            gdb
//! #05 pc 0000000000012345  /system/lib64/libx.so (parse+20) (BuildId: …) Android
//! #6 0x7f base::Run() [../../base/run.cc:12:3]                           Chromium
//! #7 ./c(parse+0x31) [0x55c3]                                            `backtrace_symbols`
//! #8.1 0x55c3 in parse(int) ../../src/c.cc:12 <libc.so>+0x9840e           Fuchsia
//! @ 0x55c3  parse()                                                      glog, Abseil
//! [#0] 0x55c3 → parse(k=1)                                              GEF
//!  ► f 0   0x55c3 parse+20                                               pwndbg
//! ```

use super::frame::{RawFrame, split_place};
use super::function::is_unit;
use super::lines::number;
use super::native::DEPTH;
use super::paths::extension;

/// The number and the frame on `line`.
pub(super) fn frame(line: &str) -> Option<(u64, RawFrame<'_>)> {
    let hash = line.find('#')?;
    let (index, rest) = number(&line[hash + 1..])?;
    let rest = part(rest).unwrap_or(rest);
    // After the number of runs libFuzzer's status has a tab.
    if !rest.starts_with(' ') || index > 100_000 {
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

/// What follows the part of `#1.2` that counts inlined frames.
fn part(rest: &str) -> Option<&str> {
    number(rest.strip_prefix('.')?).map(|(_, rest)| rest)
}

pub(super) fn inlined(line: &str) -> bool {
    line.split_once('#').and_then(|(_, rest)| part(number(rest)?.1)).is_some()
}

/// What the extensions of gdb draw: `[#0] 0x55c3 → parse(k=1)`, ` ► f 0   0x55c3 parse+20`.
pub(super) fn drawn(line: &str) -> Option<(u64, RawFrame<'_>)> {
    let text = line.trim_start();
    if let Some((index, rest)) = text.strip_prefix("[#").and_then(number) {
        let (_, rest) = rest.strip_prefix("] 0x")?.split_once(" → ")?;
        let rest = rest.strip_prefix("Name: ").unwrap_or(rest);
        return Some((index, RawFrame { function: rest.trim(), ..RawFrame::default() }));
    }
    let text = text.strip_prefix('►').unwrap_or(text).trim_start();
    let (index, rest) = number(text.strip_prefix("f ").unwrap_or(text))?;
    // Threads make a heading of a number sign, and take it away.
    if index < DEPTH as u64
        && rest.starts_with(' ')
        && line.starts_with("    ")
        && modules(rest).2.is_some()
        && !rest.trim_start().starts_with("0x")
    {
        return Some((index, body(rest.trim())));
    }
    let hex =
        rest.strip_prefix("  ").or_else(|| rest.strip_prefix(' ').filter(|_| text.starts_with("f ")))?;
    let hex = hex.trim_start().strip_prefix("0x")?;
    let end = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
    let rest = hex[end..].trim();
    let function = match rest.rsplit_once('+') {
        Some((function, offset)) if offset.bytes().all(|byte| byte.is_ascii_digit()) => function,
        _ if rest.is_empty() => "",
        _ => return None,
    };
    (index < DEPTH as u64).then_some((index, RawFrame { function, ..RawFrame::default() }))
}

/// `    @     0x5605333e2ca0  LLVMFuzzerTestOneInput`, of glog and Abseil.
pub(super) fn unnumbered(line: &str) -> Option<RawFrame<'_>> {
    let hex = line.trim_start().strip_prefix("@ ")?.trim_start().strip_prefix("0x")?;
    let end = hex.find(|c: char| !c.is_ascii_hexdigit())?;
    Some(body(hex[end..].trim()))
}

/// Without an address a frame has to be told from any other line with a number sign.
fn looks_like_code(rest: &str) -> bool {
    rest == "<signal handler called>"
        || rest.contains("+0x")
        || rest.contains(" at ")
        || rest.contains('(')
        || rest.rfind(':').is_some()
}

/// A frame without its number and address.
pub(super) fn body(rest: &str) -> RawFrame<'_> {
    let (rest, module, offset) = modules(without_note(rest));
    // As asan_symbolize prints the sanitizer's own.
    if let Some(function) = rest.strip_suffix(" _asan_rtl_") {
        return RawFrame { module, offset, ..RawFrame::at(function, "_asan_rtl_") };
    }
    if let Some(inner) = rest.strip_suffix(']')
        && let Some(open) = inner.rfind(" [")
    {
        if inner[open + 2..].starts_with("0x") {
            return symbol(inner[..open].trim());
        }
        if inner[open..].contains(':') {
            return RawFrame { module, offset, ..RawFrame::at(inner[..open].trim(), &inner[open + 2..]) };
        }
    }
    // gdb; a function never ends in " at", and a lambda's type has its place in brackets.
    if let Some(at) = rest.rfind(" at ")
        && !rest[at..].contains([')', '>'])
    {
        if rest[at..].contains(".so") && split_place(rest).1.is_none() {
            return RawFrame {
                function: rest[..at].trim(),
                module: Some(rest[at + 4..].trim()),
                ..RawFrame::default()
            };
        }
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
        None if module.is_none()
            && (extension(rest, "so") || rest.contains(".so."))
            && !rest.contains('(') =>
        {
            RawFrame { module: Some(rest.trim()), ..RawFrame::default() }
        }
        None => RawFrame { function: rest.trim(), module, offset, ..RawFrame::default() },
    }
}

/// A frame without what a program that prints it for itself says behind the place: `src/c.cc:12, r0=3`.
fn without_note(rest: &str) -> &str {
    match rest.rsplit_once(", ") {
        Some((frame, note))
            if split_place(frame).1.is_some()
                && note.split_once('=').is_some_and(|(key, value)| {
                    !key.is_empty()
                        && format!("{key}{value}").bytes().all(|byte| byte.is_ascii_alphanumeric())
                }) =>
        {
            frame
        }
        _ => rest,
    }
}

/// `./demo(parse+0x31)` and `/lib/libc.so.6(+0x14420)` of `backtrace_symbols`, or a function.
fn symbol(text: &str) -> RawFrame<'_> {
    let module = text.starts_with(['/', '.']).then(|| text.split_once('(')).flatten();
    let Some((module, inner)) = module else { return RawFrame { function: text, ..RawFrame::default() } };
    let inner = inner.trim_end_matches(')');
    let (function, offset) = inner.split_once("+0x").map_or((inner, None), |(name, at)| (name, Some(at)));
    RawFrame { function, module: Some(module), offset, ..RawFrame::default() }
}

/// Cuts `(module+0x12)`, `<module>+0x12` and `(BuildId: …)` from the end.
fn modules(mut rest: &str) -> (&str, Option<&str>, Option<&str>) {
    let (mut module, mut offset) = (None, None);
    if let Some(plus) = rest.rfind(">+0x")
        && rest[plus + 4..].bytes().all(|byte| byte.is_ascii_hexdigit())
        && let Some(open) = rest[..plus].rfind(" <")
    {
        let name = rest[open + 2..plus].trim_matches(['<', '>']);
        return (rest[..open].trim_end(), (!name.is_empty()).then_some(name), Some(&rest[plus + 4..]));
    }
    loop {
        rest = rest.trim_end();
        let Some(inner) = rest.strip_suffix(')') else { break };
        let Some(open) = inner.rfind('(') else { break };
        if open > 0 && !inner[..open].ends_with(' ') {
            break;
        }
        let text = &inner[open + 1..];
        if text.starts_with("BuildId:")
            || text.starts_with("discriminator ")
            || text.starts_with("0x")
            || text == "<unknown module>"
            || text == "<unknown>"
        {
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
    let (file, line, _) = split_place(word);
    // Code that the compiler made has the line zero.
    let line = line.or_else(|| word.ends_with(":0").then_some(0));
    let path = file.starts_with('/')
        || file.contains(":\\")
        || file == "<null>"
        || file == "??"
        || is_unit(word)
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
    let rest = rest.split(" (offset 0x").next().unwrap_or(rest);
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
        check("   #1.1  0x7f in f() ../../a/b.cc:7 <libx.so>+0x5135e", "f()", "../../a/b.cc:7", "libx.so");
        check("   #1    0x7f in f() <<application>>+0x75a95", "f()", "", "application");
        check("  #8 ./demo(parse+0x31) [0x5bf001]", "parse", "", "./demo");
        check("  #4 /lib/libc.so.6(+0x14420) [0x7f20]", "", "", "/lib/libc.so.6");
        check(
            "  #2 0x1 in g<(lambda at ../a.h:3:7)> src/b.h:3:1",
            "g<(lambda at ../a.h:3:7)>",
            "src/b.h:3:1",
            "",
        );
        check("  #6 0x5 in entry made.cc:0", "entry", "made.cc", "");
        check("    #7 demo::f 4dens7a6cxe1twbg:? (foo+0x94a56)", "demo::f", "", "foo");
        check("    #8 demo::g :? (foo+0x94a56) (BuildId: 77)", "demo::g", "", "foo");
        check("    #1 demo::h demo.c616ffbbbae61b2e-cgu.10 (foo+0x1)", "demo::h", "", "foo");
        check("  #3 0x7 in libpthread.so.0", "", "", "libpthread.so.0");
    }

    #[test]
    fn other_lines_are_no_frames() {
        for line in [
            "#define X",
            "# 12",
            "#1",
            "issue #12 is open",
            "#2097152\tpulse  cov: 3 ft: 3",
            "#2\tINITED cov: 5 rss: 30Mb",
            "#",
            "",
        ] {
            assert_eq!(frame(line), None, "{line}");
        }
    }
}
