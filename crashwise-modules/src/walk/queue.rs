//! Tasks shared between the threads of a walk: the newest first, so that a walk goes deep before it goes wide.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    tasks: Vec<T>,
    /// Threads that hold a task and may add more.
    busy: usize,
    waiting: usize,
    stopped: bool,
    /// All tasks are done.
    finished: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(first: T) -> Self {
        let state = State { tasks: vec![first], busy: 0, waiting: 0, stopped: false, finished: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds tasks; the first of them is taken first.
    pub(super) fn push(&self, tasks: impl DoubleEndedIterator<Item = T>) {
        let mut state = self.lock();
        state.tasks.extend(tasks.rev());
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Adds tasks unless there will be nobody to take them; whether it did.
    pub(super) fn push_unless_over(&self, tasks: impl DoubleEndedIterator<Item = T>) -> bool {
        let mut state = self.lock();
        let is_open = !(state.stopped || state.finished);
        if is_open {
            state.tasks.extend(tasks.rev());
            self.changed.notify_all();
        }
        is_open
    }

    /// Whether all tasks are done.
    pub(super) fn is_finished(&self) -> bool {
        self.lock().finished
    }

    /// How many tasks wait for a thread.
    pub(super) fn len(&self) -> usize {
        self.lock().tasks.len()
    }

    /// Whether some thread has nothing to do.
    pub(super) fn is_hungry(&self) -> bool {
        let state = self.lock();
        state.waiting > 0 && state.tasks.is_empty()
    }

    /// No more tasks are handed out.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Takes tasks and works on them until there are none left and nobody can add one, or until `work` says no. A panic stops
    /// all threads.
    pub(super) fn work(&self, mut work: impl FnMut(T) -> bool) {
        let _stop = StopOnPanic(self);
        let mut state = self.lock();
        loop {
            if state.stopped {
                return;
            }
            if let Some(task) = state.tasks.pop() {
                state.busy += 1;
                drop(state);
                let goes_on = work(task);
                state = self.lock();
                state.busy -= 1;
                if state.busy == 0 && state.tasks.is_empty() {
                    state.finished = true;
                    self.changed.notify_all();
                }
                if !goes_on {
                    return;
                }
            } else if state.finished {
                return;
            } else {
                state.waiting += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.waiting -= 1;
            }
        }
    }
}

struct StopOnPanic<'q, T>(&'q Queue<T>);

impl<T> Drop for StopOnPanic<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}
