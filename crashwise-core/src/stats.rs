//! Live statistics: one callback over one event enum, delivered so that a slow or panicking callback costs a run nothing.

use crate::RunId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

/// A snapshot of what a step is doing. `stats_type` on the wire names the kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "stats_type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stats {
    /// A fuzzing campaign.
    FuzzingLiveUpdate {
        /// Inputs executed.
        executions: u64,
        /// Inputs per second of wall time, over the last interval.
        executions_per_sec: f64,
        /// Crashes seen.
        crashes: u64,
        /// Crashes with different stacks.
        unique_crashes: u64,
        /// Inputs in the corpus.
        corpus_size: u64,
        /// Share of known edges reached, in percent; absent when the engine cannot tell.
        coverage: Option<f64>,
        /// Seconds since the campaign began.
        elapsed_time: u64,
        /// Further values of the engine: `edges`, `features`, `stability`, `last_find`, `target`.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        details: BTreeMap<String, serde_json::Value>,
    },
    /// A scan over files.
    ScanProgress {
        /// Files looked at.
        files_scanned: u64,
        /// Findings so far.
        vulnerabilities_found: u64,
        /// 0 to 100.
        scan_percentage: f64,
        /// The file at hand, relative to the workspace.
        current_file: String,
        /// Seconds since the scan began.
        elapsed_time: u64,
    },
    /// An analysis over functions or packages.
    AnalysisUpdate {
        /// Functions or packages looked at.
        functions_analyzed: u64,
        /// Findings so far.
        issues_found: u64,
        /// The analysis' own measure.
        complexity_score: f64,
        /// The unit at hand.
        current_module: String,
        /// Seconds since the analysis began.
        elapsed_time: u64,
    },
    /// Anything else.
    LiveStats {
        /// 0 to 100.
        progress: f64,
        /// Items done.
        items_processed: u64,
        /// Items that failed.
        errors: u64,
        /// Seconds since the step began.
        elapsed_time: u64,
        /// When, in RFC 3339.
        timestamp: String,
        /// Fields of the module's own.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        custom: BTreeMap<String, serde_json::Value>,
    },
}

/// Statistics with where they come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatsEvent {
    /// The run.
    pub run_id: RunId,
    /// The workflow's name.
    pub workflow_type: String,
    /// The step's key.
    pub step: String,
    /// The snapshot.
    pub stats: Stats,
}

/// Receives live statistics. A closure is one, a pair of two is one.
///
/// Delivery is lossy: when a callback is slower than the events, the oldest waiting ones are given up.
pub trait StatsCallback: Send + Sync {
    /// One event. Called on a thread of its own, one event at a time, unless the feed is a [`StatsFeed::direct`] one.
    fn on_stats(&self, event: &StatsEvent);
}

impl<F: Fn(&StatsEvent) + Send + Sync> StatsCallback for F {
    fn on_stats(&self, event: &StatsEvent) {
        self(event);
    }
}

impl<A: StatsCallback, B: StatsCallback> StatsCallback for (A, B) {
    fn on_stats(&self, event: &StatsEvent) {
        self.0.on_stats(event);
        self.1.on_stats(event);
    }
}

impl StatsCallback for Arc<dyn StatsCallback> {
    fn on_stats(&self, event: &StatsEvent) {
        (**self).on_stats(event);
    }
}

/// Hands events to a callback and never waits for a slow one.
#[derive(Debug, Clone)]
pub struct StatsFeed {
    to: Destination,
    lost: Arc<AtomicU64>,
}

#[derive(Clone)]
enum Destination {
    Nowhere,
    /// The thread that pushes calls.
    Here(Arc<dyn StatsCallback>),
    /// A thread of the feed's own calls.
    Thread(mpsc::SyncSender<Message>),
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "Nowhere",
            Self::Here(_) => "Here",
            Self::Thread(_) => "Thread",
        })
    }
}

#[derive(Debug)]
enum Message {
    Event(Box<StatsEvent>),
    Flush(mpsc::Sender<()>),
}

/// A panic of the callback is its own affair: the run goes on, the next event is delivered.
fn deliver(callback: &dyn StatsCallback, event: &StatsEvent) {
    drop(catch_unwind(AssertUnwindSafe(|| callback.on_stats(event))));
}

