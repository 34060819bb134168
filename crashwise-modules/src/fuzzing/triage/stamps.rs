//! What services put in front of the lines of a log: times, levels, tags and names.

/// What follows the time that a service puts in front of a line, in any of its common orders, and the marks of process, thread and
/// level behind it: `2026-11-22T16:40:00.1234567Z `, `[2024/05/17 00:52:07][ERROR][4711] `, `August 3rd 2017, 19:28:27.000 `.
pub(super) fn without_time(line: &str) -> &str {
    // `F, [2026-11-22T16:40:00.123456 #4711] FATAL -- demo: `, of Ruby.
    if line.trim_start().get(1..4) == Some(", [")
        && let Some((head, rest)) = line.split_once(" -- ")
        && head.contains(" #")
        && let Some((_, rest)) = rest.split_once(": ")
    {
        return rest;
    }
    // `[   28s] `, of a service that builds packages.
    if let Some((seconds, rest)) = line.strip_prefix('[').and_then(|line| line.split_once("s] "))
        && seconds.trim_start().bytes().all(|byte| byte.is_ascii_digit())
        && !seconds.trim().is_empty()
    {
        return rest;
    }
    if let Some(rest) = without_syslog(line) {
        let nested = without_time(rest);
        return nested;
    }
    match stamp(line.strip_prefix('[').unwrap_or(line)) {
        Some(rest) if line.starts_with('[') => rest.strip_prefix(']').map_or(line, without_marks),
        Some(rest) => logcat(rest).unwrap_or_else(|| without_marks(rest)),
        None => line,
    }
}

/// What follows a date, a clock and a zone, of which the clock must be there.
fn stamp(text: &str) -> Option<&str> {
    const NAMES: &[&str] = &[
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Mon", "Tue",
        "Wed", "Thu", "Fri", "Sat", "Sun",
    ];
    let mut rest = text;
    for _ in 0..6 {
        let end = rest.find([' ', '\t', ']']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if let Some(zone) = clock(word) {
            // A clock alone ends the line, or the line is more than a stamp.
            let after = match after.strip_prefix(' ') {
                Some(next) if !zone => {
                    let end = next.find([' ', ']']).unwrap_or(next.len());
                    let is_zone =
                        matches!(&next[..end], "UTC" | "GMT" | "AM" | "PM" | "CET" | "CEST" | "EST" | "PST")
                            || (end == 5 && next.starts_with(['+', '-']));
                    let is_year = end == 4 && rest.len() < text.len() && next[..end].starts_with("20");
                    if is_zone || (is_year && next[..end].bytes().all(|byte| byte.is_ascii_digit())) {
                        &next[end..]
                    } else {
                        after
                    }
                }
                _ => after,
            };
            return (!after.is_empty()).then_some(after);
        }
        let bare = word.trim_end_matches(',');
        let named = NAMES.iter().any(|name| bare.starts_with(name))
            && bare.bytes().all(|byte| byte.is_ascii_alphabetic());
        let numbered = bare.starts_with(|c: char| c.is_ascii_digit())
            && (bare.len() < 3
                || ["st", "nd", "rd", "th"].iter().any(|end| bare.ends_with(end))
                || bare.contains(['-', '/'])
                || bare.len() == 4)
            && bare.len() < 12
            && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-/".contains(&byte));
        if !(named || numbered) || word.is_empty() {
            return None;
        }
        rest = after.trim_start_matches(' ');
    }
    None
}

/// Whether `word` ends in a clock, `16:40:00.123`, perhaps behind a date and a `T`; and whether it has its zone.
fn clock(word: &str) -> Option<bool> {
    let day = |date: &str| {
        date.len() == 10 && date.bytes().all(|byte| byte.is_ascii_digit() || b"-/".contains(&byte))
    };
    let clock = match word.split_once(['T', '_']) {
        Some((date, clock)) if day(date) => clock,
        _ => word,
    };
    let shape = clock.get(..8)?.as_bytes();
    let fits = shape
        .iter()
        .enumerate()
        .all(|(at, byte)| if at == 2 || at == 5 { *byte == b':' } else { byte.is_ascii_digit() });
    let rest = clock[8..].trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ','));
    let zone = rest.strip_prefix('Z').unwrap_or(rest);
    let zoned = zone.is_empty() || (zone.starts_with(['+', '-']) && zone.len() < 7);
    (fits && zoned).then_some(!rest.is_empty())
}

/// What follows the marks behind a time, such as `[ERROR][4711][0x1f] ` and `INFO `, and one blank.
fn without_marks(rest: &str) -> &str {
    let mut rest = rest;
    loop {
        let text = rest.strip_prefix([' ', '\t']).unwrap_or(rest);
        let Some((mark, after)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) else {
            return text;
        };
        let level = matches!(
            mark.trim(),
            "ERROR" | "WARN" | "WARNING" | "INFO" | "DEBUG" | "TRACE" | "FATAL" | "NOTICE"
        );
        let number = !mark.is_empty() && mark.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'x');
        if !(level || number) || !(after.is_empty() || after.starts_with(['[', ' '])) {
            return text;
        }
        rest = after;
    }
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
    // The kernel's own clock stands where a service has its name.
    if rest.starts_with('[') && !host.ends_with(':') {
        return Some(rest);
    }
    let (name, rest) = rest.split_once(": ")?;
    (!host.ends_with(':') && !name.contains(' ')).then_some(rest)
}

