//! Where the findings of a step or run are kept: one JSON object a line, sorted, each once.
//!
//! The order is path, line, column, rule, fingerprint; findings about the whole target come first, those about a
//! whole file before those inside it. Two findings are one reported twice when all of these and their text agree.

mod key;
mod lines;
mod merge;
mod spool;
#[cfg(test)]
mod tests;

pub use lines::{FindingLines, rules_of};
pub use merge::{MergedFindings, merge_findings};
pub use spool::FindingSpool;

/// The longest finding that is kept or read, as JSON, in bytes.
const MAX_LINE: usize = 16 << 20;
