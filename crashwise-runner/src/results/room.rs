//! Small files kept in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most bytes of one file that is kept in memory.
pub(super) const SMALL: usize = 1 << 20;

/// Files by digest, of a limited number of bytes in all.
#[derive(Debug)]
pub(super) struct Room {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    files: HashMap<String, Content>,
    left: usize,
}

/// Of one file, for all who read it.
#[derive(Debug, Clone)]
struct Content(Arc<Vec<u8>>);

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self { state: Mutex::new(State { files: HashMap::new(), left: bytes }) }
    }

    /// How many bytes of a file that is being written may wait in memory.
    pub(super) fn small(&self) -> usize {
        self.lock().left.min(SMALL)
    }

    /// Keeps a file; gives it back where there is no room for it.
    pub(super) fn keep(&self, digest: &str, content: Vec<u8>) -> Result<(), Vec<u8>> {
        let mut state = self.lock();
        let fits = state.left > 0 && content.len() <= SMALL;
        let left = state.left.checked_sub(content.len()).filter(|_| fits);
        match (state.files.entry(digest.to_owned()), left) {
            (Entry::Occupied(_), _) => Ok(()),
            (Entry::Vacant(_), None) => Err(content),
            (Entry::Vacant(place), Some(left)) => {
                place.insert(Content(Arc::new(content)));
                state.left = left;
                Ok(())
            }
        }
    }

    pub(super) fn open(&self, digest: &str) -> Option<Box<dyn Read + Send>> {
        let content = self.lock().files.get(digest)?.clone();
        Some(Box::new(io::Cursor::new(content)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
