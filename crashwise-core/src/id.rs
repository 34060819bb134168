//! Names that must not be confused with each other: rules, runs, targets.

use schemars::JsonSchema;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A name that does not have the form its type requires.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {value:?} is not valid: expected {expected}")]
pub struct InvalidId {
    /// What was being named, e.g. `run id`.
    pub kind: &'static str,
    /// The rejected text, cut to 64 characters.
    pub value: String,
    /// The form that is accepted.
    pub expected: &'static str,
}

impl InvalidId {
    pub(crate) fn new(kind: &'static str, value: &str, expected: &'static str) -> Self {
        Self { kind, value: value.chars().take(64).collect(), expected }
    }
}

macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident($text:ty), $kind:literal, $expected:literal, $valid:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
        #[serde(try_from = "String")]
        #[schemars(with = "String")]
        pub struct $name($text);

        impl $name {
            /// Checks the form and wraps the text.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                if $valid(&text) { Ok(Self(text.into())) } else { Err(InvalidId::new($kind, &text, $expected)) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.as_str().to_owned()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

string_id!(
    /// Names one detection rule across all modules, e.g. `code/python/eval` or `RUSTSEC-2021-0125`.
    ///
    /// One to 200 characters of `A-Z a-z 0-9 . _ / : @ + -`.
    RuleId(String), "rule id", "1 to 200 characters of A-Z a-z 0-9 . _ / : @ + -", valid_rule
);

string_id!(
    /// Names one run. New ones sort by time. Clones share the text.
    ///
    /// 8 to 128 characters of `A-Z a-z 0-9 _ -`.
    RunId(Arc<str>), "run id", "8 to 128 characters of A-Z a-z 0-9 _ -", valid_run
);

string_id!(
    /// Names a target by its content.
    ///
    /// A letter or digit, then at most 127 characters of `A-Z a-z 0-9 . _ -`; never `shared`, `workspace` or
    /// `target`, which are folders of the cache.
    TargetId(String), "target id",
    "a letter or digit, then at most 127 of A-Z a-z 0-9 . _ -, and not shared, workspace or target",
    valid_target
);

fn valid_rule(text: &str) -> bool {
    (1..=200).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/:@+-".contains(&b))
}

fn valid_run(text: &str) -> bool {
    (8..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

fn valid_target(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && !["shared", "workspace", "target"].iter().any(|folder| text.eq_ignore_ascii_case(folder))
}

impl RunId {
    /// A new id from the clock and randomness (UUID version 7).
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }
}

/// Identifies a finding, a step or an input by content: 32 hexadecimal digits of a BLAKE3 hash. Clones share the text.
///
/// ```
/// use crashwise_core::Fingerprint;
/// let one = Fingerprint::of(["rule", "src/a.py", "eval(x)"]);
/// assert_eq!(one, Fingerprint::of(["rule", "src/a.py", "eval(x)"]));
/// assert_ne!(one, Fingerprint::of(["rule", "src/a.p", "yeval(x)"]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Fingerprint(SharedText);

impl Fingerprint {
    /// Hashes the parts in order; each is preceded by its length, so that no two lists of parts run together.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self(SharedText::from(&hasher.finalize().to_hex()[..32]))
    }

    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text of which clones are cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub(crate) struct SharedText(Arc<str>);

impl SharedText {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for SharedText {
    fn default() -> Self {
        Self::from("")
    }
}

impl From<&str> for SharedText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for SharedText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SharedText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = SharedText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<SharedText, E> {
                Ok(text.into())
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (valid, good) in [
            (TargetId::new("abc-1.tar").is_ok(), true),
            (TargetId::new("Shared").is_ok(), false),
            (TargetId::new("../x").is_ok(), false),
            (TargetId::new(".x").is_ok(), false),
            (TargetId::new("a".repeat(129)).is_ok(), false),
            (RunId::new("short").is_ok(), false),
            (RunId::new("long-enough_1").is_ok(), true),
            (RuleId::new("code/python/eval").is_ok(), true),
            (RuleId::new("with space").is_ok(), false),
            (RuleId::new("").is_ok(), false),
        ] {
            assert_eq!(valid, good);
        }
        assert!(RunId::generate() < RunId::generate());
    }

    #[test]
    fn deserialising_checks_the_form() {
        let error = serde_json::from_str::<TargetId>("\"a/b\"").unwrap_err();
        assert!(error.to_string().contains("target id \"a/b\" is not valid"), "{error}");
    }
}
