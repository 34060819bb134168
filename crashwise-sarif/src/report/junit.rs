//! `JUnit` XML, which every CI shows.

use super::digest::{Digest, heading, place};
use super::text;
use crate::{Report, RunStatus};
use crashwise_core::{CoverageStatus, Finding};
use std::io::{self, BufWriter, Write};

/// Writes each finding as a failed test, each suppressed one as a skipped test, each gap in the coverage as an
/// error. A run with nothing to say is one test that passed, a failed run never is.
pub fn junit(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let digest = Digest::of(report)?;
    let mut out = BufWriter::new(out);
    let failed = report.status != RunStatus::Completed || report.coverage.status == CoverageStatus::Failed;
    let errors = (report.coverage.gaps.len() + report.coverage.more_gaps.len()) as u64 + u64::from(failed);
    let failures = digest.counts.total();
    let passed = u64::from(errors + failures + digest.suppressed == 0);
    let tests = errors + failures + digest.suppressed + passed;
    let numbers = format!(
        "tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{}\"",
        digest.suppressed
    );
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites name=\"{}\" {numbers}>", text::markup(&report.tool.name))?;
    writeln!(out, "<testsuite name=\"{}\" {numbers}>", text::markup(&heading(report)))?;
    report.each(|finding| case(&mut out, &finding))?;
    if failed {
        let message = format!("the run did not do what it was asked: {}", report.status);
        error(&mut out, "run", &message)?;
    }
    let mut gaps: Vec<_> = report.coverage.gaps.iter().collect();
    gaps.sort();
    for gap in gaps {
        error(&mut out, &gap.what, &gap.to_string())?;
    }
    for (reason, count) in &report.coverage.more_gaps {
        error(&mut out, reason.as_str(), &format!("{count} more not covered: {reason}"))?;
    }
    if passed > 0 {
        writeln!(out, "<testcase classname=\"coverage\" name=\"{}\"/>", report.coverage.status)?;
    }
    writeln!(out, "</testsuite>\n</testsuites>")?;
    out.flush()
}

fn case(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    let path = finding.primary().map_or("-", |place| place.path.as_str());
    let name = text::markup(&format!("{} at {}", finding.rule_id, place(finding)));
    write!(out, "<testcase classname=\"{}\" name=\"{name}\">", text::markup(path))?;
    if finding.suppressions.is_empty() {
        let title = text::markup(&text::one_line(&finding.title));
        write!(out, "<failure type=\"{}\" message=\"{title}\">", finding.severity)?;
        write!(out, "{}", text::markup(finding.text()))?;
        if !finding.recommendation.is_empty() {
            write!(out, "\n{}", text::markup(&finding.recommendation))?;
        }
        write!(out, "</failure>")?;
    } else {
        let reason =
            finding.suppressions.iter().map(|suppression| suppression.reason.as_str()).collect::<Vec<_>>();
        write!(out, "<skipped message=\"{}\"/>", text::markup(&text::one_line(&reason.join("; "))))?;
    }
    writeln!(out, "</testcase>")
}

fn error(out: &mut impl Write, name: &str, message: &str) -> io::Result<()> {
    let (name, message) = (text::markup(&text::one_line(name)), text::markup(&text::one_line(message)));
    writeln!(
        out,
        "<testcase classname=\"coverage\" name=\"{name}\"><error message=\"{message}\"/></testcase>"
    )
}
