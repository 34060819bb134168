//! Secrets in a git repository: in the history of its references, and in what is staged for the next commit.
//!
//! - [`Repository::open`]: only a repository that lies inside of the workspace, or whose linked worktree it is.
//! - `commits`: which commits, the oldest first.
//! - `history`: each blob once, with the first commit that holds it, and what commits and tags say.
//! - `staged`: the blobs of the index that differ from those of `HEAD`.
//! - `read`: blobs on several threads, in the order in which they lie in the packs.
//!
//! What cannot be read becomes a gap that names the object; the rest goes on. A tree is entered once however many
//! commits hold it, so a repository made to unfold into countless paths costs no more than its objects.

mod commits;
mod history;
mod read;
mod repository;
mod staged;
#[cfg(test)]
mod tests;

use crashwise_core::{ModuleContext, RelPath};

use super::report::Origin;
use crate::walk::FilePatterns;

pub(super) use repository::Repository;

/// What of a repository is looked at.
#[derive(Debug)]
pub(super) struct Options {
    /// Commits as `a..b` or `b`; none means those of all references.
    pub(super) range: Option<String>,
    /// The most commits, newest first; none means all.
    pub(super) max_commits: Option<usize>,
    /// The index file to read in place of that of the repository.
    pub(super) index_file: Option<String>,
    /// Only files that match; none means every file.
    pub(super) include: FilePatterns,
    /// No files that match.
    pub(super) exclude: FilePatterns,
    /// The largest object that is read, in bytes.
    pub(super) max_object: u64,
    pub(super) threads: usize,
}

impl Options {
    fn admits(&self, path: &RelPath) -> bool {
        (self.include.is_empty() || self.include.match_file(path.as_str()))
            && !self.exclude.match_file(path.as_str())
    }

    /// Whether every path is looked at, so that a tree need not be entered again under another.
    fn admits_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }
}

/// A text of a repository.
#[derive(Clone, Copy)]
pub(super) struct Shown<'s> {
    /// The path of a blob; that of the repository for what is none.
    pub(super) path: &'s RelPath,
    /// The commit or tag whose own text it is; none for a blob.
    pub(super) entry: Option<&'s str>,
    pub(super) bytes: &'s [u8],
    pub(super) origin: &'s Origin,
}

/// Sees the texts of a repository.
pub(super) type See<'s> = &'s (dyn Fn(Shown<'_>) + Sync);

/// Shows every blob of the history, each once, and what commits and tags say, and counts commits and blobs in the coverage.
pub(super) fn history(
    cx: &ModuleContext,
    repository: &Repository,
    options: &Options,
    see: See<'_>,
) -> Result<(), crashwise_core::ModuleError> {
    history::run(cx, repository, options, see)
}

/// Shows the blobs of the index that `HEAD` does not have under the same path, then what `HEAD` has there; `take` takes
/// what was found in either.
pub(super) fn staged<T>(
    cx: &ModuleContext,
    repository: &Repository,
    options: &Options,
    see: See<'_>,
    take: &dyn Fn() -> T,
) -> Result<(T, T), crashwise_core::ModuleError> {
    let (mut new, mut old) = staged::changes(cx, repository, options)?;
    let shown = read::read_all(cx, repository, options, &mut new, see);
    cx.covered("files", shown);
    let new = take();
    read::read_all(cx, repository, options, &mut old, see);
    Ok((new, take()))
}
