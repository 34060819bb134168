//! Downloads: pieces side by side, each resumed where it broke, hashed as they are written in order.

use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStoreExt};

use super::{Store, StoreError, StoreErrorKind, is_content_hash};
use crate::TargetId;

/// Bytes of one piece.
const PIECE: u64 = 8 << 20;
/// Pieces under way at a time; with [`PIECE`] this bounds the memory.
const PIECES: usize = 4;
/// Failures in a row without a single byte in between.
const PATIENCE: u32 = 5;
/// First pause after a failure; doubled each time.
const PAUSE: Duration = Duration::from_millis(20);

/// A target that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetched {
    /// Bytes.
    pub size: u64,
    /// BLAKE3 hash of the bytes, as 64 hexadecimal digits.
    pub hash: String,
}

pub(super) async fn target(store: &Store, id: &TargetId, into: &Path) -> Result<Fetched, StoreError> {
    let version = store.found.as_ref().filter(|found| found.id == *id).and_then(|found| found.e_tag.clone());
    let hash = is_content_hash(id).then_some(id.as_str());
    content(store, &store.target_key(id), version, hash, into).await
}

/// Downloads an object into a new file; with a hash, verifies it. What does not arrive whole is removed.
pub(super) async fn content(
    store: &Store,
    key: &Key,
    version: Option<String>,
    hash: Option<&str>,
    into: &Path,
) -> Result<Fetched, StoreError> {
    let file = File::options()
        .write(true)
        .create_new(true)
        .open(into)
        .map_err(|error| StoreError::io(into.display(), error))?;
    let result = fetch(store, key, version, (file, into)).await.and_then(|fetched| {
        if hash.is_some_and(|hash| fetched.hash != hash) {
            return Err(StoreError::of(StoreErrorKind::Damaged, key));
        }
        Ok(fetched)
    });
    if result.is_err() {
        // The error of the download is the one that matters.
        let _ = fs::remove_file(into);
    }
    result
}

/// Downloads an object, of this version if it was found before.
async fn fetch(
    store: &Store,
    key: &Key,
    version: Option<String>,
    (mut file, path): (File, &Path),
) -> Result<Fetched, StoreError> {
    let meta = store.objects.head(key).await.map_err(|error| StoreError::new(key.as_ref(), &error))?;
    if version.is_some() && meta.e_tag != version {
        return Err(StoreError::of(StoreErrorKind::Changed, key));
    }
    let ranges = (0..meta.size.div_ceil(PIECE)).map(|i| i * PIECE..((i + 1) * PIECE).min(meta.size));
    let mut pieces = stream::iter(ranges).map(|range| piece(store, &meta, range)).buffered(PIECES);
    let mut hasher = blake3::Hasher::new();
    while let Some(bytes) = pieces.try_next().await? {
        let local = |error| StoreError::io(path.display(), error);
        // Writing blocks, but to the page cache only; the hash is what takes time.
        (file, hasher) = tokio::task::spawn_blocking(move || {
            hasher.update(&bytes);
            file.write_all(&bytes).map(|()| (file, hasher))
        })
        .await
        .map_err(|error| local(error.into()))?
        .map_err(local)?;
    }
    Ok(Fetched { size: meta.size, hash: hasher.finalize().to_hex().to_string() })
}

/// One piece, whatever number of connections it takes.
async fn piece(store: &Store, meta: &ObjectMeta, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
    let key = &meta.location;
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(length);
    let mut failures = 0;
    loop {
        let before = bytes.len();
        let rest = range.start + before as u64..range.end;
        let error = match rest_of_piece(store, meta, rest, &mut bytes).await {
            Ok(()) if bytes.len() == length => return Ok(bytes),
            // The store ended the piece early without calling it an error.
            Ok(()) => StoreError::of(StoreErrorKind::Damaged, key),
            Err(error) => error,
        };
        if bytes.len() > length || !error.is_retryable() || error.kind() == StoreErrorKind::Changed {
            return Err(error);
        }
        failures = if bytes.len() > before { 0 } else { failures + 1 };
        if failures >= PATIENCE {
            return Err(error);
        }
        tokio::time::sleep(PAUSE * 2u32.pow(failures)).await;
    }
}

async fn rest_of_piece(
    store: &Store,
    meta: &ObjectMeta,
    range: Range<u64>,
    bytes: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let key = meta.location.as_ref();
    let options = GetOptions {
        range: Some(GetRange::Bounded(range.clone())),
        if_match: meta.e_tag.clone(),
        ..GetOptions::default()
    };
    let got = store
        .objects
        .get_opts(&meta.location, options)
        .await
        .map_err(|error| StoreError::new(key, &error))?;
    // Not every server looks at If-Match.
    if got.meta.size != meta.size || (got.meta.e_tag.is_some() && got.meta.e_tag != meta.e_tag) {
        return Err(StoreError::of(StoreErrorKind::Changed, key));
    }
    if got.range.start != range.start {
        return Err(StoreError::of(StoreErrorKind::Damaged, key));
    }
    let mut body = got.into_stream();
    while let Some(chunk) = body.try_next().await.map_err(|error| StoreError::new(key, &error))? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(())
}

/// A small object in memory.
pub(super) async fn small(store: &Store, key: &Key, most: u64) -> Result<Vec<u8>, StoreError> {
    let meta = store.objects.head(key).await.map_err(|error| StoreError::new(key.as_ref(), &error))?;
    if meta.size > most {
        return Err(StoreError::of(StoreErrorKind::TooLarge, key));
    }
    piece(store, &meta, 0..meta.size).await
}