/// What follows the name of a container, `demo-1  | `.
pub(super) fn without_name(line: &str) -> &str {
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

/// What follows the level and the tag of Android's log: `E/flutter ( 4711): `, `ERROR/AndroidRuntime(4711): `.
pub(super) fn without_tag(line: &str) -> &str {
    const LEVELS: &[&str] =
        &["V", "D", "I", "W", "E", "F", "A", "VERBOSE", "DEBUG", "INFO", "WARN", "ERROR", "ASSERT"];
    if line.starts_with(|c: char| c.is_ascii_uppercase())
        && let Some((level, text)) = line.split_once('/')
        && LEVELS.contains(&level)
        && let Some((tag, rest)) = text.split_once("): ")
        && tag.len() < 64
        && tag.rsplit_once('(').is_some_and(|(_, pid)| pid.trim().bytes().all(|byte| byte.is_ascii_digit()))
    {
        return rest;
    }
    line
}

/// What follows the process, the level and the tag behind the time of Android's log: ` 4711  4711 E AndroidRuntime: `,
/// ` 4711-4713/com.example.demo A/DEBUG: `, ` 4711-4713  DEBUG  com.example.demo  A  `.
fn logcat(stamped: &str) -> Option<&str> {
    let is_level = |text: &str| text.len() == 1 && text.starts_with(['V', 'D', 'I', 'W', 'E', 'F', 'A']);
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let text = stamped.trim_start();
    let end = digits(text);
    let rest = text.get(end..).filter(|_| end > 0)?;
    if let Some(rest) = rest.strip_prefix('-') {
        let rest = &rest[digits(rest)..];
        if rest.starts_with('/') {
            let (_, rest) = rest.split_once(' ')?;
            let (level, rest) = rest.split_once('/')?;
            return rest.split_once(": ").filter(|_| is_level(level)).map(|(_, rest)| rest);
        }
        let (_, rest) = rest.trim_start().split_once("  ")?;
        let (_, rest) = rest.trim_start().split_once("  ")?;
        return rest.trim_start().split_once("  ").filter(|(level, _)| is_level(level)).map(|(_, rest)| rest);
    }
    let rest = rest.trim_start();
    let (level, rest) = rest[digits(rest)..].trim_start().split_once(' ')?;
    rest.split_once(": ").filter(|_| is_level(level)).map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::{without_name, without_time};

    #[test]
    fn times_go() {
        for (line, expect) in [
            ("2026-11-22T16:40:00.1234567Z READ of size 1", "READ of size 1"),
            ("2026-11-22T16:40:00+01:00     #0 0x1 in f", "    #0 0x1 in f"),
            ("2026-11-22T16:40:00Z", "2026-11-22T16:40:00Z"),
            ("2026-11-22 16:40:00 panic: x", "panic: x"),
            ("2026/11/22 16:40:00.123 panic: x", "panic: x"),
            ("2026-11-22 16:40:00,123 Traceback", "Traceback"),
            ("August 3rd 2026, 19:28:27.000 \tx.go:1", "\tx.go:1"),
            ("Mon Nov 23 01:02:03 2026 panic: x", "panic: x"),
            ("[23-Nov-2026 20:28:46 UTC] PHP Fatal error: x", "PHP Fatal error: x"),
            ("01:02:03    3: core::f", "   3: core::f"),
            (
                "Sep 09 20:59:55 host d[1]: [2026-09-09 20:59:55.458][ERROR][1][5x1][0]     #0 0x1 in f",
                "    #0 0x1 in f",
            ),
            ("12:34 kept", "12:34 kept"),
            ("1:23:45 kept", "1:23:45 kept"),
            ("Sun shines 01:02:03 kept", "Sun shines 01:02:03 kept"),
            ("16:40:00.rs:12 kept", "16:40:00.rs:12 kept"),
            ("12 kept", "12 kept"),
            ("[11:46:11.067] ==1==ERROR", "==1==ERROR"),
            ("[2024/05/17 00:52:07.065] ==1==ERROR", "==1==ERROR"),
            ("[2024-05-17T00:52:07Z] ==1==ERROR", "==1==ERROR"),
            ("May 02 01:02:03 host demo[4711]:     #0 0x1 in f", "    #0 0x1 in f"),
            ("May  2 01:02:03 host kernel: [  12.5] BUG: x", "[  12.5] BUG: x"),
            ("May 02 01:02:03 one two three: kept", "one two three: kept"),
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
}
