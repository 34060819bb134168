//! Uploads: hashed first to see whether they are needed, then in parts side by side.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use object_store::buffered::BufWriter;
use object_store::path::Path as Key;
use tokio::io::AsyncWriteExt;

use super::{Store, StoreError};
use crate::TargetId;

/// Bytes of one part; services want at least 5 MiB.
const PART: usize = 8 << 20;
/// Parts under way at a time; with [`PART`] this bounds the memory.
const PARTS: usize = 4;

pub(super) async fn target(store: &Store, path: &Path) -> Result<TargetId, StoreError> {
    let hash = content(store, path, |hash| store.key(&format!("targets/{hash}/target"))).await?;
    TargetId::new(hash).map_err(|error| StoreError::io(path.display(), io::Error::other(error)))
}

/// Uploads a file below a key that its hash decides, unless it is there already; gives the hash.
pub(super) async fn content(
    store: &Store,
    path: &Path,
    key: impl FnOnce(&str) -> Key,
) -> Result<String, StoreError> {
    let local = |error: io::Error| StoreError::io(path.display(), error);
    let owned = path.to_owned();
    let hash = blocking(move || hash(&owned)).await.map_err(local)?;
    let name = hash.to_hex().to_string();
    let key = key(&name);
    if store.has(&key).await? {
        return Ok(name);
    }
    let mut file = File::open(path).map_err(local)?;
    let mut out =
        BufWriter::with_capacity(Arc::clone(&store.objects), key.clone(), PART).with_max_concurrency(PARTS);
    let mut hasher = blake3::Hasher::new();
    let result = loop {
        let read = blocking(move || {
            let mut part = Vec::new();
            file.by_ref().take(PART as u64).read_to_end(&mut part)?;
            hasher.update(&part);
            Ok((part, file, hasher))
        });
        let part;
        match read.await {
            Ok(read) => (part, file, hasher) = read,
            Err(error) => break Err(local(error)),
        }
        if part.is_empty() {
            break if hasher.finalize() == hash {
                out.shutdown().await.map_err(|error| failed(&key, error))
            } else {
                Err(local(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the file changed while it was uploaded",
                )))
            };
        }
        if let Err(error) = out.put(part.into()).await {
            break Err(StoreError::new(key.as_ref(), &error));
        }
    };
    match result {
        Ok(()) => Ok(name),
        Err(error) => {
            // Parts of an upload that is not aborted stay, invisible; a lifecycle rule of the bucket removes those.
            let _ = out.abort().await;
            Err(error)
        }
    }
}

fn failed(key: &Key, error: io::Error) -> StoreError {
    match error.downcast::<object_store::Error>() {
        Ok(error) => StoreError::new(key.as_ref(), &error),
        Err(error) => StoreError::new(
            key.as_ref(),
            &object_store::Error::Generic { store: "upload", source: Box::new(error) },
        ),
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// The BLAKE3 hash of a file's bytes.
fn hash(path: &Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize())
}
