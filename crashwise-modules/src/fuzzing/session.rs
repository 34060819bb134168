//! What the fuzzing modules have in common: targets share a budget, corpora are loaded and kept, crashes judged, and live
//! statistics go out once a second.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crashwise_core::process::ProcessError;
use crashwise_core::{
    CancellationToken, Gap, GapReason, ModuleContext, ModuleError, RelPath, Stats, Summary, TemporaryFolder,
    ToolMissing, nearest, read_regular,
};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::afl::{AflCampaign, AflTarget};
use super::cargo::guarded;
use super::config::Options;
use super::corpora::Kept;
use super::coverage::{Counted, Reached};
use super::end::End;
use super::judge::{Seen, Witness, Witnesses};
use super::kin::Kin;
use super::libfuzzer::{
    ArtifactKind, Campaign, CampaignEvent, FlagsBy, Merge, Nesting, Progress, Replay, Target, Totals,
};
use super::triage::{Known, Scope, StackHash, signature};

/// How often new inputs are kept: what a kill costs at most.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// After how many overflows of the small stack that do not overflow the default one it is given up.
const HARMLESS: u32 = 3;

/// A target that is ready to run.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub(super) target: Target,
    /// The fuzzer, for evidence.
    pub(super) engine: &'static str,
    pub(super) seeds: Vec<PathBuf>,
    /// Where the corpus lies while it is fuzzed; among the files of the session without.
    pub(super) corpus: Option<PathBuf>,
    /// Whether recursion without bound is looked for on a small stack.
    pub(super) recursion: bool,
    pub(super) dictionary: Option<PathBuf>,
    /// What replays an input, typed at the project's root; the input's path stands for `@@`, or follows.
    pub(super) command: String,
    /// Of a program without a sanitizer, the variable by which the command starts it through another one, that limits it.
    pub(super) runner: Option<String>,
    /// The same built without a sanitizer, which takes turns with it.
    pub(super) native: Option<Native>,
    /// Where relative paths of its stacks may start, below the workspace.
    pub(super) base: String,
    /// Where crashes are whose stacks lead nowhere in the workspace.
    pub(super) place: Option<RelPath>,
    /// The arguments under AFL++, for a target that it drives.
    pub(super) afl: Option<Vec<String>>,
    /// The build that counts the lines which the corpus reaches.
    pub(super) counted: Option<Counted>,
}

/// A build of a target without a sanitizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Native {
    pub(super) program: PathBuf,
    /// As [`Ready::command`].
    pub(super) command: String,
    /// As [`Ready::runner`].
    pub(super) runner: String,
}

impl Ready {
    /// The build without a sanitizer, if there is one, confined as the target is.
    fn native(&self) -> Option<Target> {
        let program = self.native.as_ref()?.program.clone();
        // It looks for no leaks.
        Some(guarded(Target { program, leaks: false, traced: false, ..self.target.clone() }))
    }

    /// The target as AFL++ runs it, if it does.
    pub(super) fn afl(&self) -> Option<AflTarget> {
        let args = self.afl.clone()?;
        Some(AflTarget { target: self.target.clone(), args })
    }

    /// A target without anything beside it.
    pub(super) fn new(target: Target, engine: &'static str, command: String) -> Self {
        Self {
            target,
            engine,
            seeds: Vec::new(),
            corpus: None,
            recursion: false,
            dictionary: None,
            command,
            runner: None,
            native: None,
            base: String::new(),
            place: None,
            afl: None,
            counted: None,
        }
    }
}

pub(super) struct Session<'a> {
    pub(super) cx: &'a ModuleContext,
    pub(super) options: Options,
    pub(super) scope: Scope,
    work: PathBuf,
    begin: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) known: Known,
    pub(super) kin: Kin,
    /// Target, whether its build without a sanitizer crashed, and how.
    seen: BTreeSet<(String, bool, Option<StackHash>)>,
    progress: BTreeMap<String, Progress>,
    told: Option<Instant>,
    /// Target, kind and message of what was reported.
    pub(super) told_of: BTreeSet<(String, String, String)>,
    pub(super) reported: u64,
    /// Known crashes that were replayed, and those of them that still happen.
    pub(super) replayed: u64,
    pub(super) recurring: u64,
    /// Known crashes that no longer happen.
    pub(super) fixed: Vec<String>,
    reached: Option<Reached>,
    /// Why a target ended early.
    why: Option<String>,
}

