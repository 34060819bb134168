//! What every command shares on the command line, and which commands there are.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Finds weaknesses in source trees and fuzzes what can be fuzzed.
#[derive(Debug, Parser)]
#[command(name = "crashwise", version, styles = STYLES, max_term_width = 100, propagate_version = false)]
#[command(
    after_help = "Exit codes: 0 clean, 1 findings at or over --fail-on, 2 incomplete or failed, 64 usage."
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) globals: Globals,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Args)]
pub(super) struct Globals {
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN", hide_possible_values = true)]
    pub(super) color: Color,
    /// Print no progress, no notes and no table, only errors and what --format asks for
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,
    /// Print no progress
    #[arg(long, global = true)]
    pub(super) no_progress: bool,
    /// Also use the workflows in this folder; never looked for without being asked
    #[arg(long, global = true, env = "CRASHWISE_WORKFLOWS", value_name = "DIR", hide_env_values = true)]
    pub(super) workflows: Option<PathBuf>,
    /// Keep runs and their results in this folder [default: ~/.local/state/crashwise]
    #[arg(long, global = true, env = "CRASHWISE_STATE", value_name = "DIR", hide_env_values = true)]
    pub(super) state_dir: Option<PathBuf>,
    /// Keep corpora and known crashes of fuzz targets in this store: a folder, file:// or s3:// [default: the state folder]
    #[arg(long, global = true, env = "CRASHWISE_CORPORA", value_name = "STORE", hide_env_values = true)]
    pub(super) corpora: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List, describe, run and check workflows
    #[command(subcommand)]
    Workflow(super::workflow::WorkflowCommand),
    /// List, describe and run single modules
    #[command(subcommand)]
    Module(super::module::ModuleCommand),
    /// Compile, describe and check advisory databases
    #[command(subcommand)]
    Db(super::db::DbCommand),
    /// Write the inventory of a project as CycloneDX or SPDX
    Sbom(super::sbom::SbomCommand),
    /// Look after runs: list, show, watch, pause, approve, retry and more
    Runs(super::runs::RunsArgs),
    /// Look after the cache of workspaces
    Cache(super::cache::CacheCommand),
    /// Keep targets in a store, so that other machines can look at them
    #[command(subcommand)]
    Store(super::store::StoreCommand),
    /// Look after the corpora and known crashes of fuzz targets
    #[command(subcommand)]
    Corpus(super::corpus::CorpusCommand),
    /// Carry out runs of a Temporal cluster
    #[cfg(feature = "temporal")]
    Worker(super::worker::WorkerCommand),
    /// Show what this machine offers and what each workflow lacks
    Doctor(super::doctor::DoctorCommand),
    /// Print the completions of a shell
    Completions(super::completions::CompletionsCommand),
}
