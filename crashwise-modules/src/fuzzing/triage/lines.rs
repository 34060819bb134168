use std::borrow::Cow;

const KEPT: usize = 4 << 20;

/// The log as text without colour codes; of one over 8 MiB, the first and last 4 MiB.
pub(super) fn clean(log: &[u8]) -> Cow<'_, str> {
    let text = if log.len() <= 2 * KEPT {
        String::from_utf8_lossy(log)
    } else {
        let mut bytes = log[..KEPT].to_vec();
        bytes.push(b'\n');
        bytes.extend_from_slice(&log[log.len() - KEPT..]);
        Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
    };
    if !text.contains('\u{1b}') {
        return text;
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\u{1b}') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(code) = rest.strip_prefix('[') {
            let end = code.find(|c: char| !(c.is_ascii_digit() || c == ';')).unwrap_or(code.len());
            rest = &code[end..];
            let mut left = rest.chars();
            if left.next().is_some_and(|c| c.is_ascii_alphabetic()) {
                rest = left.as_str();
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// The lines of a log, without their ends and without the times and names that a service puts in front of them.
#[derive(Debug)]
pub(super) struct Lines<'a>(Vec<&'a str>);

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let all = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let margin = margin(all.clone().filter(|line| !line.trim().is_empty()));
        let bare = |line: &'a str| without_tag(without_name(without_time(line.get(margin..).unwrap_or(""))));
        Self(all.map(bare).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The line at `index`; empty beyond the end.
    pub(super) fn at(&self, index: usize) -> &'a str {
        self.0.get(index).copied().unwrap_or("")
    }

    /// The lines from `index` on, with their indices.
    pub(super) fn from(&self, index: usize) -> impl Iterator<Item = (usize, &'a str)> + '_ {
        self.0.iter().copied().enumerate().skip(index)
    }
}

/// How many bytes of each line are the mark of a quotation and what the whole log is indented by.
fn margin<'a>(filled: impl Iterator<Item = &'a str> + Clone) -> usize {
    let quoted = usize::from(filled.clone().all(|line| line.starts_with('>')));
    let blanks = |line: &'a str| line[quoted..].bytes().take_while(|byte| *byte == b' ').count();
    let least = filled.filter(|line| line.trim() != ">").map(blanks).try_fold(
        None,
        |least: Option<usize>, blanks| {
            let least = least.map_or(blanks, |least| least.min(blanks));
            (least > 0).then_some(Some(least))
        },
    );
    quoted + least.flatten().unwrap_or(0)
}

/// What follows a time such as `2026-11-22T16:40:00.1234567Z ` at the beginning of a line.
fn without_time(line: &str) -> &str {
    const SECONDS: &[u8; 19] = b"0000-00-00T00:00:00";
    let fits = |(byte, shape): (&u8, &u8)| byte == shape || (*shape == b'0' && byte.is_ascii_digit());
    if line.starts_with('[') {
        return without_clock(line);
    }
    if let Some(rest) = without_syslog(line) {
        return rest;
    }
    if line.len() <= SECONDS.len() || !line.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
        return line;
    }
    if !line.as_bytes().iter().zip(SECONDS).all(fits) {
        return line;
    }
    let rest = &line[SECONDS.len()..];
    let zone = rest.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ':' | '+' | '-'));
    zone.strip_prefix('Z').unwrap_or(zone).strip_prefix([' ', '\t']).unwrap_or(line)
}

/// What follows `May 02 01:02:03 host demo[4711]: `.
fn without_syslog(line: &str) -> Option<&str> {
    const STAMP: &[u8; 16] = b"Aaa 00 00:00:00 ";
    let fits = |(byte, shape): (u8, &u8)| match shape {
        b'A' => byte.is_ascii_uppercase(),
        b'a' => byte.is_ascii_lowercase(),
        b'0' => byte.is_ascii_digit() || byte == b' ',
        _ => byte == *shape,
    };
    let (stamp, rest) = line.split_at_checked(STAMP.len())?;
    let (host, rest) = rest.split_once(' ').filter(|_| stamp.bytes().zip(STAMP).all(fits))?;
    let (name, rest) = rest.split_once(": ")?;
    (!host.ends_with(':') && !name.contains(' ')).then_some(rest)
}

/// What follows `[11:46:11.067] ` or `[2024/05/17 00:52:07] `.
fn without_clock(line: &str) -> &str {
    let Some((time, rest)) = line[1..].split_once("] ") else { return line };
    let is_date = |date: &str| date.bytes().all(|byte| byte.is_ascii_digit() || b"-/".contains(&byte));
    let clock = match time.split_once([' ', 'T']) {
        Some((date, clock)) if date.len() == 10 && is_date(date) => clock.trim_end_matches('Z'),
        _ => time,
    };
    let parts = clock.split(':').collect::<Vec<_>>();
    let digits = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if clock.len() < 16 && parts.len() == 3 && parts[0].len() == 2 && parts.iter().all(digits) {
        rest
    } else {
        line
    }
}

