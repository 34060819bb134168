//! What ignore files and patterns leave out.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::path::Path;
use std::sync::Arc;

/// The names of ignore files; a later one overrules an earlier one.
pub(super) const IGNORE_FILES: [&str; 2] = [".gitignore", ".crashwiseignore"];

/// The largest ignore file that is read, in bytes.
pub(super) const MAX_IGNORE_FILE: usize = 1 << 20;

/// Folders of version control systems.
pub(super) fn is_vcs(name: &[u8]) -> bool {
    matches!(name, b".git" | b".hg" | b".svn" | b".bzr" | b".jj" | b"_darcs" | b".pijul" | b"CVS")
}

/// A pattern that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?} is not valid: {problem}")]
pub struct InvalidPattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Patterns with the syntax of `.gitignore`, relative to the root of a workspace.
///
/// ```
/// use crashwise_modules::walk::FilePatterns;
/// let patterns = FilePatterns::new(&["*.py", "/docs/", "!generated.py"]).unwrap();
/// assert!(patterns.match_file("src/app.py") && patterns.match_file("docs/index.md"));
/// assert!(!patterns.match_file("src/generated.py") && !patterns.match_file("src/docs/index.md"));
/// ```
#[derive(Debug, Clone)]
pub struct FilePatterns(Gitignore);

impl FilePatterns {
    /// Compiles patterns; a later one overrules an earlier one.
    pub fn new<P: AsRef<str>>(patterns: &[P]) -> Result<Self, InvalidPattern> {
        let mut builder = GitignoreBuilder::new("");
        let invalid = |pattern: &str, error: &ignore::Error| InvalidPattern {
            pattern: pattern.to_owned(),
            problem: error.to_string(),
        };
        for pattern in patterns.iter().map(AsRef::as_ref) {
            builder.add_line(None, pattern).map_err(|error| invalid(pattern, &error))?;
        }
        builder.build().map(Self).map_err(|error| invalid("", &error))
    }

    /// Whether a file, or one of the folders it is in, matches.
    pub fn match_file(&self, path: impl AsRef<Path>) -> bool {
        let path = path.as_ref();
        !path.has_root() && self.0.matched_path_or_any_parents(path, false).is_ignore()
    }

    pub(super) fn match_entry(&self, path: &Path, is_folder: bool) -> bool {
        self.0.matched(path, is_folder).is_ignore()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The ignore files that apply in a folder, innermost first.
#[derive(Debug)]
pub(super) struct Ignores {
    file: Gitignore,
    outer: Option<Arc<Ignores>>,
}

impl Ignores {
    /// Adds the ignore file of `folder`, a path below the workspace. Lines that are not valid patterns are left out.
    pub(super) fn add(outer: Option<Arc<Self>>, folder: &Path, text: &[u8]) -> Option<Arc<Self>> {
        let mut builder = GitignoreBuilder::new(folder);
        for line in String::from_utf8_lossy(text).lines() {
            // A line that git does not understand leaves nothing out; so here.
            drop(builder.add_line(None, line));
        }
        match builder.build() {
            Ok(file) if !file.is_empty() => Some(Arc::new(Self { file, outer })),
            _ => outer,
        }
    }

    /// Whether an entry is left out.
    pub(super) fn leave_out(&self, path: &Path, is_folder: bool) -> bool {
        let mut next = Some(self);
        while let Some(ignores) = next {
            match ignores.file.matched(path, is_folder) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => next = ignores.outer.as_deref(),
            }
        }
        false
    }
}
