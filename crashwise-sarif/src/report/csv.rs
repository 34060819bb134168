//! Findings as comma-separated values.

use super::text;
use crate::Report;
use std::io::{self, BufWriter, Write};

/// Writes one line for each finding, after a line of names, as RFC 4180 with line feeds.
///
/// A cell that a spreadsheet would take for a formula gets an apostrophe in front.
pub fn csv(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let names = "severity,confidence,rule,title,message,path,line,column,end_line,end_column,category,cwe,fingerprint,\
                 suppressed,baseline_state";
    writeln!(out, "{names}")?;
    let mut position = 0;
    report.each(|finding| {
        let state = report.comparison.as_ref().map(|comparison| comparison.state(position).as_str());
        position += 1;
        let region = finding.primary().and_then(|place| place.region);
        let end = region.and_then(|region| region.end);
        let number = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
        let cwe: Vec<String> = finding.cwe.iter().map(|cwe| format!("CWE-{cwe}")).collect();
        let cells = [
            finding.severity.to_string(),
            finding.confidence.to_string(),
            finding.rule_id.to_string(),
            finding.title.clone(),
            finding.message.clone(),
            finding.primary().map(|place| place.path.to_string()).unwrap_or_default(),
            number(region.map(|region| region.start.line.number())),
            number(region.map(|region| region.start.column.number())),
            number(end.map(|end| end.line.number())),
            number(end.map(|end| end.column.number())),
            finding.category.clone(),
            cwe.join(" "),
            finding.fingerprint.as_ref().map(ToString::to_string).unwrap_or_default(),
            (!finding.suppressions.is_empty()).to_string(),
            state.unwrap_or_default().to_owned(),
        ];
        let cells = cells.map(|text| cell(&text));
        writeln!(out, "{}", cells.join(","))
    })?;
    out.flush()
}

fn cell(content: &str) -> String {
    let shown = text::visible(content);
    let formula = shown.starts_with(['=', '+', '-', '@', '\t']);
    let mark = if formula { "'" } else { "" };
    if formula || shown.contains(['"', ',', '\n', ';', '\t']) {
        format!("\"{mark}{}\"", shown.replace('"', "\"\""))
    } else {
        shown.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells() {
        for (content, expect) in [
            ("a b", "a b"),
            ("a,\"b\"", "\"a,\"\"b\"\"\""),
            ("=HYPERLINK(1)", "\"'=HYPERLINK(1)\""),
            ("\u{1b}", "\\u{1b}"),
        ] {
            assert_eq!(cell(content), expect);
        }
    }
}
