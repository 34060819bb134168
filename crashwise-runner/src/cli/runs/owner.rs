//! A process in the background that carries out a run, so that the run outlives the shell.
//!
//! It is this program again: its task comes on standard input, because parameters may hold secrets, and it answers with one
//! line on standard output when the run is safe in the journal.

use crate::cli::args::Globals;
use crate::cli::catalogue::Catalogue;
use crate::cli::exit::{Exit, Failure};
use crate::cli::run::{Ask, builder, runtime};
use crate::cli::state::StateFolder;
use crate::cli::terminal::Terminal;
use crate::cli::workspaces::Workspaces;
use crate::{RunHandle, Runner, RunnerError};
use crashwise_core::RunId;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long taking a run over may last before the one who asked for it is answered all the same.
const TAKING: Duration = Duration::from_secs(10);

/// What a background process is there for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub(in crate::cli) enum Task {
    /// Begin a run.
    Submit(Box<Ask>),
    /// Begin a run that takes over what another one has done.
    Again { id: RunId, from: Option<String> },
    /// Carry on a run that nobody carries out.
    CarryOn { id: RunId },
}

/// Starts a background process for a task and prints the id of its run.
pub(in crate::cli) fn start(
    task: &Task,
    state: &StateFolder,
    globals: &Globals,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let id = begin(task, state, globals)?;
    terminal.print(|out| writeln!(out, "{id}"))?;
    terminal.note(&format!("`crashwise runs watch {id}` follows it"));
    Ok(Exit::Clean)
}

/// Starts a background process for a task; returns when the run is in its hands.
pub(in crate::cli) fn begin(task: &Task, state: &StateFolder, globals: &Globals) -> Result<String, Failure> {
    let failed =
        |error: io::Error| Failure::failed(format!("the background process could not be started: {error}"));
    let mut child = spawn(state, globals).map_err(failed)?;
    let body = serde_json::to_vec(task).map_err(|error| failed(error.into()))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&body).map_err(failed)?;
    }
    let mut answer = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output.take(1 << 16)).read_line(&mut answer).map_err(failed)?;
    }
    match answer.trim_end().split_once(' ') {
        Some(("ok", id)) => Ok(id.to_owned()),
        Some(("usage", text)) => Err(Failure::usage(text.replace('\u{1f}', "\n"))),
        Some(("failed", text)) => Err(Failure::failed(text.replace('\u{1f}', "\n"))),
        _ => Err(failed(io::Error::other("it gave no answer"))),
    }
}

fn spawn(state: &StateFolder, globals: &Globals) -> io::Result<Child> {
    #[allow(clippy::disallowed_methods, reason = "this program itself, which must outlive this process")]
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--state-dir").arg(state.path());
    if let Some(folder) = &globals.workflows {
        command.arg("--workflows").arg(std::path::absolute(folder)?);
    }
    if let Some(corpora) = &globals.corpora {
        command.arg("--corpora").arg(corpora);
    }
    command.args(["runs", "own"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        // Ctrl-C in the terminal goes to the group in front.
        command.process_group(0);
    }
    command.spawn()
}

/// The background process: carries out its task, then the run, and ends with it.
pub(super) fn run(globals: &Globals) -> Result<Exit, Failure> {
    let mut handles = None;
    let runtime = runtime()?;
    let workspaces = Workspaces::from_environment(None);
    let begun = read_task().and_then(|task| {
        let state = StateFolder::of(globals).ok_or_else(|| Failure::usage("no state folder is known"))?;
        let catalogue = Catalogue::for_runs(globals)?;
        let workspaces = workspaces.as_ref().map_err(|failure| Failure::usage(failure.to_string()))?;
        runtime.block_on(async {
            outlive_the_terminal();
            let runner = builder(None, Some(&state), catalogue, workspaces).build()?;
            let handle = carry_out(&runner, task).await?;
            let id = handle.id().clone();
            handles = Some((runner, handle));
            Ok(id)
        })
    });
    let line = match &begun {
        Ok(id) => format!("ok {id}"),
        Err(failure) if failure.code() == Exit::Usage => {
            format!("usage {}", failure.to_string().replace('\n', "\u{1f}"))
        }
        Err(failure) => format!("failed {}", failure.to_string().replace('\n', "\u{1f}")),
    };
    answer(&line);
    begun?;
    let Some((runner, handle)) = handles else { return Ok(Exit::Clean) };
    let report = runtime.block_on(handle.wait())?;
    drop(runner);
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Ok(workspaces) = &workspaces {
        workspaces.settle();
    }
    Ok(super::verdict(report.status))
}

fn read_task() -> Result<Task, Failure> {
    let mut body = Vec::new();
    let failed = |error: io::Error| Failure::usage(format!("no task could be read: {error}"));
    io::stdin().take(64 << 20).read_to_end(&mut body).map_err(failed)?;
    serde_json::from_slice(&body).map_err(|error| failed(error.into()))
}

async fn carry_out(runner: &Runner, task: Task) -> Result<RunHandle, RunnerError> {
    match task {
        Task::Submit(ask) => runner.submit(ask.request()).await,
        Task::Again { id, from: Some(step) } => runner.fork(&id, &step).await,
        Task::Again { id, from: None } => runner.retry(&id).await,
        Task::CarryOn { id } => {
            let handle = runner.here(runner.carry_on(&id)?);
            // Who started this process asks something of the run next, and looks at who owns it.
            let began = Instant::now();
            while began.elapsed() < TAKING {
                let summary = runner.store()?.summary(&id)?;
                if summary.owned || summary.status.is_final() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(handle)
        }
    }
}

/// Closing the terminal ends what runs in it, unless it takes no notice.
fn outlive_the_terminal() {
    #[cfg(unix)]
    if let Ok(mut hangups) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        tokio::spawn(async move { while hangups.recv().await.is_some() {} });
    }
}

/// Answers the process that started this one. When it is gone, the run goes on all the same.
fn answer(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
