//! One page that needs nothing else.

mod entry;

use super::digest::{Digest, Group, coverage_sentence, each_of, gap_lines, heading};
use super::text::{count, markup, one_line};
use crate::{Report, RunStatus};
use crashwise_core::{CoverageStatus, Severity};
use serde_json::Value;
use std::io::{self, BufWriter, Write};

const STYLE: &str = include_str!("style.css");

/// The page loads nothing and runs nothing, whatever a finding holds.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Writes the report as one HTML page without scripts and without anything from elsewhere.
///
/// `limit` is how many findings of a severity are shown; none shows all.
pub fn html(report: &Report, limit: Option<u64>, out: &mut dyn Write) -> io::Result<()> {
    let digest = Digest::of(report)?;
    let mut out = BufWriter::with_capacity(64 << 10, out);
    let title = markup(&heading(report));
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>"
    )?;
    header(&mut out, report, &digest, &title)?;
    writeln!(out, "<main>\n<section class=\"overview\">")?;
    chart(&mut out, &digest)?;
    coverage(&mut out, report)?;
    writeln!(out, "</section>")?;
    summary(&mut out, report)?;
    filters(&mut out, &digest)?;
    for group in Group::all().filter(|group| digest.count(*group) > 0) {
        section(&mut out, report, &digest, group, limit)?;
    }
    if digest.counts.total() == 0 {
        let words = if report.is_successful() && report.coverage.status == CoverageStatus::Complete {
            "No findings."
        } else {
            "No findings in what was looked at. Not everything was: see the coverage."
        };
        writeln!(out, "<p class=\"none\">{words}</p>")?;
    }
    let tool = format!("{} {}", report.tool.name, report.tool.version);
    writeln!(out, "</main>\n<footer>{}</footer>\n</body>\n</html>", markup(&one_line(&tool)))?;
    out.flush()
}

fn header(out: &mut impl Write, report: &Report, digest: &Digest, title: &str) -> io::Result<()> {
    let class = if report.status == RunStatus::Completed { "good" } else { "bad" };
    writeln!(out, "<header>\n<h1>{title}</h1>\n<p class=\"lead\">{}</p>\n<dl>", markup(&digest.sentence()))?;
    let mut facts = vec![("Status", format!("<span class=\"{class}\">{}</span>", report.status))];
    if let Some(run) = &report.run_id {
        facts.push(("Run", markup(run.as_str())));
    }
    if let Some(started) = report.started.and_then(crate::write::timestamp) {
        facts.push(("Started", started));
    }
    if let Some(duration) = report.duration {
        facts.push(("Duration", format!("{:.1} s", duration.as_secs_f64())));
    }
    if let Some(comparison) = &report.comparison {
        let words = format!(
            "{} new, {} updated, {} unchanged, {} absent",
            comparison.new.total(),
            comparison.updated.total(),
            comparison.unchanged.total(),
            comparison.absent.total()
        );
        facts.push(("Since the baseline", words));
    }
    for (name, value) in facts {
        writeln!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    writeln!(out, "</dl>\n</header>")
}

/// Bars of the findings by severity.
#[allow(clippy::cast_precision_loss, reason = "bars are drawn in pixels")]
fn chart(out: &mut impl Write, digest: &Digest) -> io::Result<()> {
    const WIDTH: f64 = 300.0;
    let most = Severity::ALL.into_iter().map(|severity| digest.counts.of(severity)).max().unwrap_or(0).max(1);
    writeln!(
        out,
        "<div class=\"box\">\n<h2>Severity</h2>\n<svg viewBox=\"0 0 440 160\" role=\"img\" aria-label=\"{}\">",
        markup(&digest.sentence())
    )?;
    for (row, severity) in (0..).zip(Severity::ALL) {
        let number = digest.counts.of(severity);
        let y = row * 32 + 4;
        let width = if number == 0 { 0.0 } else { (number as f64 / most as f64 * WIDTH).max(3.0) };
        writeln!(
            out,
            "<text x=\"66\" y=\"{}\" text-anchor=\"end\">{severity}</text>\
             <rect class=\"bar {severity}\" x=\"76\" y=\"{y}\" width=\"{width:.1}\" height=\"22\" rx=\"3\"/>\
             <text class=\"number\" x=\"{:.1}\" y=\"{}\">{number}</text>",
            y + 16,
            width + 84.0,
            y + 16
        )?;
    }
    writeln!(out, "</svg>\n</div>")
}

fn coverage(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let status = report.coverage.status;
    writeln!(out, "<div class=\"box coverage {status}\">\n<h2>Coverage</h2>")?;
    writeln!(out, "<p>{}</p>", markup(&coverage_sentence(&report.coverage)))?;
    let gaps = gap_lines(&report.coverage, crashwise_core::Coverage::MAX_GAPS);
    if !gaps.is_empty() {
        let open = if gaps.len() <= 8 { " open" } else { "" };
        writeln!(out, "<details{open}><summary>Not covered</summary>\n<ul>")?;
        for gap in gaps {
            writeln!(out, "<li>{}</li>", markup(&gap))?;
        }
        writeln!(out, "</ul></details>")?;
    }
    writeln!(out, "</div>")
}

fn summary(out: &mut impl Write, report: &Report) -> io::Result<()> {
    if report.summary.is_empty() {
        return Ok(());
    }
    let many = count(report.summary.len() as u64, "value", "values");
    writeln!(out, "<details class=\"box\"><summary>Summary ({many})</summary>\n<table>")?;
    for (name, value) in &report.summary {
        writeln!(out, "<tr><th>{}</th><td>{}</td></tr>", markup(name), markup(&shown(value)))?;
    }
    writeln!(out, "</table></details>")
}

/// Text as it is, all else as JSON.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Boxes that hide a severity, by style sheet alone.
fn filters(out: &mut impl Write, digest: &Digest) -> io::Result<()> {
    writeln!(out, "<form class=\"filters\" aria-label=\"Show\">")?;
    for group in Group::all().filter(|group| digest.count(*group) > 0) {
        let name = group.name();
        let checked = if group == Group::Suppressed { "" } else { " checked" };
        writeln!(
            out,
            "<label class=\"{name}\"><input type=\"checkbox\" id=\"show-{name}\"{checked}> {name} ({})</label>",
            digest.count(group)
        )?;
    }
    writeln!(out, "</form>")
}

fn section(
    out: &mut impl Write,
    report: &Report,
    digest: &Digest,
    group: Group,
    limit: Option<u64>,
) -> io::Result<()> {
    let (name, many) = (group.name(), digest.count(group));
    writeln!(out, "<section class=\"group {name}\" id=\"{name}\">\n<h2>{name} ({many})</h2>")?;
    let mut left = limit.unwrap_or(u64::MAX);
    each_of(report, group, |finding, state| {
        if left > 0 {
            left -= 1;
            entry::write(out, finding, state)?;
        }
        Ok(())
    })?;
    if let Some(more) = limit.and_then(|limit| many.checked_sub(limit)).filter(|more| *more > 0) {
        writeln!(out, "<p class=\"more\">and {more} more</p>")?;
    }
    writeln!(out, "</section>")
}
