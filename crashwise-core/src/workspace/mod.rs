//! The tree that one run sees.

#[cfg(feature = "workspace")]
mod cow;
#[cfg(feature = "workspace")]
pub(crate) mod overlay;
#[cfg(feature = "workspace")]
pub(crate) mod subvolume;
#[cfg(feature = "workspace")]
pub(crate) mod tree;

#[cfg(feature = "workspace")]
pub use self::cow::CopyOnWrite;
use crate::{InvalidPath, RelPath};
use std::any::Any;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The tree that one run sees. Clones share it.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: Arc<PathBuf>,
    read_only: bool,
    guard: Option<Guard>,
}

/// Something that keeps a tree for as long as it lives.
#[derive(Clone)]
struct Guard {
    _kept: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

impl Workspace {
    /// A tree in place: nothing is copied, and modules must not write to it.
    pub fn in_place(root: impl Into<PathBuf>) -> Self {
        Self { root: Arc::new(root.into()), read_only: true, guard: None }
    }

    /// A tree of the run's own, which modules may write to.
    pub fn owned(root: impl Into<PathBuf>) -> Self {
        Self { root: Arc::new(root.into()), read_only: false, guard: None }
    }

    /// Keeps a value until the last clone of this workspace is dropped, such as what removes the tree then.
    #[must_use]
    pub fn with_guard(mut self, guard: impl Any + Send + Sync) -> Self {
        self.guard = Some(Guard { _kept: Arc::new(guard) });
        self
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether modules must leave it as it is.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The path below the workspace of a file in it.
    pub fn relative(&self, file: &Path) -> Result<RelPath, InvalidPath> {
        RelPath::below(&self.root, file)
    }

    /// Where a relative path is. Symbolic links are not followed here; who opens the file decides.
    pub fn path(&self, relative: &RelPath) -> PathBuf {
        relative.in_root(&self.root)
    }
}
