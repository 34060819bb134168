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

/// The lines of a log, without their ends.
#[derive(Debug)]
pub(super) struct Lines<'a>(Vec<&'a str>);

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect())
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
    use super::{clean, number};

    #[test]
    fn colours_go() {
        assert_eq!(clean(b"\x1b[1m\x1b[31m==1==ERROR\x1b[0m x\x1b\x1b[").as_ref(), "==1==ERROR x");
        assert_eq!(clean(b"a\xffb").as_ref(), "a\u{fffd}b");
    }

    #[test]
    fn numbers_are_read_in_both_bases() {
        assert_eq!(number("0x1fz"), Some((31, "z")));
        assert_eq!(number("12 x"), Some((12, " x")));
        assert_eq!(number("x"), None);
        assert_eq!(number("99999999999999999999999"), None);
    }
}
