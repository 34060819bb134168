//! How long the journal's thread waits for more before it commits.
//!
//! Runs that were told of a commit come back soon, mostly. Whoever commits for the first of them keeps all others waiting for
//! a sync of their own, and writes the pages that they share twice.

use super::queue::Queue;
use std::time::{Duration, Instant};

/// What the last commit says of the next.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Pace {
    /// How many were told.
    told: usize,
    /// How long it took.
    took: Duration,
}

impl Pace {
    /// Of so few it does not pay to wait for the others.
    const FEW: usize = 4;

    /// About what one more that is waited for costs. Where that is most of what a commit takes, nothing is won.
    const EACH: Duration = Duration::from_micros(20);

    /// How long nobody comes before those who are there are waited for no longer.
    const NAP: Duration = Duration::from_micros(50);

    /// Nobody waits longer for the others than this, nor longer than a commit takes.
    const LONGEST: Duration = Duration::from_millis(2);

    /// After a commit of which so many were told, and which took so long until then.
    pub(super) fn of(told: usize, took: Duration) -> Self {
        Self { told, took }
    }

    /// Waits for those whom the last commit let go on, as long as more of them come.
    pub(super) fn gather(&self, queue: &Queue) {
        let mut here = queue.awaited();
        let told = u32::try_from(self.told).unwrap_or(u32::MAX);
        if here == 0 || self.told < Self::FEW || Self::EACH.saturating_mul(told) > self.took {
            return;
        }
        let all = here + self.told;
        let limit = self.took.min(Self::LONGEST);
        let began = Instant::now();
        while here < all && began.elapsed() < limit && !queue.is_ended() {
            std::thread::sleep(Self::NAP);
            let before = std::mem::replace(&mut here, queue.awaited());
            if here <= before {
                return;
            }
        }
    }
}
