//! What reports need to know of all findings before they show the first.

use super::text;
use crate::{BaselineState, Report, RunStatus};
use crashwise_core::{Coverage, CoverageStatus, Finding, Severity, SeverityCounts};
use std::io;

/// Findings that are shown together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Severity(Severity),
    Suppressed,
}

impl Group {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Severity::ALL.into_iter().map(Self::Severity).chain([Self::Suppressed])
    }

    pub(super) fn of(finding: &Finding) -> Self {
        if finding.suppressions.is_empty() { Self::Severity(finding.severity) } else { Self::Suppressed }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Severity(severity) => severity.as_str(),
            Self::Suppressed => "suppressed",
        }
    }
}

/// Numbers over all findings.
#[derive(Debug, Default)]
pub(super) struct Digest {
    pub(super) counts: SeverityCounts,
    pub(super) suppressed: u64,
    /// What to say where nothing was found: not the same where not all was looked at.
    nothing: &'static str,
    /// Width of the widest place and the widest rule, in terminal columns.
    pub(super) place_width: usize,
    pub(super) rule_width: usize,
}

impl Digest {
    pub(super) fn of(report: &Report) -> io::Result<Self> {
        let nothing =
            if report.coverage.status == CoverageStatus::Failed && report.coverage.looked_at.is_empty() {
                "nothing was looked at"
            } else if report.status != RunStatus::Completed {
                "no findings before the run ended"
            } else if report.coverage.status != CoverageStatus::Complete {
                "no findings in what was looked at"
            } else {
                "no findings"
            };
        let mut digest = Self { nothing, ..Self::default() };
        report.each(|finding| {
            match Group::of(&finding) {
                Group::Severity(severity) => digest.counts.add(severity),
                Group::Suppressed => digest.suppressed += 1,
            }
            let width = |text: &str| unicode_width::UnicodeWidthStr::width(text);
            digest.place_width = digest.place_width.max(width(&place(&finding)));
            digest.rule_width = digest.rule_width.max(width(finding.rule_id.as_str()));
            Ok(())
        })?;
        Ok(digest)
    }

    pub(super) fn count(&self, group: Group) -> u64 {
        match group {
            Group::Severity(severity) => self.counts.of(severity),
            Group::Suppressed => self.suppressed,
        }
    }

    /// `3 findings: 1 critical, 2 low; 1 suppressed`.
    pub(super) fn sentence(&self) -> String {
        let mut sentence = match self.counts.total() {
            0 => self.nothing.to_owned(),
            total => {
                let parts: Vec<String> = Severity::ALL
                    .into_iter()
                    .filter(|severity| self.counts.of(*severity) > 0)
                    .map(|severity| format!("{} {severity}", self.counts.of(severity)))
                    .collect();
                format!("{}: {}", text::count(total, "finding", "findings"), parts.join(", "))
            }
        };
        if self.suppressed > 0 {
            sentence.extend(["; ", &self.suppressed.to_string(), " suppressed"]);
        }
        sentence
    }
}

/// Goes through the findings of a group, each with its number in the report and its state.
pub(super) fn each_of(
    report: &Report,
    group: Group,
    mut visit: impl FnMut(&Finding, Option<BaselineState>) -> io::Result<()>,
) -> io::Result<()> {
    let mut position = 0;
    report.each(|finding| {
        let state = report.comparison.as_ref().map(|comparison| comparison.state(position));
        position += 1;
        if Group::of(&finding) == group { visit(&finding, state) } else { Ok(()) }
    })
}

/// `path:line:column`, or a dash for findings about the whole target.
pub(super) fn place(finding: &Finding) -> String {
    finding.primary().map_or_else(|| "-".to_owned(), |place| text::one_line(&place.to_string()))
}

/// `7 files looked at, 2 files excluded, 5 not covered`.
pub(super) fn coverage_sentence(coverage: &Coverage) -> String {
    let mut parts: Vec<String> = coverage
        .looked_at
        .iter()
        .map(|(unit, count)| format!("{count} {} looked at", text::one_line(unit)))
        .collect();
    parts.extend(
        coverage.excluded.iter().map(|(unit, count)| format!("{count} {} excluded", text::one_line(unit))),
    );
    if coverage.gap_count() > 0 {
        parts.push(format!("{} not covered", coverage.gap_count()));
    }
    if parts.is_empty() {
        coverage.status.to_string()
    } else {
        format!("{}: {}", coverage.status, parts.join(", "))
    }
}

/// The gaps in words, at most `limit`, then how many more there are.
pub(super) fn gap_lines(coverage: &Coverage, limit: usize) -> Vec<String> {
    let mut gaps: Vec<_> = coverage.gaps.iter().collect();
    gaps.sort();
    let mut lines: Vec<String> =
        gaps.iter().take(limit).map(|gap| text::one_line(&gap.to_string())).collect();
    let more = coverage.gap_count() - lines.len() as u64;
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// `1 new, 2 unchanged, 0 updated, 3 absent since the baseline`.
pub(super) fn baseline_sentence(report: &Report) -> Option<String> {
    let comparison = report.comparison.as_ref()?;
    Some(format!(
        "{} new, {} updated, {} unchanged, {} absent since the baseline",
        comparison.new.total(),
        comparison.updated.total(),
        comparison.unchanged.total(),
        comparison.absent.total(),
    ))
}

/// `security_assessment of sample`.
pub(super) fn heading(report: &Report) -> String {
    let workflow = text::one_line(&report.workflow);
    if report.target.is_empty() {
        workflow
    } else {
        format!("{workflow} of {}", text::one_line(&report.target))
    }
}
