//! What a log says of its run: tool, identity, invocation, coverage.

use super::rules::{RuleTable, cwe_component, text};
use super::{FORMAT, ROOT, STORE, place};
use crate::{Report, RunStatus};
use crashwise_core::{CoverageStatus, Gap, GapReason, RelPath};
use serde_json::{Value, json};
use serde_sarif::sarif;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

pub(super) fn tool(report: &Report, rules: &RuleTable) -> sarif::Tool {
    let mut driver = sarif::ToolComponent::builder().name(report.tool.name.as_str()).build();
    driver.version = Some(report.tool.version.clone());
    driver.semantic_version = Some(report.tool.version.clone());
    driver.information_uri.clone_from(&report.tool.information_uri);
    driver.rules = Some(rules.descriptors());
    let reasons = reasons(report);
    if !reasons.is_empty() {
        driver.notifications = Some(reasons.keys().map(|reason| notification_descriptor(*reason)).collect());
    }
    driver.supported_taxonomies = rules.has_taxonomy().then(|| vec![cwe_component()]);
    sarif::Tool { driver, extensions: None, properties: None }
}

/// The reasons of gaps, with their place among the notification descriptors.
fn reasons(report: &Report) -> BTreeMap<GapReason, i64> {
    let mut reasons: Vec<GapReason> = report.coverage.gaps.iter().map(|gap| gap.reason).collect();
    reasons.extend(report.coverage.more_gaps.keys());
    reasons.sort_unstable();
    reasons.dedup();
    reasons.into_iter().zip(0..).collect()
}

fn reason_id(reason: GapReason) -> String {
    format!("not-covered/{}", reason.as_str().replace(' ', "-"))
}

fn notification_descriptor(reason: GapReason) -> sarif::ReportingDescriptor {
    let mut descriptor = sarif::ReportingDescriptor::builder().id(reason_id(reason)).build();
    descriptor.short_description = Some(text(&format!("Not covered: {reason}")));
    descriptor
}

/// The id ends in the run, what stands before it names the analysis; both GUIDs follow from names, not from chance.
pub(super) fn automation_details(report: &Report) -> sarif::RunAutomationDetails {
    let analysis = format!("{}/{}/", report.tool.name, report.workflow);
    let id = match &report.run_id {
        Some(run) => format!("{analysis}{run}"),
        None => analysis.clone(),
    };
    sarif::RunAutomationDetails {
        guid: Some(guid(&[&id, &report.target])),
        correlation_guid: Some(guid(&[&analysis, &report.target])),
        description: (!report.target.is_empty())
            .then(|| place::message(format!("{} of {}", report.workflow, report.target))),
        id: Some(id),
        properties: None,
    }
}

/// A GUID of the form the schema asks for (version 5), from names.
fn guid(names: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for name in names {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
    }
    let hash = hasher.finalize().to_hex();
    let variant = ["8", "9", "a", "b"][usize::from(hash.as_bytes()[16] % 4)];
    format!("{}-{}-5{}-{variant}{}-{}", &hash[..8], &hash[8..12], &hash[13..16], &hash[17..20], &hash[20..32])
}

pub(super) fn uri_bases() -> Value {
    json!({
        ROOT: { "description": { "text": "The root of the target." } },
        STORE: { "description": { "text": "The store of the run's files: digest/name." } },
    })
}

pub(super) fn invocation(report: &Report) -> sarif::Invocation {
    let mut invocation = sarif::Invocation::builder().execution_successful(report.is_successful()).build();
    invocation.exit_code = report.exit_code.map(Into::into);
    invocation.start_time_utc = report.started.and_then(timestamp);
    invocation.end_time_utc = report.ended().and_then(timestamp);
    let notifications = notifications(report);
    if !notifications.is_empty() {
        invocation.tool_execution_notifications = Some(notifications);
    }
    invocation
}

/// A time as RFC 3339, if it has one.
pub(crate) fn timestamp(time: SystemTime) -> Option<String> {
    const YEAR_10000: Duration = Duration::from_hours(70_389_528);
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since < YEAR_10000).then(|| humantime::format_rfc3339_millis(time).to_string())
}

fn notifications(report: &Report) -> Vec<sarif::Notification> {
    let mut list = Vec::new();
    if report.status != RunStatus::Completed {
        let mut notification = notification(format!("the run did not complete: {}", report.status), "error");
        notification.properties = Some(bag([("status", report.status.as_str().into())]));
        list.push(notification);
    }
    let reasons = reasons(report);
    let descriptor = |reason: GapReason| sarif::ReportingDescriptorReference {
        id: Some(reason_id(reason)),
        index: reasons.get(&reason).copied(),
        ..sarif::ReportingDescriptorReference::default()
    };
    let level = if report.coverage.status == CoverageStatus::Failed { "error" } else { "warning" };
    let mut gaps: Vec<&Gap> = report.coverage.gaps.iter().collect();
    gaps.sort();
    for gap in gaps {
        let mut notification = notification(gap.to_string(), level);
        notification.descriptor = Some(descriptor(gap.reason));
        notification.locations = is_file(gap.reason)
            .then(|| RelPath::new(&gap.what).ok())
            .flatten()
            .map(|path| vec![place::location(&crashwise_core::Location::new(path))]);
        let reason = serde_json::to_value(gap.reason).unwrap_or_default();
        notification.properties = Some(bag([
            ("what", gap.what.as_str().into()),
            ("reason", reason),
            ("detail", gap.detail.as_str().into()),
        ]));
        list.push(notification);
    }
    for (reason, count) in &report.coverage.more_gaps {
        let mut notification = notification(format!("{count} more not covered: {reason}"), level);
        notification.descriptor = Some(descriptor(*reason));
        let word = serde_json::to_value(reason).unwrap_or_default();
        notification.properties = Some(bag([("reason", word), ("count", (*count).into())]));
        list.push(notification);
    }
    list
}

fn notification(text: String, level: &str) -> sarif::Notification {
    let mut notification = sarif::Notification::builder().message(place::message(text)).build();
    notification.level = Some(level.into());
    notification
}

fn bag<const N: usize>(values: [(&str, Value); N]) -> sarif::PropertyBag {
    let values = values.into_iter().map(|(name, value)| (name.to_owned(), value));
    sarif::PropertyBag { tags: None, additional_properties: values.collect() }
}

/// Reasons whose gap is a file.
fn is_file(reason: GapReason) -> bool {
    use GapReason::{Encoding, Malformed, SpecialFile, Symlink, TooDeep, TooLarge, Unreadable, Vanished};
    matches!(
        reason,
        Unreadable | Vanished | TooLarge | TooDeep | Symlink | SpecialFile | Encoding | Malformed
    )
}

pub(super) fn properties(report: &Report) -> Value {
    let mut properties = json!({
        FORMAT: 1,
        "workflow": report.workflow,
        "target": report.target,
        "status": report.status,
        "counts": report.counts,
        "coverage": {
            "status": report.coverage.status,
            "lookedAt": report.coverage.looked_at,
            "excluded": report.coverage.excluded,
            "gaps": report.coverage.gap_count(),
        },
        "summary": report.summary,
    });
    if !report.coverage.processes.is_empty() {
        properties["coverage"]["processes"] = json!(report.coverage.processes);
    }
    if let Some(run) = &report.run_id {
        properties["runId"] = run.as_str().into();
    }
    if let Some(duration) = report.duration {
        properties["durationSeconds"] = duration.as_secs_f64().into();
    }
    if let Some(comparison) = &report.comparison {
        properties["baseline"] = comparison.to_json();
    }
    properties
}
