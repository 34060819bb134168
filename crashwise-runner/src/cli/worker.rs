//! `crashwise worker`: carries out runs of a Temporal cluster.

use super::args::Globals;
use super::catalogue::Catalogue;
use super::cluster::ClusterArgs;
use super::exit::{Exit, Failure};
use super::run::runtime;
use super::terminal::Terminal;
use super::workspaces::Workspaces;
use super::{doctor, interrupt};
use crate::temporal::Slots;
use clap::{Args, ValueEnum};
use crashwise_core::Span;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: crashwise worker --vertical general,fuzzing --temporal temporal:7233 --store s3://crashwise"
)]
pub(super) struct WorkerCommand {
    /// What the worker is for: it takes work from NAME-queue [default: the verticals of all workflows]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    vertical: Vec<String>,
    /// How many steps of a vertical run at once, at most [default: 5, or 100 with --slots resource]
    #[arg(long, value_name = "STEPS")]
    max_concurrent: Option<usize>,
    /// What decides how many steps run at once
    #[arg(long, value_enum, default_value_t = SlotKind::Fixed)]
    slots: SlotKind,
    /// How long steps may go on when the worker is stopped; then others carry them out again
    #[arg(long, value_name = "TIME", default_value = "30s")]
    grace: Span,
    /// Start no process in a sandbox or container of which this machine cannot enforce all, whatever the run says; its step fails
    #[arg(long, env = "CRASHWISE_REQUIRE_SANDBOX", value_parser = clap::builder::FalseyValueParser::new(), hide_env_values = true)]
    require_sandbox: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SlotKind {
    /// The number that --max-concurrent says
    Fixed,
    /// Memory and processors of this machine: steps begin while there is room
    Resource,
}

impl WorkerCommand {
    fn slots(&self) -> Slots {
        match self.slots {
            SlotKind::Fixed => Slots::Fixed(self.max_concurrent.unwrap_or(5)),
            SlotKind::Resource => Slots::resources(self.max_concurrent.unwrap_or(100)),
        }
    }
}

pub(super) fn run(command: &WorkerCommand, globals: &Globals, terminal: &Terminal) -> Result<Exit, Failure> {
    let reach = command.cluster.reach()?;
    let catalogue = Catalogue::for_worker(globals, &reach.store)?;
    let mut verticals: BTreeSet<String> = command.vertical.iter().cloned().collect();
    if verticals.is_empty() {
        verticals = catalogue.workflows().map(|known| known.metadata.vertical.clone()).collect();
    }
    if let Some(wrong) = verticals.iter().find(|name| !is_name(name)) {
        return Err(Failure::usage(format!(
            "vertical {wrong:?} is no name: expected lower-case letters, digits, - and _"
        )));
    }
    let workspaces = Workspaces::from_environment(None)?;
    let mut builder = workspaces.attach_worker();
    let lacks = doctor::lacking(&catalogue);
    for workflow in catalogue.workflows() {
        builder = builder.workflow_shared(Arc::clone(&workflow.code));
    }
    for vertical in &verticals {
        builder = builder.vertical(vertical);
    }
    for tool in &lacks {
        builder = builder.lacks(tool);
    }
    builder = builder.modules(catalogue.modules).slots(command.slots()).grace(command.grace.duration());
    if command.require_sandbox {
        builder = builder.require_sandbox();
    }
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let worker = builder.connect(&reach.options, reach.store.clone()).await?;
        let names = verticals.into_iter().collect::<Vec<_>>().join(", ");
        terminal.note(&format!("works for {names} at {}", reach.options.address));
        if !lacks.is_empty() {
            terminal.note(&format!("lacks {}", lacks.join(", ")));
        }
        let stop = async {
            let said = "stopping: takes no more work; Ctrl-C again ends at once";
            if interrupt::wish(terminal, said).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        Ok::<_, Failure>(worker.run(stop).await?)
    });
    // A module that ignores its cancellation is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(500));
    workspaces.settle();
    ended.map(|()| Exit::Clean)
}

fn is_name(word: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    !word.is_empty() && word.len() <= 100 && word.bytes().all(fits)
}
