//! `crashwise corpus`: the inputs of fuzz targets and their known crashes, kept over runs.

use super::args::Globals;
use super::cache::size;
use super::catalogue::{Catalogue, corpora};
use super::exit::{Exit, Failure};
use super::explain;
use super::run::{self, Keep, RunArgs, runtime};
use super::terminal::{Terminal, plain};
use clap::Subcommand;
use crashwise_core::error_chain;
use crashwise_core::store::{CorpusId, KnownCrash, Store, StoreError};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Subcommand)]
#[command(
    after_help = "Corpora are kept in the state folder, or in --corpora. A corpus is named PROJECT/TARGET; the project is the name \
                  that `--project` gives a fuzzing workflow, else one made of what it looks at."
)]
pub(super) enum CorpusCommand {
    /// List corpora, with their inputs and known crashes
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Add the files of a folder to a corpus
    Import {
        /// The corpus
        #[arg(value_name = "PROJECT/TARGET")]
        corpus: CorpusId,
        /// The folder; of its files, links and those over 16 MiB are left out
        folder: PathBuf,
    },
    /// Write the inputs of a corpus into a folder, each into a file of its own
    Export {
        /// The corpus
        #[arg(value_name = "PROJECT/TARGET")]
        corpus: CorpusId,
        /// The folder, made if it is not there
        folder: PathBuf,
        /// Write the inputs of known crashes here, each with what is known of it
        #[arg(long, value_name = "FOLDER")]
        crashes: Option<PathBuf>,
    },
    /// Let go of inputs that reach nothing of their own: runs the workflow of replay on the project
    #[command(alias = "minimise")]
    Minimize {
        #[command(flatten)]
        args: Box<RunArgs>,
    },
    /// Let go of a corpus and its known crashes
    Remove {
        /// The corpus
        #[arg(value_name = "PROJECT/TARGET")]
        corpus: CorpusId,
    },
}

pub(super) fn run(command: CorpusCommand, globals: &Globals, terminal: &Terminal) -> Result<Exit, Failure> {
    let open = || {
        corpora(globals)?
            .ok_or_else(|| Failure::usage("no store for corpora can be used: give --corpora or --state-dir"))
    };
    match command {
        CorpusCommand::List { json } => list(&open()?, json, terminal),
        CorpusCommand::Import { corpus, folder } => import(&open()?, &corpus, &folder, terminal),
        CorpusCommand::Export { corpus, folder, crashes } => {
            export(&open()?, &corpus, &folder, crashes.as_deref(), terminal)
        }
        CorpusCommand::Minimize { mut args } => {
            args.assign("minimise_corpus=true");
            let catalogue = Catalogue::for_runs(globals)?;
            let code = Arc::clone(&catalogue.workflow("fuzz_regression")?.code);
            run::execute(&args, &code, Keep::Durable, catalogue, globals, terminal)
        }
        CorpusCommand::Remove { corpus } => {
            let store = open()?;
            runtime()?.block_on(async {
                known(&store, &corpus).await?;
                store.corpus(&corpus).remove().await.map_err(|error| failed(&error))
            })?;
            terminal.note(&format!("removed corpus {corpus}"));
            Ok(Exit::Clean)
        }
    }
}

fn failed(error: &StoreError) -> Failure {
    Failure::failed(error_chain(error))
}

async fn known(store: &Store, corpus: &CorpusId) -> Result<(), Failure> {
    let all = store.corpora().await.map_err(|error| failed(&error))?;
    if all.iter().any(|(id, _)| id == corpus) {
        return Ok(());
    }
    let names: Vec<String> = all.iter().map(|(id, _)| id.to_string()).collect();
    let near = crashwise_core::nearest(&corpus.to_string(), names.iter().map(String::as_str));
    let hint = match near {
        Some(near) => format!(" (did you mean {near:?}?)"),
        None => "; `crashwise corpus list` shows those there are".to_owned(),
    };
    Err(Failure::usage(format!("there is no corpus {corpus}{hint}")))
}

