//! `crashwise workflow`: list, describe, run and check workflows.

use super::args::Globals;
use super::catalogue::Catalogue;
use super::exit::{Exit, Failure};
use super::explain;
use super::params;
use super::run::{self, Keep, RunArgs};
use super::terminal::{BOLD, DIM, GOOD, Terminal, WARN};
use crate::definition::{self, Definition, DefinitionFile, Forecast, discover, load};
use clap::{Subcommand, ValueEnum};
use crashwise_core::{Metadata, schema_of};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Subcommand)]
pub(super) enum WorkflowCommand {
    /// List the workflows
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Describe a workflow and its parameters
    Info {
        /// The workflow
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a workflow on a target
    #[command(
        after_help = "Example: crashwise workflow run security_assessment . -o report.sarif --fail-on high"
    )]
    Run {
        /// The workflow
        name: String,
        #[command(flatten)]
        args: Box<RunArgs>,
    },
    /// Check workflows as data: folders with metadata.yaml and workflow.yaml
    Validate {
        /// A folder with a workflow, or a folder of such folders
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Draw the steps of a workflow as data
    Graph {
        /// The workflow, or its folder
        workflow: String,
        /// The language of the drawing
        #[arg(long, short, value_enum, default_value_t = GraphFormat::Mermaid)]
        format: GraphFormat,
    },
    /// Show what a workflow as data would run, without running it
    Plan {
        /// The workflow, or its folder
        workflow: String,
        /// Parameters
        #[arg(value_name = "KEY=VALUE")]
        assignments: Vec<String>,
        /// Parameters from a YAML or JSON file
        #[arg(long, value_name = "FILE")]
        params: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of a file of a workflow as data, for editors
    Schema {
        /// The file
        #[arg(value_enum, default_value_t = SchemaOf::Workflow)]
        of: SchemaOf,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum GraphFormat {
    /// Graphviz
    Dot,
    /// Mermaid
    Mermaid,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum SchemaOf {
    /// workflow.yaml
    Workflow,
    /// metadata.yaml
    Metadata,
}

pub(super) fn run(command: WorkflowCommand, globals: &Globals, terminal: &Terminal) -> Result<Exit, Failure> {
    match command {
        WorkflowCommand::List { json } => list(&Catalogue::load(globals)?, json, terminal),
        WorkflowCommand::Info { name, json } => {
            let catalogue = Catalogue::load(globals)?;
            let metadata = &*catalogue.workflow(&name)?.metadata;
            terminal.print(|out| {
                if json {
                    explain::json(out, metadata)
                } else {
                    explain::metadata(out, metadata, terminal.width())
                }
            })?;
            Ok(Exit::Clean)
        }
        WorkflowCommand::Run { name, args } => {
            let catalogue = Catalogue::for_workflow(globals, &name)?;
            let code = Arc::clone(&catalogue.workflow(&name)?.code);
            run::execute(&args, &code, Keep::Durable, catalogue, globals, terminal)
        }
        WorkflowCommand::Validate { paths } => validate(&paths, globals, terminal),
        WorkflowCommand::Graph { workflow, format } => {
            let definition = Catalogue::load(globals)?.definition(&workflow)?;
            let picture = match format {
                GraphFormat::Dot => definition::dot(&definition),
                GraphFormat::Mermaid => definition::mermaid(&definition),
            };
            terminal.print(|out| out.write_all(picture.as_bytes()))?;
            Ok(Exit::Clean)
        }
        WorkflowCommand::Plan { workflow, assignments, params, json } => {
            let definition = Catalogue::load(globals)?.definition(&workflow)?;
            plan(&definition, &assignments, params.as_deref(), json, terminal)
        }
        WorkflowCommand::Schema { of } => {
            let schema = match of {
                SchemaOf::Workflow => schema_of::<DefinitionFile>(),
                SchemaOf::Metadata => schema_of::<Metadata>(),
            };
            terminal.print(|out| explain::json(out, &schema))?;
            Ok(Exit::Clean)
        }
    }
}

fn list(catalogue: &Catalogue, json: bool, terminal: &Terminal) -> Result<Exit, Failure> {
    if json {
        let all: Vec<&Metadata> = catalogue.workflows().map(|known| &*known.metadata).collect();
        terminal.print(|out| explain::json(out, &all))?;
        return Ok(Exit::Clean);
    }
    let rows: Vec<(String, String)> = catalogue
        .workflows()
        .map(|known| {
            let from =
                known.folder.as_ref().map(|folder| format!(" ({})", folder.display())).unwrap_or_default();
            (known.metadata.name.clone(), format!("{}{from}", known.metadata.description.trim()))
        })
        .collect();
    terminal.print(|out| explain::rows(out, &rows, terminal.width()))?;
    Ok(Exit::Clean)
}

fn validate(paths: &[PathBuf], globals: &Globals, terminal: &Terminal) -> Result<Exit, Failure> {
    let catalogue = Catalogue::load(globals)?;
    let mut folders = Vec::new();
    for path in paths {
        let found = if path.is_dir() { discover(path)? } else { Vec::new() };
        // A folder without workflows is loaded too, which says what is missing.
        folders.extend(if found.is_empty() { vec![path.clone()] } else { found });
    }
    let mut names: Vec<String> = catalogue.workflows().map(|known| known.metadata.name.clone()).collect();
    for folder in &folders {
        if let Ok(source) = load(folder)
            && let Ok(metadata) = Metadata::from_yaml(&source.metadata.0, &source.metadata.1)
        {
            names.push(metadata.name);
        }
    }
    let mut wrong = 0;
    for folder in &folders {
        match check(folder, &names, &catalogue) {
            Ok(definition) => {
                let (name, steps) = (&definition.description().name, definition.steps().len());
                let plural = if steps == 1 { "" } else { "s" };
                terminal.print(|out| {
                    writeln!(out, "{GOOD}ok{GOOD:#} {}: {name}, {steps} step{plural}", folder.display())
                })?;
            }
            Err(failure) => {
                wrong += 1;
                terminal.tell(&super::terminal::plain(&failure.to_string()));
            }
        }
    }
    match wrong {
        0 => Ok(Exit::Clean),
        1 => Err(Failure::usage("1 workflow is not right")),
        many => Err(Failure::usage(format!("{many} workflows are not right"))),
    }
}

fn check(folder: &Path, names: &[String], catalogue: &Catalogue) -> Result<Definition, Failure> {
    Ok(Definition::parse(&load(folder)?.with_workflows(names.iter().cloned()), &catalogue.modules)?)
}

fn plan(
    definition: &Definition,
    assignments: &[String],
    file: Option<&Path>,
    json: bool,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let metadata = definition.description();
    let given = params::gather(file, assignments, &metadata.parameters)?;
    let params = metadata.check_parameters(given)?;
    let steps = definition::plan(definition, &params);
    if json {
        let plan = json!({"workflow": metadata.name, "version": metadata.version, "steps": steps});
        terminal.print(|out| explain::json(out, &plan))?;
        return Ok(Exit::Clean);
    }
    terminal.print(|out| {
        writeln!(out, "{BOLD}{} {}{BOLD:#}", metadata.name, metadata.version)?;
        let last = steps.iter().map(|step| step.stage).max().unwrap_or(0);
        for stage in 0..=last {
            writeln!(out, "\nstage {}", stage + 1)?;
            for step in steps.iter().filter(|step| step.stage == stage) {
                let times = match step.times {
                    Some(1) => String::new(),
                    Some(times) => format!(", {times} times"),
                    None => ", for each item of a list that is not known yet".to_owned(),
                };
                let forecast = match &step.forecast {
                    Forecast::Runs => format!("{GOOD}runs{GOOD:#}"),
                    Forecast::Skipped => format!("{DIM}is skipped{DIM:#}"),
                    Forecast::Depends(condition) => format!("{WARN}runs if{WARN:#} {condition}"),
                    Forecast::Fails(error) => format!("{WARN}fails:{WARN:#} {error}"),
                };
                writeln!(out, "  {}  {}{times}  {forecast}", step.id, step.action)?;
            }
        }
        Ok(())
    })?;
    Ok(Exit::Clean)
}
