//! What can go wrong with a cache.

use std::io;
use std::path::{Path, PathBuf};

use crate::archive::ArchiveError;
use crate::store::StoreError;
use crate::{ObjectUrl, RunId, TargetId};

/// Why a workspace could not be acquired, or a cache not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// A run id that is the name of a folder of the cache.
    #[error("use run id {0}: it is a folder of the cache")]
    ReservedRun(RunId),
    /// The directory was written by a version that this one does not know; it is left alone.
    #[error("open cache {directory}: its format {found:?} is not {expected:?}")]
    Version {
        /// The cache's directory.
        directory: PathBuf,
        /// The format it has.
        found: String,
        /// The format of this version.
        expected: &'static str,
    },
    /// The cache cannot be written and does not hold what was asked for.
    #[error("fetch target {0} into a cache that is read-only")]
    ReadOnly(TargetId),
    /// The disk is full, also after everything unused was evicted.
    #[error("store target {target}: the disk is full")]
    Full {
        /// The target.
        target: TargetId,
        /// The failed operation.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another caller holds the target for longer than the patience.
    #[error("wait for target {0}: another caller is still busy with it")]
    Busy(TargetId),
    /// A target in a store, but no store was given.
    #[error("fetch target {0} without a store")]
    NoStore(TargetId),
    /// An object in a store, but no store was given.
    #[error("fetch {0} without a store")]
    NoStoreFor(ObjectUrl),
    /// An object could not be found.
    #[error("fetch {url}")]
    Object {
        /// Where it should be.
        url: ObjectUrl,
        /// What failed.
        source: StoreError,
    },
    /// The archive arrived damaged twice.
    #[error("fetch target {0}: it arrived damaged, also the second time")]
    Damaged(TargetId),
    /// The store failed.
    #[error("fetch target {target}")]
    Store {
        /// The target.
        target: TargetId,
        /// What failed.
        source: StoreError,
    },
    /// The archive was refused.
    #[error("extract target {target}")]
    Archive {
        /// The target.
        target: TargetId,
        /// Why.
        source: ArchiveError,
    },
    /// The file system has no locks that work across processes.
    #[error("lock {path}: the file system does not support it, put the cache on a local disk")]
    NoLocks {
        /// The lock file.
        path: PathBuf,
    },
    /// A file or directory could not be used.
    #[error("use {path}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl CacheError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// Whether trying again later may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Busy(_) | Self::Full { .. } | Self::Damaged(_) => true,
            Self::Store { source, .. } | Self::Object { source, .. } => source.is_retryable(),
            _ => false,
        }
    }

    /// Whether a full disk is the cause.
    pub(super) fn is_full(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<io::Error>()
                && matches!(io.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            {
                return true;
            }
            cause = error.source();
        }
        false
    }
}