impl StatsFeed {
    /// How many events wait for a slow callback before new ones are given up.
    pub const CAPACITY: usize = 256;

    /// A feed that goes nowhere.
    pub fn none() -> Self {
        Self::to(Destination::Nowhere)
    }

    /// A feed for a callback that only takes a note: it is called where the event is pushed, which takes no thread.
    pub fn direct(callback: impl StatsCallback + 'static) -> Self {
        Self::to(Destination::Here(Arc::new(callback)))
    }

    /// Starts the thread that calls `callback`; it ends when the last clone of the feed is dropped.
    pub fn new(callback: impl StatsCallback + 'static) -> std::io::Result<Self> {
        let (queue, events) = mpsc::sync_channel::<Message>(Self::CAPACITY);
        std::thread::Builder::new().name("crashwise-stats".into()).spawn(move || {
            for message in events {
                match message {
                    Message::Event(event) => deliver(&callback, &event),
                    Message::Flush(done) => drop(done.send(())),
                }
            }
        })?;
        Ok(Self::to(Destination::Thread(queue)))
    }

    fn to(to: Destination) -> Self {
        Self { to, lost: Arc::default() }
    }

    /// Queues an event; gives it up when the queue is full.
    pub fn push(&self, event: StatsEvent) {
        match &self.to {
            Destination::Nowhere => {}
            Destination::Here(callback) => deliver(&**callback, &event),
            Destination::Thread(queue) => {
                if queue.try_send(Message::Event(Box::new(event))).is_err() {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Waits until all queued events are delivered, at most `limit`.
    pub fn flush(&self, limit: std::time::Duration) {
        let (done, waiting) = mpsc::channel();
        if let Destination::Thread(queue) = &self.to
            && queue.try_send(Message::Flush(done)).is_ok()
        {
            let _ = waiting.recv_timeout(limit);
        }
    }

    /// How many events were given up.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn event(files: u64) -> StatsEvent {
        StatsEvent {
            run_id: RunId::new("run-00000001").unwrap(),
            workflow_type: "security_assessment".into(),
            step: "scan".into(),
            stats: Stats::ScanProgress {
                files_scanned: files,
                vulnerabilities_found: 3,
                scan_percentage: 65.2,
                current_file: "a.js".into(),
                elapsed_time: 45,
            },
        }
    }

    #[test]
    fn wire_names() {
        let json = serde_json::to_value(event(150)).unwrap();
        assert_eq!(json["workflow_type"], "security_assessment");
        assert_eq!(json["stats"]["stats_type"], "scan_progress");
        assert_eq!(json["stats"]["vulnerabilities_found"], 3);
    }

    #[test]
    fn a_slow_or_panicking_callback_costs_nothing() {
        let (seen, events) = mpsc::channel();
        let slow = move |event: &StatsEvent| {
            let _ = seen.send(event.clone());
            std::thread::sleep(Duration::from_millis(20));
        };
        let panicking = |_: &StatsEvent| std::panic::panic_any("callback failed");
        let feed = StatsFeed::new((slow, panicking)).unwrap();
        let start = Instant::now();
        for n in 0..10_000 {
            feed.push(event(n));
        }
        assert!(start.elapsed() < Duration::from_secs(1));
        assert!(feed.lost() > 9_000);
        let first = events.recv_timeout(Duration::from_secs(5)).unwrap();
        let second = events.recv_timeout(Duration::from_secs(5)).unwrap();
        assert_eq!((first, second), (event(0), event(1)), "the panic did not end delivery");
    }

    #[test]
    fn a_direct_feed_calls_at_once_and_survives_a_panic() {
        let (seen, events) = mpsc::channel();
        let feed = StatsFeed::direct((
            move |event: &StatsEvent| drop(seen.send((event.clone(), std::thread::current().id()))),
            |_: &StatsEvent| std::panic::panic_any("callback failed"),
        ));
        for n in 0..2 {
            feed.push(event(n));
            assert_eq!(events.try_recv().unwrap(), (event(n), std::thread::current().id()));
        }
        assert_eq!(feed.lost(), 0);
    }
}
