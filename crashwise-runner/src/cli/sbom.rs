//! `crashwise sbom`: the inventory of a project as a bill of materials.

use super::exit::{Exit, Failure};
use super::explain;
use super::terminal::Terminal;
use clap::{Args, ValueEnum};
use crashwise_core::CoverageStatus;
use crashwise_modules::dependencies::{cyclonedx, inventory_of, spdx};
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct SbomCommand {
    /// The folder to take stock of
    target: PathBuf,
    /// The format
    #[arg(long, value_enum, default_value_t = SbomFormat::Cyclonedx)]
    format: SbomFormat,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SbomFormat {
    /// CycloneDX 1.6, JSON
    Cyclonedx,
    /// SPDX 2.3, JSON
    Spdx,
}

pub(super) fn run(command: &SbomCommand, terminal: &Terminal) -> Result<Exit, Failure> {
    if !command.target.is_dir() {
        return Err(Failure::usage(format!("{} is no folder", command.target.display())));
    }
    let (inventory, coverage) =
        inventory_of(&command.target).map_err(|error| Failure::failed(error.chain()))?;
    for gap in &coverage.gaps {
        terminal.warn(&gap.to_string());
    }
    let whole = command.target.canonicalize().unwrap_or_else(|_| command.target.clone());
    let name = whole.file_name().map_or_else(|| "project".into(), |name| name.to_string_lossy().into_owned());
    let document = match command.format {
        SbomFormat::Cyclonedx => cyclonedx(&inventory, &name),
        SbomFormat::Spdx => spdx(&inventory, &name),
    };
    match &command.output {
        None => terminal.print(|out| explain::json(out, &document))?,
        Some(path) => {
            let mut bytes = serde_json::to_vec_pretty(&document).unwrap_or_default();
            bytes.push(b'\n');
            write(path, &bytes).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        }
    }
    Ok(if coverage.status == CoverageStatus::Complete { Exit::Clean } else { Exit::Incomplete })
}

/// Writes a file as a whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
