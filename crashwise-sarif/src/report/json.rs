//! The report as one JSON document.

use crate::Report;
use crashwise_core::Finding;
use serde::Serialize;
use serde_json::{Value, json as value};
use std::io::{self, BufWriter, Write};

/// Writes the report as one JSON document, one finding a line.
///
/// | key | value |
/// |---|---|
/// | `schema` | `crashwise/report/1`; the number grows when a key changes its meaning or goes, not when one comes |
/// | `tool` | `{name, version}` |
/// | `workflow`, `target` | text |
/// | `run_id`, `started`, `duration_seconds`, `exit_code`, `baseline` | left out when not known; `started` is RFC 3339 |
/// | `status` | `completed`, `failed`, `cancelled` or `timed_out` |
/// | `successful` | whether the run did what it was asked |
/// | `coverage` | [`Coverage`](crashwise_core::Coverage): status, counters and gaps |
/// | `counts` | findings by severity, suppressed ones left out |
/// | `summary` | named values |
/// | `findings` | [`Finding`]s, sorted as in the report, each with `baseline_state` when there is a baseline |
pub fn json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(64 << 10, out);
    let mut head = value!({
        "schema": "crashwise/report/1",
        "tool": { "name": report.tool.name, "version": report.tool.version },
        "workflow": report.workflow,
        "target": report.target,
        "status": report.status,
        "successful": report.is_successful(),
        "coverage": report.coverage,
        "counts": report.counts,
        "summary": report.summary,
    });
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            head[name] = value;
        }
    };
    put("run_id", report.run_id.as_ref().map(|run| run.as_str().into()));
    put("started", report.started.and_then(crate::write::timestamp).map(Value::from));
    put("duration_seconds", report.duration.map(|duration| duration.as_secs_f64().into()));
    put("exit_code", report.exit_code.map(Value::from));
    put("baseline", report.comparison.as_ref().map(crate::Comparison::to_json));
    let text = serde_json::to_string(&head)?;
    // The head is an object: what is before its last brace goes on with the findings.
    out.write_all(text.strip_suffix('}').unwrap_or(&text).as_bytes())?;
    out.write_all(b",\"findings\":[")?;
    let mut position = 0;
    report.each(|finding| {
        out.write_all(if position == 0 { b"\n" } else { b",\n" })?;
        let state = report.comparison.as_ref().map(|comparison| comparison.state(position).as_str());
        position += 1;
        write_finding(&mut out, &finding, state)
    })?;
    out.write_all(b"\n]}\n")?;
    out.flush()
}

fn write_finding(out: &mut impl Write, finding: &Finding, state: Option<&str>) -> io::Result<()> {
    let Some(state) = state else {
        finding.serialize(&mut serde_json::Serializer::new(out))?;
        return Ok(());
    };
    let mut line = serde_json::to_vec(finding)?;
    line.pop();
    out.write_all(&line)?;
    write!(out, ",\"baseline_state\":\"{state}\"}}")
}
