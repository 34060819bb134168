//! Closures of workflows on their way into a local activity.

use crashwise_core::workflow::InlineStep;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Closures that local activities of this process are about to run. A replay on another worker puts its own here.
#[derive(Clone, Default)]
pub(crate) struct Closures {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    closures: BTreeMap<u64, InlineStep>,
}

/// A closure's place; gives it up when dropped.
pub(crate) struct Place {
    closures: Closures,
    pub(crate) token: u64,
}

impl Closures {
    pub(crate) fn put(&self, closure: InlineStep) -> Place {
        let mut waiting = self.waiting();
        let token = waiting.next;
        waiting.next += 1;
        waiting.closures.insert(token, closure);
        Place { closures: self.clone(), token }
    }

    pub(crate) fn find(&self, token: u64) -> Option<InlineStep> {
        self.waiting().closures.get(&token).cloned()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.closures.waiting().closures.remove(&self.token);
    }
}
