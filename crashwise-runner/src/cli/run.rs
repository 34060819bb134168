//! Running a workflow, or a module as one.

use super::args::Globals;
use super::catalogue::Catalogue;
use super::exit::{Exit, Failure};
use super::progress::Progress;
use super::report::ReportArgs;
use super::runs::owner::{self, Task};
use super::standard_input::StandardInput;
use super::state::StateFolder;
use super::terminal::{GOOD, Terminal, plain};
use super::workspaces::{Mode, Workspaces};
use super::{interrupt, params, workspaces};
use crate::{Durability, RunHandle, RunReport, RunRequest, Runner, RunnerBuilder, RunnerError};
use clap::{Args, ValueEnum};
use crashwise_core::workflow::AnyWorkflow;
use crashwise_core::{Isolation, Metadata, Span, Target};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[arg(
        help = "A directory, an archive (tar, tar.gz, tar.xz, tar.zst, zip), one in a store: s3://BUCKET/KEY, or - for a text on standard input"
    )]
    target: Option<String>,
    /// Parameters, also as --KEY=VALUE and --KEY; dots reach into objects, lists are JSON or separated by commas
    #[arg(value_name = "KEY=VALUE")]
    assignments: Vec<String>,
    /// Parameters from a YAML or JSON file, - for standard input; KEY=VALUE goes over them
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// Most time for the run, e.g. 90s, 30m, 2h
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
    /// Carry out every step, also where a result of the same on the same is stored
    #[arg(long)]
    ignore_cache: bool,
    /// Start no process in a sandbox or container of which this machine cannot enforce all; the run fails then
    #[arg(long, env = "CRASHWISE_REQUIRE_SANDBOX", value_parser = clap::builder::FalseyValueParser::new(), hide_env_values = true)]
    require_sandbox: bool,
    /// Names the run: asked for again under this key, it is not begun again
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// How the run's tree is shared with others, in place of what the workflow asks for
    #[arg(long, value_enum, value_name = "MODE")]
    isolation: Option<Mode>,
    /// Let the run go on in the background and print its id; `crashwise runs` looks after it
    #[arg(long)]
    detach: bool,
    /// What a run survives: sync a power cut, relaxed the end of its process, memory nothing
    #[arg(long, value_enum, value_name = "LEVEL", conflicts_with = "detach")]
    durability: Option<Level>,
    #[cfg(feature = "temporal")]
    #[command(flatten)]
    engine: super::cluster::EngineArgs,
    #[command(flatten)]
    report: ReportArgs,
}

impl RunArgs {
    /// Sets a parameter over those that are given.
    pub(super) fn assign(&mut self, assignment: &str) {
        self.assignments.push(assignment.to_owned());
    }

    /// The target and the parameters: where there is no target, the first parameter stands in its place.
    fn place_and_assignments(&self) -> (Option<String>, Vec<String>) {
        let mut assignments = self.assignments.clone();
        match &self.target {
            Some(first) if is_assignment(first) => {
                assignments.insert(0, first.clone());
                (None, assignments)
            }
            target => (target.clone(), assignments),
        }
    }
}

fn is_assignment(word: &str) -> bool {
    let key = word.split_once('=').map_or("", |(key, _)| key);
    !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
        && !Path::new(word).exists()
}

/// The target of a workflow that says where it looks when nothing else is said.
fn default_target(metadata: &Metadata) -> Option<String> {
    metadata.parameters.get("x-default-target")?.as_str().map(str::to_owned)
}

/// What a run in this process survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    Sync,
    Relaxed,
    Memory,
}

/// Whether a run is kept so that it outlives this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// In the state folder.
    Durable,
    /// Not at all.
    Passing,
}

/// What a run is asked to do, as it is handed to a process in the background.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ask {
    workflow: String,
    target: Target,
    params: Value,
    timeout_ms: Option<u64>,
    ignore_cache: bool,
    #[serde(default)]
    require_sandbox: bool,
    idempotency_key: Option<String>,
    isolation: Option<Isolation>,
}

impl Ask {
    pub(super) fn request(self) -> RunRequest {
        let mut request = RunRequest::new(self.workflow, self.target).with_params(self.params);
        if let Some(ms) = self.timeout_ms {
            request = request.with_timeout(Duration::from_millis(ms));
        }
        request.isolation = self.isolation;
        if self.ignore_cache {
            request = request.without_cache();
        }
        if self.require_sandbox {
            request = request.with_required_sandbox();
        }
        if let Some(key) = self.idempotency_key {
            request = request.with_idempotency_key(key);
        }
        request
    }
}

