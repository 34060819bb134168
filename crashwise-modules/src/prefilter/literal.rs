//! The words of a prefilter: literals, their ids, and hits.

use thiserror::Error;

/// Whether the letters of a literal match in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Case {
    /// Bytes match themselves only.
    Sensitive,
    /// ASCII letters match in both cases, all other bytes match themselves.
    Insensitive,
}

/// The number of a literal inside one prefilter, in order of addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LiteralId(pub(super) u32);

impl LiteralId {
    /// The zero-based index of the literal in order of addition.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The ids that one [`Builder::add_all`](super::Builder::add_all) received: contiguous, shared with no other set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiteralRange {
    pub(super) first: u32,
    pub(super) len: u32,
}

impl LiteralRange {
    /// The position of `id` inside the set, or `None` where another set owns it.
    pub fn local(self, id: LiteralId) -> Option<usize> {
        let offset = id.0.checked_sub(self.first)?;
        (offset < self.len).then_some(offset as usize)
    }

    /// The number of literals in the set.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// One occurrence of a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hit {
    /// Offset of the literal's first byte in the scanned bytes.
    pub start: usize,
    /// Which literal.
    pub literal: LiteralId,
}

/// Why a literal was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LiteralError {
    /// The literal has fewer than two bytes: it would be a hit nearly everywhere.
    #[error("literal of {len} bytes is too short, expected 2 or more")]
    TooShort {
        /// Length of the literal in bytes.
        len: usize,
    },
    /// The literal is longer than a prefilter stores.
    #[error("literal of {len} bytes is too long, expected {max} or fewer")]
    TooLong {
        /// Length of the literal in bytes.
        len: usize,
        /// The longest accepted length in bytes.
        max: usize,
    },
}
