//! A value that must not be shown.

use std::fmt;

use serde::{Serialize, Serializer};

/// A secret found in a target. No formatting, serialization or comparison shows its bytes; only [`Secret::reveal`] does.
///
/// ```
/// use crashwise_modules::secrets::Secret;
///
/// let secret = Secret::new(b"correct horse");
/// assert_eq!(format!("{secret} {secret:?}"), "[redacted, 13 bytes] Secret([redacted, 13 bytes])");
/// assert_eq!(secret.reveal(), b"correct horse");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret(Box<[u8]>);

/// Rounds of hashing that make guessing a weak secret from its digest slow, at about 0.1 ms per finding.
const ROUNDS: usize = 1000;

impl Secret {
    /// Wraps the bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes themselves. What calls this is responsible for where they go.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// 32 hexadecimal digits that stand for the secret in fingerprints: equal secrets have equal digests.
    pub fn digest(&self) -> String {
        let mut hash = blake3::derive_key("crashwise secret digest v1", &self.0);
        for _ in 0..ROUNDS {
            hash = *blake3::hash(&hash).as_bytes();
        }
        blake3::Hash::from_bytes(hash).to_hex()[..32].to_owned()
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[redacted, {} bytes]", self.0.len())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_shows_the_bytes() {
        let secret = Secret::new(b"hunter2");
        for text in [
            format!("{secret}"),
            format!("{secret:?}"),
            format!("{secret:#?}"),
            serde_json::json!({ "s": secret }).to_string(),
            secret.digest(),
        ] {
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert_eq!(secret.digest(), Secret::new(b"hunter2").digest());
        assert_ne!(secret.digest(), Secret::new(b"hunter3").digest());
        assert_eq!((secret.len(), secret.is_empty()), (7, false));
    }
}
