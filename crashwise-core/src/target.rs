//! What a run looks at.

use crate::TargetId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// What a run looks at: a directory, an archive, or an object in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Target {
    /// A directory of this machine.
    Directory(PathBuf),
    /// An archive of this machine: tar, tar.gz, tar.zst, tar.xz or zip, told by its content.
    Archive(PathBuf),
    /// An object in a store, by its content.
    Stored(TargetId),
}

impl Target {
    /// A directory or an archive, whichever the path is.
    pub fn from_path(path: impl Into<PathBuf>) -> std::io::Result<Self> {
        let path = path.into();
        if std::fs::metadata(&path)?.is_dir() { Ok(Self::Directory(path)) } else { Ok(Self::Archive(path)) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) | Self::Archive(path) => path.display().fmt(f),
            Self::Stored(id) => id.fmt(f),
        }
    }
}
