use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crashwise_core::process::{ProcessError, Spec};
use crashwise_core::read_regular;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::heat::Heat;
use super::job::{self, Said};
use super::outcome::{ArtifactKind, Ending, tail};
use super::target::Target;
use super::ticks::Ticks;
use super::turns::{FRESH, Turn, Turns};

/// Rounds in a row that may end without an input beyond the corpus before a job gives up.
const FRUITLESS: u32 = 50;
/// The shortest time that a process gets.
const SHORTEST: Duration = Duration::from_secs(1);
/// Bytes of the inputs of every other process.
const SHORT: u64 = 64;
/// Flags of the in-process engine for [`Campaign::small_stack`].
const SMALL_STACK: [&str; 2] = ["-stack_kib=256", "-repeat=1"];

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

/// What a campaign tells while it runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CampaignEvent {
    /// Once a second, unless [`Campaign::every`] says otherwise.
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
        /// Whether it was [`Campaign::native`] that crashed.
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
    /// Why it ended before its time; `None` if it did not.
    pub cut_short: Option<String>,
    /// Why [`Campaign::native`] was given up; `None` if it was not.
    pub without_native: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    turns: Turns,
    /// Executions of the running process of each job as last said, its rate, and when.
    running: Vec<(u64, u64, Option<Instant>)>,
    progress: Progress,
    last_line: Option<Instant>,
    last_find: Option<Instant>,
    /// When the corpus was last counted, and had last changed then.
    counted: Option<(Instant, Option<SystemTime>)>,
    /// Seconds that one input may take before it is told of as a hang.
    patience: u64,
    heat: Heat,
    cut_short: Option<String>,
    without_native: Option<String>,
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
            let jobs = (0..self.jobs).map(|job| self.job(job, begin, &shared, cancel, events));
            let result = join_all(jobs).await;
            ended.cancel();
            result.into_iter().collect::<Result<Vec<()>, _>>()
        };
        let ticks = async {
            let (mut before, mut ticks) = ((0, begin), Ticks::new(self.every));
            loop {
                tokio::select! {
                    () = ended.cancelled() => break,
                    () = ticks.tick() => {}
                }
                let progress = reckoned(&mut lock(&shared), begin, &mut before, &self.corpus);
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
        let last = reckoned(&mut shared, begin, &mut before, &self.corpus);
        let Shared { turns, cut_short, without_native, .. } = shared;
        Ok(Totals { last, rounds: turns.begun(), cut_short, without_native })
    }

    async fn job(
        &self,
        job: usize,
        begin: Instant,
        shared: &Mutex<Shared>,
        cancel: &CancellationToken,
        events: &mpsc::Sender<CampaignEvent>,
    ) -> Result<(), ProcessError> {
        let until = begin + self.budget;
        let work = self.place(job);
        let mut fruitless = [0; 2];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left < Duration::from_millis(200) || cancel.is_cancelled() {
                return Ok(());
            }
            let next = self.next(&mut lock(shared));
            let Some((turn, patience)) = next else { return Ok(()) };
            let (started, slice) = (Instant::now(), left.min(turn.slice));
            let ends = job::is_told(&self.target, self.replay).then(|| started + slice.max(SHORTEST));
            let spec = self.spec(&work, slice, &turn, patience)?;
            let mut caught = Vec::new();
            let time = (ends, until + Duration::from_secs(2));
            let round = job::run(spec, time, cancel, |said| match said {
                Said::Caught { artifact, log } => {
                    let mut shared = lock(shared);
                    shared.progress.crashes += 1;
                    let crash = CampaignEvent::Crash {
                        kind: Some(ArtifactKind::Crash),
                        input: read(&artifact).ok(),
                        log,
                        executions: shared.turns.executed() + shared.running[job].0,
                        native: turn.native,
                    };
                    // A listener that is slow is waited for after the round.
                    if let Err(mpsc::error::TrySendError::Full(crash)) = events.try_send(crash) {
                        caught.push(crash);
                    }
                }
                said => listen(&mut lock(shared), job, &said),
            })
            .await?;
            self.gather(&work);
            for crash in caught {
                if events.send(crash).await.is_err() {
                    return Ok(());
                }
            }
            let spent = {
                let mut shared = lock(shared);
                shared.running[job] = (0, 0, None);
                shared.turns.ended(&turn, started.elapsed(), round.executions);
                shared.turns.executed()
            };
            let why = match round.ending {
                Ending::Done if self.replay && round.executions > 0 => return Ok(()),
                Ending::Done => {
                    lock(shared).heat.cool();
                    let idle = round.executions == 0 && !round.wound_down;
                    idle.then(|| "the target executed nothing".to_owned())
                }
                Ending::Stopped => return Ok(()),
                Ending::Unusable => {
                    let said = tail(&round.exit.stderr.text());
                    Some(format!("it did not fuzz ({}): {said}", round.exit.status))
                }
                Ending::Crashed | Ending::Memory => {
                    let log = [round.exit.stdout.bytes(), round.exit.stderr.bytes()].concat();
                    let kind = round.artifact.as_deref().and_then(ArtifactKind::of);
                    let fruitful = round.fuzzed && round.executions > 2;
                    lock(shared).note(kind, &log, fruitful, self.target.patience);
                    // An input that no handler wrote down may still lie where the process and this one share a file.
                    let input = round.artifact.as_ref().and_then(|path| read(path).ok());
                    let input = input.or_else(|| super::left::left_behind(&work));
                    let small = self.small_stack.load(Ordering::Relaxed);
                    let empty = !round.fuzzed && !small && input.as_deref().is_none_or(<[u8]>::is_empty);
                    if !round.fuzzed {
                        self.small_stack.store(false, Ordering::Relaxed);
                    }
                    let forgotten =
                        !round.fuzzed && input.as_ref().is_some_and(|input| self.forget(input, &turn));
                    let fruitless = &mut fruitless[usize::from(turn.native)];
                    *fruitless = if fruitful || forgotten { 0 } else { *fruitless + 1 };
                    let crash =
                        CampaignEvent::Crash { kind, input, log, executions: spent, native: turn.native };
                    if events.send(crash).await.is_err() {
                        return Ok(());
                    }
                    if empty {
                        Some("it crashes on the empty input".to_owned())
                    } else {
                        (*fruitless > FRUITLESS).then(|| "it crashes as soon as it starts".to_owned())
                    }
                }
            };
            if let Some(why) = why
                && lock(shared).give_up(&turn, why)
            {
                return Ok(());
            }
        }
    }

    /// Where one job works: two that find the same input would write the same artifact.
    fn place(&self, job: usize) -> PathBuf {
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

    /// The next process, and the seconds that one of its inputs may take; `None` when all executions are done.
    fn next(&self, shared: &mut Shared) -> Option<(Turn, u64)> {
        let mut turn = shared.turns.next(self.jobs)?;
        // With nothing at hand a bug that is easy to find is found again first.
        turn.fresh &= shared.heat.is_cool();
        self.arrange(&mut shared.heat, turn.own.is_multiple_of(2));
        Some((turn, shared.patience))
    }

    /// Leaves out inputs that known crashes are made of, or puts them back. Not in a folder of somebody else, from which they
    /// would be gone if this process were killed.
    fn arrange(&self, heat: &mut Heat, without: bool) {
        if !self.replay && self.corpus.parent() == self.work.parent() {
            // What cannot be moved is fuzzed like the rest.
            let _ = heat.arrange(&self.corpus, &self.work.join("left-out"), without);
        }
    }

    fn spec(&self, work: &Path, left: Duration, turn: &Turn, patience: u64) -> Result<Spec, ProcessError> {
        let mut flags: Vec<OsString> = vec![
            format!("-artifact_prefix={}/", work.display()).into(),
            "-print_final_stats=1".into(),
            format!("-reload={}", job::reload(self.jobs, &self.corpus)).into(),
        ];
        if !job::is_told(&self.target, self.replay) {
            let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            flags.push(format!("-max_total_time={seconds}").into());
        }
        if self.replay {
            flags.push("-runs=0".into());
        } else if let Some(runs) = turn.runs {
            flags.push(format!("-runs={runs}").into());
        }
        if self.seed != 0 {
            let number = u32::try_from(turn.number - 1).unwrap_or(u32::MAX);
            flags.push(format!("-seed={}", self.seed.wrapping_add(number).max(1)).into());
        }
        flags.push(format!("-timeout={patience}").into());
        let sliced = turn.slice < self.budget;
        if sliced && turn.own % 4 == 3 {
            flags.push("-use_value_profile=1".into());
        }
        let short = (sliced && turn.own.is_multiple_of(2)).then_some(SHORT);
        if let Some(longest) = self.longest.into_iter().chain(short).min() {
            flags.push(format!("-max_len={longest}").into());
        }
        if self.small_stack.load(Ordering::Relaxed) {
            flags.extend(SMALL_STACK.map(OsString::from));
        }
        let mut readable: Vec<&Path> = Vec::new();
        if let Some(dictionary) = &self.dictionary {
            flags.push(format!("-dict={}", dictionary.display()).into());
            readable.push(dictionary);
        }
        let target = self.native.as_ref().filter(|_| turn.native).unwrap_or(&self.target);
        if turn.fresh {
            let fresh = work.join(FRESH);
            flags.push(fresh.clone().into());
            directory(&fresh)?;
            return Ok(readable.into_iter().fold(target.spec(work, false, &flags), Spec::read));
        }
        flags.push(self.corpus.clone().into());
        let only = turn.native.then(|| self.native_only());
        for seeds in self.seeds.iter().chain(&only).filter(|seeds| seeds.is_dir()) {
            flags.push(seeds.into());
            readable.push(seeds);
        }
        let spec = target.spec(work, false, &flags).write(&self.corpus);
        Ok(readable.into_iter().fold(spec, Spec::read))
    }

    /// Puts what a process found by itself into the corpus, but what was taken out of it.
    fn gather(&self, work: &Path) {
        let only = self.native_only();
        for entry in fs::read_dir(work.join(FRESH)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let into = if only.join(&name).exists() { &only } else { &self.corpus };
            let _ = fs::rename(entry.path(), into.join(name));
        }
    }

    /// Inputs that the build without a sanitizer survives and the target does not.
    fn native_only(&self) -> PathBuf {
        self.work.join("native-only")
    }

    /// Takes an input out of the corpus that crashes when it is read: the process would never get further. Whether there was
    /// such an input. The build without a sanitizer keeps what it survives, else it would find the way there again.
    fn forget(&self, input: &[u8], turn: &Turn) -> bool {
        let only = self.native_only();
        let keep = self.native.is_some() && !turn.native && fs::create_dir_all(&only).is_ok();
        let mut found = false;
        for folder in [&self.corpus, &only].into_iter().take(if turn.native { 2 } else { 1 }) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let same =
                    entry.metadata().is_ok_and(|data| data.is_file() && data.len() == input.len() as u64)
                        && read(&entry.path()).is_ok_and(|bytes| bytes == input);
                if same {
                    let kept = keep && fs::rename(entry.path(), only.join(entry.file_name())).is_ok();
                    found |= kept || fs::remove_file(entry.path()).is_ok();
                }
            }
        }
        found
    }
}

