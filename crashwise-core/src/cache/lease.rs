//! A workspace in use.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

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
    /// Of the target, and of the run.
    locks: Option<(Lock, Lock)>,
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
        locks: (Lock, Lock),
        way: CopyOnWrite,
    ) -> Self {
        cache.ending.add();
        let run = Run { cache, target: target.clone(), name, locks: Some(locks) };
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
        let Some(mut run) = self.run.take() else { return Ok(()) };
        run.cache.ending.begin();
        let path = self.workspace.root().to_owned();
        super::acquire::blocking_cache(&path, move || run.end()).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(run) = self.run.take() else { return };
        run.cache.ending.begin();
        // Dropping it removes the tree, also when the runtime shuts down before it comes to that.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn_blocking(move || drop(run)));
        }
    }
}

impl Run {
    fn end(&mut self) -> Result<(), CacheError> {
        let Some((target_lock, lock)) = self.locks.take() else { return Ok(()) };
        drop(lock);
        // Another lease of the same run keeps the tree.
        let removed = self.cache.layout.remove_run(&self.target, &self.name);
        // The target may be evicted only when the run's tree is gone.
        drop(target_lock);
        removed
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // What fails here is found by the next start.
        let _ = self.end();
        self.cache.ending.done();
    }
}

/// Who still uses a tree after this is not waited for.
const GRACE: Duration = Duration::from_secs(2);

/// How many leases of runs there are, and how many of them are ending.
#[derive(Debug, Default)]
pub(super) struct Ending {
    counts: Mutex<Counts>,
    less: Condvar,
}

#[derive(Debug, Default)]
struct Counts {
    leases: usize,
    ending: usize,
}

impl Ending {
    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        self.less.notify_all();
    }

    fn add(&self) {
        self.change(|counts| counts.leases += 1);
    }

    fn begin(&self) {
        self.change(|counts| counts.ending += 1);
    }

    fn done(&self) {
        self.change(|counts| {
            counts.leases -= 1;
            counts.ending -= 1;
        });
    }

    pub(super) fn wait(&self, most: Duration) -> bool {
        let wait = |most, until: fn(&mut Counts) -> bool| {
            let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self.less.wait_timeout_while(counts, most, |counts| !until(counts));
            waited.unwrap_or_else(PoisonError::into_inner).0.leases == 0
        };
        wait(most.min(GRACE), |counts| counts.leases == counts.ending);
        wait(most, |counts| counts.ending == 0)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
