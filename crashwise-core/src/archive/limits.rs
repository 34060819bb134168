//! What an archive may ask for.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::error::{Bound, Fault};

/// Bounds on what one archive may create. The defaults fit source trees and refuse bombs.
///
/// ```
/// use crashwise_core::archive::Limits;
///
/// let limits = Limits::default().with_entries(10_000).with_total_bytes(1 << 30);
/// assert_eq!(limits.entries(), 10_000);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    pub(super) entries: u64,
    pub(super) total_bytes: u64,
    pub(super) file_bytes: u64,
    pub(super) ratio: u64,
    pub(super) ratio_from: u64,
    pub(super) component_bytes: usize,
    pub(super) path_bytes: usize,
    pub(super) depth: usize,
    pub(super) header_bytes: u64,
    pub(super) link_bytes: u64,
    pub(super) sparse_pieces: usize,
    pub(super) directory_bytes: u64,
    pub(super) decoder_memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 500_000,
            total_bytes: 16 << 30,
            file_bytes: 4 << 30,
            ratio: 200,
            ratio_from: 16 << 20,
            component_bytes: 255,
            path_bytes: 4096,
            depth: 128,
            header_bytes: 64 << 10,
            link_bytes: 16 << 20,
            sparse_pieces: 1 << 16,
            directory_bytes: 24 << 20,
            decoder_memory: 72 << 20,
        }
    }
}

macro_rules! bounds {
    ($($name:ident $with:ident $type:ty, $what:literal;)+) => {
        impl Limits {
            $(
                #[doc = concat!("The most ", $what, ".")]
                #[must_use]
                pub fn $name(&self) -> $type {
                    self.$name
                }

                #[doc = concat!("Allows at most this many ", $what, ".")]
                #[must_use]
                pub fn $with(mut self, most: $type) -> Self {
                    self.$name = most;
                    self
                }
            )+
        }
    };
}

bounds! {
    entries with_entries u64, "entries, implied directories included (default 500,000)";
    total_bytes with_total_bytes u64, "bytes in all files together, hard links and holes counted (default 16 GiB)";
    file_bytes with_file_bytes u64, "bytes in one file (default 4 GiB)";
    ratio with_ratio u64, "bytes out per byte of compressed input (default 200)";
    ratio_from with_ratio_from u64, "bytes out before the ratio is looked at (default 16 MiB)";
    component_bytes with_component_bytes usize, "bytes in one path component (default 255)";
    path_bytes with_path_bytes usize, "bytes in one path (default 4096)";
    depth with_depth usize, "components in one path (default 128)";
    header_bytes with_header_bytes u64, "bytes in one extension header of a tar (default 64 KiB)";
    link_bytes with_link_bytes u64, "bytes in names and targets of all symbolic links (default 16 MiB)";
    sparse_pieces with_sparse_pieces usize, "pieces in one sparse file (default 65,536)";
    directory_bytes with_directory_bytes u64, "bytes in the central directory of a ZIP (default 24 MiB)";
    decoder_memory with_decoder_memory u64, "bytes that a zstd or xz decoder may ask for (default 72 MiB)";
}

impl Limits {
    /// Checks bytes out against bytes in.
    pub(super) fn check_ratio(&self, bytes_in: u64, bytes_out: u64) -> Result<(), Fault> {
        if bytes_out > self.ratio_from && bytes_out / self.ratio > bytes_in {
            return Err(Fault::Limit(Bound::Ratio, self.ratio));
        }
        Ok(())
    }
}

/// How far an extraction or a packing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Entries done.
    pub entries: u64,
    /// Bytes of content done.
    pub bytes: u64,
}

/// Receives [`Progress`] now and then, on the thread that does the work.
pub type ProgressFn = Arc<dyn Fn(Progress) + Send + Sync>;

/// How to extract: limits, which unportable names to let through, progress and cancellation.
///
/// By default names must be UTF-8, must not collide on a case-insensitive or normalising file system, and must not be
/// reserved on Windows, because findings name files by portable relative paths.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ExtractOptions {
    pub(super) limits: Limits,
    pub(super) non_utf8: bool,
    pub(super) collisions: bool,
    pub(super) reserved_names: bool,
    pub(super) progress: Option<ProgressFn>,
    pub(super) cancel: Option<CancellationToken>,
}

impl ExtractOptions {
    /// Default limits, strict names.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Lets names through that are not UTF-8 (on Unix only; elsewhere they stay refused).
    #[must_use]
    pub fn with_non_utf8_names(mut self) -> Self {
        self.non_utf8 = cfg!(unix);
        self
    }

    /// Lets names through that differ only in letter case or unicode normalisation.
    #[must_use]
    pub fn with_colliding_names(mut self) -> Self {
        self.collisions = true;
        self
    }

    /// Lets names through that Windows reserves: colons, drive letters, device names, backslashes.
    #[must_use]
    pub fn with_reserved_names(mut self) -> Self {
        self.reserved_names = cfg!(unix);
        self
    }

    /// Reports progress about every mebibyte and at the end.
    #[must_use]
    pub fn with_progress(mut self, progress: ProgressFn) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Stops with [`Cancelled`](super::ArchiveErrorKind::Cancelled) soon after the token is cancelled.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = Some(cancel);
        self
    }

    pub(super) fn check_cancel(&self) -> Result<(), Fault> {
        match &self.cancel {
            Some(token) if token.is_cancelled() => Err(Fault::Cancelled),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for ExtractOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtractOptions")
            .field("limits", &self.limits)
            .field("non_utf8", &self.non_utf8)
            .field("collisions", &self.collisions)
            .field("reserved_names", &self.reserved_names)
            .finish_non_exhaustive()
    }
}