/// Runs a workflow, shows its progress and reports what it did.
pub(super) fn execute(
    args: &RunArgs,
    code: &Arc<dyn AnyWorkflow>,
    keep: Keep,
    catalogue: Catalogue,
    globals: &Globals,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let metadata = code.metadata();
    for name in &metadata.required_modules {
        if let Err(error) = catalogue.modules.find(name) {
            return Err(Failure::failed(format!("workflow {:?} cannot run here: {error}", metadata.name)));
        }
    }
    let (place, assignments) = args.place_and_assignments();
    let Some(place) = place.or_else(|| default_target(&metadata)) else {
        return Err(Failure::usage("a target is missing: a directory, an archive, or - for standard input"));
    };
    let mut given = params::gather(args.params.as_deref(), &assignments, &metadata.parameters)?;
    params::from_environment(&mut given, &metadata.parameters, |name| std::env::var(name).ok());
    let from_input = place == "-";
    if from_input && (args.detach || args.params.as_deref() == Some(Path::new("-"))) {
        return Err(Failure::usage(
            "standard input is either the target of a run in this process or its parameters",
        ));
    }
    let params = metadata.check_parameters(given)?;
    let prepared = args.report.prepare()?;
    // What is read from standard input is there for this process only.
    let input = if from_input { Some(StandardInput::keep()?) } else { None };
    let target = match &input {
        Some(input) => Target::Directory(input.folder().to_owned()),
        None => workspaces::target(&place)?,
    };
    let isolation = args.isolation.map(Isolation::from);
    let ask = Ask {
        workflow: metadata.name,
        target,
        params,
        timeout_ms: args.timeout.map(|time| u64::try_from(time.duration().as_millis()).unwrap_or(u64::MAX)),
        ignore_cache: args.ignore_cache,
        require_sandbox: args.require_sandbox,
        idempotency_key: args.idempotency_key.clone(),
        isolation,
    };
    #[cfg(feature = "temporal")]
    if let Some(cluster) = args.engine.cluster()? {
        if keep == Keep::Passing {
            return Err(Failure::usage(
                "single modules run on this machine: --engine temporal takes a workflow",
            ));
        }
        if args.durability.is_some() {
            return Err(Failure::usage(
                "--durability is for runs on this machine: a cluster keeps all its runs",
            ));
        }
        let (request, detach) = (ask.request(), args.detach);
        return super::cluster::execute(&cluster, request, code, &catalogue, detach, terminal, |run| {
            args.report.report(run, prepared, terminal)
        });
    }
    let is_kept = keep == Keep::Durable && !from_input && args.durability != Some(Level::Memory);
    let mut state = if is_kept { StateFolder::usable(globals, terminal)? } else { None };
    if let Some(level @ (Level::Sync | Level::Relaxed)) = args.durability {
        let Some(kept) = state else {
            return Err(Failure::usage(
                "this run is not kept, so it survives nothing: --durability sync and relaxed take a workflow, a target \
                 other than standard input, and a state folder that can be written",
            ));
        };
        state = Some(if level == Level::Relaxed { kept.with_durability(Durability::Relaxed) } else { kept });
    }
    if args.detach {
        let Some(state) = state else { return Err(Failure::usage("--detach needs a state folder")) };
        return owner::start(&Task::Submit(Box::new(ask)), &state, globals, terminal);
    }
    let request = ask.request();
    let run =
        drive(Some(code), state.as_ref(), catalogue, terminal, async |runner| runner.submit(request).await)?;
    let fixed = run.output.get("fixed").and_then(Value::as_array).into_iter().flatten();
    for title in fixed.filter_map(Value::as_str) {
        terminal.note(&format!("{GOOD}fixed:{GOOD:#} {}", plain(title)));
    }
    args.report.report(&run, prepared, terminal)
}

/// Begins a run in this process, shows its progress, and stops it when the user asks for that.
pub(super) fn drive(
    extra: Option<&Arc<dyn AnyWorkflow>>,
    state: Option<&StateFolder>,
    catalogue: Catalogue,
    terminal: &Terminal,
    begin: impl AsyncFnOnce(&Runner) -> Result<RunHandle, RunnerError>,
) -> Result<RunReport, Failure> {
    let runtime = small_runtime()?;
    let progress = Progress::new(terminal, state.is_some());
    let workspaces = Workspaces::from_environment(progress.cache_listener())?;
    let report = runtime.block_on(async {
        let runner = progress.attach(builder(extra, state, catalogue, &workspaces)).build()?;
        let handle = begin(&runner).await?;
        let cancel = async || {
            // A run that is over already needs no stop.
            let _ = handle.cancel().await;
        };
        let waited = interrupt::until_done(cancel, terminal, handle.wait()).await;
        let report =
            waited.map_err(|error| Failure::failed(format!("signals could not be received: {error}")))?;
        Ok::<_, Failure>(report?)
    });
    progress.finish();
    // A module that ignores its cancellation is not waited for.
    runtime.shutdown_background();
    workspaces.settle();
    report
}

/// A runtime for one run: its modules compute on threads for that, so one thread has time for all the rest.
fn small_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    started(tokio::runtime::Builder::new_multi_thread().worker_threads(1))
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    started(&mut tokio::runtime::Builder::new_multi_thread())
}

fn started(builder: &mut tokio::runtime::Builder) -> Result<tokio::runtime::Runtime, Failure> {
    let failed = |error| Failure::failed(format!("the runtime could not be started: {error}"));
    builder.enable_all().build().map_err(failed)
}

/// A runner with everything that the program knows, and `extra`.
pub(super) fn builder(
    extra: Option<&Arc<dyn AnyWorkflow>>,
    state: Option<&StateFolder>,
    catalogue: Catalogue,
    workspaces: &Workspaces,
) -> RunnerBuilder {
    let mut builder = workspaces.attach(Runner::builder().recover_runs(false));
    if extra.is_some() {
        // One run and its children: nobody waits for another thread.
        builder = builder.shards(1);
    }
    let extra_name = extra.map(|code| code.metadata().name);
    for (name, known) in catalogue.named_workflows().filter(|(name, _)| Some(*name) != extra_name.as_deref())
    {
        builder = builder.workflow_checked(name.to_owned(), Arc::clone(&known.code));
    }
    if let (Some(code), Some(name)) = (extra, extra_name) {
        // It is the catalogue's, or made of a module, whose configuration describes itself.
        builder = builder.workflow_checked(name, Arc::clone(code));
    }
    if let Some(state) = state {
        builder = builder.state_dir(state.path()).durability(state.durability());
    }
    builder.modules(catalogue.modules)
}
