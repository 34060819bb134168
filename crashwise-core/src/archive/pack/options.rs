//! How to pack.

use std::fmt;
use std::io;

use super::super::error::Fault;
use super::super::limits::{ExtractOptions, Limits, Progress, ProgressFn};
use crate::CancellationToken;

/// How to pack: what to leave out, progress and cancellation.
#[derive(Clone)]
#[non_exhaustive]
pub struct PackOptions {
    pub(super) ignore_files: bool,
    pub(super) git_directory: bool,
    extract: ExtractOptions,
    progress: Option<ProgressFn>,
    cancel: Option<CancellationToken>,
}

impl Default for PackOptions {
    fn default() -> Self {
        let extract = ExtractOptions::new();
        Self { ignore_files: true, git_directory: false, extract, progress: None, cancel: None }
    }
}

impl PackOptions {
    /// Ignore files are honoured and `.git` is left out.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Packs what `.gitignore` and `.crashwiseignore` leave out, too.
    #[must_use]
    pub fn with_ignored_files(mut self) -> Self {
        self.ignore_files = false;
        self
    }

    /// Packs the `.git` directory, for analyses of history. Its index makes two equal checkouts differ.
    #[must_use]
    pub fn with_git_directory(mut self) -> Self {
        self.git_directory = true;
        self
    }

    /// The options with which the archive will be extracted; what they refuse is left out.
    #[must_use]
    pub fn with_extract_options(mut self, extract: ExtractOptions) -> Self {
        self.extract = extract;
        self
    }

    /// Reports progress about every mebibyte and at the end.
    #[must_use]
    pub fn with_progress(mut self, progress: ProgressFn) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Fails soon after the token is cancelled.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// The rules for names.
    pub(super) fn names(&self) -> ExtractOptions {
        self.extract.clone()
    }

    /// The limits that the archive will be held to.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.extract.limits()
    }

    pub(super) fn tick(&self, done: Progress) -> io::Result<()> {
        if let Some(progress) = &self.progress {
            progress(done);
        }
        match &self.cancel {
            Some(token) if token.is_cancelled() => Err(Fault::Cancelled.into()),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for PackOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackOptions")
            .field("ignore_files", &self.ignore_files)
            .field("git_directory", &self.git_directory)
            .field("extract", &self.extract)
            .finish_non_exhaustive()
    }
}
