//! Why a log could not be read.

use std::io;

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes could not be read, or the receiver of a finding failed.
    #[error("the SARIF log could not be read")]
    Io(#[from] io::Error),
    /// It is no JSON, or not of SARIF's form.
    #[error("the SARIF log is broken at line {line}, column {column}: {problem}")]
    Malformed {
        /// One-based line.
        line: usize,
        /// Column as the JSON parser counts, 0 at a line's start.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// It is another version of SARIF.
    #[error("SARIF version {version} is not supported: expected 2.1.0")]
    Version {
        /// The version that it says.
        version: String,
    },
    /// It is over a limit.
    #[error("the SARIF log is too large: {what} is over {limit} bytes")]
    TooLarge {
        /// What is over the limit.
        what: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
}

impl ReadError {
    /// The error of the parser without the place it appends.
    pub(super) fn from_json(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let problem = match text.rfind(" at line ") {
            Some(at) => text[..at].to_owned(),
            None => text,
        };
        Self::Malformed { line: error.line(), column: error.column(), problem }
    }
}
