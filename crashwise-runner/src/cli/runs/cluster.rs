//! `crashwise runs --engine temporal`: the same for runs of a cluster.

use super::logs;
use super::timeline::{self, View};
use super::{Run, RunsCommand, list, one_of, verdict};
use crate::cli::cluster::{Reach, begun};
use crate::cli::exit::{Exit, Failure};
use crate::cli::progress::{Progress, statistics};
use crate::cli::run::runtime;
use crate::cli::terminal::{BAD, DIM, GOOD, Terminal, WARN, plain};
use crate::temporal::{Cluster, ClusterError, ClusterRun, Look, Seen};
use crate::{HistoryEvent, RunEvent, RunFilter};
use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

/// How often statistics of a step are printed, in milliseconds.
const STATISTICS: u64 = 2_000;

pub(super) fn run(command: RunsCommand, reach: &Reach, terminal: &Terminal) -> Result<Exit, Failure> {
    let runtime = runtime()?;
    let done = runtime.block_on(Box::pin(async {
        let cluster = reach.connect().await?;
        carry_out(command, &cluster, terminal).await
    }));
    runtime.shutdown_background();
    done
}

async fn carry_out(command: RunsCommand, cluster: &Cluster, terminal: &Terminal) -> Result<Exit, Failure> {
    let said = |text: &str, run: &ClusterRun| {
        terminal.note(&format!("{text}: run {}", run.id()));
        Ok(Exit::Clean)
    };
    match command {
        RunsCommand::List(args) => list::show(&args, &cluster.list(&args.filter()).await?, terminal),
        RunsCommand::Show { run } => {
            timeline::show(&view(find(cluster, &run).await?.look().await?), terminal)
        }
        RunsCommand::Watch { run, .. } => {
            let run = find(cluster, &run).await?;
            watch(&run, terminal).await?;
            let look = run.look().await?;
            let status = look.summary.status;
            timeline::show(&view(look), terminal)?;
            Ok(verdict(status))
        }
        RunsCommand::Report { run, report } => {
            let prepared = report.prepare()?;
            let run = find(cluster, &run).await?;
            if !run.status().await?.is_final() {
                return Err(Failure::usage(format!("run {} has not ended: it has no report yet", run.id())));
            }
            report.report(&run.report().await?, prepared, terminal)
        }
        RunsCommand::Pause { run } => {
            let run = find(cluster, &run).await?;
            run.pause().await?;
            said("pause is asked for", &run)
        }
        RunsCommand::Resume { run } => {
            let run = find(cluster, &run).await?;
            run.resume().await?;
            said("resume is asked for", &run)
        }
        RunsCommand::Cancel { run } => {
            let run = find(cluster, &run).await?;
            run.cancel().await?;
            said("cancel is asked for", &run)
        }
        RunsCommand::Approve { run, answer } => answered(cluster, &run, &answer, true, terminal).await,
        RunsCommand::Reject { run, answer } => answered(cluster, &run, &answer, false, terminal).await,
        RunsCommand::Signal { run, name, value } => {
            let value = serde_json::from_str(&value).unwrap_or_else(|_| value.clone().into());
            let run = find(cluster, &run).await?;
            run.signal(&name, value).await?;
            said("signal is sent", &run)
        }
        RunsCommand::Export { run } => {
            let history = find(cluster, &run).await?.history().await?;
            terminal.print(|out| {
                out.write_all(&history)?;
                writeln!(out)
            })?;
            Ok(Exit::Clean)
        }
        RunsCommand::Logs { run, follow } => {
            let run = find(cluster, &run).await?;
            if follow && !run.status().await?.is_final() {
                watch(&run, terminal).await?;
                return Ok(Exit::Clean);
            }
            let events = run.look().await?.events();
            terminal.print(|out| {
                let numbered = events.iter().zip(1..);
                numbered.into_iter().try_for_each(|(event, seq)| logs::line(out, &history_event(seq, event)))
            })?;
            Ok(Exit::Clean)
        }
        RunsCommand::Retry { run, from, again: how } => again(cluster, &run, from, &how, terminal).await,
        RunsCommand::Fork { run, step, again: how } => again(cluster, &run, Some(step), &how, terminal).await,
        RunsCommand::Verify { id } => verify(cluster, id, terminal).await,
        RunsCommand::Prune { older_than } => {
            let now = UNIX_EPOCH.elapsed().unwrap_or_default();
            let before = now.saturating_sub(older_than.duration());
            let pruned = cluster.prune(crate::engine::millis(before)).await?;
            let text = format!(
                "let go of {} runs and {} files of {} bytes",
                pruned.runs, pruned.files, pruned.bytes
            );
            terminal.print(|out| writeln!(out, "{text}"))?;
            Ok(Exit::Clean)
        }
        RunsCommand::Own => Ok(Exit::Clean),
    }
}

