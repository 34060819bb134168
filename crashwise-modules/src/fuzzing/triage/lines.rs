use std::borrow::Cow;

use super::stamps::{without_name, without_tag, without_time};

const KEPT: usize = 4 << 20;
/// How many stamps and quotations may stand in front of one another.
const NESTED: usize = 4;

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
    let text = if text.contains("&lt;") && text.contains("&gt;") { unescaped(&text).into() } else { text };
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

/// A text as it was before a page or `JUnit`'s XML had it.
fn unescaped(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&apos;", "'").replace("&#39;", "'").replace("&amp;", "&")
}

/// The lines of a log, without their ends and without the times and names that a service puts in front of them.
#[derive(Debug)]
pub(super) struct Lines<'a>(Vec<&'a str>);

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut all: Vec<&'a str> =
            text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
        // A collector of logs puts its stamp in front of that of the service, and a thread quotes both.
        for _ in 0..NESTED {
            let before = all.iter().map(|line| line.len()).sum::<usize>();
            bare(&mut all);
            if all.iter().map(|line| line.len()).sum::<usize>() == before {
                break;
            }
        }
        Self(all)
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

    /// The frames that stand without a gap from the first one on, within `most` lines from `index`.
    pub(super) fn first_run<F>(
        &self,
        index: usize,
        most: usize,
        frame: impl Fn(&'a str) -> Option<F>,
    ) -> Vec<F> {
        let lines = self.from(index).take(most);
        lines.map(|(_, line)| frame(line)).skip_while(Option::is_none).map_while(|found| found).collect()
    }
}

/// Takes what stands in front of the lines away, once.
fn bare(all: &mut [&str]) {
    let margin = margin(all.iter().copied().filter(|line| !line.trim().is_empty()));
    let numbered = test_number(all).map(str::to_owned);
    // A thread quotes a report between its own words.
    let quoted = margin == 0 && all.iter().filter(|line| line.starts_with("> ")).count() > 2;
    for line in all {
        let mut rest = line.get(margin..).unwrap_or("");
        if quoted && let Some(text) = rest.strip_prefix('>') {
            rest = text.strip_prefix(' ').unwrap_or(text);
        }
        if let Some(number) = &numbered {
            rest = rest.strip_prefix(number.as_str()).unwrap_or(rest);
        }
        *line = without_tag(without_name(without_time(unfenced(rest))));
    }
}

/// A line that a thread's fence of code shares its own with.
fn unfenced(line: &str) -> &str {
    let line = line.trim_start_matches('`');
    if line.ends_with("```") { line.trim_end_matches('`') } else { line }
}

/// What `CTest` puts in front of the lines of one test, `12: `; the frames of a stack have one number each.
fn test_number<'a>(all: &[&'a str]) -> Option<&'a str> {
    let number = all.iter().find_map(|line| {
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        (digits > 0 && line[digits..].starts_with(": ")).then(|| &line[..digits + 2])
    })?;
    let having = all.iter().filter(|line| line.starts_with(number)).count();
    (having > 3 && having * 2 >= all.len()).then_some(number)
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
    use super::{Lines, clean, number};

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
            (">>\n> ü", ["", "ü", ""]),
            (
                "2026-11-22T16:40:00Z host | > 01:02:03 a\n2026-11-22T16:40:00Z host | > 01:02:03   b",
                ["a", "  b", ""],
            ),
            ("so:\n> a\n> b\n>\n> c", ["so:", "a", "b"]),
        ] {
            let lines = Lines::new(log);
            assert_eq!([0, 1, 2].map(|index| lines.at(index)), expect, "{log:?}");
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
