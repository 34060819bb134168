//! The names of steps.

use crate::id::SharedText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};

/// Identifies a step of a run by its path of names, e.g. `fuzz/0/afl`, or `scan#2` for the second `scan` in a scope.
///
/// Not by position: adding a step does not change the names of the others, and parallel branches have scopes of their own,
/// so the names do not depend on who is polled first. Clones share the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default)]
#[serde(transparent)]
pub struct StepKey(SharedText);

impl StepKey {
    /// The scope of the run itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// From a text as [`Self::as_str`] gives it.
    pub fn from_text(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().into())
    }

    /// A name below this one. `/`, `#`, `%` and control characters of the name are percent-encoded.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        self.nth_child(name, 1)
    }

    /// The `n`-th use of a name below this one; the first keeps the plain name.
    pub(super) fn nth_child(&self, name: &str, n: u32) -> Self {
        // Room for a number as well.
        let mut text = String::with_capacity(self.as_str().len() + name.len() + 12);
        text.push_str(self.as_str());
        if !text.is_empty() {
            text.push('/');
        }
        let plain = name.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'#' | b'%'));
        if plain {
            text.push_str(name);
        } else {
            for c in name.chars() {
                if matches!(c, '/' | '#' | '%') || c.is_control() {
                    let mut bytes = [0; 4];
                    for byte in c.encode_utf8(&mut bytes).bytes() {
                        // Writing to a string cannot fail.
                        let _ = write!(text, "%{byte:02X}");
                    }
                } else {
                    text.push(c);
                }
            }
        }
        if name.is_empty() {
            text.push_str("%00");
        }
        number(&mut text, n);
        Self(text.as_str().into())
    }

    /// The `n`-th use of this name in its scope; the first keeps the plain name.
    #[must_use]
    pub fn nth(&self, n: u32) -> Self {
        let mut text = self.as_str().to_owned();
        number(&mut text, n);
        Self(text.as_str().into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the key matches a pattern in which `*` stands for one part: `fuzz/*/afl`.
    pub fn matches(&self, pattern: &str) -> bool {
        let mut parts = self.as_str().split('/');
        for expected in pattern.split('/') {
            match parts.next() {
                Some(part) if expected == "*" || part == expected => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Says the how manieth it is, unless it is the first.
fn number(text: &mut String, n: u32) {
    if n > 1 {
        // Writing to a string cannot fail.
        let _ = write!(text, "#{n}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let key = StepKey::root().child("fuzz").child("0").child("a/b#c");
        assert_eq!(key.as_str(), "fuzz/0/a%2Fb%23c");
        assert_eq!(StepKey::root().child("scan").nth(2).as_str(), "scan#2");
        for (pattern, expect) in
            [("fuzz/*/*", true), ("fuzz/0", false), ("fuzz/1/*", false), ("*/*/*/*", false)]
        {
            assert_eq!(key.matches(pattern), expect, "{pattern}");
        }
    }
}
