//! Paths that cannot leave the workspace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// A path below a workspace: relative, with `/` between its parts, without `.`, `..`, NUL or an empty part.
///
/// Clones share the text: a file of ten thousand findings has its path once.
///
/// ```
/// use crashwise_core::RelPath;
/// assert_eq!(RelPath::new("src/./main.rs").unwrap().as_str(), "src/main.rs");
/// assert!(RelPath::new("../etc/passwd").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RelPath(Arc<str>);

/// A path that is not one below a workspace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path {path:?} {problem}")]
pub struct InvalidPath {
    /// The rejected path.
    pub path: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl RelPath {
    /// Checks and normalises a path. Bytes that are not UTF-8 become U+FFFD: a `RelPath` names a file in reports,
    /// and whoever opens files while walking keeps the path of the operating system.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, InvalidPath> {
        let path = path.as_ref();
        let reject = |problem| Err(InvalidPath { path: path.to_string_lossy().into_owned(), problem });
        let mut text = String::with_capacity(path.as_os_str().len());
        for component in path.components() {
            match component {
                Component::Normal(part) => {
                    let part = part.to_string_lossy();
                    if part.contains('\0') {
                        return reject("holds a NUL character");
                    }
                    if !text.is_empty() {
                        text.push('/');
                    }
                    text.push_str(&part);
                }
                Component::CurDir => {}
                Component::ParentDir => return reject("leaves the workspace by `..`"),
                Component::RootDir | Component::Prefix(_) => return reject("is absolute"),
            }
        }
        if text.is_empty() { reject("is empty") } else { Ok(Self(text.into())) }
    }

    /// The path of `file` below `root`.
    pub fn below(root: &Path, file: &Path) -> Result<Self, InvalidPath> {
        match file.strip_prefix(root) {
            Ok(rest) => Self::new(rest),
            Err(_) => Err(InvalidPath {
                path: file.to_string_lossy().into_owned(),
                problem: "is not below the workspace",
            }),
        }
    }

    /// The text, with `/` between the parts on every system.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// What follows the last dot of the last part, if anything does and something precedes it.
    pub fn extension(&self) -> Option<&str> {
        match self.file_name().rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() && !extension.is_empty() => Some(extension),
            _ => None,
        }
    }

    /// The folder that holds it; `None` at the root.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// This path with one more relative path behind it.
    pub fn join(&self, below: impl AsRef<Path>) -> Result<Self, InvalidPath> {
        Self::new(Path::new(self.as_str()).join(below))
    }

    /// The path of the operating system below `root`.
    pub fn in_root(&self, root: &Path) -> PathBuf {
        root.join(self.as_str())
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for RelPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RelPath {
    type Error = InvalidPath;
    fn try_from(text: String) -> Result<Self, InvalidPath> {
        Self::new(text)
    }
}

impl From<RelPath> for String {
    fn from(path: RelPath) -> String {
        path.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (path, expect) in [
            ("a/b.rs", Some("a/b.rs")),
            ("./a//b/", Some("a/b")),
            ("a/../b", None),
            ("/etc", None),
            ("", None),
            (".", None),
            ("a\0b", None),
        ] {
            assert_eq!(RelPath::new(path).ok().as_ref().map(RelPath::as_str), expect, "{path:?}");
        }
        let path = RelPath::new("x/.env").unwrap();
        assert_eq!((path.file_name(), path.extension()), (".env", None));
        assert!(path.join("../../..").is_err());
    }
}
