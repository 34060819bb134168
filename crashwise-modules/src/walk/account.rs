//! What a walk did for one visitor.

use crashwise_core::{Coverage, Gap, GapReason};
use std::collections::BTreeMap;

/// Gaps that one thread keeps before it counts the rest.
const KEPT_GAPS: usize = 20_000;

/// Counts and gaps of one visitor on one thread; the first gaps by name are kept whatever order they came in.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) links: u64,
    excluded_files: u64,
    excluded_folders: u64,
    gaps: Vec<Gap>,
    more: BTreeMap<GapReason, u64>,
}

impl Account {
    pub(super) fn gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
        if self.gaps.len() >= 2 * KEPT_GAPS {
            self.trim(KEPT_GAPS);
        }
    }

    pub(super) fn exclude(&mut self, is_folder: bool) {
        if is_folder {
            self.excluded_folders += 1;
        } else {
            self.excluded_files += 1;
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.links += other.links;
        self.excluded_files += other.excluded_files;
        self.excluded_folders += other.excluded_folders;
        self.gaps.extend(other.gaps);
        for (reason, count) in other.more {
            *self.more.entry(reason).or_insert(0) += count;
        }
    }

    fn trim(&mut self, keep: usize) {
        self.gaps.sort_unstable();
        for gap in self.gaps.drain(keep.min(self.gaps.len())..) {
            *self.more.entry(gap.reason).or_insert(0) += 1;
        }
    }

    pub(super) fn into_coverage(mut self) -> Coverage {
        let mut coverage = Coverage::new();
        for (unit, count) in [("files", self.files), ("links", self.links)] {
            if count > 0 {
                coverage.add(unit, count);
            }
        }
        if self.files > 0 || self.bytes > 0 {
            coverage.add("bytes", self.bytes);
        }
        for (unit, count) in [("files", self.excluded_files), ("folders", self.excluded_folders)] {
            if count > 0 {
                coverage.exclude(unit, count);
            }
        }
        self.trim(Coverage::MAX_GAPS);
        for gap in self.gaps {
            coverage.push(gap);
        }
        for (reason, count) in self.more {
            *coverage.more_gaps.entry(reason).or_insert(0) += count;
        }
        coverage
    }
}