/// Runs again, from the step that failed or another one.
async fn again(
    cluster: &Cluster,
    run: &Run,
    from: Option<String>,
    how: &super::Again,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let prepared = how.report.prepare()?;
    let run = find(cluster, run).await?;
    let new = match &from {
        Some(step) => cluster.fork(run.id(), step).await?,
        None => cluster.retry(run.id()).await?,
    };
    let progress = Progress::new(terminal, true);
    let ended = begun(&new, how.detach, &progress, terminal).await;
    progress.finish();
    match ended? {
        None => Ok(Exit::Clean),
        Some(report) => how.report.report(&report, prepared, terminal),
    }
}

/// Checks what is kept of runs that are over.
async fn verify(cluster: &Cluster, id: Option<String>, terminal: &Terminal) -> Result<Exit, Failure> {
    let runs = if let Some(id) = id {
        vec![find(cluster, &Run { id }).await?]
    } else {
        let runs = cluster.list(&RunFilter::new().with_limit(0)).await?;
        let over = runs.iter().filter(|summary| summary.status.is_final());
        over.map(|summary| cluster.run(&summary.run_id)).collect()
    };
    let mut damaged = false;
    for run in &runs {
        let checked = run.verify().await?;
        let id = run.id();
        for problem in &checked.problems {
            damaged = true;
            terminal.print(|out| writeln!(out, "{BAD}damaged{BAD:#} {id}: {}", plain(problem)))?;
        }
        if let ([], [_]) = (&checked.problems[..], &runs[..]) {
            let (steps, files) = (checked.steps, checked.files);
            terminal.print(|out| writeln!(out, "{GOOD}intact{GOOD:#} {id}: {steps} steps, {files} files"))?;
        }
    }
    if damaged {
        return Ok(Exit::Incomplete);
    }
    if runs.len() != 1 {
        terminal.print(|out| writeln!(out, "{GOOD}intact{GOOD:#}: {} runs", runs.len()))?;
    }
    Ok(Exit::Clean)
}

async fn find(cluster: &Cluster, run: &Run) -> Result<ClusterRun, Failure> {
    // The whole id is known at once; lists of the server lag behind.
    if let Ok(id) = crashwise_core::RunId::new(&*run.id) {
        let exact = cluster.run(&id);
        match exact.summary().await {
            Ok(_) => return Ok(exact),
            Err(ClusterError::Run(crate::RunnerError::UnknownRun { .. })) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let found = cluster.matching(&run.id).await?;
    Ok(cluster.run(&one_of(&found, &run.id)?))
}

async fn answered(
    cluster: &Cluster,
    run: &Run,
    answer: &super::AnswerArgs,
    approved: bool,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let run = find(cluster, run).await?;
    let waiting = match &answer.name {
        Some(_) => Vec::new(),
        None => run.waiting_approvals().await?,
    };
    let name = answer.name_of(run.id(), &waiting)?;
    run.decide(&name, approved, &answer.by, &answer.comment).await?;
    let word = if approved { "approved" } else { "rejected" };
    terminal.note(&format!("{name} is {word}: run {}", run.id()));
    Ok(Exit::Clean)
}

/// Prints what happens until the run is over.
async fn watch(run: &ClusterRun, terminal: &Terminal) -> Result<(), Failure> {
    let mut seq = 0;
    let mut shown: BTreeMap<String, u64> = BTreeMap::new();
    let mut trouble = Ok(());
    let followed = run.follow(|seen| {
        let printed = match seen {
            Seen::Event(event) => {
                seq += 1;
                terminal.print(|out| logs::line(out, &history_event(seq, &event)))
            }
            Seen::Stats(event) => {
                let now = UNIX_EPOCH.elapsed().map_or(0, crate::engine::millis);
                let last = shown.entry(event.step.clone()).or_default();
                if now < last.saturating_add(STATISTICS) {
                    return;
                }
                *last = now;
                let (step, text) = (plain(&event.step), plain(&statistics(&event.stats)));
                let at = list::time(now);
                terminal.print(|out| writeln!(out, "{DIM}{at} statistics {step}  {text}{DIM:#}"))
            }
            Seen::Stuck(why) => terminal.print(|out| writeln!(out, "{WARN}{}{WARN:#}", plain(&why))),
        };
        if trouble.is_ok() {
            trouble = printed;
        }
    });
    followed.await?;
    trouble
}

fn history_event(seq: u64, event: &RunEvent) -> HistoryEvent {
    let value = serde_json::to_value(&event.kind).unwrap_or_default();
    let text = |key: &str| value.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    HistoryEvent {
        seq,
        at_ms: event.at_ms,
        kind: text("event").unwrap_or_default(),
        step: text("step"),
        event: value,
    }
}

fn view(look: Look) -> View {
    View {
        summary: look.summary,
        steps: look.steps,
        duration: look.duration,
        waiting: look.waiting,
        decisions: look.decisions,
        open: look.open,
        latest: look.stats,
    }
}
