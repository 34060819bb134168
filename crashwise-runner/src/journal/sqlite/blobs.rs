//! Payloads that are too large for the database.

use super::JournalError;
use crate::results::ResultStore;
use crashwise_core::ArtifactRef;
use std::io::Read;
use std::path::Path;

/// Payloads over this size, in bytes, are files beside the database.
pub(crate) const INLINE: usize = 16 << 10;

/// Payloads beside the database, by content.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    store: ResultStore,
}

/// Where a payload is.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    Inline(Vec<u8>),
    /// `digest:size`.
    Blob(String),
}

impl Kept {
    pub(crate) fn inline(&self) -> Option<&[u8]> {
        match self {
            Self::Inline(bytes) => Some(bytes),
            Self::Blob(_) => None,
        }
    }

    pub(crate) fn blob(&self) -> Option<&str> {
        match self {
            Self::Inline(_) => None,
            Self::Blob(name) => Some(name),
        }
    }
}

impl Blobs {
    pub(crate) fn new(folder: &Path, sync: bool) -> Result<Self, JournalError> {
        let path = folder.join("blobs");
        let store = ResultStore::at(&path, sync)
            .map_err(|error| JournalError::storage(format!("using {} failed", path.display()), error))?;
        Ok(Self { store })
    }

    /// For a process that only reads.
    pub(crate) fn reader(folder: &Path) -> Self {
        Self { store: ResultStore::reader(folder.join("blobs")) }
    }

    /// Stores a payload, unless it is small. It is on the disk when this returns, before an event can name it.
    pub(crate) fn put_large(&self, bytes: &[u8]) -> Result<Kept, JournalError> {
        if bytes.len() <= INLINE {
            return Ok(Kept::Inline(bytes.to_vec()));
        }
        let artifact = self.store.put("payload", &mut &*bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => JournalError::Full,
            _ => JournalError::storage("storing a payload failed", error),
        })?;
        let name = format!("{}:{}", artifact.digest, artifact.size);
        #[cfg(test)]
        crate::tests::power::payload(&name);
        Ok(Kept::Blob(name))
    }

    /// Reads a payload back; whoever reads it checks its content against the chain.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let (digest, size) = name.split_once(':').ok_or("its payload has no size")?;
        let size: u64 = size.parse().map_err(|_| "its payload has no size")?;
        let artifact = ArtifactRef { name: "payload".to_owned(), digest: digest.to_owned(), size };
        let mut bytes = Vec::new();
        self.store
            .open(&artifact)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}
