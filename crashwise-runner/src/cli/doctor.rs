//! `crashwise doctor`: what this machine offers and what each workflow lacks.

use super::args::Globals;
use super::catalogue::{Catalogue, Known};
use super::exit::{Exit, Failure};
use super::explain;
use super::terminal::{BAD, BOLD, GOOD, Terminal, WARN};
use super::workspaces::cache_config;
use crate::definition::{Action, Definition};
use clap::Args;
use crashwise_core::CopyOnWrite;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

#[derive(Debug, Args)]
pub(super) struct DoctorCommand {
    /// Only what these workflows need; exit code 2 when one lacks something
    #[arg(value_name = "WORKFLOW")]
    names: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Everything that was found out.
#[derive(Debug, Serialize)]
struct Diagnosis {
    version: &'static str,
    system: String,
    processors: usize,
    places: Vec<Check>,
    protection: Vec<Check>,
    tools: Vec<Check>,
    workflows: Vec<Need>,
}

#[derive(Debug, Clone, Serialize)]
struct Check {
    name: String,
    available: bool,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Need {
    name: String,
    lacks: Vec<String>,
}

pub(super) fn run(command: &DoctorCommand, globals: &Globals, terminal: &Terminal) -> Result<Exit, Failure> {
    let catalogue = Catalogue::load(globals)?;
    let known: Vec<&Known> = match command.names.as_slice() {
        [] => catalogue.workflows().collect(),
        names => names.iter().map(|name| catalogue.workflow(name)).collect::<Result<_, _>>()?,
    };
    let tools = tools(&known, &catalogue);
    let diagnosis = Diagnosis {
        version: env!("CARGO_PKG_VERSION"),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        places: [vec![temporary_folder()], cache()].concat(),
        protection: protection(),
        workflows: known.iter().map(|known| need(known, &catalogue, &tools)).collect(),
        tools: tools.into_values().chain(support(&known)?).collect(),
    };
    terminal.print(|out| {
        if command.json { explain::json(out, &diagnosis) } else { show(out, &diagnosis, terminal.width()) }
    })?;
    let lacks = diagnosis.workflows.iter().any(|need| !need.lacks.is_empty());
    Ok(if lacks && !command.names.is_empty() { Exit::Incomplete } else { Exit::Clean })
}

fn show(out: &mut dyn Write, diagnosis: &Diagnosis, width: Option<usize>) -> io::Result<()> {
    let Diagnosis { version, system, processors, .. } = diagnosis;
    writeln!(out, "{BOLD}crashwise {version}{BOLD:#} on {system}, {processors} processors")?;
    for (title, checks, no) in [
        ("Places", &diagnosis.places, "no"),
        ("Protection from what is analysed", &diagnosis.protection, "no"),
        ("Programs", &diagnosis.tools, "missing"),
    ] {
        if checks.is_empty() {
            continue;
        }
        writeln!(out, "\n{BOLD}{title}{BOLD:#}")?;
        let column = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
        for check in checks {
            let word = if check.available {
                format!("{GOOD}yes    {GOOD:#}")
            } else {
                format!("{WARN}{no:7}{WARN:#}")
            };
            let room = width.map_or(usize::MAX, |width| width.saturating_sub(column + 13).max(24));
            let mut lines = explain::wrapped(&check.detail, room).into_iter();
            writeln!(out, "  {:column$}  {word}  {}", check.name, lines.next().unwrap_or_default())?;
            for line in lines {
                writeln!(out, "  {:column$}           {line}", "")?;
            }
        }
    }
    writeln!(out, "\n{BOLD}Workflows{BOLD:#}")?;
    for need in &diagnosis.workflows {
        if need.lacks.is_empty() {
            writeln!(out, "  {}  {GOOD}ready{GOOD:#}", need.name)?;
        } else {
            writeln!(out, "  {}  {BAD}lacks{BAD:#} {}", need.name, need.lacks.join(", "))?;
        }
    }
    Ok(())
}

/// Whether files can be made where runs keep what they do not need for long.
fn temporary_folder() -> Check {
    let folder = std::env::temp_dir();
    let made = tempfile::tempfile_in(&folder).and_then(|mut file| file.write_all(b"x"));
    let detail = match &made {
        Ok(()) => folder.display().to_string(),
        Err(error) => format!("{}: {error}", folder.display()),
    };
    Check { name: "temporary files".into(), available: made.is_ok(), detail }
}

/// Where the cache is, or would be, and how copy-on-write runs get their tree there.
fn cache() -> Vec<Check> {
    let directory = match cache_config(None) {
        Ok(config) => config.directory().to_owned(),
        Err(failure) => {
            return vec![Check { name: "cache".into(), available: false, detail: failure.to_string() }];
        }
    };
    // It is made when it is first needed, so what counts until then is the folder that it will be in.
    let there = directory.ancestors().find(|folder| folder.is_dir()).unwrap_or(&directory);
    let probed = CopyOnWrite::probe(there);
    let shown = directory.display();
    let (detail, way) = match &probed {
        Ok(way) => (shown.to_string(), way.describe()),
        Err(error) => (format!("{shown}: {error}"), "the cache cannot be written"),
    };
    let saves = probed.as_ref().is_ok_and(|way| *way != CopyOnWrite::Copy);
    vec![
        Check { name: "cache".into(), available: probed.is_ok(), detail },
        Check { name: "copy-on-write".into(), available: saves, detail: way.to_owned() },
    ]
}

#[cfg(target_os = "linux")]
fn protection() -> Vec<Check> {
    let mut found = crashwise_core::process::probe();
    // Without a runtime nobody can be asked for containers.
    if let Ok(runtime) = super::run::runtime() {
        found.extend(runtime.block_on(crashwise_core::process::probe_containers()));
    }
    found.into_iter().map(|it| Check { name: it.name, available: it.available, detail: it.detail }).collect()
}

#[cfg(not(target_os = "linux"))]
fn protection() -> Vec<Check> {
    let detail = "processes are confined on Linux only".to_owned();
    vec![Check { name: "processes".into(), available: false, detail }]
}

/// The programs that the workflows need, by name.
fn tools(known: &[&Known], catalogue: &Catalogue) -> BTreeMap<String, Check> {
    let names: BTreeSet<String> = known.iter().flat_map(|known| programs(known, catalogue)).collect();
    names.into_iter().map(|name| (name.clone(), look_for(name))).collect()
}

/// The programs that this machine lacks of those that its workflows need.
#[cfg(feature = "temporal")]
pub(super) fn lacking(catalogue: &Catalogue) -> Vec<String> {
    let known: Vec<&Known> = catalogue.workflows().collect();
    let tools = tools(&known, catalogue).into_values();
    tools.filter(|tool| !tool.available).map(|tool| tool.name).collect()
}

/// What the fuzzers among the workflows make use of where it is there.
#[cfg(target_os = "linux")]
fn support(known: &[&Known]) -> Result<Vec<Check>, Failure> {
    let modules: BTreeSet<String> = known.iter().flat_map(|known| modules(known)).collect();
    let names: Vec<&str> = modules.iter().map(String::as_str).collect();
    let found = super::run::runtime()?.block_on(crashwise_modules::fuzzing::support(&names));
    let check = |it: crashwise_modules::fuzzing::Support| Check {
        name: it.name.into(),
        available: it.available,
        detail: it.detail,
    };
    Ok(found.into_iter().map(check).collect())
}

#[cfg(not(target_os = "linux"))]
fn support(_: &[&Known]) -> Result<Vec<Check>, Failure> {
    Ok(Vec::new())
}

#[cfg(target_os = "linux")]
fn look_for(name: String) -> Check {
    if let Ok(path) = crashwise_core::process::find_tool(&name) {
        Check { name, available: true, detail: path.display().to_string() }
    } else {
        let detail = crashwise_core::process::install_hint(&name).to_owned();
        Check { name, available: false, detail }
    }
}

#[cfg(not(target_os = "linux"))]
fn look_for(name: String) -> Check {
    Check { name, available: false, detail: "programs are started on Linux only".into() }
}

/// The modules that a workflow runs, as far as that is known before it runs.
fn modules(known: &Known) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = known.metadata.required_modules.iter().cloned().collect();
    for step in known.definition.iter().flat_map(Definition::steps) {
        if let Action::Module(module) = &step.action {
            names.insert(module.info().name);
        }
    }
    names
}

pub(super) fn programs(known: &Known, catalogue: &Catalogue) -> BTreeSet<String> {
    let is_module = |name: &String| catalogue.modules.find(name).is_ok();
    let mut programs: BTreeSet<String> =
        known.metadata.requirements.tools.iter().filter(|name| !is_module(name)).cloned().collect();
    for name in modules(known) {
        if let Ok(module) = catalogue.modules.find(&name) {
            programs.extend(module.info().required_tools);
        }
    }
    programs
}

fn need(known: &Known, catalogue: &Catalogue, tools: &BTreeMap<String, Check>) -> Need {
    let missing = modules(known).into_iter().filter(|name| catalogue.modules.find(name).is_err());
    let mut lacks: Vec<String> = missing.map(|name| format!("module {name}")).collect();
    let there = |name: &String| tools.get(name).is_some_and(|check| check.available);
    lacks.extend(programs(known, catalogue).into_iter().filter(|name| !there(name)));
    Need { name: known.metadata.name.clone(), lacks }
}
