use crashwise_core::GapReason;

/// What is wrong with a lockfile, with its byte in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) at: usize,
    /// The key it is about; may be empty.
    pub(super) key: String,
    pub(super) message: String,
    pub(super) reason: GapReason,
}

impl Flaw {
    pub(super) fn new(at: usize, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at, key: key.into(), message: message.into(), reason: GapReason::Malformed }
    }

    /// A version of a format that is not known.
    pub(super) fn unsupported(at: usize, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: GapReason::Unsupported, ..Self::new(at, key, message) }
    }
}
