//! Waits for a short while without sleeping.
//!
//! A step that does little is over before the thread that waits for it would be asleep, and waking a thread costs more than
//! such a step. So a thread that carries out runs looks for a moment whether it is woken before it goes to sleep, as long
//! as that pays: where it was in vain the last times, it is hardly tried any more.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// How long is looked at most: about what it takes to sleep and to be woken, twice.
const LONGEST: Duration = Duration::from_micros(50);

/// How often is looked between two looks at the clock.
const LOOKS: u32 = 64;

/// A future that is polled again at once when it is woken soon after it was pending.
pub(super) struct Spinning<F> {
    inner: F,
    spin: Spin,
}

impl<F> Spinning<F> {
    /// On a machine of so many processors.
    pub(super) fn new(inner: F, processors: usize) -> Self {
        Self { inner, spin: Spin::on(processors) }
    }
}

impl<F: Future + Unpin> Future for Spinning<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let woken = Arc::new(Woken { outer: task.waker().clone(), yes: AtomicBool::new(false) });
        let waker = Waker::from(Arc::clone(&woken));
        let poll = Pin::new(&mut self.inner).poll(&mut Context::from_waker(&waker));
        if poll.is_pending() {
            // Who is woken is polled again, because the outer task was woken as well.
            self.spin.until(|| woken.yes.load(Ordering::Relaxed));
        }
        poll
    }
}

struct Woken {
    outer: Waker,
    yes: AtomicBool,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.outer.wake_by_ref();
        self.yes.store(true, Ordering::Relaxed);
    }
}

/// Looks for a moment, if it pays.
#[derive(Debug)]
struct Spin {
    /// From 0, where it was in vain of late, to [`Spin::BEST`].
    luck: u32,
    /// Times that were not tried since the last.
    passed: u32,
    /// There is a second processor that could do something meanwhile.
    possible: bool,
}

impl Spin {
    const BEST: u32 = 4;
    /// One time in this many is tried where it was in vain.
    const SELDOM: u32 = 32;

    fn on(processors: usize) -> Self {
        Self { luck: 1, passed: 0, possible: processors > 1 }
    }

    /// Looks until it is so, if that is soon. Other threads that want the processor get it meanwhile.
    fn until(&mut self, is_so: impl Fn() -> bool) {
        if !self.pays() {
            return;
        }
        let began = Instant::now();
        let in_time = loop {
            let seen = (0..LOOKS).any(|_| {
                std::hint::spin_loop();
                is_so()
            });
            if seen || began.elapsed() >= LONGEST {
                break seen;
            }
            thread::yield_now();
        };
        self.learn(in_time);
    }

    fn pays(&mut self) -> bool {
        self.passed += 1;
        self.possible && (self.luck > 0 || self.passed >= Self::SELDOM)
    }

    /// Waits of a run are short and long by turns, where a step is quick and the disk is not: one that was short makes up
    /// for two.
    fn learn(&mut self, in_time: bool) {
        self.passed = 0;
        self.luck = if in_time { (self.luck + 2).min(Self::BEST) } else { self.luck.saturating_sub(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::mpsc;

    #[test]
    fn a_wake_from_another_thread_is_seen_whenever_it_comes() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for pause in [0, 1, 20, 200, 5_000] {
            let (send, wakers) = mpsc::channel::<Waker>();
            let other = thread::spawn(move || {
                for waker in wakers {
                    thread::sleep(Duration::from_micros(pause));
                    waker.wake();
                }
            });
            let mut polls = 0;
            let asked = poll_fn(|task| {
                polls += 1;
                if polls > 20 {
                    return Poll::Ready(());
                }
                send.send(task.waker().clone()).unwrap();
                Poll::Pending
            });
            runtime.block_on(Spinning::new(asked, 2));
            drop(send);
            other.join().unwrap();
            assert_eq!(polls, 21);
        }
    }

    #[test]
    fn looking_in_vain_becomes_rare_and_luck_brings_it_back() {
        let tried = |odds: &mut Spin, in_time: bool| {
            let mut tried = 0;
            for _ in 0..Spin::SELDOM * 10 {
                if odds.pays() {
                    odds.learn(in_time);
                    tried += 1;
                }
            }
            tried
        };
        let mut odds = Spin::on(2);
        assert_eq!(tried(&mut odds, false), 1 + 9);
        assert!(tried(&mut odds, true) > Spin::SELDOM * 9);
        assert_eq!(tried(&mut Spin::on(1), true), 0);
    }
}
