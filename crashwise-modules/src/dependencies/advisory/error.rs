use std::path::PathBuf;

use thiserror::Error;

/// Why an advisory database cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// A file cannot be read or written.
    #[error("{} cannot be {doing}", path.display())]
    Io {
        /// What was tried: `read`, `written`, ...
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("the file is no compiled advisory database: compile one with `crashwise db build`")]
    NotADatabase,
    /// The file was compiled by a version with another layout.
    #[error("the database has format {found}, this program reads format {expected}: compile it again")]
    Version {
        /// The format of the file.
        found: u32,
        /// The format that this program reads.
        expected: u32,
    },
    /// The file is damaged.
    #[error("the database is damaged: {part} is wrong")]
    Corrupt {
        /// What does not fit.
        part: &'static str,
    },
    /// The sources hold no advisory that could be read.
    #[error("the sources hold no advisory that could be read")]
    Empty,
    /// A source is neither a folder nor an archive of advisories.
    #[error("{} is neither a folder, a .zip nor a .json, .yaml or .md file", path.display())]
    UnknownSource {
        /// The source.
        path: PathBuf,
    },
    /// There is more than the format can hold.
    #[error("the sources hold too many advisories")]
    TooLarge,
}

impl DatabaseError {
    pub(super) fn corrupt(part: &'static str) -> Self {
        Self::Corrupt { part }
    }
}
