//! Lines for reports: short, and without secrets.

use crashwise_core::LineIndex;
use regex::bytes::{Regex, RegexBuilder};
use std::ops::Range;
use std::sync::OnceLock;

/// The longest snippet, in bytes of the file.
const MAX_BYTES: usize = 200;
const REDACTED: &str = "[redacted]";

/// The line that holds an offset, trimmed and cut to what a report needs. The `secrets` of the file are redacted wherever
/// their text stands, with every other string of a line that holds one, and what looks like a secret.
pub(crate) fn line(text: &[u8], index: &LineIndex, offset: usize, secrets: &[Range<usize>]) -> String {
    let line = index.line_text(text, offset);
    let base = line.as_ptr() as usize - text.as_ptr() as usize;
    let at = offset.saturating_sub(base).min(line.len());
    // Of a long line, the part around the offset.
    let from = if line.len() > MAX_BYTES { at.saturating_sub(MAX_BYTES / 4) } else { 0 };
    let to = line.len().min(from + MAX_BYTES);
    let (start, end) = (base + from, base + to);
    let mut snippet = String::new();
    let mut done = start;
    for secret in secrets.iter().filter(|secret| secret.start < end && secret.end > start) {
        if secret.start >= done {
            snippet.push_str(&String::from_utf8_lossy(&text[done..secret.start]));
            snippet.push_str(REDACTED);
        }
        done = done.max(secret.end);
    }
    snippet.push_str(&String::from_utf8_lossy(&text[done.min(end)..end]));
    snippet = without(&snippet, text, secrets);
    if secrets.iter().any(|secret| secret.start < base + line.len() && secret.end > base) {
        snippet = without_strings(&snippet);
    }
    redact(snippet.trim()).into_owned()
}

/// Replaces the `secrets` of a text wherever they stand in words from the same file.
pub(crate) fn without(words: &str, text: &[u8], secrets: &[Range<usize>]) -> String {
    let mut words = words.to_owned();
    for secret in secrets {
        let value = String::from_utf8_lossy(&text[secret.clone()]);
        if value.len() > 2 && words.contains(&*value) {
            words = words.replace(&*value, REDACTED);
        }
    }
    words
}

/// Replaces what stands in quotes, the last ones open or not.
fn without_strings(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find(['"', '\'', '`']) {
        let quote = rest[open..].chars().next().unwrap_or('"');
        let inner = &rest[open + 1..];
        let close = inner.find(quote).unwrap_or(inner.len());
        out.push_str(&rest[..=open]);
        out.push_str(if close > 2 { REDACTED } else { &inner[..close] });
        rest = &inner[close..];
        if rest.is_empty() {
            return out;
        }
        out.push(quote);
        rest = &rest[1..];
    }
    out.push_str(rest);
    out
}

/// Replaces what is assigned to names of secrets, and credentials in addresses.
fn redact(text: &str) -> std::borrow::Cow<'_, str> {
    static SECRET: OnceLock<Option<Regex>> = OnceLock::new();
    let regex = SECRET.get_or_init(|| {
        RegexBuilder::new(
            r#"(?i)((?:password|passwd|pwd|secret|token|api_?key|passphrase|credential)\w*["'\])]*\s*(?:=>|:=|[=:,])\s*["'`])[^"'`\s]{3,}|(\w+://[^/\s:@"']*:)[^/\s@"']+@"#,
        )
        .unicode(false)
        .build()
        .ok()
    });
    let Some(regex) = regex.as_ref().filter(|regex| regex.is_match(text.as_bytes())) else {
        return text.into();
    };
    let replaced = regex.replace_all(text.as_bytes(), |groups: &regex::bytes::Captures<'_>| {
        let mut kept = groups.get(1).or(groups.get(2)).map_or(Vec::new(), |group| group.as_bytes().to_vec());
        kept.extend_from_slice(REDACTED.as_bytes());
        if groups.get(2).is_some() {
            kept.push(b'@');
        }
        kept
    });
    String::from_utf8_lossy(&replaced).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_without_secrets() {
        let long = format!("{}eval(x){}", "a".repeat(500), "b".repeat(500));
        for (text, needle, secret, expect) in [
            ("x\n  eval(y)\r\n", "eval", None, "eval(y)".to_owned()),
            ("k = 'abcdef'", "k", Some(5..11), "k = '[redacted]'".to_owned()),
            (
                "k = 'abcdef'; t = 'other'; u = 'x' # abcdef",
                "k",
                Some(5..11),
                "k = '[redacted]'; t = '[redacted]'; u = 'x' # [redacted]".to_owned(),
            ),
            (
                "k = 'abcdef'\neval(abcdef, 'plain')",
                "eval",
                Some(5..11),
                "eval([redacted], 'plain')".to_owned(),
            ),
            (
                "connect(password='hunter2', x)",
                "connect",
                None,
                "connect(password='[redacted]', x)".to_owned(),
            ),
            ("u = 'db://joe:pw1@host/'", "u", None, "u = 'db://joe:[redacted]@host/'".to_owned()),
            (&long, "eval", None, format!("{}eval(x){}", "a".repeat(50), "b".repeat(143))),
        ] {
            let index = LineIndex::new(text.as_bytes());
            let at = text.find(needle).unwrap();
            assert_eq!(line(text.as_bytes(), &index, at, secret.as_slice()), expect);
        }
    }
}
