//! Names of entries: checked once, then known to be relative, normal and bounded.

use super::error::{Bound, Fault, Rule};
use super::limits::ExtractOptions;

/// A checked name: components joined by one slash each, no `.`, no `..`; empty for the root itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Name {
    path: Vec<u8>,
    slash: bool,
}

impl Name {
    /// Checks a name as it stands in an archive.
    pub(super) fn parse(raw: &[u8], options: &ExtractOptions) -> Result<Self, Fault> {
        let limits = &options.limits;
        if raw.is_empty() {
            return Err(Rule::EmptyName.into());
        }
        if raw.len() > limits.path_bytes {
            return Err(Fault::Limit(Bound::PathBytes, limits.path_bytes as u64));
        }
        check_characters(raw, options)?;
        if raw[0] == b'/' {
            return Err(Rule::AbsolutePath.into());
        }
        let mut path = Vec::with_capacity(raw.len());
        let mut depth = 0;
        for part in raw.split(|&b| b == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return Err(Rule::ParentComponent.into()),
                _ => {}
            }
            if part.len() > limits.component_bytes {
                return Err(Fault::Limit(Bound::ComponentBytes, limits.component_bytes as u64));
            }
            depth += 1;
            if depth > limits.depth {
                return Err(Fault::Limit(Bound::Depth, limits.depth as u64));
            }
            if !options.reserved_names && is_device_name(part) {
                return Err(Rule::ReservedName.into());
            }
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(part);
        }
        Ok(Self { path, slash: raw.ends_with(b"/") || raw.ends_with(b"/.") })
    }

    /// The whole path; empty for the root.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// Whether the name is that of the root directory.
    pub(super) fn is_root(&self) -> bool {
        self.path.is_empty()
    }

    /// Whether the archive wrote it with a slash, or a slash and a dot, at its end.
    pub(super) fn has_trailing_slash(&self) -> bool {
        self.slash
    }

    /// The name of something that is not a directory.
    pub(super) fn of_leaf(self) -> Result<Self, Fault> {
        if self.is_root() {
            Err(Rule::RootName.into())
        } else if self.slash {
            Err(Rule::TrailingSlash.into())
        } else {
            Ok(self)
        }
    }
}

/// Checks a name that another one overrides, for readers that do not know the override. It may be cut off anywhere.
pub(super) fn check_overridden(raw: &[u8]) -> Result<(), Fault> {
    if raw.starts_with(b"/") {
        return Err(Rule::AbsolutePath.into());
    }
    let mut parents = raw.split(|&b| b == b'/').rev().skip(1);
    if parents.any(|part| part == b"..") { Err(Rule::ParentComponent.into()) } else { Ok(()) }
}

/// Checks the characters of a name or of a link's target.
pub(super) fn check_characters(raw: &[u8], options: &ExtractOptions) -> Result<(), Fault> {
    // Printable ASCII, which is nearly every name, needs one pass.
    let mut odd = false;
    for &b in raw {
        odd |= !(0x20..0x7f).contains(&b) || b == b'\\' || b == b':';
    }
    if !odd {
        return Ok(());
    }
    if raw.contains(&0) {
        return Err(Rule::NulInName.into());
    }
    for chunk in raw.utf8_chunks() {
        if chunk.valid().chars().any(|c| c.is_control() || is_steering(c)) {
            return Err(Rule::ControlInName.into());
        }
        if !chunk.invalid().is_empty() && !options.non_utf8 {
            return Err(Rule::NotUtf8.into());
        }
    }
    if !options.reserved_names {
        // A drive letter is named as what it is, also when a backslash follows.
        if raw.contains(&b':') {
            return Err(Rule::ReservedName.into());
        }
        if raw.contains(&b'\\') {
            return Err(Rule::Backslash.into());
        }
    }
    Ok(())
}

/// Characters that turn the order of writing or end a line without being control characters by name.
fn is_steering(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Device names of DOS. With an extension (`aux.c`) they are common in portable source trees and let through.
fn is_device_name(part: &[u8]) -> bool {
    // Dots and spaces at the end are dropped there.
    let mut name = part.to_ascii_uppercase();
    while name.len() > 1 && matches!(name.last(), Some(b'.' | b' ')) {
        name.pop();
    }
    matches!(
        name.as_slice(),
        b"CON" | b"PRN" | b"AUX" | b"NUL" | [b'C', b'O', b'M', b'1'..=b'9'] | [b'L', b'P', b'T', b'1'..=b'9']
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &[u8]) -> Result<Vec<u8>, Option<Rule>> {
        match Name::parse(raw, &ExtractOptions::new()) {
            Ok(name) => Ok(name.path),
            Err(Fault::Rule(rule)) => Err(Some(rule)),
            Err(_) => Err(None),
        }
    }

    type Expect<'a> = Result<&'a [u8], Option<Rule>>;

    #[test]
    fn names_are_normalised_or_refused() {
        let long = vec![b'x'; 256];
        let deep = b"d/".repeat(129);
        let cases: &[(&[u8], Expect<'_>)] = &[
            (b"a/b", Ok(b"a/b")),
            (b"./a//b/./c/", Ok(b"a/b/c")),
            (b".", Ok(b"")),
            (b"...", Ok(b"...")),
            ("é/ü".as_bytes(), Ok("é/ü".as_bytes())),
            (b"src/aux.c", Ok(b"src/aux.c")),
            (b"", Err(Some(Rule::EmptyName))),
            (b"/a", Err(Some(Rule::AbsolutePath))),
            (b"//a", Err(Some(Rule::AbsolutePath))),
            (b"../a", Err(Some(Rule::ParentComponent))),
            (b"a/../../b", Err(Some(Rule::ParentComponent))),
            (b"a/..", Err(Some(Rule::ParentComponent))),
            (b"a\0b", Err(Some(Rule::NulInName))),
            (b"a\nb", Err(Some(Rule::ControlInName))),
            (b"a\x7f", Err(Some(Rule::ControlInName))),
            ("a\u{85}".as_bytes(), Err(Some(Rule::ControlInName))),
            (b"a\xff", Err(Some(Rule::NotUtf8))),
            (b"C:\\x", Err(Some(Rule::ReservedName))),
            (b"C:/x", Err(Some(Rule::ReservedName))),
            (b"a:b", Err(Some(Rule::ReservedName))),
            (b"a\\b", Err(Some(Rule::Backslash))),
            (b"x/con", Err(Some(Rule::ReservedName))),
            (b"aux. .", Err(Some(Rule::ReservedName))),
            ("a\u{202e}cod.exe".as_bytes(), Err(Some(Rule::ControlInName))),
            ("a\u{2028}b".as_bytes(), Err(Some(Rule::ControlInName))),
            ("\u{1f469}\u{200d}\u{1f4bb}".as_bytes(), Ok("\u{1f469}\u{200d}\u{1f4bb}".as_bytes())),
            (b"lpt1", Err(Some(Rule::ReservedName))),
            (&long, Err(None)),
            (&deep, Err(None)),
        ];
        for (raw, expect) in cases {
            assert_eq!(parse(raw), expect.map(<[u8]>::to_vec), "{:?}", String::from_utf8_lossy(raw));
        }
    }
}
