//! What surrounds a value and makes it no secret.

use std::ops::Range;

/// Names in files of test vectors, lower-case.
const VECTOR_NAMES: [&str; 26] = [
    "aad",
    "adata",
    "ciphertext",
    "cleartext",
    "count",
    "ct",
    "dgst",
    "digest",
    "expected",
    "in",
    "input",
    "iv",
    "keylen",
    "klen",
    "len",
    "mac",
    "mct",
    "message",
    "mlen",
    "msg",
    "out",
    "output",
    "plaintext",
    "pt",
    "result",
    "tag",
];
/// How far the lines around a value are looked at, in bytes.
const REACH: usize = 400;

/// Whether the line before or behind the value is one of a test vector, as `Msg = 00` and `Tag: 00` are.
pub(in crate::secrets) fn is_test_vector(bytes: &[u8], name: &Range<usize>, value: &Range<usize>) -> bool {
    let before = &bytes[name.start.saturating_sub(REACH)..name.start];
    let behind = &bytes[value.end..bytes.len().min(value.end + REACH)];
    let above = before.rsplit(|&byte| byte == b'\n').nth(1);
    let below = behind.split(|&byte| byte == b'\n').nth(1);
    [above, below].into_iter().flatten().any(is_vector_line)
}

fn is_vector_line(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || "/#*!-\"'".contains(c));
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let rest = text[end..].trim_start_matches(['"', '\'', ' ', '\t']);
    rest.starts_with(['=', ':'])
        && VECTOR_NAMES.binary_search(&text[..end].to_ascii_lowercase().as_str()).is_ok()
}

/// Whether the value is part of the address of a badge: those tokens are made to be published.
pub(in crate::secrets) fn is_badge(bytes: &[u8], value: &Range<usize>) -> bool {
    let before = &bytes[value.start.saturating_sub(40)..value.start];
    before.windows(5).any(|window| window.eq_ignore_ascii_case(b"badge") || window == b".svg?")
}

/// Whether the name is the attribute of an HTML element: the `nonce` of a script is sent to every reader of the page.
pub(in crate::secrets) fn is_page_nonce(bytes: &[u8], name: &Range<usize>) -> bool {
    let line = bytes[name.start.saturating_sub(REACH)..name.start]
        .rsplit(|&byte| byte == b'>')
        .next()
        .unwrap_or_default();
    bytes[name.clone()].eq_ignore_ascii_case(b"nonce")
        && ["<script", "<style", "<link", "'nonce-"]
            .iter()
            .any(|tag| String::from_utf8_lossy(line).contains(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surroundings() {
        for (text, vector, badge) in [
            ("Msg = 00\nKey = 85d6\nTag = 01\n", true, false),
            ("// IV: 00\n// Key: 85d6\n", true, false),
            ("  \"key\": \"85d6\",\n  \"iv\": \"01\"\n", true, false),
            ("user = bob\nkey = 85d6\nhost = x\n", false, false),
            ("https://ci.example/x/badge.svg?key=85d6", false, true),
            ("https://ci.example/x?key=85d6", false, false),
        ] {
            let value = text.find("85d6").map(|at| at..at + 4).expect("the value");
            let name = text.to_ascii_lowercase().find("key").map(|at| at..at + 3).expect("the name");
            assert_eq!(is_test_vector(text.as_bytes(), &name, &value), vector, "{text}");
            assert_eq!(is_badge(text.as_bytes(), &value), badge, "{text}");
        }
    }

    #[test]
    fn names_are_sorted() {
        assert!(VECTOR_NAMES.is_sorted());
    }
}
