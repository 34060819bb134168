use std::fmt;

/// A version as bytes: comparing two keys of one [`Order`](super::Order) as byte strings compares the versions.
///
/// Keys of different orders have nothing to say to each other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionKey(Box<[u8]>);

impl VersionKey {
    /// The bytes, as they are stored in an advisory database.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for VersionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VersionKey(")?;
        for byte in &self.0 {
            write!(f, "{byte:02x}")?;
        }
        write!(f, ")")
    }
}

/// Lengths of digit runs up to this one share a byte with their tag.
const SHORT_RUN: usize = 13;

/// The tags from `base` to `base + NUMBER_TAGS - 1` belong to [`KeyWriter::number`] with that base.
pub(super) const NUMBER_TAGS: u8 = 15;

/// Builds a key; every write keeps the order of what it writes.
#[derive(Debug, Default)]
pub(super) struct KeyWriter(Vec<u8>);

impl KeyWriter {
    pub(super) fn tag(&mut self, tag: u8) {
        self.0.push(tag);
    }

    /// A whole number of any size, given as ASCII digits; leading zeros do not count.
    pub(super) fn number(&mut self, base: u8, digits: &str) {
        let digits = significant(digits);
        let short = u8::try_from(digits.len().min(SHORT_RUN + 1)).unwrap_or(NUMBER_TAGS - 1);
        self.0.push(base + short);
        if digits.len() > SHORT_RUN {
            let length = u16::try_from(digits.len()).unwrap_or(u16::MAX);
            self.0.extend_from_slice(&length.to_be_bytes());
        }
        self.0.extend_from_slice(digits.as_bytes());
    }

    /// A signed 64-bit number.
    pub(super) fn signed(&mut self, value: i64) {
        self.0.extend_from_slice(&(value.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    }

    /// Text compared by its bytes; a prefix comes first. The text holds no NUL, see [`super::Order::key`].
    pub(super) fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
    }

    pub(super) fn finish(self) -> VersionKey {
        VersionKey(self.0.into_boxed_slice())
    }
}

/// The digits without leading zeros; zero is the empty string.
pub(super) fn significant(digits: &str) -> &str {
    digits.trim_start_matches('0')
}

/// Compares two digit runs as numbers of any size.
pub(super) fn compare_numbers(a: &str, b: &str) -> std::cmp::Ordering {
    let (a, b) = (significant(a), significant(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Splits off the leading run of ASCII digits.
pub(super) fn split_digits(text: &str) -> (&str, &str) {
    split_while(text, |byte| byte.is_ascii_digit())
}

/// Splits off the leading run of ASCII bytes that satisfy `accept`.
pub(super) fn split_while(text: &str, accept: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii() || !accept(byte)).unwrap_or(text.len());
    text.split_at(end)
}

/// Whether the text is a non-empty run of ASCII digits.
pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
