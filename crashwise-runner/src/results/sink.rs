//! A file that is being written.

use super::ResultStore;
use std::io::{self, Write};
use tempfile::NamedTempFile;

/// Hashes what is written, and keeps it in memory as long as it is small and the store has room.
pub(super) struct Sink<'s> {
    store: &'s ResultStore,
    content: Content,
    hasher: blake3::Hasher,
    size: u64,
}

/// What was written so far.
pub(super) enum Content {
    Memory(Vec<u8>),
    File(NamedTempFile),
}

impl Content {
    /// The same as a file.
    pub(super) fn into_file(self, store: &ResultStore) -> io::Result<NamedTempFile> {
        match self {
            Self::File(file) => Ok(file),
            Self::Memory(bytes) => {
                let mut file = NamedTempFile::new_in(store.scratch()?)?;
                file.write_all(&bytes)?;
                Ok(file)
            }
        }
    }
}

impl<'s> Sink<'s> {
    pub(super) fn new(store: &'s ResultStore) -> io::Result<Self> {
        let content = match store.small() {
            0 => Content::File(NamedTempFile::new_in(store.scratch()?)?),
            _ => Content::Memory(Vec::new()),
        };
        Ok(Self { store, content, hasher: blake3::Hasher::new(), size: 0 })
    }

    /// What was written, its digest and its size.
    pub(super) fn finish(self) -> (Content, String, u64) {
        (self.content, self.hasher.finalize().to_hex().to_string(), self.size)
    }
}

impl Write for &mut Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Content::Memory(kept) = &mut self.content
            && kept.len() + bytes.len() > self.store.small()
        {
            let kept = Content::Memory(std::mem::take(kept));
            self.content = Content::File(kept.into_file(self.store)?);
        }
        let written = match &mut self.content {
            Content::Memory(kept) => kept.write(bytes)?,
            Content::File(file) => file.write(bytes)?,
        };
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.content {
            Content::Memory(_) => Ok(()),
            Content::File(file) => file.flush(),
        }
    }
}
