//! What a campaign tells.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcome::ArtifactKind;

/// What a campaign tells while it runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CampaignEvent {
    /// Once a second, unless [`Campaign::every`](super::Campaign::every) says otherwise.
    Progress(Progress),
    /// A process ended by a crash.
    Crash {
        /// What libFuzzer calls it; `None` if it wrote nothing.
        kind: Option<ArtifactKind>,
        /// The input, unless it was lost with the process.
        input: Option<Vec<u8>>,
        /// What the process printed.
        log: Vec<u8>,
        /// Executions of the campaign before it.
        executions: u64,
        /// Whether it was [`Campaign::native`](super::Campaign::native) that crashed.
        native: bool,
    },
}

/// Where a campaign stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// Inputs executed, between two lines of libFuzzer reckoned from its rate.
    pub executions: u64,
    /// Inputs per second over the last second.
    pub per_second: f64,
    /// Edges covered by the best job.
    pub edges: u64,
    /// Edges that there are; 0 if unknown.
    pub edges_total: u64,
    /// Features covered by the best job.
    pub features: u64,
    /// Inputs in the corpus.
    pub corpus: u64,
    /// Crashes, known ones too.
    pub crashes: u64,
    /// Since the begin.
    pub elapsed: Duration,
    /// Since the last line that libFuzzer printed: how far `executions` is reckoned.
    pub stale_for: Duration,
    /// Since coverage last grew.
    pub last_find: Duration,
    /// Percent of the edges that behave alike over runs of one input, where the fuzzer tells.
    pub stability: Option<f64>,
}

/// What a campaign did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Totals {
    /// Where it stood at the end; `executions` as libFuzzer counted them.
    pub last: Progress,
    /// Processes started.
    pub rounds: u64,
    /// Processes that did not end when they were told that their time was up, and were ended. What they found is kept.
    #[serde(default)]
    pub deaf: u64,
    /// Whether no input reached what the first had not, by the lines of libFuzzer: the target makes nothing of its input, has a
    /// process of its own run it, or is not instrumented where it runs.
    #[serde(default)]
    pub blind: bool,
    /// Why it ended before its time; `None` if it did not.
    pub cut_short: Option<String>,
    /// Why [`Campaign::native`](super::Campaign::native) was given up; `None` if it was not.
    pub without_native: Option<String>,
}
