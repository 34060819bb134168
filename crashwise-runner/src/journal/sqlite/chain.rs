//! Events as bytes, and the hash chain over them.

use super::JournalError;
use crate::journal::Event;
use crashwise_core::RunId;

pub(crate) type Hash = [u8; 32];

/// An event as it is stored.
pub(crate) struct Encoded {
    pub(crate) kind: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Encoded {
    pub(crate) fn new(event: &Event) -> Result<Self, JournalError> {
        let body = serde_json::to_vec(event)
            .map_err(|error| JournalError::storage("an event is not JSON", error))?;
        Ok(Self { kind: event.kind(), body })
    }
}

/// What the first event of a run is chained to.
pub(crate) fn start(run: &RunId) -> Hash {
    *blake3::hash(run.as_str().as_bytes()).as_bytes()
}

/// The hash of an event: over the one before it, its number, its time and its content.
pub(crate) fn next(before: &Hash, seq: u64, at_ms: u64, body: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before);
    hasher.update(&seq.to_le_bytes());
    hasher.update(&at_ms.to_le_bytes());
    hasher.update(body);
    *hasher.finalize().as_bytes()
}
