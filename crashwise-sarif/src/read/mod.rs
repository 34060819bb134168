//! SARIF logs of any producer as findings.

mod copy;
mod error;
mod head;
mod input;
mod place;
mod result;
mod results;
mod run;

pub use copy::merge_logs;
pub use error::ReadError;
pub use run::{LogSummary, RunSummary};

use crate::FindingSource;
use crashwise_core::Finding;
use input::Bounded;
use std::fmt;
use std::io::{self, Read, Seek};

/// Limits of reading, and what absolute paths are relative to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Largest log, in bytes.
    pub max_bytes: u64,
    /// Largest result, in bytes.
    pub max_result_bytes: u64,
    /// Largest description of tools, rules and artifacts of all runs together, in bytes.
    pub max_head_bytes: u64,
    /// The directory that was scanned, e.g. `/home/runner/work/app`. Absolute paths below it become relative.
    pub root: Option<String>,
}

impl ReadOptions {
    /// A log of 4 GiB, results of 8 MiB, rules of 64 MiB, no root.
    pub fn new() -> Self {
        Self { max_bytes: 4 << 30, max_result_bytes: 8 << 20, max_head_bytes: 64 << 20, root: None }
    }

    /// Sets the largest log, in bytes.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets the largest result, in bytes.
    #[must_use]
    pub fn with_max_result_bytes(mut self, bytes: u64) -> Self {
        self.max_result_bytes = bytes;
        self
    }

    /// Sets the largest description of tools, rules and artifacts, in bytes.
    #[must_use]
    pub fn with_max_head_bytes(mut self, bytes: u64) -> Self {
        self.max_head_bytes = bytes;
        self
    }

    /// Sets the directory that was scanned.
    #[must_use]
    pub fn with_root(mut self, root: impl Into<String>) -> Self {
        self.root = Some(root.into());
        self
    }
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads a SARIF 2.1.0 log of any producer and calls `visit` with every finding, in the order of the log.
///
/// It goes through the log twice, since rules may stand behind the results that refer to them, and holds rules and
/// one result, not the results. What a log leaves out gets the standard's default: a level is that of the rule, then
/// `warning`. Results that report no problem (`pass`, `notApplicable`, `absent`) are counted, not visited. A place
/// outside the target is kept as evidence `sarif/uri`.
///
/// ```
/// use crashwise_sarif::{ReadOptions, read};
/// let log = br#"{"version": "2.1.0", "runs": [{
///     "results": [{"ruleIndex": 0, "message": {"text": "use of eval"}}],
///     "tool": {"driver": {"name": "lint", "rules": [{"id": "no-eval"}]}}}]}"#;
/// let mut findings = Vec::new();
/// let summary = read(std::io::Cursor::new(log), &ReadOptions::new(), &mut |f| Ok(findings.push(f))).unwrap();
/// assert_eq!(findings[0].rule_id.as_str(), "no-eval");
/// assert_eq!(findings[0].severity.as_str(), "medium");
/// assert_eq!(summary.runs[0].tool, "lint");
/// ```
///
/// # Errors
///
/// When the log cannot be read, is not SARIF 2.1.0, or is over a limit; or with the error of `visit`. Findings
/// visited by then are not the whole log.
pub fn read<R: Read + Seek>(
    mut input: R,
    options: &ReadOptions,
    visit: &mut dyn FnMut(Finding) -> io::Result<()>,
) -> Result<LogSummary, ReadError> {
    let start = input.stream_position()?;
    let heads = head::read(Bounded::new(&mut input, options.max_bytes)?, options)?;
    input.seek(io::SeekFrom::Start(start))?;
    results::read(Bounded::new(&mut input, options.max_bytes)?, heads, options, visit)
}

/// The findings of a SARIF log that is opened anew each time, e.g. the baseline of a [`crate::Comparison`].
pub struct SarifLog<F> {
    open: F,
    options: ReadOptions,
}

impl<F> SarifLog<F> {
    /// Goes through the log that `open` returns.
    pub fn new(open: F, options: ReadOptions) -> Self {
        Self { open, options }
    }
}

impl<F, R> FindingSource for SarifLog<F>
where
    F: Fn() -> io::Result<R> + Send + Sync,
    R: Read + Seek,
{
    fn for_each(&self, visit: &mut dyn FnMut(Finding) -> io::Result<()>) -> io::Result<()> {
        match read((self.open)()?, &self.options, visit) {
            Ok(_) => Ok(()),
            Err(ReadError::Io(error)) => Err(error),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

impl<F> fmt::Debug for SarifLog<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SarifLog").field("options", &self.options).finish_non_exhaustive()
    }
}
