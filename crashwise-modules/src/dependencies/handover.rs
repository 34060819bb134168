//! An inventory on its way from one step of a run to the next.

use std::sync::{Arc, Mutex, PoisonError};

use super::inventory::Inventory;

/// The inventory that a scanner stored last, for the analyzer beside it: reading it back takes longer than judging it.
#[derive(Debug, Clone, Default)]
pub(super) struct Handover(Arc<Mutex<Option<(String, Inventory)>>>);

impl Handover {
    /// Keeps an inventory under the digest of what was stored of it.
    pub(super) fn put(&self, digest: &str, inventory: Inventory) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((digest.to_owned(), inventory));
    }

    /// The inventory of a digest, if it is the one that is kept; it is not kept any longer.
    pub(super) fn take(&self, digest: &str) -> Option<Inventory> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(kept.take_if(|(known, _)| known == digest)?.1)
    }
}
