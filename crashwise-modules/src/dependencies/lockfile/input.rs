//! What a format gets to see: its file, and the manifests beside it.

use std::collections::BTreeMap;

use crashwise_core::RelPath;

use super::flaw::Flaw;

/// The lockfiles and manifests of a target, by path.
#[derive(Debug, Default)]
pub(crate) struct Files(BTreeMap<RelPath, String>);

impl Files {
    pub(crate) fn insert(&mut self, path: RelPath, text: String) {
        self.0.insert(path, text);
    }

    pub(crate) fn get(&self, path: &RelPath) -> Option<(&RelPath, &str)> {
        self.0.get_key_value(path).map(|(path, text)| (path, text.as_str()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&RelPath, &str)> {
        self.0.iter().map(|(path, text)| (path, text.as_str()))
    }
}

/// A file to parse.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) path: &'a RelPath,
    pub(super) text: &'a str,
    pub(super) files: &'a Files,
}

impl<'a> Input<'a> {
    /// A file by its path from the folder of this one; `..` may lead up, but never out of the target.
    pub(super) fn beside(&self, relative: &str) -> Option<(&'a RelPath, &'a str)> {
        let mut parts: Vec<&str> = self.path.as_str().split('/').collect();
        parts.pop();
        for part in relative.split(['/', '\\']) {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop()?;
                }
                part => parts.push(part),
            }
        }
        let path = RelPath::new(parts.join("/")).ok()?;
        self.files.get(&path)
    }

    /// The files of a name in the folder of this one and below, nearest first.
    pub(super) fn below(&self, name: &str) -> Vec<(&'a RelPath, &'a str)> {
        let folder = self.path.parent();
        let inside = |path: &RelPath| match &folder {
            None => true,
            Some(folder) => {
                path.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
        };
        let mut found: Vec<_> =
            self.files.iter().filter(|(path, _)| path.file_name() == name && inside(path)).collect();
        found.sort_by_key(|(path, _)| path.as_str().matches('/').count());
        found
    }
}

/// The line of a marker that a merge left behind.
pub(super) fn merge_conflict(text: &str) -> Option<Flaw> {
    let at = if text.starts_with("<<<<<<< ") { 0 } else { text.find("\n<<<<<<< ")? + 1 };
    Some(Flaw::new(at, "", "holds the conflict markers of a merge"))
}
