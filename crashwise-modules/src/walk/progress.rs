//! How far a walk is, without knowing how much there is: each folder shares its part of the whole out to what is in it.

use super::WalkTotals;
use crashwise_core::{ModuleContext, RelPath, Stats};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The part of the whole that a task stands for. All parts together are [`Share::ALL`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Share(u64);

impl Share {
    pub(super) const ALL: Self = Self(1 << 60);
    /// No part: of work that is done again.
    pub(super) const NONE: Self = Self(0);

    /// Divides it into equal parts; what does not divide goes to nobody.
    pub(super) fn divide(self, parts: usize) -> Self {
        Self(self.0 / (parts as u64).max(1))
    }

    pub(super) fn add_to(self, done: &AtomicU64) {
        done.fetch_add(self.0, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(super) struct Progress {
    started: Instant,
    pub(super) files: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) findings: AtomicU64,
    /// Milliseconds after the start at which the next event may go out.
    next: AtomicU64,
}

/// At most five events a second.
const INTERVAL: u64 = 200;

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            findings: AtomicU64::new(0),
            next: AtomicU64::new(INTERVAL),
        }
    }

    pub(super) fn totals(&self, cancelled: bool) -> WalkTotals {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (files, bytes, findings) = (count(&self.files), count(&self.bytes), count(&self.findings));
        WalkTotals { files, bytes, findings, cancelled }
    }

    /// Sends an event if the last one was long enough ago.
    pub(super) fn tick(&self, cx: &ModuleContext, done: &AtomicU64, current: &RelPath) {
        let elapsed = self.started.elapsed();
        let now = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let next = self.next.load(Ordering::Relaxed);
        if now >= next
            && self.next.compare_exchange(next, now + INTERVAL, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.send(cx, elapsed, percentage(done), current.as_str());
        }
    }

    /// Sends the last event.
    pub(super) fn finish(&self, cx: &ModuleContext, done: &AtomicU64, complete: bool) {
        let percentage = if complete { 100.0 } else { percentage(done) };
        self.send(cx, self.started.elapsed(), percentage, "");
    }

    fn send(&self, cx: &ModuleContext, elapsed: Duration, percentage: f64, current: &str) {
        cx.stats(Stats::ScanProgress {
            files_scanned: self.files.load(Ordering::Relaxed),
            vulnerabilities_found: self.findings.load(Ordering::Relaxed),
            scan_percentage: percentage,
            current_file: current.to_owned(),
            elapsed_time: elapsed.as_secs(),
        });
    }
}

fn percentage(done: &AtomicU64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    let part = done.load(Ordering::Relaxed) as f64 / Share::ALL.0 as f64;
    (part * 100.0).clamp(0.0, 100.0)
}
