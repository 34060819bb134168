//! `crashwise module`: list, describe and run single modules.

use super::args::Globals;
use super::catalogue::Catalogue;
use super::exit::{Exit, Failure};
use super::explain;
use super::run::{self, Keep, RunArgs};
use super::terminal::{BOLD, Terminal};
use clap::Subcommand;
use crashwise_core::workflow::{AnyWorkflow, WorkflowContext, WorkflowError};
use crashwise_core::{AnyModule, Isolation, Metadata, ModuleInfo};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Debug, Subcommand)]
pub(super) enum ModuleCommand {
    /// List the modules
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Describe a module and its configuration
    Info {
        /// The module
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a module on a target
    Run {
        /// The module
        name: String,
        #[command(flatten)]
        args: Box<RunArgs>,
    },
}

pub(super) fn run(command: ModuleCommand, globals: &Globals, terminal: &Terminal) -> Result<Exit, Failure> {
    let catalogue = match &command {
        ModuleCommand::Run { name, .. } | ModuleCommand::Info { name, .. } => {
            Catalogue::for_module(globals, name)?
        }
        ModuleCommand::List { .. } => Catalogue::load(globals)?,
    };
    match command {
        ModuleCommand::List { json: true } => {
            let all: Vec<ModuleInfo> = catalogue.modules.iter().map(|module| module.info()).collect();
            terminal.print(|out| explain::json(out, &all))?;
        }
        ModuleCommand::List { json: false } => {
            let rows: Vec<(String, String)> = catalogue
                .modules
                .iter()
                .map(|module| module.info())
                .map(|info| (info.name, format!("{}: {}", info.kind, info.description)))
                .collect();
            terminal.print(|out| explain::rows(out, &rows, terminal.width()))?;
        }
        ModuleCommand::Info { name, json } => {
            let module = find(&catalogue, &name)?;
            let (info, schema) = (module.info(), module.config_schema());
            terminal.print(|out| {
                if json {
                    return explain::json(out, &json!({"info": info, "config_schema": schema}));
                }
                writeln!(out, "{BOLD}{} {}{BOLD:#}\n{}\n", info.name, info.version, info.description)?;
                let mut facts = vec![("kind".to_owned(), info.kind.to_string())];
                if !info.tags.is_empty() {
                    facts.push(("tags".to_owned(), info.tags.join(", ")));
                }
                if !info.required_tools.is_empty() {
                    facts.push(("tools".to_owned(), info.required_tools.join(", ")));
                }
                explain::rows(out, &facts, terminal.width())?;
                explain::parameters(out, &schema, terminal.width())
            })?;
        }
        ModuleCommand::Run { name, args } => {
            let code: Arc<dyn AnyWorkflow> = Arc::new(Alone(find(&catalogue, &name)?));
            return run::execute(&args, &code, Keep::Passing, catalogue, globals, terminal);
        }
    }
    Ok(Exit::Clean)
}

fn find(catalogue: &Catalogue, name: &str) -> Result<Arc<dyn AnyModule>, Failure> {
    catalogue.modules.find(name).cloned().map_err(|error| Failure::usage(error.to_string()))
}

/// A workflow of one step.
struct Alone(Arc<dyn AnyModule>);

impl AnyWorkflow for Alone {
    fn metadata(&self) -> Metadata {
        let info = self.0.info();
        let version = info.version.parse().unwrap_or_else(|_| semver::Version::new(0, 0, 0));
        let mut metadata =
            Metadata::new(&info.name, version, &info.description).with_isolation(Isolation::Shared);
        metadata.parameters = self.0.config_schema();
        metadata.required_modules = vec![info.name];
        metadata
    }

    fn run_json<'a>(
        &'a self,
        cx: &'a WorkflowContext,
        params: Value,
    ) -> LocalBoxFuture<'a, Result<Value, WorkflowError>> {
        async move {
            let output = cx.step(&self.0.info().name).call_any(Arc::clone(&self.0), params).await?;
            Ok(serde_json::to_value(output.summary.values)?)
        }
        .boxed_local()
    }
}
