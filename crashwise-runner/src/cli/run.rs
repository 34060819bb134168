//! Running a workflow, or a module as one, and reporting what it did.

use super::catalogue::Catalogue;
use super::exit::{Exit, Failure};
use super::output::{self, Destination, Format};
use super::progress::Progress;
use super::terminal::Terminal;
use super::{interrupt, params};
use crate::{RunReport, RunRequest, RunStatus, Runner};
use clap::Args;
use crashwise_core::workflow::AnyWorkflow;
use crashwise_core::{CoverageStatus, Severity, SeverityCounts, Span, Target};
use crashwise_sarif::{Comparison, ReadOptions, Report, SarifLog};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// A directory, or an archive (tar, tar.gz, tar.xz, tar.zst, zip)
    target: PathBuf,
    /// Parameters; dots reach into objects, lists are JSON or separated by commas
    #[arg(value_name = "KEY=VALUE")]
    assignments: Vec<String>,
    /// Parameters from a YAML or JSON file, - for standard input; KEY=VALUE goes over them
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// Write the report to a file, in the format of its ending: .sarif .json .md .html .csv .xml .txt
    #[arg(long, short, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// Format of the report on standard output, or of the files when there are any [default: table]
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Findings of this severity or worse give exit code 1: info, low, medium, high, critical, or none
    #[arg(long, value_name = "SEVERITY", default_value = "low")]
    fail_on: Threshold,
    /// Compare with an earlier SARIF log; then only new findings give exit code 1
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Most time for the run, e.g. 90s, 30m, 2h
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
    /// Accept that not everything was looked at: exit code 2 only when the run failed
    #[arg(long)]
    allow_partial: bool,
}

/// From which severity on findings matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Threshold(Option<Severity>);

impl FromStr for Threshold {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        if word.eq_ignore_ascii_case("none") {
            return Ok(Self(None));
        }
        word.parse().map(|severity| Self(Some(severity))).map_err(|_| {
            let near = crashwise_core::nearest(word, ["info", "low", "medium", "high", "critical", "none"]);
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            format!("expected info, low, medium, high, critical or none{hint}")
        })
    }
}

/// Runs a workflow, shows its progress and reports what it did.
pub(super) fn execute(
    args: &RunArgs,
    code: &Arc<dyn AnyWorkflow>,
    catalogue: Catalogue,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let metadata = code.metadata();
    for name in &metadata.required_modules {
        if let Err(error) = catalogue.modules.find(name) {
            return Err(Failure::failed(format!("workflow {:?} cannot run here: {error}", metadata.name)));
        }
    }
    let target = target(&args.target)?;
    let given = params::gather(args.params.as_deref(), &args.assignments, &metadata.parameters)?;
    let params = metadata.check_parameters(given)?;
    let destinations = destinations(args)?;
    if let Some(path) = &args.baseline {
        check_baseline(path)?;
    }
    let mut request = RunRequest::new(&metadata.name, target).with_params(params);
    if let Some(time) = args.timeout {
        request = request.with_timeout(time.duration());
    }
    let run = drive(request, code, catalogue, terminal)?;
    report(args, &run, destinations, terminal)
}

fn target(path: &Path) -> Result<Target, Failure> {
    Target::from_path(path)
        .map_err(|error| Failure::usage(format!("target {} could not be opened: {error}", path.display())))
}

fn destinations(args: &RunArgs) -> Result<Vec<Destination>, Failure> {
    for (n, path) in args.output.iter().enumerate() {
        if args.output[..n].contains(path) {
            return Err(Failure::usage(format!("--output names {} twice", path.display())));
        }
    }
    args.output.iter().map(|path| Destination::prepare(path, args.format)).collect()
}

/// A baseline that is no SARIF is found out before the run.
fn check_baseline(path: &Path) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::usage(format!(
            "baseline {} could not be read: {}",
            path.display(),
            crashwise_core::error_chain(error)
        ))
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    crashwise_sarif::read(file, &ReadOptions::new(), &mut |_| Ok(())).map_err(|error| failed(&error))?;
    Ok(())
}

fn drive(
    request: RunRequest,
    code: &Arc<dyn AnyWorkflow>,
    catalogue: Catalogue,
    terminal: &Terminal,
) -> Result<RunReport, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("the runtime could not be started: {error}")))?;
    let progress = Progress::new(terminal);
    let report = runtime.block_on(async {
        let mut builder = Runner::builder();
        let mut registered = false;
        for known in catalogue.workflows() {
            registered |= known.metadata.name == request.workflow;
            builder = builder.workflow_shared(Arc::clone(&known.code));
        }
        if !registered {
            builder = builder.workflow_shared(Arc::clone(code));
        }
        let runner = progress.attach(builder.modules(catalogue.modules)).build()?;
        let handle = runner.submit(request).await?;
        let waited = interrupt::until_done(&handle, terminal, handle.wait()).await;
        let report =
            waited.map_err(|error| Failure::failed(format!("signals could not be received: {error}")))?;
        Ok::<_, Failure>(report?)
    });
    progress.finish();
    // A module that ignores its cancellation is not waited for.
    runtime.shutdown_background();
    report
}

fn report(
    args: &RunArgs,
    run: &RunReport,
    destinations: Vec<Destination>,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let mut report = run.for_reports();
    if let Some(path) = &args.baseline {
        let path = path.clone();
        let earlier = SarifLog::new(move || File::open(&path), ReadOptions::new());
        let comparison = Comparison::new(earlier, &*report.findings).map_err(|error| {
            Failure::failed(format!("the findings could not be compared with the baseline: {error}"))
        })?;
        report = report.with_comparison(comparison);
    }
    let exit = verdict(args, run, &report);
    report = report.with_exit_code(exit.code().into());
    let to_files = !destinations.is_empty();
    let mut written = Vec::new();
    for destination in destinations {
        written.push(destination.write(&report)?);
    }
    match args.format {
        Some(format) if !to_files => output::print(format, &report, terminal)?,
        _ if terminal.is_quiet() => {}
        _ => output::print(Format::Table, &report, terminal)?,
    }
    for path in written {
        terminal.note(&format!("wrote {}", path.display()));
    }
    if run.status != RunStatus::Completed {
        let cause = run.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
        terminal.error(&format!("the run {}{cause}", run.status.ended()));
    } else if exit == Exit::Incomplete {
        terminal.warn("not everything was looked at; --allow-partial accepts that");
    }
    Ok(exit)
}

/// Failure goes over findings: what is incomplete cannot be called clean, nor be called all there is.
fn verdict(args: &RunArgs, run: &RunReport, report: &Report) -> Exit {
    let covered = match run.coverage.status {
        CoverageStatus::Complete => true,
        CoverageStatus::Partial => args.allow_partial,
        CoverageStatus::Failed => false,
    };
    let counts: SeverityCounts = report.comparison.as_ref().map_or(run.counts, |comparison| comparison.new);
    if run.status != RunStatus::Completed || !covered {
        Exit::Incomplete
    } else if args.fail_on.0.is_some_and(|severity| counts.at_least(severity) > 0) {
        Exit::Findings
    } else {
        Exit::Clean
    }
}
