//! What a result looked at, what it did not, and why.

use crate::protection::{self, Processes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// How much of what was asked a result covers.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum CoverageStatus {
    /// All of it.
    #[default]
    Complete,
    /// A part; the gaps say what is missing.
    Partial,
    /// Nothing that can be relied on.
    Failed,
}

impl CoverageStatus {
    /// The lower-case word used in every report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for CoverageStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The coverage of a result: counters of what was looked at, and the gaps.
///
/// At most [`Coverage::MAX_GAPS`] gaps are kept, the rest is counted per reason, so that it stays small enough for a
/// journal whatever the target does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// Complete, partial or failed.
    pub status: CoverageStatus,
    /// What was looked at: unit (`files`, `bytes`, `packages`, `executions`) to count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub looked_at: BTreeMap<String, u64>,
    /// What was left out because the user said so (ignore files, patterns): unit to count. Not a gap.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub excluded: BTreeMap<String, u64>,
    /// What should have been looked at and was not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// Gaps beyond the kept ones: reason to count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more_gaps: BTreeMap<GapReason, u64>,
    /// What was enforced on the processes that were started for it: level and program, to layer and means.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub processes: Processes,
}

impl Coverage {
    /// How many gaps are kept with their text.
    pub const MAX_GAPS: usize = 200;

    /// Nothing looked at yet, nothing missing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A result that failed as a whole.
    pub fn failed(gap: Gap) -> Self {
        let mut coverage = Self::new();
        coverage.push(gap);
        coverage.status = CoverageStatus::Failed;
        coverage
    }

    /// Counts what was looked at.
    pub fn add(&mut self, unit: &str, count: u64) {
        count_up(&mut self.looked_at, unit, count);
    }

    /// Counts what the user left out.
    pub fn exclude(&mut self, unit: &str, count: u64) {
        count_up(&mut self.excluded, unit, count);
    }

    /// Records a gap; a complete result becomes partial.
    pub fn push(&mut self, gap: Gap) {
        self.status = self.status.max(CoverageStatus::Partial);
        if self.gaps.len() < Self::MAX_GAPS {
            self.gaps.push(gap);
        } else {
            *self.more_gaps.entry(gap.reason).or_insert(0) += 1;
        }
    }

    /// Joins the coverage of another part: counters add up, the worse status wins, a failed part makes the whole
    /// partial or, when nothing else was looked at, failed.
    pub fn merge(&mut self, other: Self) {
        let whole_failed = other.status == CoverageStatus::Failed
            && self.looked_at.is_empty()
            && self.status != CoverageStatus::Partial;
        let other_status = if other.status == CoverageStatus::Failed && !whole_failed {
            CoverageStatus::Partial
        } else {
            other.status
        };
        let own_status = if self.status == CoverageStatus::Failed && !other.looked_at.is_empty() {
            CoverageStatus::Partial
        } else {
            self.status
        };
        self.status = own_status.max(other_status);
        for (unit, count) in other.looked_at {
            count_up(&mut self.looked_at, &unit, count);
        }
        for (unit, count) in other.excluded {
            count_up(&mut self.excluded, &unit, count);
        }
        for (name, layers) in other.processes {
            protection::join(&mut self.processes, name, layers);
        }
        let status = self.status;
        for gap in other.gaps {
            self.push(gap);
        }
        for (reason, count) in other.more_gaps {
            *self.more_gaps.entry(reason).or_insert(0) += count;
        }
        self.status = status;
    }

    /// How many gaps there are, kept or not.
    pub fn gap_count(&self) -> u64 {
        self.gaps.len() as u64 + self.more_gaps.values().sum::<u64>()
    }

    /// Sorts the gaps, so that the same target gives the same bytes whatever the threads did.
    pub fn sort(&mut self) {
        self.gaps.sort();
    }
}

fn count_up(map: &mut BTreeMap<String, u64>, unit: &str, count: u64) {
    match map.get_mut(unit) {
        Some(sum) => *sum = sum.saturating_add(count),
        None => {
            map.insert(unit.to_owned(), count);
        }
    }
}

/// Something that should have been looked at and was not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// What was missed: a path, a step, a tool.
    pub what: String,
    /// Why, as a word.
    pub reason: GapReason,
    /// Why, in full.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Gap {
    /// A gap; `detail` may be empty.
    pub fn new(what: impl Into<String>, reason: GapReason, detail: impl Into<String>) -> Self {
        Self { what: what.into(), reason, detail: detail.into() }
    }

    /// The gap that a failed file operation leaves.
    pub fn from_io(what: impl Into<String>, error: &std::io::Error) -> Self {
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => GapReason::Vanished,
            _ => GapReason::Unreadable,
        };
        Self::new(what, reason, error.to_string())
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.reason)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}

/// Why something was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GapReason {
    /// It could not be read.
    Unreadable,
    /// It was there and then was not.
    Vanished,
    /// It is over a size limit.
    TooLarge,
    /// It is below a depth limit.
    TooDeep,
    /// A count limit was reached before it.
    TooMany,
    /// A loop of symbolic links, or a link out of the workspace.
    Symlink,
    /// A FIFO, socket or device.
    SpecialFile,
    /// Its text is broken or in an encoding that is not supported.
    Encoding,
    /// Its format is broken.
    Malformed,
    /// Its format or version is not supported.
    Unsupported,
    /// A program that is needed is not there.
    ToolMissing,
    /// A program or module failed.
    Failed,
    /// A module panicked.
    Panicked,
    /// Time ran out before it.
    TimedOut,
    /// The run was cancelled before it.
    Cancelled,
}

impl GapReason {
    /// The word used in every report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Vanished => "vanished",
            Self::TooLarge => "too large",
            Self::TooDeep => "too deep",
            Self::TooMany => "too many",
            Self::Symlink => "symbolic link",
            Self::SpecialFile => "special file",
            Self::Encoding => "encoding",
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::ToolMissing => "tool missing",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed out",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(files: u64) -> Coverage {
        let mut coverage = Coverage::new();
        coverage.add("files", files);
        coverage
    }

    #[test]
    fn merging() {
        let failed = || Coverage::failed(Gap::new("afl", GapReason::ToolMissing, ""));
        let merge = |parts: Vec<Coverage>| {
            let mut whole = Coverage::new();
            for part in parts {
                whole.merge(part);
            }
            whole
        };
        for (parts, expect) in [
            (vec![], CoverageStatus::Complete),
            (vec![complete(1), complete(2)], CoverageStatus::Complete),
            (vec![complete(1), failed()], CoverageStatus::Partial),
            (vec![failed(), complete(1)], CoverageStatus::Partial),
            (vec![failed(), failed()], CoverageStatus::Failed),
        ] {
            assert_eq!(merge(parts).status, expect);
        }
        assert_eq!(merge(vec![complete(1), complete(2)]).looked_at["files"], 3);
    }

    #[test]
    fn gaps_are_bounded_but_counted() {
        let mut coverage = Coverage::new();
        for n in 0..1000 {
            coverage.push(Gap::new(format!("f{n}"), GapReason::TooLarge, ""));
        }
        assert_eq!((coverage.gaps.len(), coverage.gap_count()), (Coverage::MAX_GAPS, 1000));
        assert_eq!(coverage.status, CoverageStatus::Partial);
    }
}