impl Shared {
    fn note(&mut self, kind: Option<ArtifactKind>, log: &[u8], fruitful: bool, longest: u64) {
        self.progress.crashes += 1;
        if kind == Some(ArtifactKind::Timeout) {
            // The next hang need not take as long to be noticed, unless all inputs of a target do.
            self.patience =
                if fruitful { (self.patience / 2).max(1) } else { (self.patience * 2).min(longest) };
        }
        self.heat.note(kind, log);
    }

    /// Ends the campaign, or leaves it to the target alone if it is the other program that is of no use. True if it ends.
    fn give_up(&mut self, turn: &Turn, why: String) -> bool {
        if turn.native {
            self.turns.give_up_native();
            self.without_native = Some(why);
        } else {
            self.cut_short = Some(why);
        }
        !turn.native
    }
}

fn directory(path: &Path) -> Result<(), ProcessError> {
    fs::create_dir_all(path).map_err(|source| ProcessError::Directory { path: path.to_owned(), source })
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // The target may have written anything there.
    read_regular(path, 64 << 20)
}

fn listen(shared: &mut Shared, job: usize, said: &Said) {
    let now = Instant::now();
    match said {
        Said::Caught { .. } => {}
        Said::Counters(count) => shared.progress.edges_total = shared.progress.edges_total.max(*count),
        Said::Status(status) => {
            shared.running[job] = (status.executions, status.per_second, Some(now));
            shared.last_line = Some(now);
            let progress = &mut shared.progress;
            if status.features > progress.features || status.edges > progress.edges {
                shared.last_find = Some(now);
            }
            progress.edges = progress.edges.max(status.edges);
            progress.features = progress.features.max(status.features);
        }
    }
}

