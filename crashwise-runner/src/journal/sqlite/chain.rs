//! Events as bytes, and the hash chain over them.

use super::JournalError;
use crate::journal::Event;
use crashwise_core::RunId;

pub(crate) type Hash = [u8; 32];

/// The end of a run's chain: the number and the hash of its last event.
#[derive(Debug)]
pub(crate) struct End {
    seq: u64,
    hash: Hash,
}

impl End {
    pub(crate) fn new(seq: u64, hash: Hash) -> Self {
        Self { seq, hash }
    }

    pub(crate) fn hash(&self) -> Hash {
        self.hash
    }

    /// Adds an event; gives its number and its hash.
    pub(crate) fn add(&mut self, at_ms: u64, body: &[u8]) -> (u64, Hash) {
        self.seq += 1;
        self.hash = next(&self.hash, self.seq, at_ms, body);
        (self.seq, self.hash)
    }
}

/// An event as it is stored.
pub(crate) fn encode(event: &Event) -> Result<Vec<u8>, JournalError> {
    serde_json::to_vec(event).map_err(|error| JournalError::storage("an event is not JSON", error))
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
