//! Time that passes only when nothing else can happen.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Virtual time since the start of the test.
#[derive(Clone, Default)]
pub(super) struct Clock {
    inner: Rc<Inner>,
}

#[derive(Default)]
struct Inner {
    now: Cell<Duration>,
    next: Cell<u64>,
    timers: RefCell<BTreeMap<(Duration, u64), Option<Waker>>>,
}

/// Takes its timer out of the clock when the wait is given up.
struct Timer {
    clock: Clock,
    id: (Duration, u64),
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.clock.inner.timers.borrow_mut().remove(&self.id);
    }
}

impl Clock {
    pub(super) fn now(&self) -> Duration {
        self.inner.now.get()
    }

    /// Completes when the time comes.
    pub(super) async fn until(&self, moment: Duration) {
        if moment <= self.now() {
            return;
        }
        let id = (moment, self.inner.next.replace(self.inner.next.get() + 1));
        self.inner.timers.borrow_mut().insert(id, None);
        let timer = Timer { clock: self.clone(), id };
        poll_fn(|task| {
            if timer.clock.now() >= moment {
                return Poll::Ready(());
            }
            timer.clock.inner.timers.borrow_mut().insert(timer.id, Some(task.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Lets time pass to the next timer; false when there is none.
    pub(super) fn advance(&self) -> bool {
        let first = self.inner.timers.borrow_mut().pop_first();
        let Some(((moment, _), waker)) = first else { return false };
        self.inner.now.set(self.now().max(moment));
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}
