//! One finding on the page.

use super::super::digest::place;
use super::super::text::{is_link, markup, one_line};
use super::shown;
use crate::BaselineState;
use crashwise_core::{Finding, Fix, Location};
use std::io::{self, Write};

pub(super) fn write(out: &mut impl Write, finding: &Finding, state: Option<BaselineState>) -> io::Result<()> {
    let severity = finding.severity;
    let state =
        state.map(|state| format!("<span class=\"state {state}\">{state}</span>")).unwrap_or_default();
    writeln!(
        out,
        "<details class=\"finding {severity}\">\n<summary><span class=\"badge {severity}\">{severity}</span> \
         <span class=\"title\">{}</span> {state}<code class=\"place\">{}</code></summary>\n<div class=\"body\">",
        markup(&one_line(&finding.title)),
        markup(&place(finding))
    )?;
    if !finding.message.is_empty() {
        writeln!(out, "<p class=\"message\">{}</p>", markup(&finding.message))?;
    }
    for location in &finding.locations {
        snippet(out, location)?;
    }
    places(out, "Flow", &finding.code_flow)?;
    places(out, "Related", &finding.related)?;
    if !finding.recommendation.is_empty() {
        writeln!(out, "<h3>Fix</h3>\n<p class=\"message\">{}</p>", markup(&finding.recommendation))?;
    }
    if let Some(fix) = &finding.fix {
        changes(out, fix)?;
    }
    if !finding.references.is_empty() {
        writeln!(out, "<h3>References</h3>\n<ul>")?;
        for page in &finding.references {
            writeln!(out, "<li>{}</li>", link(page))?;
        }
        writeln!(out, "</ul>")?;
    }
    facts(out, finding)?;
    writeln!(out, "</div>\n</details>")
}

/// The text of a place with the number of its lines.
fn snippet(out: &mut impl Write, location: &Location) -> io::Result<()> {
    let Some(text) = &location.snippet else { return Ok(()) };
    let first = location.region.map(|region| u64::from(region.start.line.number()));
    write!(out, "<figure><figcaption>{}</figcaption><pre>", markup(&one_line(&location.to_string())))?;
    for (line, number) in text.lines().zip(0..) {
        match first {
            Some(first) => writeln!(out, "<span class=\"line\">{}</span>{}", first + number, markup(line))?,
            None => writeln!(out, "{}", markup(line))?,
        }
    }
    writeln!(out, "</pre></figure>")
}

fn places(out: &mut impl Write, name: &str, places: &[Location]) -> io::Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    writeln!(out, "<h3>{name}</h3>\n<ol class=\"flow\">")?;
    for place in places {
        let message = place.message.as_deref().unwrap_or_default();
        write!(out, "<li><code>{}</code> {}", markup(&one_line(&place.to_string())), markup(message))?;
        if let Some(text) = &place.snippet {
            write!(out, "<pre>{}</pre>", markup(text))?;
        }
        writeln!(out, "</li>")?;
    }
    writeln!(out, "</ol>")
}

fn changes(out: &mut impl Write, fix: &Fix) -> io::Result<()> {
    writeln!(out, "<p class=\"message\">{}</p>", markup(&fix.description))?;
    for change in &fix.changes {
        let place = format!("{}:{}", change.path, change.region.start);
        let text = markup(&change.replacement);
        writeln!(
            out,
            "<figure><figcaption>{}</figcaption><pre>{text}</pre></figure>",
            markup(&one_line(&place))
        )?;
    }
    Ok(())
}

fn facts(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    writeln!(out, "<table>")?;
    let mut row = |name: &str, value: &str| writeln!(out, "<tr><th>{name}</th><td>{value}</td></tr>");
    row("Rule", &format!("<code>{}</code>", markup(finding.rule_id.as_str())))?;
    row("Confidence", finding.confidence.as_str())?;
    if !finding.category.is_empty() {
        row("Category", &markup(&finding.category))?;
    }
    if !finding.cwe.is_empty() {
        let weakness = |cwe: &u32| {
            let page = format!("https://cwe.mitre.org/data/definitions/{cwe}.html");
            format!("<a href=\"{page}\" rel=\"noopener noreferrer\">CWE-{cwe}</a>")
        };
        row("Weakness", &finding.cwe.iter().map(weakness).collect::<Vec<_>>().join(", "))?;
    }
    for (name, value) in &finding.evidence {
        row(&markup(name), &format!("<code>{}</code>", markup(&shown(value))))?;
    }
    for artifact in &finding.artifacts {
        let words = format!("{} ({} bytes, BLAKE3 {})", artifact.name, artifact.size, artifact.digest);
        row("File", &markup(&one_line(&words)))?;
    }
    for suppression in &finding.suppressions {
        row("Suppressed", &markup(&suppression.reason))?;
    }
    if let Some(found_by) = &finding.found_by {
        let tool = found_by.tool.as_deref().map(|tool| format!(" ({tool})")).unwrap_or_default();
        row("Found by", &markup(&format!("{} {}{tool}", found_by.module, found_by.version)))?;
    }
    if let Some(fingerprint) = &finding.fingerprint {
        row("Fingerprint", &format!("<code>{}</code>", markup(fingerprint.as_str())))?;
    }
    writeln!(out, "</table>")
}

fn link(page: &str) -> String {
    let text = markup(page);
    if is_link(page) { format!("<a href=\"{text}\" rel=\"noopener noreferrer\">{text}</a>") } else { text }
}
