//! `crashwise db update`: a database from a mirror of advisories, on disk or at an address.

use super::exit::Failure;
use super::terminal::Terminal;
use clap::Args;
use crashwise_core::error_chain;
use crashwise_modules::dependencies::advisory::DatabaseBuilder;
use crashwise_modules::dependencies::version::Ecosystem;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct UpdateCommand {
    /// The mirror, which holds ECOSYSTEM/all.zip: a folder, or a file://, http:// or https:// address
    mirror: String,
    /// Take this ecosystem, e.g. npm; can be repeated. Needed for addresses; without it all of a folder is taken
    #[arg(long = "ecosystem", short, value_name = "NAME")]
    ecosystems: Vec<String>,
    /// The file to write; it is replaced as a whole or not at all
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: PathBuf,
    /// Keep what is fetched in this folder, and fetch only what has changed since
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// Collects the advisories of a mirror.
pub(super) fn collect(command: &UpdateCommand, terminal: &Terminal) -> Result<DatabaseBuilder, Failure> {
    for name in &command.ecosystems {
        // The name becomes a part of a path, so only names that are known are taken.
        if name.parse::<Ecosystem>().is_err() || name.contains(['/', '\\']) {
            return Err(Failure::usage(format!("{name} is no ecosystem of the OSV schema")));
        }
    }
    let mut builder = DatabaseBuilder::new();
    let mut add =
        |source: &Path| builder.add(source).map(|_| ()).map_err(|error| Failure::failed(error_chain(&error)));
    let is_remote = command.mirror.starts_with("http://") || command.mirror.starts_with("https://");
    if is_remote {
        if command.ecosystems.is_empty() {
            return Err(Failure::usage("an address needs --ecosystem: it cannot be listed"));
        }
        let scratch =
            tempfile::tempdir().map_err(|error| Failure::failed(format!("temporary folder: {error}")))?;
        let folder = command.cache.as_deref().unwrap_or(scratch.path());
        for file in fetch(&command.mirror, &command.ecosystems, folder, terminal)? {
            add(&file)?;
        }
        return Ok(builder);
    }
    let folder = Path::new(command.mirror.strip_prefix("file://").unwrap_or(&command.mirror));
    if command.ecosystems.is_empty() {
        add(folder)?;
    }
    for name in &command.ecosystems {
        let places =
            [folder.join(name).join("all.zip"), folder.join(format!("{name}.zip")), folder.join(name)];
        let Some(place) = places.iter().find(|place| place.exists()) else {
            return Err(Failure::failed(format!(
                "{}: holds neither {name}/all.zip nor {name}",
                folder.display()
            )));
        };
        add(place)?;
    }
    Ok(builder)
}

#[cfg(feature = "update")]
fn fetch(
    mirror: &str,
    ecosystems: &[String],
    folder: &Path,
    terminal: &Terminal,
) -> Result<Vec<PathBuf>, Failure> {
    super::fetch::archives(mirror, ecosystems, folder, terminal)
}

#[cfg(not(feature = "update"))]
fn fetch(mirror: &str, _: &[String], _: &Path, _: &Terminal) -> Result<Vec<PathBuf>, Failure> {
    Err(Failure::failed(format!(
        "{mirror} cannot be fetched: this program was built without the feature `update`; copy the mirror and name its folder"
    )))
}
