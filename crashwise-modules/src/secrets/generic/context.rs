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

/// Whether name and value are two neighbours of a longer list of string literals, as `'a', 'token', 'b', 'c'` is.
pub(in crate::secrets) fn is_in_list(bytes: &[u8], name: &Range<usize>, value: &Range<usize>) -> bool {
    let is_quote = |byte: &&u8| matches!(byte, b'"' | b'\'' | b'`');
    let is_space = |byte: &&u8| byte.is_ascii_whitespace();
    let before = bytes[name.start.saturating_sub(REACH)..name.start].iter().rev();
    let behind = bytes[value.end..bytes.len().min(value.end + REACH)].iter();
    let is_option = bytes[name.clone()].starts_with(b"-");
    !is_option
        && before.skip_while(is_quote).find(|byte| !is_space(byte)) == Some(&b',')
        && behind.skip_while(is_quote).find(|byte| !is_space(byte)) == Some(&b',')
}

/// Whether what follows is `@` and a host that is reserved for documentation: nobody's password.
pub(in crate::secrets) fn is_documentation_host(behind: &[u8]) -> bool {
    let Some(rest) = behind.strip_prefix(b"@") else { return false };
    let end =
        rest.iter().take(253).take_while(|&&byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    let host = rest[..end.count()].to_ascii_lowercase();
    [b"example.com".as_slice(), b"example.org", b"example.net"]
        .iter()
        .any(|domain| host.strip_suffix(*domain).is_some_and(|rest| rest.is_empty() || rest.ends_with(b".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_a_list_are_no_assignment() {
        for (text, expect) in [
            ("['a', 'token', 'x1', 'b']", true),
            ("'a',\n  'token',\n  'x1',\n", true),
            ("set('token', 'x1')", false),
            ("set(a, 'token', 'x1')", false),
            ("['a', '--token', 'x1', 'b']", false),
        ] {
            let word = text.find("token").expect("the name");
            let value = text.find("x1").expect("the value");
            let name = if text.contains("--") { word - 2..word + 5 } else { word..word + 5 };
            assert_eq!(is_in_list(text.as_bytes(), &name, &(value..value + 2)), expect, "{text}");
        }
    }

    #[test]
    fn hosts_of_documentation() {
        for (text, expect) in [
            ("@example.com/x", true),
            ("@my.Example.org:80", true),
            ("@notexample.com", false),
            ("@example.com.evil.io", false),
            ("@db.example/x", false),
            ("example.com", false),
        ] {
            assert_eq!(is_documentation_host(text.as_bytes()), expect, "{text}");
        }
    }

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
