//! What to walk, and the start of it.

use super::WalkOptions;
use super::ignores::{FilePatterns, InvalidPattern};
use super::pass;
use super::visitor::Visitor;
use crashwise_core::{ModuleContext, ModuleError, Workspace};
use std::path::PathBuf;
use std::sync::Arc;

/// A walk over the files of a workspace. See the module's documentation for its rules.
#[derive(Debug)]
pub struct Walk {
    pub(super) root: PathBuf,
    pub(super) options: WalkOptions,
    pub(super) include: FilePatterns,
    pub(super) exclude: FilePatterns,
    #[cfg(test)]
    pub(super) fault: Option<fn(&str) -> Option<std::io::Error>>,
}

/// What a walk did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalkTotals {
    /// Files shown to visitors.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Findings that visitors reported.
    pub findings: u64,
    /// Whether it was asked to stop before the end.
    pub cancelled: bool,
}

impl Walk {
    /// Prepares a walk; fails on an include or exclude pattern that is not valid.
    pub fn new(workspace: &Workspace, options: WalkOptions) -> Result<Self, InvalidPattern> {
        Ok(Self {
            root: workspace.root().to_owned(),
            include: FilePatterns::new(&options.include)?,
            exclude: FilePatterns::new(&options.exclude)?,
            options,
            #[cfg(test)]
            fault: None,
        })
    }

    /// Visits every file. Blocks: call it inside [`ModuleContext::blocking`]. Counts what was looked at and left out,
    /// notes gaps and sends progress through the context. Fails when the root cannot be opened or a visitor fails.
    pub fn run(&self, cx: &ModuleContext, visitor: &impl Visitor) -> Result<WalkTotals, ModuleError> {
        pass::alone(self, cx, visitor)
    }

    /// Does the same, in one pass with the walks of other visitors over the same tree that have just begun, so that each
    /// file is opened and read once for all of them. Which walks that are is left to chance, and makes no difference to
    /// what the visitor sees; the walk lasts as long as the slowest of them, so those with another deadline stay alone. So do
    /// walks with windows or with a fixed number of threads.
    pub fn run_shared(
        &self,
        cx: &ModuleContext,
        visitor: Arc<dyn Visitor + Send>,
    ) -> Result<WalkTotals, ModuleError> {
        if self.options.windows.is_none() && self.options.threads.is_none() {
            pass::together(self, cx, visitor)
        } else {
            pass::alone(self, cx, &*visitor)
        }
    }
}
