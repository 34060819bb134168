//! `crashwise runs`: looks after the runs of the state folder, whichever process carries them out.

#[cfg(feature = "temporal")]
mod cluster;
mod dashboard;
mod list;
mod load;
mod logs;
pub(super) mod owner;
mod timeline;

use super::args::Globals;
use super::catalogue::Catalogue;
use super::exit::{Exit, Failure};
use super::report::ReportArgs;
use super::run::{drive, runtime};
use super::state::StateFolder;
use super::terminal::{BAD, GOOD, Terminal};
use crate::{RunFilter, RunStatus, RunStore, RunnerError, Verdict};
use clap::{Args, Subcommand};
use crashwise_core::workflow::ApprovalRequest;
use crashwise_core::{RunId, Span};
use dashboard::Left;
use logs::Until;
use owner::Task;
use std::time::{SystemTime, UNIX_EPOCH};
use timeline::View;

#[derive(Debug, Args)]
pub(in crate::cli) struct RunsArgs {
    #[cfg(feature = "temporal")]
    #[command(flatten)]
    engine: super::cluster::EngineArgs,
    #[command(subcommand)]
    command: RunsCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RunsCommand {
    /// List runs, the newest first
    List(list::ListArgs),
    /// Show what a run did, as a timeline of its steps
    Show {
        #[command(flatten)]
        run: Run,
    },
    /// Follow a run until it is over
    Watch {
        #[command(flatten)]
        run: Run,
        /// Print lines also on a terminal
        #[arg(long)]
        lines: bool,
    },
    /// Print what happened in a run
    Logs {
        #[command(flatten)]
        run: Run,
        /// Go on until the run is over
        #[arg(long, short)]
        follow: bool,
    },
    /// Write the report of a run again
    Report {
        #[command(flatten)]
        run: Run,
        #[command(flatten)]
        report: ReportArgs,
    },
    /// Let running steps finish and begin no others
    Pause {
        #[command(flatten)]
        run: Run,
    },
    /// Let a paused or abandoned run go on
    Resume {
        #[command(flatten)]
        run: Run,
    },
    /// Stop a run: its steps are ended and its cleanup is done
    Cancel {
        #[command(flatten)]
        run: Run,
    },
    /// Run again from the step that failed; what was done stays done
    Retry {
        #[command(flatten)]
        run: Run,
        /// Begin at this step instead
        #[arg(long, value_name = "STEP")]
        from: Option<String>,
        #[command(flatten)]
        again: Again,
    },
    /// Run again from a step, whatever became of the run
    Fork {
        #[command(flatten)]
        run: Run,
        /// The step to begin at
        step: String,
        #[command(flatten)]
        again: Again,
    },
    /// Say yes to an approval
    Approve {
        #[command(flatten)]
        run: Run,
        #[command(flatten)]
        answer: AnswerArgs,
    },
    /// Say no to an approval
    Reject {
        #[command(flatten)]
        run: Run,
        #[command(flatten)]
        answer: AnswerArgs,
    },
    /// Send a signal
    Signal {
        #[command(flatten)]
        run: Run,
        /// Name of the signal
        name: String,
        /// What it carries: JSON, or a text
        #[arg(default_value = "null")]
        value: String,
    },
    /// Print the history of a run, one JSON object a line
    Export {
        #[command(flatten)]
        run: Run,
    },
    /// Check that the history of runs is what was written
    Verify {
        /// The run; all when there is none
        id: Option<String>,
    },
    /// Let go of runs that ended long ago, with their results
    Prune {
        /// How long ago, e.g. 30d
        #[arg(long, value_name = "TIME", default_value = "30d")]
        older_than: Span,
    },
    /// Carry out a run in the background
    #[command(hide = true)]
    Own,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Run {
    /// The run, or how its id begins
    #[arg(value_name = "RUN")]
    id: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Again {
    /// Run in the background and print the id of the new run
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AnswerArgs {
    /// Name of the approval; not needed when only one is waited for
    name: Option<String>,
    /// Why
    #[arg(long, short = 'm', default_value = "", value_name = "TEXT")]
    comment: String,
    /// Who says so
    #[arg(long, env = "USER", default_value = "unknown", value_name = "NAME", hide_env_values = true)]
    by: String,
}

impl AnswerArgs {
    /// The approval that is meant.
    fn name_of(&self, id: &RunId, waiting: &[ApprovalRequest]) -> Result<String, Failure> {
        match (&self.name, waiting) {
            (Some(name), _) => Ok(name.clone()),
            (None, [one]) => Ok(one.name.clone()),
            (None, []) => Err(Failure::usage(format!("run {id} waits for no approval: give its name"))),
            (None, several) => {
                let names: Vec<&str> = several.iter().map(|request| request.name.as_str()).collect();
                let names = names.join(", ");
                Err(Failure::usage(format!("run {id} waits for several approvals: {names}")))
            }
        }
    }
}

/// The one of these runs that is meant.
fn one_of(found: &[RunId], asked: &str) -> Result<RunId, Failure> {
    match found {
        [one] => Ok(one.clone()),
        [] => Err(Failure::usage(format!(
            "there is no run {asked:?}; `crashwise runs list` shows those there are"
        ))),
        several => match several.iter().find(|id| id.as_str() == asked) {
            Some(exact) => Ok(exact.clone()),
            None => Err(Failure::usage(format!(
                "{} runs begin with {asked:?}: give more of the id",
                several.len()
            ))),
        },
    }
}

pub(super) fn run(args: RunsArgs, globals: &Globals, terminal: &Terminal) -> Result<Exit, Failure> {
    let command = args.command;
    #[cfg(feature = "temporal")]
    if let Some(cluster) = args.engine.cluster()? {
        return cluster::run(command, &cluster, terminal);
    }
    if matches!(command, RunsCommand::Own) {
        return owner::run(globals);
    }
    let Some(state) = StateFolder::of(globals) else {
        return Err(Failure::usage("no state folder is known: give --state-dir"));
    };
    let store = state.store()?;
    let room = Room { state, store, globals, terminal };
    match command {
        RunsCommand::List(args) => list::show(&args, &room.store.list(&args.filter())?, terminal),
        RunsCommand::Show { run } => timeline::show(&View::of(&room.store, &room.find(&run)?)?, terminal),
        RunsCommand::Watch { run, lines } => {
            let id = room.find(&run)?;
            if lines || !terminal.is_screen() {
                logs::print(&room.store, &id, Until::TheEndWithStatistics, terminal)?;
            } else if let Left::Early = dashboard::watch(&room.store, &id, terminal)? {
                terminal.note(&format!("run {id} goes on; `crashwise runs cancel {id}` ends it"));
                return Ok(Exit::Clean);
            }
            timeline::show(&View::of(&room.store, &id)?, terminal)?;
            Ok(verdict(room.store.status(&id)?))
        }
        RunsCommand::Logs { run, follow } => {
            let until = if follow { Until::TheEnd } else { Until::Now };
            logs::print(&room.store, &room.find(&run)?, until, terminal)
        }
        RunsCommand::Report { run, report } => {
            let prepared = report.prepare()?;
            report.report(&room.store.report(&room.find(&run)?)?, prepared, terminal)
        }
        RunsCommand::Pause { run } => {
            room.ask(&run, "pause is asked for", async |store, id| store.pause(id).await)
        }
        RunsCommand::Resume { run } => room.resume(&run),
        RunsCommand::Cancel { run } => {
            room.ask(&run, "cancel is asked for", async |store, id| store.cancel(id).await)
        }
        RunsCommand::Retry { run, from, again } => room.again(&run, from, &again),
        RunsCommand::Fork { run, step, again } => room.again(&run, Some(step), &again),
        RunsCommand::Approve { run, answer } => room.answer(&run, &answer, true),
        RunsCommand::Reject { run, answer } => room.answer(&run, &answer, false),
        RunsCommand::Signal { run, name, value } => {
            let value = serde_json::from_str(&value).unwrap_or_else(|_| value.clone().into());
            room.ask(&run, "signal is sent", async |store, id| store.signal(id, &name, value).await)
        }
        RunsCommand::Export { run } => {
            let id = room.find(&run)?;
            let history = room.store.history(&id)?;
            terminal.print(|out| {
                history.iter().try_for_each(|event| {
                    serde_json::to_writer(&mut *out, event)?;
                    writeln!(out)
                })
            })?;
            Ok(Exit::Clean)
        }
        RunsCommand::Verify { id } => room.verify(id),
        RunsCommand::Prune { older_than } => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let before = now.saturating_sub(older_than.duration());
            let pruned = room.store.prune(u64::try_from(before.as_millis()).unwrap_or(0))?;
            let several =
                |number: u64, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
            let (runs, files) = (several(pruned.runs, "run"), several(pruned.files, "file"));
            let text = format!("let go of {runs} and {files} of {}", several(pruned.bytes, "byte"));
            terminal.print(|out| writeln!(out, "{text}"))?;
            if pruned.young > 0 {
                let files = several(pruned.young, "file");
                terminal
                    .note(&format!("{files} without a run: less than an hour old, left for the next prune"));
            }
            Ok(Exit::Clean)
        }
        RunsCommand::Own => Ok(Exit::Clean),
    }
}

fn verdict(status: RunStatus) -> Exit {
    if status == RunStatus::Completed { Exit::Clean } else { Exit::Incomplete }
}

/// What every command here needs.
struct Room<'a> {
    state: StateFolder,
    store: RunStore,
    globals: &'a Globals,
    terminal: &'a Terminal,
}

impl Room<'_> {
    /// The run whose id begins so.
    fn find(&self, run: &Run) -> Result<RunId, Failure> {
        one_of(&self.store.matching(&run.id)?, &run.id)
    }

    /// Asks something of a run. When nobody carries it out, a process in the background takes it, so that it is obeyed.
    fn ask(
        &self,
        run: &Run,
        done: &str,
        ask: impl AsyncFnOnce(&RunStore, &RunId) -> Result<(), RunnerError>,
    ) -> Result<Exit, Failure> {
        let id = self.find(run)?;
        let summary = self.store.summary(&id)?;
        let asking = runtime()?;
        if !summary.owned && !summary.status.is_final() {
            owner::begin(&Task::CarryOn { id: id.clone() }, &self.state, self.globals)?;
        }
        asking.block_on(ask(&self.store, &id))?;
        self.terminal.note(&format!("{done}: run {id}"));
        Ok(Exit::Clean)
    }

    fn resume(&self, run: &Run) -> Result<Exit, Failure> {
        let id = self.find(run)?;
        let summary = self.store.summary(&id)?;
        if !summary.owned && matches!(summary.status, RunStatus::Pending | RunStatus::Running) {
            owner::begin(&Task::CarryOn { id: id.clone() }, &self.state, self.globals)?;
            self.terminal.note(&format!("goes on in the background: run {id}"));
            return Ok(Exit::Clean);
        }
        self.ask(run, "resume is asked for", async |store, id| store.resume(id).await)
    }

    fn answer(&self, run: &Run, answer: &AnswerArgs, approved: bool) -> Result<Exit, Failure> {
        let id = self.find(run)?;
        let status = self.store.status(&id)?;
        if status.is_final() {
            return Err(RunnerError::WrongState { id, status, wanted: "decided on" }.into());
        }
        let waiting = self.store.waiting_approvals(&id)?;
        let name = answer.name_of(&id, &waiting)?;
        let word = if approved { "approved" } else { "rejected" };
        self.ask(run, &format!("{name} is {word}"), async |store, id| {
            store.decide(id, &name, approved, &answer.by, &answer.comment).await
        })
    }

    fn again(&self, run: &Run, from: Option<String>, again: &Again) -> Result<Exit, Failure> {
        let id = self.find(run)?;
        let prepared = again.report.prepare()?;
        if again.detach {
            let task = Task::Again { id, from };
            return owner::start(&task, &self.state, self.globals, self.terminal);
        }
        let catalogue = Catalogue::for_runs(self.globals)?;
        let report = drive(None, Some(&self.state), catalogue, self.terminal, async |runner| match &from {
            Some(step) => runner.fork(&id, step).await,
            None => runner.retry(&id).await,
        })?;
        again.report.report(&report, prepared, self.terminal)
    }

    fn verify(&self, id: Option<String>) -> Result<Exit, Failure> {
        let damaged = match id {
            Some(id) => {
                let id = self.find(&Run { id })?;
                match self.store.verify(&id)? {
                    Verdict::Intact { events } => {
                        self.terminal
                            .print(|out| writeln!(out, "{GOOD}intact{GOOD:#} {id}: {events} events"))?;
                        return Ok(Exit::Clean);
                    }
                    damaged => vec![(id, damaged)],
                }
            }
            None => self.store.verify_all()?,
        };
        if damaged.is_empty() {
            let runs = self.store.list(&RunFilter::new())?.len();
            self.terminal.print(|out| writeln!(out, "{GOOD}intact{GOOD:#}: {runs} runs"))?;
            return Ok(Exit::Clean);
        }
        self.terminal.print(|out| {
            damaged.iter().try_for_each(|(id, verdict)| match verdict {
                Verdict::Damaged { seq, problem } => {
                    writeln!(out, "{BAD}damaged{BAD:#} {id} at event {seq}: {problem}")
                }
                Verdict::Intact { .. } => Ok(()),
            })
        })?;
        Ok(Exit::Incomplete)
    }
}
