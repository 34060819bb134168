//! The one version in a line of a manifest that could be raised.

use std::ops::Range;

/// The bytes of the only version in a line that asks for a package: none if there is no version or a range of two.
pub(super) fn only_version(text: &str, line: &Range<usize>, name: &str) -> Option<Range<usize>> {
    let whole = text.get(line.clone())?;
    // The name may hold digits itself.
    let mut start = whole.find(name).map_or(0, |at| at + name.len());
    let mut whole = whole;
    // A table says which of its texts is the version.
    if let Some(at) = whole[start..].find("version") {
        start += at + "version".len();
        let quote = start + whole[start..].find(['"', '\''])? + 1;
        whole = &whole[..quote + whole[quote..].find(['"', '\''])?];
    }
    let bytes = whole.as_bytes();
    let mut found = None;
    let mut at = start;
    while at < bytes.len() {
        let begins = bytes[at].is_ascii_digit()
            && at
                .checked_sub(1)
                .is_none_or(|before| !is_version_byte(bytes[before]) || bytes[before] == b'v');
        if !begins {
            at += 1;
            continue;
        }
        let length = bytes[at..].iter().take_while(|byte| is_version_byte(**byte)).count();
        let version = &whole[at..at + length];
        // A wildcard is a range, and so is a whole number of something else.
        if version.contains(['x', 'X', '*']) || found.is_some() {
            return None;
        }
        found = Some(line.start + at..line.start + at + length);
        at += length;
    }
    found.filter(|_| !whole[start..].contains(['*', '|', '$']))
}

fn is_version_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+' | b'_')
}

#[cfg(test)]
mod tests {
    use super::only_version;

    #[test]
    fn one_version_or_none() {
        for (line, name, expect) in [
            ("\"a\": \"^1.2.3\"", "a", Some("1.2.3")),
            ("h2 = { version = \"0.3\", features = [\"v4\"] }", "h2", Some("0.3")),
            ("example.org/a/v2 v2.1.0", "example.org/a/v2", Some("2.1.0")),
            ("gem 'rails', '~> 6.1.0.rc1'", "rails", Some("6.1.0.rc1")),
            ("\"a\": \">=1 <2\"", "a", None),
            ("\"a\": \"1.x\"", "a", None),
            ("\"a\": \"*\"", "a", None),
            ("\"a\": \"1 || 2\"", "a", None),
            ("a = { workspace = true }", "a", None),
            ("g:a", "other", None),
        ] {
            let text = format!("# \n{line}\n");
            let at = only_version(&text, &(3..3 + line.len()), name);
            assert_eq!(at.map(|at| &text[at]), expect, "{line}");
        }
    }
}
