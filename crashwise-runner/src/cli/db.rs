//! `crashwise db`: compile, describe and check advisory databases.

use super::exit::{Exit, Failure};
use super::explain;
use super::terminal::{BOLD, Terminal};
use super::update::{self, UpdateCommand};
use clap::Subcommand;
use crashwise_core::error_chain;
use crashwise_modules::dependencies::advisory::{Database, DatabaseBuilder, DatabaseError};
use serde_json::json;
use std::path::{Path, PathBuf};

/// How many records that could not be read are named one by one.
const NAMED_WARNINGS: usize = 20;

#[derive(Debug, Subcommand)]
pub(super) enum DbCommand {
    /// Compile advisories into one database file
    Build {
        /// Folders, .zip archives or files of advisories: OSV as JSON or YAML, RustSec as Markdown
        #[arg(required = true)]
        sources: Vec<PathBuf>,
        /// The file to write; it is replaced as a whole or not at all
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Compile a database from a mirror of advisories
    Update(UpdateCommand),
    /// Describe a database: sources, age, licences
    Info {
        /// The database
        database: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Read a whole database and check its digest
    Verify {
        /// The database
        database: PathBuf,
    },
}

pub(super) fn run(command: DbCommand, terminal: &Terminal) -> Result<Exit, Failure> {
    match command {
        DbCommand::Build { sources, output } => build(&sources, &output, terminal)?,
        DbCommand::Update(command) => write(update::collect(&command, terminal)?, &command.output, terminal)?,
        DbCommand::Info { database, json } => info(&database, json, terminal)?,
        DbCommand::Verify { database } => {
            open(&database)?.verify().map_err(|error| failure(&database, &error))?;
            terminal.note(&format!("{}: every byte is as it was written", database.display()));
        }
    }
    Ok(Exit::Clean)
}

fn build(sources: &[PathBuf], output: &Path, terminal: &Terminal) -> Result<(), Failure> {
    let mut builder = DatabaseBuilder::new();
    for source in sources {
        builder.add(source).map_err(|error| Failure::failed(error_chain(&error)))?;
    }
    write(builder, output, terminal)
}

/// Names what could not be read and writes the file.
fn write(builder: DatabaseBuilder, output: &Path, terminal: &Terminal) -> Result<(), Failure> {
    let warnings = builder.warnings();
    for warning in warnings.iter().take(NAMED_WARNINGS) {
        terminal.warn(warning);
    }
    if warnings.len() > NAMED_WARNINGS {
        terminal.warn(&format!("and {} more records could not be read", warnings.len() - NAMED_WARNINGS));
    }
    let meta = builder.write(output).map_err(|error| Failure::failed(error_chain(&error)))?;
    let text =
        format!("{}: {} advisories, the newest of {}", output.display(), meta.advisories, meta.newest());
    terminal.note(&text);
    Ok(())
}

fn info(path: &Path, as_json: bool, terminal: &Terminal) -> Result<(), Failure> {
    let database = open(path)?;
    let (meta, digest) = (database.meta(), database.digest());
    terminal.print(|out| {
        if as_json {
            return explain::json(out, &json!({"digest": digest, "meta": meta}));
        }
        writeln!(out, "{BOLD}{} advisories{BOLD:#}, digest {digest}\n", meta.advisories)?;
        let mut rows: Vec<(String, String)> = Vec::new();
        for (name, info) in &meta.ecosystems {
            rows.push((
                name.clone(),
                format!("{} advisories, the newest of {}", info.advisories, info.newest),
            ));
        }
        for source in &meta.sources {
            rows.push((source.name.clone(), format!("{} records, {} bytes", source.records, source.bytes)));
        }
        for (license, count) in &meta.licenses {
            rows.push((license.clone(), format!("licence of {count} records")));
        }
        rows.push(("withdrawn".to_owned(), format!("{} records left out", meta.withdrawn)));
        rows.push(("malformed".to_owned(), format!("{} records or ranges left out", meta.malformed)));
        explain::rows(out, &rows, terminal.width())
    })
}

fn open(path: &Path) -> Result<Database, Failure> {
    Database::open(path).map_err(|error| failure(path, &error))
}

fn failure(path: &Path, error: &DatabaseError) -> Failure {
    Failure::failed(format!("{}: {}", path.display(), error_chain(error)))
}
