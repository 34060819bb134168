//! Definitions in folders.

use crashwise_core::{Document, Problems};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const WORKFLOW_FILES: [&str; 3] = ["workflow.yaml", "workflow.yml", "workflow.json"];
const MAX_DEFINITIONS: usize = 1000;

/// The texts of a definition, each with the name that messages call it by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// Name and text of the metadata.
    pub metadata: (String, String),
    /// Name and text of the steps.
    pub workflow: (String, String),
    /// The workflows that steps may run; none means that this is not known here.
    pub workflows: Option<BTreeSet<String>>,
}

impl Source {
    /// From name and text of the metadata and of the steps.
    pub fn new(metadata: (&str, &str), workflow: (&str, &str)) -> Self {
        let own = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
        Self { metadata: own(metadata), workflow: own(workflow), workflows: None }
    }

    /// Says which workflows steps may run.
    #[must_use]
    pub fn with_workflows<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.workflows = Some(names.into_iter().map(Into::into).collect());
        self
    }
}

/// Why a definition could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionError {
    /// A file or folder could not be read.
    #[error("{} could not be read", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The folder holds no definition.
    #[error("{} holds no workflow: expected metadata.yaml and workflow.yaml or workflow.json", path.display())]
    NotFound {
        /// The folder.
        path: PathBuf,
    },
    /// What the files say is not right.
    #[error(transparent)]
    Problems(#[from] Problems),
}

/// Reads the definition in a folder; a path to one of its files names the folder too.
pub fn load(path: &Path) -> Result<Source, DefinitionError> {
    let folder = if path.is_file() { path.parent().unwrap_or(Path::new("")) } else { path };
    let metadata = folder.join("metadata.yaml");
    let workflow = WORKFLOW_FILES.map(|name| folder.join(name)).into_iter().find(|path| path.is_file());
    match workflow {
        Some(workflow) if metadata.is_file() => Ok(Source {
            metadata: (metadata.display().to_string(), read(&metadata)?),
            workflow: (workflow.display().to_string(), read(&workflow)?),
            workflows: None,
        }),
        _ => Err(DefinitionError::NotFound { path: folder.to_owned() }),
    }
}

/// The folders below `folder` that hold definitions, itself included, sorted: one level, at most 1,000.
pub fn discover(folder: &Path) -> Result<Vec<PathBuf>, DefinitionError> {
    let failed = |source| DefinitionError::Read { path: folder.to_owned(), source };
    let holds = |folder: &Path| {
        folder.join("metadata.yaml").is_file()
            && WORKFLOW_FILES.iter().any(|name| folder.join(name).is_file())
    };
    let mut found = Vec::new();
    if holds(folder) {
        found.push(folder.to_owned());
    }
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() && holds(&path) {
            found.push(path);
        }
        if found.len() > MAX_DEFINITIONS {
            return Err(failed(io::Error::other(format!("it holds more than {MAX_DEFINITIONS} workflows"))));
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String, DefinitionError> {
    let failed = |source| DefinitionError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    // One byte more than a document may have, so that the parser says what is wrong.
    let limit = Document::MAX_BYTES as u64 + 1;
    File::open(path).map_err(failed)?.take(limit).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}
