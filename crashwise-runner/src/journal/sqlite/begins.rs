//! Begins of steps that are not written at once: the end of a step says all that its begin does, and mostly it comes soon.

use super::commit::Append;
use super::queue::Command;
use crashwise_core::workflow::StepKey;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a begin waits for its end.
pub(super) const HELD: Duration = Duration::from_millis(20);

/// The begins of one run that are held back.
#[derive(Default)]
pub(super) struct Begins {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: VecDeque<Begin>,
    /// It is among those that are released in time.
    watched: bool,
}

struct Begin {
    key: StepKey,
    since: Instant,
    append: Append,
}

impl Begins {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a begin back. `true` when somebody has to watch this from here on.
    pub(super) fn hold(&self, key: StepKey, append: Append) -> bool {
        let mut state = self.lock();
        state.held.push_back(Begin { key, since: Instant::now(), append });
        !std::mem::replace(&mut state.watched, true)
    }

    /// Drops the begin of a step whose end comes.
    pub(super) fn supersede(&self, key: &StepKey) {
        let held = &mut self.lock().held;
        // Parallel steps end in about the order in which they began.
        if let Some(at) = held.iter().position(|begin| begin.key == *key) {
            held.remove(at);
        }
    }

    /// Gives all that are held back.
    pub(super) fn take(&self) -> impl Iterator<Item = Append> + use<> {
        std::mem::take(&mut self.lock().held).into_iter().map(|begin| begin.append)
    }

    /// Adds those that have waited long enough to a batch. `false` when none is left, and nobody watches this any more.
    fn release(&self, all: bool, batch: &mut Vec<Command>) -> bool {
        let mut state = self.lock();
        while let Some(begin) = state.held.pop_front_if(|begin| all || begin.since.elapsed() >= HELD) {
            batch.push(Command::Append(Box::new(begin.append)));
        }
        state.watched = !state.held.is_empty();
        state.watched
    }
}

/// The runs with begins that are held back.
#[derive(Default)]
pub(super) struct Watched(Vec<Arc<Begins>>);

impl Watched {
    pub(super) fn add(&mut self, begins: Arc<Begins>) {
        self.0.push(begins);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds begins that have waited long enough, or all, to a batch.
    pub(super) fn release(&mut self, all: bool, batch: &mut Vec<Command>) {
        self.0.retain(|begins| begins.release(all, batch));
    }
}