/// Fuzzes `ready` within the budget of `options`, working in `work`.
///
/// # Errors
/// [`ModuleError`] if nothing was executed at all: that is no clean result.
pub(super) async fn fuzz(
    cx: &ModuleContext,
    ready: Vec<Ready>,
    options: Options,
    work: PathBuf,
) -> Result<Summary, ModuleError> {
    let roots = options.sources.iter().cloned().chain([root(cx)]);
    let scope = roots.fold(Scope::new(), |scope, root| scope.with_root(root.to_string_lossy().into_owned()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let at_once = (cores / options.jobs.max(1)).clamp(1, ready.len().max(1));
    let session = Session { cx, options, scope, work, begin: Instant::now(), state: Mutex::default() };
    let count = ready.len();
    let outcomes: Vec<Result<(), ModuleError>> = futures::stream::iter(ready)
        .enumerate()
        .map(|(index, ready)| {
            let session = &session;
            async move { session.target(ready, session.share(count - index, at_once)).await }
        })
        .buffer_unordered(at_once)
        .collect()
        .await;
    session.tell(true);
    let failures: Vec<ModuleError> = outcomes.into_iter().filter_map(Result::err).collect();
    let mut state = session.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let total = |value: fn(&Progress) -> u64| state.progress.values().map(value).sum::<u64>();
    let executions = total(|progress| progress.executions) + state.replayed;
    if executions == 0 && state.reported == 0 && !cx.is_cancelled() {
        return Err(failures.into_iter().next().unwrap_or_else(|| {
            let why = state.why.unwrap_or_else(|| "no target says why".into());
            ModuleError::failed(format!("nothing was executed, so nothing can be said about crashes: {why}"))
        }));
    }
    if failures.len() == count
        && let Some(failure) = failures.into_iter().next()
    {
        return Err(failure);
    }
    cx.covered("executions", executions);
    state.fixed.sort();
    Ok(Summary::new()
        .with("total_executions", executions)
        .with("crashes_found", state.known.unique() as u64)
        .with("total_crashes", total(|progress| progress.crashes))
        .with("known_crashes", state.recurring)
        .with("fixed_crashes", state.fixed.len() as u64)
        .with("fixed", std::mem::take(&mut state.fixed))
        .with("corpus_size", total(|progress| progress.corpus))
        .with("coverage", percent(&state.progress))
        .with("edges", total(|progress| progress.edges))
        .with("lines", state.reached.map(|reached| reached.lines))
        .with("lines_total", state.reached.map(|reached| reached.lines_total))
        .with("functions", state.reached.map(|reached| reached.functions))
        .with("functions_total", state.reached.map(|reached| reached.functions_total))
        .with("targets", count as u64)
        .with("execution_time", session.begin.elapsed().as_secs()))
}

impl Session<'_> {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the time to fuzz is up.
    pub(super) fn end(&self) -> Instant {
        self.begin + self.options.budget
    }

    /// Where the files of a target are.
    pub(super) fn place(&self, ready: &Ready) -> PathBuf {
        self.work.join(format!("fuzz-{}", ready.target.name))
    }

    /// What a target gets of the time that is left, when `waiting` ones, itself among them, have not begun.
    fn share(&self, waiting: usize, at_once: usize) -> Duration {
        let shares = u32::try_from(waiting.div_ceil(at_once)).unwrap_or(u32::MAX).max(1);
        self.options.budget.saturating_sub(self.begin.elapsed()) / shares
    }

    async fn target(&self, mut ready: Ready, share: Duration) -> Result<(), ModuleError> {
        let begin = Instant::now();
        let name = ready.target.name.clone();
        let place = self.place(&ready);
        let corpus = ready.corpus.clone().unwrap_or_else(|| place.join("corpus"));
        let kept = Kept::of(self.cx, &self.options, &name);
        let loaded = kept.load(&corpus).await;
        let (seeds, into) = (ready.seeds.clone(), corpus.clone());
        self.cx.blocking(move |_| sow(&seeds, &into)).await;
        self.probe_leaks(&mut ready).await?;
        let witnesses = self.witnesses(&ready);
        let part = if self.options.replay { share } else { share / 4 };
        self.known(&ready, &witnesses, &kept, part).await?;
        let left = share.saturating_sub(begin.elapsed()).max(Duration::from_secs(1));
        let nesting = self.time_for_nesting(&ready, left);
        let mut campaign = Campaign::new(ready.target.clone(), &corpus, place.join("work"))
            .with_budget(left.saturating_sub(nesting))
            .with_jobs(if self.options.replay { 1 } else { self.options.jobs })
            .with_seed(self.options.seed);
        campaign.executions = self.options.executions;
        campaign.replay = self.options.replay;
        campaign.native = ready.native().filter(|_| !self.options.replay);
        let recursion = ready.recursion && ready.target.flags.is_variable() && !self.options.replay;
        campaign.small_stack.store(recursion, Ordering::Relaxed);
        let small_stack = Arc::clone(&campaign.small_stack);
        campaign.dictionary.clone_from(&ready.dictionary);
        let (sender, mut events) = mpsc::channel(64);
        let ended = CancellationToken::new();
        let run = async {
            let totals = self.drive(&ready, &campaign, &sender).await;
            let nested = self.nest(&ready, &campaign, nesting, &sender).await;
            drop(sender);
            ended.cancel();
            totals.and_then(|totals| nested.map(|()| totals))
        };
        // Crashes are looked at beside, one after the other, so that statistics go on; only new ones are queued.
        let (queue, mut fresh) = mpsc::unbounded_channel();
        let listen = async {
            while let Some(event) = events.recv().await {
                match event {
                    CampaignEvent::Progress(progress) => {
                        self.state().progress.insert(name.clone(), progress);
                        self.tell(false);
                    }
                    CampaignEvent::Crash { kind, input, log, executions, native } => {
                        if self.state().seen.insert((name.clone(), native, signature(&log))) {
                            let _ = queue.send(Seen { kind, input, log, executions, native });
                        }
                    }
                }
            }
            drop(queue);
        };
        let look = async {
            let mut harmless = 0;
            while let Some(seen) = fresh.recv().await {
                if !self.crash(&ready, &witnesses, &kept, seen).await? {
                    harmless += 1;
                    if harmless == HARMLESS {
                        small_stack.store(false, Ordering::Relaxed);
                    }
                }
            }
            Ok::<(), ModuleError>(())
        };
        let (totals, (), looked, ()) =
            tokio::join!(run, listen, look, self.save_until(&ended, &kept, &corpus));
        let grew = kept.finish(&corpus, loaded).await;
        self.conclude(&name, totals)?;
        looked?;
        self.count(&ready, &corpus).await;
        if !self.cx.is_cancelled() && (grew || self.options.minimise_corpus || kept.is_scattered().await) {
            let minimise = (grew && !self.options.replay) || self.options.minimise_corpus;
            let time = (share / 5).clamp(Duration::from_secs(10), Duration::from_mins(5));
            self.rewrite(&ready, &kept, &place, minimise.then_some(time)).await;
        }
        Ok(())
    }

    /// Reports which lines the corpus reaches; why it cannot is a gap.
    async fn count(&self, ready: &Ready, corpus: &Path) {
        let Some(counted) = &ready.counted else { return };
        if self.cx.is_cancelled() {
            return;
        }
        let work = self.place(ready).join("coverage");
        match counted.report(self.cx, corpus, &work, &root(self.cx)).await {
            Ok(reached) => {
                let sum = self.state().reached.unwrap_or_default().and(reached);
                self.state().reached = Some(sum);
            }
            Err(why) => {
                let what = format!("coverage of {}", ready.target.name);
                self.cx.not_covered(Gap::new(what, GapReason::Failed, why));
            }
        }
    }

    /// What crashes are replayed by: the target, then its build without a sanitizer.
    fn witnesses(&self, ready: &Ready) -> Witnesses {
        let replay = self.replay(ready, "replay");
        let native =
            ready.native.as_ref().zip(ready.native()).map(|(Native { command, runner, .. }, target)| {
                let replay = Replay::new(target, self.place(ready).join("replay-native"), self.scope.clone());
                let (command, runner) = (command.clone(), Some(runner.clone()));
                Witness { replay, command, runner, native: true }
            });
        let (command, runner) = (ready.command.clone(), ready.runner.clone());
        Witnesses { target: Witness { replay, command, runner, native: false }, native }
    }

    fn replay(&self, ready: &Ready, folder: &str) -> Replay {
        Replay::new(ready.target.clone(), self.place(ready).join(folder), self.scope.clone())
    }

    /// Finds out how the search for leaks works, and turns it off where it ends each process.
    async fn probe_leaks(&self, ready: &mut Ready) -> Result<(), ModuleError> {
        if !ready.target.leaks || ready.target.flags != FlagsBy::Arguments {
            return Ok(());
        }
        for traced in [false, true] {
            ready.target.traced = traced;
            let works = self.replay(ready, "replay").finds_leaks(self.cx.cancel_token()).await;
            if works.map_err(module_error)? {
                return Ok(());
            }
        }
        (ready.target.traced, ready.target.leaks) = (false, false);
        let why = "its LeakSanitizer does not work in the sandbox; with `sandbox: limits` it may";
        let what = format!("leaks of {}", ready.target.name);
        self.cx.not_covered(Gap::new(what, GapReason::Unsupported, why));
        Ok(())
    }

    /// Runs the campaign, by libFuzzer or what speaks like it, or by AFL++.
    async fn drive(
        &self,
        ready: &Ready,
        campaign: &Campaign,
        events: &mpsc::Sender<CampaignEvent>,
    ) -> Result<Totals, ProcessError> {
        let cancel = self.cx.cancel_token();
        let Some(target) = ready.afl() else { return campaign.run(cancel, events).await };
        let afl = AflCampaign {
            target: &target,
            // Crashes are judged beside the campaign, so each has a folder of its own to replay in.
            replay: &self.replay(ready, "replay-quick"),
            corpus: &campaign.corpus,
            work: campaign.work.clone(),
            dictionary: campaign.dictionary.as_deref(),
            budget: campaign.budget,
            executions: campaign.executions,
            jobs: campaign.jobs,
            seed: campaign.seed,
        };
        if self.options.replay { afl.replay(cancel, events).await } else { afl.run(cancel, events).await }
    }

    /// How much of `left` is for recursion without bound in a target that does not look for it itself.
    fn time_for_nesting(&self, ready: &Ready, left: Duration) -> Duration {
        if !ready.recursion || ready.target.flags != FlagsBy::Arguments || self.options.replay {
            return Duration::ZERO;
        }
        (left / 10).min(Duration::from_mins(1))
    }

    /// Looks for recursion without bound in what the campaign has found.
    async fn nest(
        &self,
        ready: &Ready,
        campaign: &Campaign,
        budget: Duration,
        events: &mpsc::Sender<CampaignEvent>,
    ) -> Result<(), ProcessError> {
        if budget.is_zero() {
            return Ok(());
        }
        let nesting = Nesting {
            target: &ready.target,
            corpus: &campaign.corpus,
            work: self.place(ready).join("nesting"),
            seed: self.options.seed.into(),
        };
        for killer in nesting.search(budget, self.cx.cancel_token()).await? {
            let crash = CampaignEvent::Crash {
                kind: Some(ArtifactKind::Crash),
                input: Some(killer.input),
                log: killer.log,
                executions: self.state().progress.get(&ready.target.name).map_or(0, |told| told.executions),
                native: false,
            };
            if events.send(crash).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn save_until(&self, ended: &CancellationToken, kept: &Kept<'_>, corpus: &Path) {
        loop {
            tokio::select! {
                () = ended.cancelled() => break,
                // Who is cancelled is left behind soon.
                () = self.cx.cancelled() => {
                    let _ = kept.save(corpus).await;
                    break;
                }
                () = tokio::time::sleep(SAVE_EVERY) => drop(kept.save(corpus).await),
            }
        }
    }

    fn conclude(&self, name: &str, totals: Result<Totals, ProcessError>) -> Result<(), ModuleError> {
        let totals = totals.map_err(|error| {
            self.cx.not_covered(Gap::new(name, GapReason::Failed, error.to_string()));
            module_error(error)
        })?;
        self.state().progress.insert(name.to_owned(), totals.last);
        let end = End { name, totals: &totals, whole: !self.cx.is_cancelled() && !self.options.replay };
        if let Some(why) = end.useless() {
            self.state().why.get_or_insert_with(|| format!("{name}: {why}"));
        }
        let gaps = end.gaps(self.options.executions);
        if !gaps.iter().any(|gap| gap.what == name) {
            self.cx.covered("targets", 1);
        }
        for gap in gaps {
            self.cx.not_covered(gap);
        }
        Ok(())
    }

    /// Puts the kept corpus into one piece, without the inputs that add nothing if there is a time for that.
    async fn rewrite(&self, ready: &Ready, kept: &Kept<'_>, place: &Path, time: Option<Duration>) {
        let (all, small) = (place.join("all"), place.join("small"));
        let choose = async || {
            let Some(time) = time else { return all.as_path() };
            let cancel = self.cx.cancel_token();
            if let Some(afl) = ready.afl() {
                let fewer = afl.cmin((&all, &small), &place.join("merge"), time, cancel).await;
                return if let Ok(true) = fewer { small.as_path() } else { all.as_path() };
            }
            let merge = Merge::new(ready.target.clone(), place.join("merge")).with_budget(time);
            match merge.run(&all, &small, cancel).await {
                Ok(true) => small.as_path(),
                _ => all.as_path(),
            }
        };
        kept.rewrite(&all, choose).await;
    }

    /// Passes statistics of all targets on, at most once a second unless it is the last time.
    fn tell(&self, last: bool) {
        let mut state = self.state();
        let now = Instant::now();
        if !last
            && state.told.is_some_and(|told| now.saturating_duration_since(told) < Duration::from_millis(900))
        {
            return;
        }
        state.told = Some(now);
        let all = || state.progress.values();
        let mut details = BTreeMap::new();
        details.insert("edges".to_owned(), all().map(|progress| progress.edges).sum::<u64>().into());
        details.insert("features".to_owned(), all().map(|progress| progress.features).sum::<u64>().into());
        let seconds = |value: fn(&Progress) -> Duration| all().map(value).min().unwrap_or_default().as_secs();
        details.insert("last_find".to_owned(), seconds(|progress| progress.last_find).into());
        details.insert("stale_for".to_owned(), seconds(|progress| progress.stale_for).into());
        if let Some(stability) = all().filter_map(|progress| progress.stability).reduce(f64::min) {
            details.insert("stability".to_owned(), stability.into());
        }
        details.insert("targets".to_owned(), state.progress.keys().cloned().collect::<Vec<_>>().into());
        self.cx.stats(Stats::FuzzingLiveUpdate {
            executions: all().map(|progress| progress.executions).sum(),
            executions_per_sec: all().map(|progress| progress.per_second).sum(),
            crashes: all().map(|progress| progress.crashes).sum(),
            unique_crashes: state.known.unique() as u64,
            corpus_size: all().map(|progress| progress.corpus).sum(),
            coverage: percent(&state.progress),
            elapsed_time: self.begin.elapsed().as_secs(),
            details,
        });
    }
}

/// The share of edges reached, where the target knows how many there are.
fn percent(progress: &BTreeMap<String, Progress>) -> Option<f64> {
    let total: u64 = progress.values().map(|progress| progress.edges_total).sum();
    let edges: u64 = progress.values().map(|progress| progress.edges).sum();
    #[allow(clippy::cast_precision_loss, reason = "a percentage for people")]
    (total > 0).then(|| edges as f64 * 100.0 / total as f64)
}

/// A process that did not start, as a module's error.
pub(super) fn module_error(error: ProcessError) -> ModuleError {
    match error {
        ProcessError::ToolMissing { tool, hint } => ToolMissing { program: tool, hint }.into(),
        error if error.is_retryable() => ModuleError::transient("starting a process failed", error),
        error => ModuleError::failed_to("starting a process failed", error),
    }
}

/// The workspace's root as processes in other directories need it.
pub(super) fn root(cx: &ModuleContext) -> PathBuf {
    let root = cx.workspace().root();
    std::path::absolute(root).unwrap_or_else(|_| root.to_owned())
}

/// `path` as a place in the workspace, if it is a file there.
pub(super) fn place(cx: &ModuleContext, path: &Path) -> Option<RelPath> {
    RelPath::below(&root(cx), path).ok().filter(|_| path.is_file())
}

/// `, did you mean "parse.c"?`, if one of the files is named nearly so.
pub(super) fn did_you_mean(name: &str, root: &Path, files: &[PathBuf]) -> String {
    let files: Vec<RelPath> = files.iter().filter_map(|path| RelPath::below(root, path).ok()).collect();
    nearest(name, files.iter().map(RelPath::as_str))
        .map_or(String::new(), |near| format!(", did you mean {near:?}?"))
}

/// A folder to work in, which goes away with it.
pub(super) fn work() -> Result<TemporaryFolder, ModuleError> {
    TemporaryFolder::new("fuzz")
        .map_err(|error| ModuleError::failed_to("making a working directory failed", error))
}

/// Copies the files of `seeds` into the corpus, where one that crashes can be taken out.
fn sow(seeds: &[PathBuf], corpus: &Path) {
    let mut left = 100_000;
    for entry in seeds.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten()) {
        if left > 0
            && fs::create_dir_all(corpus).is_ok()
            && let Ok(input) = read_regular(&entry.path(), 16 << 20)
        {
            left -= 1;
            // A seed less is no fault.
            let _ = fs::write(corpus.join(&blake3::hash(&input).to_hex()[..40]), input);
        }
    }
}
