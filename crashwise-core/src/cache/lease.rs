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
/// Dropping does the same, inside a tokio runtime in the background; what a killed process leaves is removed by the
/// next start.
#[must_use = "dropping a lease releases the workspace"]
#[derive(Debug)]
pub struct Lease {
    workspace: Workspace,
    target: Option<TargetId>,
    way: Option<CopyOnWrite>,
    run: Option<Run>,
    _target_lock: Option<Lock>,
}

/// The tree of a run, and both locks that keep it.
struct Run {
    cache: Arc<Inner>,
    target: TargetId,
    name: String,
    target_lock: Lock,
    lock: Lock,
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
        let run = Run { cache, target: target.clone(), name, target_lock, lock };
        Self { workspace, target: Some(target), way: Some(way), run: Some(run), _target_lock: None }
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

    /// The workspace, which now keeps the lease: it ends with the last clone.
    #[must_use]
    pub fn into_workspace(self) -> Workspace {
        self.workspace.clone().with_guard(self)
    }

    /// Ends the use and cleans up, without blocking the caller's thread.
    pub async fn release(mut self) -> Result<(), CacheError> {
        let Some(run) = self.run.take() else { return Ok(()) };
        let path = self.workspace.root().to_owned();
        super::acquire::blocking_cache(&path, move || run.end()).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(run) = self.run.take() else { return };
        // What fails here is found by the next start.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || run.end())),
            Err(_) => drop(run.end()),
        }
    }
}

impl Run {
    fn end(self) -> Result<(), CacheError> {
        drop(self.lock);
        // Another lease of the same run keeps the tree.
        let removed = self.cache.layout.remove_run(&self.target, &self.name);
        // The target may be evicted only when the run's tree is gone.
        drop(self.target_lock);
        removed
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
