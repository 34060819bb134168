//! What a format gets to see: its file, and the manifests beside it.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use crashwise_core::RelPath;

use super::flaw::Flaw;
use super::xml;

/// The lockfiles and manifests of a target, by path.
#[derive(Debug, Default)]
pub(crate) struct Files {
    texts: BTreeMap<RelPath, String>,
    /// The `pom.xml` files by the artifact that they describe; made when one is looked for.
    poms: OnceLock<HashMap<String, Vec<RelPath>>>,
}

impl Files {
    pub(crate) fn insert(&mut self, path: RelPath, text: String) {
        self.texts.insert(path, text);
        self.poms = OnceLock::new();
    }

    pub(crate) fn get(&self, path: &RelPath) -> Option<(&RelPath, &str)> {
        self.texts.get_key_value(path).map(|(path, text)| (path, text.as_str()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&RelPath, &str)> {
        self.texts.iter().map(|(path, text)| (path, text.as_str()))
    }

    /// The `pom.xml` files that describe an artifact of this name.
    pub(super) fn poms_of(&self, artifact: &str) -> impl Iterator<Item = (&RelPath, &str)> {
        let poms = self.poms.get_or_init(|| {
            let mut poms: HashMap<String, Vec<RelPath>> = HashMap::new();
            for (path, text) in self.iter().filter(|(path, _)| path.file_name() == "pom.xml") {
                if let Ok(document) = xml::parse(text)
                    && let Some(artifact) = xml::text_of(document.root_element(), "artifactId")
                {
                    poms.entry(artifact.to_owned()).or_default().push(path.clone());
                }
            }
            poms
        });
        poms.get(artifact).into_iter().flatten().filter_map(|path| self.get(path))
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

    /// The other files in the folder of this one.
    pub(super) fn files_beside(&self) -> impl Iterator<Item = (&'a RelPath, &'a str)> {
        let own = self.path;
        let folder = |path: &'a RelPath| path.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
        self.files.iter().filter(move |(path, _)| *path != own && folder(path) == folder(own))
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
    let at = if text.starts_with("<<<<<<< ") {
        0
    } else {
        memchr::memmem::find(text.as_bytes(), b"\n<<<<<<< ")? + 1
    };
    Some(Flaw::new(at, "", "holds the conflict markers of a merge"))
}
