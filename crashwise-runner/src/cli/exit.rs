//! How the program ends.

use crate::RunnerError;
use crate::definition::DefinitionError;
use crashwise_core::Problems;
use std::fmt;
use std::process::ExitCode;

/// How the program ends; the numbers are documented in [`super`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Clean = 0,
    Findings = 1,
    Incomplete = 2,
    Usage = 64,
    Interrupted = 130,
}

impl Exit {
    pub(super) const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command could not be carried out.
#[derive(Debug)]
pub(super) struct Failure {
    code: Exit,
    text: String,
}

impl Failure {
    /// The command line asks for something that cannot be.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self { code: Exit::Usage, text: text.into() }
    }

    /// Something went wrong while the command was carried out.
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self { code: Exit::Incomplete, text: text.into() }
    }

    pub(super) fn code(&self) -> Exit {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::usage(problems.to_string())
    }
}

impl From<DefinitionError> for Failure {
    fn from(error: DefinitionError) -> Self {
        Self::usage(crashwise_core::error_chain(&error))
    }
}

impl From<RunnerError> for Failure {
    fn from(error: RunnerError) -> Self {
        match &error {
            RunnerError::Parameters(problems) | RunnerError::Metadata(problems) => {
                Self::usage(problems.to_string())
            }
            RunnerError::UnknownWorkflow { .. }
            | RunnerError::UnknownRun { .. }
            | RunnerError::UnknownStep { .. } => Self::usage(error.to_string()),
            _ => Self::failed(error.chain()),
        }
    }
}
