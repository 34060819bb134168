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

/// A waker around that of a task, made again only for another task: what is polled often registers the same one.
#[derive(Default)]
pub(super) struct Around(Option<(Waker, Waker)>);

impl Around {
    /// The waker around that of a task.
    pub(super) fn of<W: Wake + Send + Sync + 'static>(
        &mut self,
        task: &Context<'_>,
        make: impl FnOnce(Waker) -> Arc<W>,
    ) -> &Waker {
        let inner = task.waker();
        if self.0.as_ref().is_some_and(|(known, _)| !known.will_wake(inner)) {
            self.0 = None;
        }
        let (_, around) = self.0.get_or_insert_with(|| (inner.clone(), Waker::from(make(inner.clone()))));
        around
    }
}

/// A future of the context: what it wakes, it wakes with the mark.
pub(crate) struct Own<F> {
    future: F,
    waker: Around,
}

impl<F> Own<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future, waker: Around::default() }
    }
}

impl<F: Future + Unpin> Future for Own<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { future, waker } = &mut *self;
        let waker = waker.of(task, |inner| Arc::new(Marked(inner)));
        let _mark = Mark::new();
        Pin::new(future).poll(&mut Context::from_waker(waker))
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
    waker: Around,
}

impl Watched {
    pub(crate) fn new() -> Self {
        Self { foreign: Arc::default(), waker: Around::default() }
    }

    pub(crate) fn poll<F: Future + ?Sized>(
        &mut self,
        future: Pin<&mut F>,
        task: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let foreign = &self.foreign;
        let waker = self.waker.of(task, |inner| Arc::new(Watch { inner, foreign: Arc::clone(foreign) }));
        // A combinator may wake its own task while it is polled.
        let _mark = Mark::new();
        future.poll(&mut Context::from_waker(waker))
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
