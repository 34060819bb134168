//! The folder in which runs are kept.

use super::args::Globals;
use super::exit::Failure;
use super::terminal::Terminal;
use crate::{Durability, RunStore};
use std::path::{Path, PathBuf};

/// The folder in which runs are kept.
#[derive(Debug, Clone)]
pub(super) struct StateFolder {
    path: PathBuf,
    durability: Durability,
}

impl StateFolder {
    fn new(path: PathBuf) -> Self {
        Self { path, durability: Durability::default() }
    }

    /// The same for runs that survive less, or more.
    pub(super) fn with_durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    pub(super) fn durability(&self) -> Durability {
        self.durability
    }

    /// The folder that was asked for, or the usual one; none when the environment names no home.
    pub(super) fn of(globals: &Globals) -> Option<Self> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(asked) = &globals.state_dir {
            return Some(Self::new(asked.clone()));
        }
        let home = || absolute("HOME").map(|home| home.join(".local/state"));
        absolute("XDG_STATE_HOME").or_else(home).map(|folder| Self::new(folder.join("crashwise")))
    }

    /// A folder that runs can be kept in. When the usual one cannot be used, the run is only not kept; one that was asked
    /// for must be usable.
    pub(super) fn usable(globals: &Globals, terminal: &Terminal) -> Result<Option<Self>, Failure> {
        let Some(folder) = Self::of(globals) else { return Ok(None) };
        let usable = std::fs::create_dir_all(&folder.path).and_then(|()| may_be_written(&folder.path));
        match usable {
            Ok(()) => Ok(Some(Self::new(std::path::absolute(&folder.path).unwrap_or(folder.path)))),
            Err(error) => {
                let text = format!("state folder {} cannot be used: {error}", folder.path.display());
                if globals.state_dir.is_some() {
                    return Err(Failure::usage(text));
                }
                terminal.warn(&format!("{text}; the run is not kept"));
                Ok(None)
            }
        }
    }

    /// The runs of the folder.
    pub(super) fn store(&self) -> Result<RunStore, Failure> {
        // Corpora may be kept there without any run.
        if !self.path.join(crate::journal::sqlite::FILE).exists() {
            return Err(Failure::usage(format!("no runs are kept in {}", self.path.display())));
        }
        Ok(RunStore::open(&self.path)?)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether files can be made in a folder. Asks instead of making one, which some disks take a millisecond for.
fn may_be_written(folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    return Ok(rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?);
    #[cfg(not(unix))]
    tempfile::tempfile_in(folder).map(drop)
}
