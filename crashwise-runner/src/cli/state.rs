//! The folder in which runs are kept.

use super::args::Globals;
use super::exit::Failure;
use super::terminal::Terminal;
use crate::RunStore;
use std::path::{Path, PathBuf};

/// The folder in which runs are kept.
#[derive(Debug, Clone)]
pub(super) struct StateFolder(PathBuf);

impl StateFolder {
    /// The folder that was asked for, or the usual one; none when the environment names no home.
    pub(super) fn of(globals: &Globals) -> Option<Self> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(asked) = &globals.state_dir {
            return Some(Self(asked.clone()));
        }
        let home = || absolute("HOME").map(|home| home.join(".local/state"));
        absolute("XDG_STATE_HOME").or_else(home).map(|folder| Self(folder.join("crashwise")))
    }

    /// A folder that runs can be kept in. When the usual one cannot be used, the run is only not kept; one that was asked
    /// for must be usable.
    pub(super) fn usable(globals: &Globals, terminal: &Terminal) -> Result<Option<Self>, Failure> {
        let Some(folder) = Self::of(globals) else { return Ok(None) };
        let usable =
            std::fs::create_dir_all(&folder.0).and_then(|()| tempfile::tempfile_in(&folder.0).map(drop));
        match usable {
            Ok(()) => Ok(Some(Self(std::path::absolute(&folder.0).unwrap_or(folder.0)))),
            Err(error) => {
                let text = format!("state folder {} cannot be used: {error}", folder.0.display());
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
        if !self.0.is_dir() {
            return Err(Failure::usage(format!("no runs are kept in {}", self.0.display())));
        }
        Ok(RunStore::open(&self.0)?)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}
