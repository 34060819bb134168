//! The program `crashwise`, also installed as `cw`: everything that people read is written here.
//!
//! One file for each command. A new command is a file with its arguments and a `run`, one variant of
//! `args::Command` and one arm of `dispatch`.
//!
//! # Exit codes
//!
//! | code | meaning |
//! |---|---|
//! | 0 | the run completed, everything was looked at, nothing at or over the threshold was found |
//! | 1 | findings at or over the threshold of `--fail-on` |
//! | 2 | the run failed, was stopped, or did not look at everything it should have |
//! | 64 | the command line cannot be carried out: nothing was run |
//! | 130 | ended at once by a second Ctrl-C |

mod args;
mod cache;
mod catalogue;
#[cfg(feature = "temporal")]
mod cluster;
mod completions;
mod corpus;
mod db;
mod doctor;
mod exit;
mod explain;
#[cfg(feature = "update")]
mod fetch;
mod flags;
mod interrupt;
mod module;
mod output;
mod params;
mod progress;
mod report;
mod run;
mod runs;
mod sbom;
mod standard_input;
mod state;
mod store;
mod terminal;
mod update;
#[cfg(feature = "temporal")]
mod worker;
mod workflow;
mod workspaces;

use args::{Cli, Command};
use clap::Parser as _;
use exit::Exit;
use std::process::ExitCode;
use terminal::Terminal;

/// Carries out the command line of this process.
pub fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(message) => {
            // Help and version are asked for; anything else is wrong.
            let code = if message.use_stderr() { Exit::Usage } else { Exit::Clean };
            // A reader that went away has seen enough.
            let _ = message.print();
            return code.into();
        }
    };
    let terminal = Terminal::new(&cli.globals);
    match dispatch(cli, &terminal) {
        Ok(code) => code.into(),
        Err(failure) => {
            terminal.error(&failure.to_string());
            failure.code().into()
        }
    }
}

/// Reads the command line. What the program does not know may be the flag of a workflow.
fn parse() -> Result<Cli, clap::Error> {
    match Cli::try_parse_from(std::env::args_os()) {
        Err(error) if error.kind() == clap::error::ErrorKind::UnknownArgument => {
            Cli::try_parse_from(flags::as_parameters(std::env::args_os()))
        }
        parsed => parsed,
    }
}

fn dispatch(cli: Cli, terminal: &Terminal) -> Result<Exit, exit::Failure> {
    let globals = &cli.globals;
    match cli.command {
        Command::Workflow(command) => workflow::run(command, globals, terminal),
        Command::Module(command) => module::run(command, globals, terminal),
        Command::Db(command) => db::run(command, terminal),
        Command::Sbom(command) => sbom::run(&command, terminal),
        Command::Runs(command) => runs::run(command, globals, terminal),
        Command::Cache(command) => cache::run(&command, terminal),
        Command::Store(command) => store::run(command, terminal),
        Command::Corpus(command) => corpus::run(command, globals, terminal),
        #[cfg(feature = "temporal")]
        Command::Worker(command) => worker::run(&command, globals, terminal),
        Command::Doctor(command) => doctor::run(&command, globals, terminal),
        Command::Completions(command) => completions::run(&command, terminal),
    }
}
