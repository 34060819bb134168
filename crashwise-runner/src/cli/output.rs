//! Where reports go: standard output and files, each in a format.

use super::exit::Failure;
use super::terminal::Terminal;
use clap::ValueEnum;
use crashwise_sarif::{Report, report};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For terminals, grouped by severity
    Table,
    /// Everything, for programs
    Json,
    /// SARIF 2.1.0
    Sarif,
    /// For pull requests and tickets
    Markdown,
    /// A page that needs no network
    Html,
    /// One row for each finding
    Csv,
    /// For systems that show tests
    Junit,
}

/// The endings of files and the formats they mean.
const ENDINGS: [(&str, Format); 9] = [
    ("csv", Format::Csv),
    ("htm", Format::Html),
    ("html", Format::Html),
    ("json", Format::Json),
    ("markdown", Format::Markdown),
    ("md", Format::Markdown),
    ("sarif", Format::Sarif),
    ("txt", Format::Table),
    ("xml", Format::Junit),
];

/// The most findings that a page or a Markdown report shows of each severity.
const PAGE_LIMIT: u64 = 10_000;

/// A file that a report will be written to. It is made beside its place before the run, so that what cannot be written is
/// found out first, and takes its place as a whole when the report is done.
#[derive(Debug)]
pub(super) struct Destination {
    path: PathBuf,
    format: Format,
    file: NamedTempFile,
}

impl Destination {
    /// Prepares a file; the format is told by its ending unless it is given.
    pub(super) fn prepare(path: &Path, format: Option<Format>) -> Result<Self, Failure> {
        let shown = path.display();
        let format = match format {
            Some(format) => format,
            None => by_ending(path).ok_or_else(|| {
                let known: Vec<String> = ENDINGS.iter().map(|(ending, _)| format!(".{ending}")).collect();
                Failure::usage(format!(
                    "{shown}: the format cannot be told from the name: give --format or one of {}",
                    known.join(", ")
                ))
            })?,
        };
        let failed = |error: io::Error| Failure::usage(format!("{shown} cannot be written: {error}"));
        let there = path.metadata().ok();
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            return Err(failed(io::Error::other("it is there and is not a file")));
        }
        if there.is_some_and(|there| there.permissions().readonly()) {
            return Err(failed(io::ErrorKind::PermissionDenied.into()));
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        if path.file_name().is_none() {
            return Err(failed(io::Error::other("expected the name of a file")));
        }
        let file = tempfile::Builder::new().prefix(".crashwise-").tempfile_in(folder).map_err(failed)?;
        Ok(Self { path: path.to_owned(), format, file })
    }

    /// Writes the report and puts it in its place.
    pub(super) fn write(self, report: &Report) -> Result<PathBuf, Failure> {
        let Self { path, format, file } = self;
        let failed =
            |error: io::Error| Failure::failed(format!("{} could not be written: {error}", path.display()));
        let mut out = BufWriter::with_capacity(1 << 16, file);
        write(format, report, &report::TableOptions::new(), &mut out).map_err(failed)?;
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        readable(&file).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(path)
    }
}

/// Reports are as readable as other files: temporary ones begin private.
#[cfg(unix)]
fn readable(file: &NamedTempFile) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &NamedTempFile) -> io::Result<()> {
    Ok(())
}

fn by_ending(path: &Path) -> Option<Format> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    ENDINGS.iter().find(|(known, _)| *known == ending).map(|(_, format)| *format)
}

/// Writes a report to standard output.
pub(super) fn print(format: Format, report: &Report, terminal: &Terminal) -> Result<(), Failure> {
    if format != Format::Table {
        return Terminal::print_plain(|out| write(format, report, &report::TableOptions::new(), out));
    }
    let mut options = report::TableOptions::new().with_color(terminal.colors_output());
    if let Some(width) = terminal.width() {
        options = options.with_width(width).with_limit(100);
    }
    terminal.print(|out| write(format, report, &options, out))
}

fn write(
    format: Format,
    report: &Report,
    table: &report::TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Table => report::table(report, table, out),
        Format::Json => report::json(report, out),
        Format::Sarif => crashwise_sarif::write(report, out),
        Format::Markdown => report::markdown(report, Some(PAGE_LIMIT), out),
        Format::Html => report::html(report, Some(PAGE_LIMIT), out),
        Format::Csv => report::csv(report, out),
        Format::Junit => report::junit(report, out),
    }
}
