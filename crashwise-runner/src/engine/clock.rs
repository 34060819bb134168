//! The time that runs see.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::Sleep;

/// The time that runs see: that of the system, moved by an offset which tests set.
///
/// Waits within a process go by the monotonic clock; the time of day decides only what is left of a wait after a restart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// Sets the clock, as somebody may do with that of the system.
    #[cfg(test)]
    pub(crate) fn jump_to(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        now.saturating_add_signed(self.offset_ms.load(Ordering::Relaxed))
    }
}

/// Milliseconds, as many as fit.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Completes at a moment; without one, never. The timer itself is large, and most waits have none.
pub(crate) fn at(moment: Option<Instant>) -> At {
    At(moment.map(|moment| Box::pin(tokio::time::sleep_until(moment.into()))))
}

/// What [`at`] gives.
pub(crate) struct At(Option<Pin<Box<Sleep>>>);

impl Future for At {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(task))
    }
}

/// The moment a while from now; none when it is too far off to be told.
pub(crate) fn after(time: Duration) -> Option<Instant> {
    // A wait of more than 30 years is for ever, and the timers of the runtime do not reach much further.
    if time > Duration::from_hours(30 * 365 * 24) { None } else { Instant::now().checked_add(time) }
}
