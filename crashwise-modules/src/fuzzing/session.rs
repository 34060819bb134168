//! What the fuzzing modules have in common: targets share a budget, each new crash is confirmed, made smaller and
//! reported once, and live statistics go out once a second.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crashwise_core::process::ProcessError;
use crashwise_core::{Gap, GapReason, ModuleContext, ModuleError, Stats, Summary, ToolMissing};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::finding;
use super::libfuzzer::{ArtifactKind, Campaign, CampaignEvent, Progress, Replay, Target};
use super::triage::{CrashReport, Known, Scope, Sighting, StackHash, signature, triage};

/// A target that is ready to run.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub(super) target: Target,
    pub(super) seeds: Vec<PathBuf>,
    /// Where the corpus is kept; among the files of the session without.
    pub(super) corpus: Option<PathBuf>,
    /// Whether recursion without bound is looked for on a small stack.
    pub(super) recursion: bool,
    pub(super) dictionary: Option<PathBuf>,
    /// What replays an input, typed at the project's root; the input's path follows.
    pub(super) command: String,
    /// Where relative paths of its stacks may start, below the workspace.
    pub(super) base: String,
}

/// How to spend the time.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) budget: Duration,
    pub(super) executions: Option<u64>,
    pub(super) jobs: usize,
    pub(super) seed: u32,
    pub(super) minimise: Duration,
    /// The fuzzer, for evidence.
    pub(super) engine: &'static str,
    /// Where the code of the targets lies beside the workspace.
    pub(super) sources: Vec<PathBuf>,
}

struct Session<'a> {
    cx: &'a ModuleContext,
    options: Options,
    scope: Scope,
    work: PathBuf,
    begin: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: Known,
    seen: BTreeSet<(String, Option<StackHash>)>,
    progress: BTreeMap<String, Progress>,
    told: Option<Instant>,
    reported: u64,
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
    let shares = ready.len().div_ceil(at_once).max(1);
    let share = options.budget / u32::try_from(shares).unwrap_or(u32::MAX);
    let session = Session { cx, options, scope, work, begin: Instant::now(), state: Mutex::default() };
    let count = ready.len();
    let outcomes: Vec<Result<(), ModuleError>> = futures::stream::iter(ready)
        .map(|ready| session.target(ready, share))
        .buffer_unordered(at_once)
        .collect()
        .await;
    session.tell(true);
    let failures: Vec<ModuleError> = outcomes.into_iter().filter_map(Result::err).collect();
    let state = session.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let total = |value: fn(&Progress) -> u64| state.progress.values().map(value).sum::<u64>();
    let executions = total(|progress| progress.executions);
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
    Ok(Summary::new()
        .with("total_executions", executions)
        .with("crashes_found", state.known.unique() as u64)
        .with("total_crashes", total(|progress| progress.crashes))
        .with("corpus_size", total(|progress| progress.corpus))
        .with("coverage", percent(&state.progress))
        .with("edges", total(|progress| progress.edges))
        .with("targets", count as u64)
        .with("execution_time", session.begin.elapsed().as_secs()))
}

