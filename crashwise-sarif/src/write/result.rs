//! One finding as one result.

use super::rules::{RuleFacts, RuleTable};
use super::{FINGERPRINT, place};
use crate::level;
use crashwise_core::{Finding, Location, Suppression, SuppressionKind};
use serde_json::Value;
use serde_sarif::sarif;
use std::collections::BTreeMap;

pub(super) fn result(finding: &Finding, index: usize, rule: &RuleFacts, rules: &RuleTable) -> sarif::Result {
    let mut result = sarif::Result::builder().message(place::message(finding.text())).build();
    result.rule_id = Some(finding.rule_id.to_string());
    result.rule_index = i64::try_from(index).ok();
    result.kind = level::kind(finding.severity);
    result.level = Some(level::level(finding.severity));
    result.locations = list(&finding.locations, place::location);
    result.related_locations = list(&finding.related, place::location);
    for (id, related) in (1..).zip(result.related_locations.iter_mut().flatten()) {
        related.id = Some(id);
    }
    result.code_flows = (!finding.code_flow.is_empty()).then(|| vec![code_flow(&finding.code_flow)]);
    result.fixes = finding.fix.as_ref().and_then(place::fix).map(|fix| vec![fix]);
    result.attachments = list(&finding.artifacts, place::attachment);
    result.suppressions = list(&finding.suppressions, suppression);
    if finding.cwe != rule.cwe {
        result.taxa = Some(finding.cwe.iter().map(|cwe| rules.taxon(*cwe)).collect());
    }
    let fingerprint = match &finding.fingerprint {
        Some(fingerprint) => fingerprint.to_string(),
        None => finding.default_fingerprint().to_string(),
    };
    result.partial_fingerprints = Some(BTreeMap::from([(FINGERPRINT.to_owned(), fingerprint)]));
    result.properties = Some(properties(finding, rule));
    result
}

fn list<T, S>(items: &[T], convert: impl Fn(&T) -> S) -> Option<Vec<S>> {
    (!items.is_empty()).then(|| items.iter().map(convert).collect())
}

fn code_flow(steps: &[Location]) -> sarif::CodeFlow {
    let locations = steps.iter().map(|step| sarif::ThreadFlowLocation {
        location: Some(place::location(step)),
        ..sarif::ThreadFlowLocation::default()
    });
    let flow = sarif::ThreadFlow {
        locations: locations.collect(),
        ..sarif::ThreadFlow::builder().locations(Vec::new()).build()
    };
    sarif::CodeFlow { thread_flows: vec![flow], message: None, properties: None }
}

fn suppression(suppression: &Suppression) -> sarif::Suppression {
    let kind = match suppression.kind {
        SuppressionKind::InSource => "inSource",
        _ => "external",
    };
    sarif::Suppression {
        kind: kind.into(),
        status: Some("accepted".into()),
        justification: (!suppression.reason.is_empty()).then(|| suppression.reason.clone()),
        guid: None,
        location: None,
        properties: None,
    }
}

/// What SARIF has no field for, and what differs from the rule.
fn properties(finding: &Finding, rule: &RuleFacts) -> sarif::PropertyBag {
    let mut bag = sarif::PropertyBag::default();
    let mut put = |name: &str, value: Value| bag.additional_properties.insert(name.to_owned(), value);
    put("severity", finding.severity.as_str().into());
    put("confidence", finding.confidence.as_str().into());
    if finding.title != rule.title {
        put("title", finding.title.as_str().into());
    }
    if finding.category != rule.category {
        put("category", finding.category.as_str().into());
    }
    if finding.recommendation != rule.recommendation {
        put("recommendation", finding.recommendation.as_str().into());
    }
    if finding.references != rule.references {
        put("references", finding.references.clone().into());
    }
    if finding.found_by != rule.found_by {
        put("foundBy", serde_json::to_value(&finding.found_by).unwrap_or_default());
    }
    if !finding.evidence.is_empty() {
        put("evidence", Value::Object(finding.evidence.clone().into_iter().collect()));
    }
    bag
}
