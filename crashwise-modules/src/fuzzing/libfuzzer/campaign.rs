//! A target fuzzed for a while, by one process after the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crashwise_core::process::ProcessError;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::events::{CampaignEvent, Totals};
use super::relay::Relay;
use super::standing::{Shared, lock};
use super::target::{FlagsBy, Target};
use super::ticks::Ticks;
use super::turns::Turns;

/// One target, fuzzed for a while.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Campaign {
    /// What to run.
    pub target: Target,
    /// The same built without a sanitizer, many times as fast. Processes of both take turns over one corpus: what the fast one
    /// finds the other one runs too, and sees what only a sanitizer can see.
    pub native: Option<Target>,
    /// Where the corpus is kept and grows.
    pub corpus: PathBuf,
    /// Where processes work and artifacts are written.
    pub work: PathBuf,
    /// More inputs to begin with, only read.
    pub seeds: Vec<PathBuf>,
    /// A file of words.
    pub dictionary: Option<PathBuf>,
    /// Wall time.
    pub budget: Duration,
    /// How often [`CampaignEvent::Progress`] is told.
    pub every: Duration,
    /// Executions, all jobs together; `None` for no limit.
    pub executions: Option<u64>,
    /// Processes at once.
    pub jobs: usize,
    /// Longest input in bytes; `None` leaves it to libFuzzer.
    pub longest: Option<u64>,
    /// Seed of the first process; each later one adds one. 0 lets libFuzzer choose.
    pub seed: u32,
    /// Runs the inputs of the corpus and the seeds once and makes no others.
    pub replay: bool,
    /// Whether targets that understand it run on a small stack and get inputs with parts repeated many times, which finds
    /// recursion without bound in seconds. Turned off, here or by whoever shares it, when an input overflows that stack alone.
    pub small_stack: Arc<AtomicBool>,
}

impl Campaign {
    /// A campaign of one job and a minute.
    pub fn new(target: Target, corpus: impl Into<PathBuf>, work: impl Into<PathBuf>) -> Self {
        Self {
            target,
            native: None,
            corpus: corpus.into(),
            work: work.into(),
            seeds: Vec::new(),
            dictionary: None,
            budget: Duration::from_mins(1),
            every: Duration::from_secs(1),
            executions: None,
            jobs: 1,
            longest: None,
            seed: 0,
            replay: false,
            small_stack: Arc::default(),
        }
    }

    /// Sets the build without a sanitizer.
    #[must_use]
    pub fn with_native(mut self, native: Target) -> Self {
        self.native = Some(native);
        self
    }

    /// Sets the wall time.
    #[must_use]
    pub fn with_budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// Sets how often progress is told.
    #[must_use]
    pub fn with_every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// Limits the executions of all jobs together.
    #[must_use]
    pub fn with_executions(mut self, executions: u64) -> Self {
        self.executions = Some(executions);
        self
    }

    /// Sets the number of processes at once; at least one.
    #[must_use]
    pub fn with_jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs.max(1);
        self
    }

    /// Adds a directory of inputs to begin with.
    #[must_use]
    pub fn with_seeds(mut self, directory: impl Into<PathBuf>) -> Self {
        self.seeds.push(directory.into());
        self
    }

    /// Sets the file of words.
    #[must_use]
    pub fn with_dictionary(mut self, file: impl Into<PathBuf>) -> Self {
        self.dictionary = Some(file.into());
        self
    }

    /// Sets the seed of the first process.
    #[must_use]
    pub fn with_seed(mut self, seed: u32) -> Self {
        self.seed = seed;
        self
    }

    /// Fuzzes until the budget is used up or `cancel` is cancelled. Crashes do not end it.
    ///
    /// # Errors
    /// [`ProcessError`] if the target cannot be started at all. What it does once started is in the events and totals.
    pub async fn run(
        &self,
        cancel: &CancellationToken,
        events: &mpsc::Sender<CampaignEvent>,
    ) -> Result<Totals, ProcessError> {
        directory(&self.corpus)?;
        for job in 0..self.jobs {
            directory(&self.place(job))?;
        }
        let begin = Instant::now();
        let shared = Mutex::new(Shared {
            turns: self.turns(),
            running: vec![(0, 0, None); self.jobs],
            patience: self.patience(),
            ..Shared::default()
        });
        let ended = CancellationToken::new();
        let jobs = async {
            // Each is woken for what is its own: a tick wakes none of them.
            let jobs: FuturesUnordered<_> = (0..self.jobs)
                .map(|job| Relay { campaign: self, job, begin, shared: &shared, cancel, events })
                .map(|relay| async move { relay.run().await })
                .collect();
            let results: Vec<Result<(), ProcessError>> = jobs.collect().await;
            ended.cancel();
            results.into_iter().collect::<Result<Vec<()>, _>>()
        };
        let ticks = async {
            let (mut before, mut ticks) = ((0, begin), Ticks::new(self.every));
            let mut ended = std::pin::pin!(ended.cancelled());
            loop {
                tokio::select! {
                    () = &mut ended => break,
                    () = ticks.tick() => {}
                }
                let progress = lock(&shared).reckoned(begin, &mut before, &self.corpus);
                // A slow listener loses ticks, not crashes.
                let _ = events.try_send(CampaignEvent::Progress(progress));
            }
            before
        };
        let (result, mut before) = tokio::join!(jobs, ticks);
        result?;
        let mut shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.arrange(&mut shared.heat, false);
        (shared.last_line, shared.counted) = (None, None);
        let last = shared.reckoned(begin, &mut before, &self.corpus);
        let Shared { turns, cut_short, without_native, deaf, grew, .. } = shared;
        let deaf = deaf.iter().sum();
        let blind = !grew && self.target.flags == FlagsBy::Arguments;
        Ok(Totals { last, rounds: turns.begun(), deaf, blind, cut_short, without_native })
    }

    pub(super) fn place(&self, job: usize) -> PathBuf {
        self.work.join(format!("job-{job}"))
    }

    /// Seconds that an input may take at first. Whether one that takes longer hangs is seen when it is replayed, with all the
    /// time that it may take.
    fn patience(&self) -> u64 {
        if self.replay { self.target.patience } else { (self.target.patience / 4).max(1) }
    }

    /// How processes share the campaign. How soon libFuzzer finds a bug is a matter of luck with a long tail, so a campaign is of
    /// several: of each program every other one has short inputs only, and every fourth keeps inputs for what they compare. Those
    /// of the fast program that have short ones begin with nothing, for among few inputs it is soon the turn of each.
    fn turns(&self) -> Turns {
        let turns = Turns::new(self.budget, self.executions.filter(|_| !self.replay));
        let whole = self.replay || self.target.flags.is_variable();
        if whole { turns } else { turns.sliced(self.native.is_some()) }
    }
}

pub(super) fn directory(path: &Path) -> Result<(), ProcessError> {
    fs::create_dir_all(path).map_err(|source| ProcessError::Directory { path: path.to_owned(), source })
}