impl Session<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn target(&self, ready: Ready, share: Duration) -> Result<(), ModuleError> {
        let name = ready.target.name.clone();
        let place = self.work.join(format!("fuzz-{name}"));
        let corpus = ready.corpus.clone().unwrap_or_else(|| place.join("corpus"));
        let mut campaign = Campaign::new(ready.target.clone(), corpus, place.join("work"))
            .with_budget(share)
            .with_jobs(self.options.jobs)
            .with_seed(self.options.seed);
        campaign.executions = self.options.executions;
        campaign.small_stack.store(ready.recursion, Ordering::Relaxed);
        let small_stack = Arc::clone(&campaign.small_stack);
        campaign.seeds.clone_from(&ready.seeds);
        campaign.dictionary.clone_from(&ready.dictionary);
        let replay = Replay::new(ready.target.clone(), place.join("replay"), self.scope.clone());
        let (sender, mut events) = mpsc::channel(64);
        let run = async {
            let totals = campaign.run(self.cx.cancel_token(), &sender).await;
            drop(sender);
            totals
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
                    CampaignEvent::Crash { kind, input, log, executions } => {
                        if self.state().seen.insert((name.clone(), signature(&log))) {
                            let _ = queue.send((kind, input, log, executions));
                        }
                    }
                }
            }
            drop(queue);
        };
        let look = async {
            while let Some((kind, input, log, executions)) = fresh.recv().await {
                let confirmed = self.crash(&ready, &replay, kind, input, &log, executions).await?;
                if !confirmed {
                    small_stack.store(false, Ordering::Relaxed);
                }
            }
            Ok::<(), ModuleError>(())
        };
        let (totals, (), looked) = tokio::join!(run, listen, look);
        let totals = totals.map_err(|error| {
            self.cx.not_covered(Gap::new(&name, GapReason::Failed, error.to_string()));
            module_error(error)
        })?;
        looked?;
        self.state().progress.insert(name.clone(), totals.last);
        if let Some(why) = totals.cut_short {
            self.state().why.get_or_insert_with(|| format!("{name}: {why}"));
            self.cx.not_covered(Gap::new(&name, GapReason::Failed, why));
        } else if totals.last.executions == 0 {
            self.cx.not_covered(Gap::new(&name, GapReason::Failed, "it executed nothing"));
        } else {
            self.cx.covered("targets", 1);
        }
        Ok(())
    }

    /// Confirms a crash and reports it when it is new. False when it is a stack overflow of the small stack alone.
    async fn crash(
        &self,
        ready: &Ready,
        replay: &Replay,
        kind: Option<ArtifactKind>,
        input: Option<Vec<u8>>,
        log: &[u8],
        executions: u64,
    ) -> Result<bool, ModuleError> {
        let cancel = self.cx.cancel_token();
        let mut input = input;
        let mut confirmed = None;
        let mut tries = 0;
        if let Some(input) = &input {
            while confirmed.is_none() && tries < 3 && !cancel.is_cancelled() {
                tries += 1;
                let replayed = replay.run(input, cancel).await.map_err(module_error)?;
                confirmed = replayed.report.map(|report| (report, replayed.log));
            }
        }
        let overflow = |report: &CrashReport| report.kind == "stack-overflow";
        if ready.recursion
            && confirmed.is_none()
            && triage(log, &self.scope).is_some_and(|report| overflow(&report))
        {
            // It overflowed the small stack; a longer one of its kind must overflow the default one.
            let longer = match &input {
                Some(input) => replay
                    .amplify(input, self.options.minimise.max(Duration::from_secs(5)), cancel)
                    .await
                    .map_err(module_error)?,
                None => None,
            };
            let Some((longer, replayed)) = longer else { return Ok(false) };
            confirmed = replayed.report.map(|report| (report, replayed.log));
            input = Some(longer);
        }
        let sure = confirmed.is_some();
        let Some((report, log)) = confirmed.or_else(|| Some((triage(log, &self.scope)?, log.to_vec())))
        else {
            let what = format!("a crash of {}", ready.target.name);
            self.cx.not_covered(Gap::new(what, GapReason::Malformed, "the target died without a report"));
            return Ok(true);
        };
        if self.state().known.see(&report) != Sighting::New {
            return Ok(true);
        }
        let quick = !matches!(kind, Some(ArtifactKind::Timeout | ArtifactKind::Oom));
        let small = match &input {
            Some(input) if sure && quick => {
                Some(replay.minimise(input, self.options.minimise, cancel).await.map_err(module_error)?)
            }
            Some(input) => Some(input.clone()),
            None => None,
        };
        self.report(ready, &report, &log, small.as_deref(), sure, executions)?;
        Ok(true)
    }

    fn report(
        &self,
        ready: &Ready,
        report: &CrashReport,
        log: &[u8],
        input: Option<&[u8]>,
        sure: bool,
        executions: u64,
    ) -> Result<(), ModuleError> {
        let name = format!("crashes/{}-{}", ready.target.name, &report.major.as_str()[..12]);
        let bases = ["", ready.base.as_str()];
        let mut finding = finding::of(report, self.cx.workspace(), &bases).map_err(ModuleError::failed)?;
        finding = finding
            .with_evidence("target", ready.target.name.as_str())
            .with_evidence("engine", self.options.engine)
            .with_evidence("executions_at_discovery", executions)
            .with_evidence("reproducible", sure)
            .with_artifact(self.cx.store(&format!("{name}/report.txt"), log)?);
        if let Some(input) = input {
            let command = format!("{} {name}/input", ready.command);
            let test = regression(&ready.target.name, report, input, &ready.command);
            finding = finding
                .with_evidence("input_size", input.len() as u64)
                .with_evidence("replay", command)
                .with_artifact(self.cx.store(&format!("{name}/input"), input)?)
                .with_artifact(self.cx.store(&format!("{name}/regression.rs"), test.as_bytes())?);
        }
        self.cx.report(finding)?;
        self.state().reported += 1;
        Ok(())
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

/// A test that replays the input through the target, to be put among the project's own tests.
fn regression(target: &str, report: &CrashReport, input: &[u8], command: &str) -> String {
    let name: String = target
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    let bytes: String =
        input.iter().flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect();
    let title: String = report.title().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!(
        "/// {title}\n#[test]\nfn fuzz_{name}_{}() {{\n    let input: &[u8] = b\"{bytes}\";\n    \
         let path = std::env::temp_dir().join(\"fuzz-{name}-{}\");\n    std::fs::write(&path, input).unwrap();\n    \
         let command = format!(\"{{}} {{}}\", {command:?}, path.display());\n    \
         let status = std::process::Command::new(\"sh\").args([\"-c\", &command]).status().unwrap();\n    \
         assert!(status.success(), \"{{command}}: {{status}}\");\n}}\n",
        &report.major.as_str()[..12],
        &report.major.as_str()[..12],
    )
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
