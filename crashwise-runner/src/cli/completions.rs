//! `crashwise completions`: what a shell needs to complete the command line.

use super::args::Cli;
use super::exit::{Exit, Failure};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

#[derive(Debug, Args)]
pub(super) struct CompletionsCommand {
    /// The shell
    shell: Shell,
    /// The name under which the program is called
    #[arg(long, default_value = "crashwise", value_parser = ["crashwise", "cw"])]
    name: String,
}

pub(super) fn run(command: &CompletionsCommand, terminal: &super::Terminal) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut Cli::command(), &command.name, &mut script);
    terminal.print(|out| out.write_all(&script))?;
    Ok(Exit::Clean)
}