struct Row {
    id: CorpusId,
    bytes: u64,
    inputs: u64,
    damaged: usize,
    crashes: Vec<KnownCrash>,
}

fn list(store: &Store, as_json: bool, terminal: &Terminal) -> Result<Exit, Failure> {
    let rows = runtime()?.block_on(async {
        let mut rows = Vec::new();
        for (id, bytes) in store.corpora().await? {
            let mut corpus = store.corpus(&id);
            let unpacked = corpus.count().await?;
            let crashes = corpus.crashes().await?;
            rows.push(Row { id, bytes, inputs: unpacked.inputs, damaged: unpacked.damaged.len(), crashes });
        }
        Ok::<_, StoreError>(rows)
    });
    let rows = rows.map_err(|error| failed(&error))?;
    terminal.print(|out| {
        if as_json {
            let rows: Vec<_> = rows
                .iter()
                .map(|row| {
                    let crashes: Vec<_> = row
                        .crashes
                        .iter()
                        .map(|crash| json!({"key": crash.key, "about": crash.about}))
                        .collect();
                    json!({"corpus": row.id.to_string(), "inputs": row.inputs, "bytes": row.bytes, "crashes": crashes})
                })
                .collect();
            return explain::json(out, &rows);
        }
        for row in &rows {
            writeln!(out, "{}  {} inputs, {}", row.id, row.inputs, size(row.bytes))?;
            for crash in &row.crashes {
                let fixed = crash.about["fixed"].as_bool().unwrap_or_default();
                let title = plain(crash.about["title"].as_str().unwrap_or(&crash.key));
                writeln!(out, "    {}  {title}", if fixed { "fixed" } else { "crash" })?;
            }
        }
        Ok(())
    })?;
    for row in rows.iter().filter(|row| row.damaged > 0) {
        terminal.warn(&format!("{} parts of corpus {} are damaged", row.damaged, row.id));
    }
    Ok(if rows.iter().any(|row| row.damaged > 0) { Exit::Incomplete } else { Exit::Clean })
}

fn import(store: &Store, id: &CorpusId, folder: &Path, terminal: &Terminal) -> Result<Exit, Failure> {
    if !folder.is_dir() {
        return Err(Failure::usage(format!("{} is not a folder", folder.display())));
    }
    let added = runtime()?.block_on(async {
        let mut corpus = store.corpus(id);
        corpus.count().await?;
        corpus.add(folder).await
    });
    let added = added.map_err(|error| failed(&error))?;
    terminal.print(|out| writeln!(out, "{added} inputs are new in {id}"))?;
    Ok(Exit::Clean)
}

fn export(
    store: &Store,
    id: &CorpusId,
    folder: &Path,
    crashes: Option<&Path>,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let unwritable =
        |path: &Path, error| Failure::failed(format!("{} could not be written: {error}", path.display()));
    let unpacked = runtime()?.block_on(async {
        known(store, id).await?;
        let mut corpus = store.corpus(id);
        let unpacked = corpus.unpack(folder).await.map_err(|error| failed(&error))?;
        if let Some(folder) = crashes {
            for crash in corpus.crashes().await.map_err(|error| failed(&error))? {
                let place = folder.join(&crash.key);
                fs::create_dir_all(&place).map_err(|error| unwritable(&place, error))?;
                let about = format!("{:#}\n", crash.about);
                fs::write(place.join("crash.json"), about).map_err(|error| unwritable(&place, error))?;
                if let Some(input) = corpus.crash_input(&crash.key).await.map_err(|error| failed(&error))? {
                    fs::write(place.join("input"), input).map_err(|error| unwritable(&place, error))?;
                }
            }
        }
        Ok::<_, Failure>(unpacked)
    })?;
    for key in &unpacked.damaged {
        terminal.warn(&format!("{key} is damaged and was left out"));
    }
    terminal.print(|out| writeln!(out, "{} inputs of {id} are in {}", unpacked.inputs, folder.display()))?;
    Ok(if unpacked.damaged.is_empty() { Exit::Clean } else { Exit::Incomplete })
}