/// Where the campaign stands now. libFuzzer prints a sign of life at powers of two only, so between two lines the
/// executions are reckoned from the rate that the last one gave.
fn reckoned(shared: &mut Shared, begin: Instant, before: &mut (u64, Instant), corpus: &Path) -> Progress {
    let now = Instant::now();
    let running: u64 = shared
        .running
        .iter()
        .map(|(executions, rate, at)| {
            let since = at.map_or(0, |at| now.saturating_duration_since(at).as_millis());
            executions + u64::try_from(u128::from(*rate) * since / 1000).unwrap_or(0)
        })
        .sum();
    let executions = if shared.last_line.is_some() {
        (shared.turns.executed() + running).max(before.0)
    } else {
        shared.turns.executed() + running
    };
    let seconds = now.saturating_duration_since(before.1).as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    if seconds > 0.2 {
        shared.progress.per_second = executions.saturating_sub(before.0) as f64 / seconds;
    }
    *before = (executions, now);
    shared.progress.executions = executions;
    shared.progress.elapsed = now.saturating_duration_since(begin);
    let since = |at: Option<Instant>| now.saturating_duration_since(at.unwrap_or(begin));
    shared.progress.stale_for = since(shared.last_line);
    shared.progress.last_find = since(shared.last_find);
    let old = |(at, _): &(Instant, _)| now.saturating_duration_since(*at) >= Duration::from_secs(1);
    if shared.counted.as_ref().is_none_or(old) {
        let changed = fs::metadata(corpus).and_then(|data| data.modified()).ok();
        if changed.is_none() || shared.counted.is_none_or(|(_, before)| before != changed) {
            shared.progress.corpus = fs::read_dir(corpus).map_or(0, |entries| entries.count() as u64);
            shared.progress.corpus += shared.heat.left_out;
        }
        shared.counted = Some((now, changed));
    }
    shared.progress
}