/// What follows the name of a container, `demo-1  | `.
fn without_name(line: &str) -> &str {
    let end =
        line.bytes().position(|byte| !(byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))).unwrap_or(0);
    if end == 0 || end > 64 || !line.as_bytes()[..end].iter().any(u8::is_ascii_alphabetic) {
        return line;
    }
    match line[end..].trim_start_matches(' ').strip_prefix("| ") {
        Some(rest) if line.as_bytes()[end] == b' ' => rest,
        _ => line,
    }
}

/// What follows the level and the tag of Android's log: `11-22 10:00:00.123  4711  4711 E AndroidRuntime: `, `E/flutter ( 4711): `.
fn without_tag(line: &str) -> &str {
    const STAMP: &[u8; 18] = b"00-00 00:00:00.000";
    let level = |text: &str| text.starts_with(['V', 'D', 'I', 'W', 'E', 'F']);
    if level(line)
        && line.as_bytes().get(1) == Some(&b'/')
        && let Some((tag, rest)) = line.split_once("): ")
        && tag.len() < 64
        && tag.rsplit_once('(').is_some_and(|(_, pid)| pid.trim().bytes().all(|byte| byte.is_ascii_digit()))
    {
        return rest;
    }
    let fits = |(byte, shape): (&u8, &u8)| byte == shape || (*shape == b'0' && byte.is_ascii_digit());
    if line.len() <= STAMP.len() || !line.as_bytes().iter().zip(STAMP).all(fits) {
        return line;
    }
    let rest = line[STAMP.len()..].trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
    match rest.split_once(": ") {
        Some((tag, rest)) if level(tag) && tag.as_bytes().get(1) == Some(&b' ') => rest,
        _ => line,
    }
}

/// What follows `marker` in `line`.
pub(super) fn after<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    line.find(marker).map(|at| &line[at + marker.len()..])
}

/// The number that `text` begins with, decimal or `0x` hexadecimal, and what follows.
pub(super) fn number(text: &str) -> Option<(u64, &str)> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    Some((u64::from_str_radix(&digits[..end], radix).ok()?, &digits[end..]))
}

#[cfg(test)]
mod tests {
    use super::{Lines, clean, number, without_name, without_time};

    #[test]
    fn colours_go() {
        assert_eq!(clean(b"\x1b[1m\x1b[31m==1==ERROR\x1b[0m x\x1b\x1b[").as_ref(), "==1==ERROR x");
        assert_eq!(clean(b"a\xffb").as_ref(), "a\u{fffd}b");
    }

    #[test]
    fn what_all_lines_begin_with_goes() {
        for (log, expect) in [
            ("> a\n>\n>   b\n", ["a", "", "  b"]),
            ("  a\n\n    b", ["a", "", "  b"]),
            ("> a\n\nb", ["> a", "", "b"]),
            ("a\n  b\n  c", ["a", "  b", "  c"]),
            ("", ["", "", ""]),
            (">>\n> ü", [">", " ü", ""]),
        ] {
            let lines = Lines::new(log);
            assert_eq!([0, 1, 2].map(|index| lines.at(index)), expect, "{log:?}");
        }
    }

    #[test]
    fn times_go() {
        for (line, expect) in [
            ("2026-11-22T16:40:00.1234567Z READ of size 1", "READ of size 1"),
            ("2026-11-22T16:40:00+01:00     #0 0x1 in f", "    #0 0x1 in f"),
            ("2026-11-22T16:40:00Z", "2026-11-22T16:40:00Z"),
            ("2026-11-22 16:40:00 kept", "2026-11-22 16:40:00 kept"),
            ("12 kept", "12 kept"),
            ("[11:46:11.067] ==1==ERROR", "==1==ERROR"),
            ("[2024/05/17 00:52:07.065] ==1==ERROR", "==1==ERROR"),
            ("[2024-05-17T00:52:07Z] ==1==ERROR", "==1==ERROR"),
            ("May 02 01:02:03 host demo[4711]:     #0 0x1 in f", "    #0 0x1 in f"),
            ("May  2 01:02:03 host kernel: [  12.5] BUG: x", "[  12.5] BUG: x"),
            ("May 02 01:02:03 one two three: kept", "May 02 01:02:03 one two three: kept"),
            ("Mayor 1: kept", "Mayor 1: kept"),
            ("[12:34:0101/120000.1:FATAL:x.cc(12)] kept", "[12:34:0101/120000.1:FATAL:x.cc(12)] kept"),
            ("[  126.01] kept", "[  126.01] kept"),
        ] {
            assert_eq!(without_time(line), expect);
        }
    }

    #[test]
    fn names_of_containers_go() {
        for (line, expect) in [
            ("demo-1  |     #0 0x1 in f", "    #0 0x1 in f"),
            ("demo_1 | panic: x", "panic: x"),
            ("  | Traceback", "  | Traceback"),
            ("12 | let x", "12 | let x"),
            ("Crash|SIGSEGV|0x0|0", "Crash|SIGSEGV|0x0|0"),
            ("a b | c", "a b | c"),
        ] {
            assert_eq!(without_name(line), expect);
        }
    }

    #[test]
    fn numbers_are_read_in_both_bases() {
        assert_eq!(number("0x1fz"), Some((31, "z")));
        assert_eq!(number("12 x"), Some((12, " x")));
        assert_eq!(number("x"), None);
        assert_eq!(number("99999999999999999999999"), None);
    }
}
