//! Relative paths as URI references and back.

use crashwise_core::RelPath;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What stays as it is in a path; the colon does not, since `a:b` would name a scheme.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// One segment: the slash is data.
const SEGMENT: &AsciiSet = &PATH.add(b'/');

/// The reference of a path, e.g. `src/a%20b.py`.
pub(crate) fn encode(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

pub(crate) fn encode_segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A reference taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// Relative, with dot segments still in it.
    Relative(String),
    /// The path of a `file` URI or an absolute path, with `/` in front.
    Absolute(String),
    /// Another scheme.
    Foreign,
}

/// Takes a reference apart. Backslashes of careless producers count as slashes, `C:` as absolute.
pub(crate) fn decode(uri: &str) -> Reference {
    let uri = uri.split(['?', '#']).next().unwrap_or(uri);
    let path = if let Some(rest) = strip_scheme(uri, "file") {
        let rest = rest.strip_prefix("//").map_or(rest, |rest| rest.find('/').map_or("", |at| &rest[at..]));
        format!("/{}", rest.trim_start_matches('/'))
    } else if has_scheme(uri) {
        return Reference::Foreign;
    } else {
        uri.to_owned()
    };
    let path = path.replace('\\', "/");
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    let text = percent_decode_str(&path).decode_utf8_lossy().into_owned();
    if text.starts_with('/') || drive {
        Reference::Absolute(format!("/{}", text.trim_start_matches('/')))
    } else {
        Reference::Relative(text)
    }
}

/// The path that dot segments lead to; none when they lead out or nowhere.
pub(crate) fn normalise(path: &str) -> Option<RelPath> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    RelPath::new(parts.join("/")).ok()
}

fn strip_scheme<'t>(uri: &'t str, scheme: &str) -> Option<&'t str> {
    let (head, rest) = uri.split_once(':')?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// A scheme has two letters at least here: one letter is a drive.
fn has_scheme(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(head, _)| {
        head.len() > 1
            && head.as_bytes()[0].is_ascii_alphabetic()
            && head.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        for (uri, expect) in [
            ("src/a%20b.py", Reference::Relative("src/a b.py".into())),
            ("a%3Ab", Reference::Relative("a:b".into())),
            ("src\\a.py", Reference::Relative("src/a.py".into())),
            ("file:///home/x/a.py#L3", Reference::Absolute("/home/x/a.py".into())),
            ("file://host/x/a.py", Reference::Absolute("/x/a.py".into())),
            ("FILE:/x", Reference::Absolute("/x".into())),
            ("C:\\src\\a.c", Reference::Absolute("/C:/src/a.c".into())),
            ("/x", Reference::Absolute("/x".into())),
            ("https://example.com/a", Reference::Foreign),
            ("%ff", Reference::Relative("\u{fffd}".into())),
        ] {
            assert_eq!(decode(uri), expect, "{uri}");
        }
    }

    #[test]
    fn encoding_is_undone_by_decoding() {
        for path in ["a b/ü?#%.py", "a:b", "x\\y", "%41", "[x]{y}|^`\"<>"] {
            let uri = encode(path);
            assert!(uri.is_ascii() && !uri.contains([' ', ':', '?', '#', '"', '<']), "{uri}");
            assert_eq!(decode(&uri), Reference::Relative(path.to_owned()));
        }
    }

    #[test]
    fn dot_segments() {
        for (path, expect) in
            [("./a/../b", Some("b")), ("../a", None), ("a/..", None), ("a//b/", Some("a/b"))]
        {
            assert_eq!(normalise(path).as_ref().map(RelPath::as_str), expect, "{path}");
        }
    }
}
