//! `crashwise store`: targets in a store, so that other machines can look at them.

use super::cache::size;
use super::exit::{Exit, Failure};
use super::explain;
use super::run::runtime;
use super::terminal::Terminal;
use super::workspaces;
use clap::Subcommand;
use crashwise_core::archive::{PackOptions, Packed, pack};
use crashwise_core::error_chain;
use crashwise_core::store::{Lifetimes, Prefix, StoreError};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

#[derive(Debug, Subcommand)]
#[command(
    after_help = "STORE is a folder, file:///FOLDER, or s3://BUCKET with an optional prefix. S3_ENDPOINT, S3_ACCESS_KEY, \
                  S3_SECRET_KEY, S3_REGION and S3_USE_SSL say how to reach an S3-compatible service."
)]
pub(super) enum StoreCommand {
    /// Pack a directory, or take an archive as it is, upload it unless it is there, and print its URL
    Push {
        /// A directory, or an archive
        target: PathBuf,
        /// Where to
        store: String,
    },
    /// List what is in a store
    List {
        /// The store
        store: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove what has outlived its lifetime: targets after 7 days, results after 30, cached artifacts after 3
    Sweep {
        /// The store
        store: String,
    },
}

pub(super) fn run(command: StoreCommand, terminal: &Terminal) -> Result<Exit, Failure> {
    match command {
        StoreCommand::Push { target, store } => push(&target, &store, terminal)?,
        StoreCommand::List { store, json } => list(&store, json, terminal)?,
        StoreCommand::Sweep { store } => {
            let opened = workspaces::store(&store)?;
            let swept = runtime()?.block_on(opened.sweep(&Lifetimes::default(), SystemTime::now()));
            let swept = swept.map_err(|error| failed(&error))?;
            terminal
                .print(|out| writeln!(out, "removed {} objects, {}", swept.objects, size(swept.bytes)))?;
        }
    }
    Ok(Exit::Clean)
}

fn failed(error: &StoreError) -> Failure {
    Failure::failed(error_chain(error))
}

fn push(target: &Path, text: &str, terminal: &Terminal) -> Result<(), Failure> {
    let unusable =
        |error| Failure::usage(format!("target {} could not be opened: {error}", target.display()));
    let is_directory = std::fs::metadata(target).map_err(unusable)?.is_dir();
    let store = workspaces::store(text)?;
    let packed = if is_directory {
        let (file, packed) = pack_directory(target)?;
        for skipped in &packed.skipped {
            terminal.warn(&format!("left out {}: {}", skipped.path.display(), skipped.rule.text()));
        }
        if let more @ 1.. = packed.skipped_count - packed.skipped.len() as u64 {
            terminal.warn(&format!("left out {more} more"));
        }
        terminal.note(&format!(
            "packed {} entries, {} to {}",
            packed.entries,
            size(packed.bytes),
            size(packed.packed_bytes)
        ));
        Some(file)
    } else {
        None
    };
    let file = packed.as_ref().map_or(target, tempfile::NamedTempFile::path);
    let runtime = runtime()?;
    let id = runtime.block_on(store.put_target(file)).map_err(|error| failed(&error))?;
    let base = place(text);
    terminal.print(|out| writeln!(out, "{base}/targets/{id}/target"))
}

/// The store as the beginning of a URL that `workflow run` takes.
fn place(text: &str) -> String {
    let text = text.trim_end_matches('/');
    if text.contains("://") {
        return text.to_owned();
    }
    std::path::absolute(text).map_or_else(|_| text.to_owned(), |path| path.display().to_string())
}

fn pack_directory(directory: &Path) -> Result<(tempfile::NamedTempFile, Packed), Failure> {
    let unusable = |error| Failure::failed(format!("a temporary file could not be written: {error}"));
    let file = tempfile::NamedTempFile::new().map_err(unusable)?;
    let mut out = BufWriter::new(File::create(file.path()).map_err(unusable)?);
    let packed = pack(directory, &mut out, &PackOptions::new());
    let packed = packed.map_err(|error| Failure::failed(error_chain(&error)))?;
    out.flush().map_err(unusable)?;
    Ok((file, packed))
}

fn list(text: &str, json: bool, terminal: &Terminal) -> Result<(), Failure> {
    let store = workspaces::store(text)?;
    let runtime = runtime()?;
    let mut objects = Vec::new();
    for prefix in Prefix::ALL {
        objects.extend(runtime.block_on(store.list(prefix)).map_err(|error| failed(&error))?);
    }
    terminal.print(|out| {
        if json {
            let rows: Vec<_> = objects
                .iter()
                .map(|object| serde_json::json!({"key": object.key, "bytes": object.size}))
                .collect();
            return explain::json(out, &rows);
        }
        for object in &objects {
            writeln!(out, "{:>9}  {}", size(object.size), object.key)?;
        }
        Ok(())
    })
}
