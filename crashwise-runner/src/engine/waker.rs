//! Finds futures in workflow code that are not the context's own.
//!
//! A workflow that waits for a socket, a channel or a timer of the runtime cannot be replayed. Futures of the context
//! mark the thread while they wake a task; a wake without the mark comes from somewhere else.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

thread_local! {
    static OWN: Cell<u32> = const { Cell::new(0) };
}

struct Mark;

impl Mark {
    fn new() -> Self {
        OWN.with(|depth| depth.set(depth.get() + 1));
        Self
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        OWN.with(|depth| depth.set(depth.get() - 1));
    }
}

/// A future of the context: what it wakes, it wakes with the mark.
pub(crate) struct Own<F>(pub(crate) F);

impl<F: Future + Unpin> Future for Own<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = Waker::from(Arc::new(Marked(task.waker().clone())));
        let _mark = Mark::new();
        Pin::new(&mut self.0).poll(&mut Context::from_waker(&waker))
    }
}

struct Marked(Waker);

impl Wake for Marked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let _mark = Mark::new();
        self.0.wake_by_ref();
    }
}

/// Polls workflow code and notes wakes without the mark.
pub(crate) struct Watched {
    foreign: Arc<AtomicBool>,
}

impl Watched {
    pub(crate) fn new() -> Self {
        Self { foreign: Arc::default() }
    }

    pub(crate) fn poll<F: Future + ?Sized>(
        &self,
        future: Pin<&mut F>,
        task: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let watch = Watch { inner: task.waker().clone(), foreign: Arc::clone(&self.foreign) };
        let waker = Waker::from(Arc::new(watch));
        // A combinator may wake its own task while it is polled.
        let _mark = Mark::new();
        future.poll(&mut Context::from_waker(&waker))
    }

    pub(crate) fn saw_foreign(&self) -> bool {
        self.foreign.load(Ordering::Relaxed)
    }
}

struct Watch {
    inner: Waker,
    foreign: Arc<AtomicBool>,
}

impl Wake for Watch {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if OWN.with(Cell::get) == 0 {
            self.foreign.store(true, Ordering::Relaxed);
        }
        self.inner.wake_by_ref();
    }
}
