//! A workspace in use.

use std::fmt;
use std::sync::Arc;

use super::lock::Lock;
use super::{CacheError, Inner};
use crate::TargetId;
use crate::workspace::{CopyOnWrite, Workspace};

/// A workspace that nobody removes while this lives, not even another process.
///
/// Releasing it cleans up by the mode: the tree of a run goes with the run's last lease, a shared one stays cached.
/// Dropping does the same where it is dropped, and what a killed process leaves is removed by the next start.
#[must_use = "dropping a lease releases the workspace"]
pub struct Lease {
    workspace: Workspace,
    target: Option<TargetId>,
    way: Option<CopyOnWrite>,
    run: Option<Run>,
    // After the run in the order of dropping: the target may be evicted only when the run's tree is gone.
    _target_lock: Option<Lock>,
}

struct Run {
    cache: Arc<Inner>,
    target: TargetId,
    name: String,
    lock: Option<Lock>,
}

impl Lease {
    pub(super) fn in_place(workspace: Workspace) -> Self {
        Self { workspace, target: None, way: None, run: None, _target_lock: None }
    }

    pub(super) fn of_target(workspace: Workspace, target: TargetId, lock: Lock) -> Self {
        Self { workspace, target: Some(target), way: None, run: None, _target_lock: Some(lock) }
    }

    pub(super) fn of_run(
        workspace: Workspace,
        cache: Arc<Inner>,
        (target, name): (TargetId, String),
        (target_lock, lock): (Lock, Lock),
        way: CopyOnWrite,
    ) -> Self {
        let run = Run { cache, target: target.clone(), name, lock: Some(lock) };
        Self {
            workspace,
            target: Some(target),
            way: Some(way),
            run: Some(run),
            _target_lock: Some(target_lock),
        }
    }

    /// The tree.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The target's id; a directory used in place has none.
    #[must_use]
    pub fn target(&self) -> Option<&TargetId> {
        self.target.as_ref()
    }

    /// How the run's tree was made, for the record of the run; `None` if it has no tree of its own.
    #[must_use]
    pub fn copy_on_write(&self) -> Option<CopyOnWrite> {
        self.way
    }

    /// Ends the use and cleans up, without blocking the caller's thread.
    pub async fn release(mut self) -> Result<(), CacheError> {
        let Some(run) = self.run.take() else { return Ok(()) };
        let path = self.workspace.root().to_owned();
        super::acquire::blocking_cache(&path, move || run.end()).await
    }
}

impl Run {
    fn end(mut self) -> Result<(), CacheError> {
        self.remove()
    }

    fn remove(&mut self) -> Result<(), CacheError> {
        match self.lock.take() {
            Some(lock) => {
                drop(lock);
                // Another lease of the same run keeps the tree.
                self.cache.layout.remove_run(&self.target, &self.name)
            }
            None => Ok(()),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // What fails here is found by the next start.
        let _ = self.remove();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("workspace", &self.workspace)
            .field("target", &self.target)
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}
