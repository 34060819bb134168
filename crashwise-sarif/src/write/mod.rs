//! Findings as a SARIF 2.1.0 log, result by result.

mod header;
mod line_hash;
mod place;
mod result;
mod rules;

use crate::{BaselineState, Report};
use crashwise_core::Finding;
pub(crate) use header::timestamp;
use line_hash::LineHashes;
use rules::RuleTable;
use serde::Serialize;
use std::io::{self, Write};

/// Name of the partial fingerprint that holds [`Finding::fingerprint`].
pub(crate) const FINGERPRINT: &str = "crashwise/v1";
/// Name of the run property that says how to read the properties of rules and results.
pub(crate) const FORMAT: &str = "crashwise/format";
/// The base of every path of the target.
pub(crate) const ROOT: &str = "%SRCROOT%";
/// The base of every stored file: `digest/name`.
pub(crate) const STORE: &str = "%ARTIFACTS%";

/// The address of the standard's schema.
pub(crate) const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Writes a report as a SARIF 2.1.0 log: one run, one result a line.
///
/// Memory holds the rules and one finding, not the findings. With a comparison every result says how it compares,
/// and absent ones follow those that are there. The same report gives the same bytes.
///
/// # Errors
///
/// When the findings cannot be read or `out` cannot be written; what was written by then is not a log.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(64 << 10, out);
    let rules = RuleTable::collect(report)?;
    write!(out, "{{\"$schema\":\"{SCHEMA}\",\"version\":\"2.1.0\",\"runs\":[{{")?;
    field(&mut out, "tool", &header::tool(report, &rules))?;
    field(&mut out, "automationDetails", &header::automation_details(report))?;
    field(&mut out, "invocations", &[header::invocation(report)])?;
    field(&mut out, "originalUriBaseIds", &header::uri_bases())?;
    field(&mut out, "columnKind", "unicodeCodePoints")?;
    field(&mut out, "taxonomies", &rules.taxonomies())?;
    field(&mut out, "properties", &header::properties(report))?;
    out.write_all(b"\"results\":[")?;
    let mut results = Results { out: &mut out, rules: &rules, hashes: LineHashes::default(), written: 0 };
    let mut position = 0;
    report.each(|finding| {
        let state = report.comparison.as_ref().map(|comparison| comparison.state(position));
        position += 1;
        results.write(&finding, state)
    })?;
    if let Some(comparison) = &report.comparison {
        comparison.each_absent(&mut |finding| results.write(&finding, Some(BaselineState::Absent)))?;
    }
    out.write_all(b"\n]}]}\n")?;
    out.flush()
}

fn field<T: Serialize + ?Sized>(out: &mut impl Write, name: &str, value: &T) -> io::Result<()> {
    write!(out, "\"{name}\":")?;
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b",\n")
}

struct Results<'r, W> {
    out: &'r mut W,
    rules: &'r RuleTable,
    hashes: LineHashes,
    written: u64,
}

impl<W: Write> Results<'_, W> {
    fn write(&mut self, finding: &Finding, state: Option<BaselineState>) -> io::Result<()> {
        let Some((index, rule)) = self.rules.rule(&finding.rule_id) else {
            return Err(io::Error::other("the findings changed while the report was written"));
        };
        let mut result = result::result(finding, index, rule, self.rules);
        if let Some(hash) = self.hashes.hash(finding) {
            result
                .partial_fingerprints
                .get_or_insert_default()
                .insert("primaryLocationLineHash".to_owned(), hash);
        }
        result.baseline_state = state.map(|state| state.as_str().into());
        self.out.write_all(if self.written == 0 { b"\n" } else { b",\n" })?;
        self.written += 1;
        serde_json::to_writer(&mut *self.out, &result)?;
        Ok(())
    }
}
