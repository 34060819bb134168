//! What a worker holds of the runs that it works for: their trees, and the files of their steps.

use super::remote::Remote;
use crate::executor::{Prepared, WorkspaceSource};
use crate::results::ResultStore;
use crashwise_core::store::Store;
use crashwise_core::workflow::StepFailure;
use crashwise_core::{Fingerprint, Isolation, RunId, Target, Workspace};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// How long the tree of a run stays after its last step here: the next step may come here as well.
const LINGER: Duration = Duration::from_mins(2);

/// What a worker holds of one run.
pub(super) struct Room {
    pub(super) results: ResultStore,
    pub(super) remote: Arc<Remote>,
    run: RunId,
    target: Target,
    isolation: Isolation,
    workspaces: Arc<dyn WorkspaceSource>,
    tree: OnceCell<Prepared>,
    content: OnceCell<Option<Fingerprint>>,
    guests: AtomicUsize,
    left: Mutex<Instant>,
}

impl Room {
    /// The tree that the run looks at, made when it is first asked for.
    pub(super) async fn workspace(&self) -> Result<Workspace, StepFailure> {
        self.tree
            .get_or_try_init(|| self.workspaces.prepare(&self.run, &self.target, self.isolation))
            .await
            .map(|prepared| prepared.workspace.clone())
    }

    /// Identifies the content of the target.
    pub(super) async fn content(&self) -> Option<Fingerprint> {
        self.content.get_or_init(|| self.workspaces.content(&self.target)).await.clone()
    }
}

/// The rooms of a worker.
#[derive(Default)]
pub(super) struct Rooms(Mutex<HashMap<RunId, Arc<Room>>>);

/// Somebody who works in a room.
pub(super) struct Guest(pub(super) Arc<Room>);

impl Drop for Guest {
    fn drop(&mut self) {
        *self.0.left.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.guests.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Rooms {
    /// The room of a run; rooms that nobody has used for a while are given up.
    pub(super) fn enter(
        &self,
        place: &super::messages::Place,
        store: &Store,
        workspaces: &Arc<dyn WorkspaceSource>,
    ) -> Guest {
        let mut rooms = self.lock();
        let old = Self::sweep(&mut rooms, LINGER);
        let room = rooms.entry(place.run.clone()).or_insert_with(|| {
            let remote = Arc::new(Remote::new(store.clone(), place.root.clone()));
            Arc::new(Room {
                results: ResultStore::temporary_with(Arc::clone(&remote) as _),
                remote,
                run: place.run.clone(),
                target: place.target.clone(),
                isolation: place.isolation,
                workspaces: Arc::clone(workspaces),
                tree: OnceCell::new(),
                content: OnceCell::new(),
                guests: AtomicUsize::new(0),
                left: Mutex::new(Instant::now()),
            })
        });
        room.guests.fetch_add(1, Ordering::AcqRel);
        let guest = Guest(Arc::clone(room));
        drop(rooms);
        // Trees are removed here, and nobody is kept from entering meanwhile.
        drop(old);
        guest
    }

    /// Gives up the room of a run that is over.
    pub(super) fn leave(&self, run: &RunId) {
        let left = self.lock().remove(run);
        drop(left);
    }

    fn sweep(rooms: &mut HashMap<RunId, Arc<Room>>, linger: Duration) -> Vec<Arc<Room>> {
        let over = |room: &Room| {
            let left = *room.left.lock().unwrap_or_else(PoisonError::into_inner);
            room.guests.load(Ordering::Acquire) == 0 && left.elapsed() > linger
        };
        let old: Vec<RunId> =
            rooms.iter().filter(|(_, room)| over(room)).map(|(run, _)| run.clone()).collect();
        old.iter().filter_map(|run| rooms.remove(run)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Arc<Room>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
