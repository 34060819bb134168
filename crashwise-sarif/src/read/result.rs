//! One result as one finding.

use super::ReadOptions;
use super::run::{Head, MAX_COMPONENTS, Rule, Words};
use crate::level;
use crate::write::FINGERPRINT;
use crashwise_core::{
    ArtifactRef, Confidence, Finding, Fingerprint, FoundBy, Location, RuleId, Severity, Suppression,
    SuppressionKind,
};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StringDeserializer};
use serde_json::Value;
use serde_sarif::sarif::{self, ResultKind, ResultLevel};
use std::collections::{BTreeMap, BTreeSet};

/// Converts the results of one run.
pub(super) struct Converter<'h> {
    pub(super) head: &'h Head,
    pub(super) options: &'h ReadOptions,
}

impl Converter<'_> {
    /// None when the result reports no problem.
    pub(super) fn finding(&self, mut result: sarif::Result) -> Option<Finding> {
        let absent = result.baseline_state.as_ref().and_then(Value::as_str) == Some("absent");
        if absent || matches!(result.kind, Some(ResultKind::Pass | ResultKind::NotApplicable)) {
            return None;
        }
        let bag = result.properties.take().unwrap_or_default().additional_properties;
        let rule = self.head.rule(&result);
        let facts =
            Facts { own: self.head.own, result: &bag, rule: rule.and_then(|rule| rule.properties.as_ref()) };
        let named = result.rule_id.as_deref().or(result.rule.as_ref().and_then(|rule| rule.id.as_deref()));
        let named = named.or(rule.map(|rule| rule.id.as_str())).unwrap_or_default();
        let message = self.message(&result.message, rule);
        let title = title(&facts, rule, &message, named);
        let mut finding = Finding::new(rule_id(named), title, severity(&facts, &result, rule));
        if message != finding.title {
            finding.message = message;
        }
        finding.confidence = confidence(&facts);
        let mut outside = Vec::new();
        finding.locations = self.places(result.locations.as_deref(), &mut outside);
        finding.related = self.places(result.related_locations.as_deref(), &mut outside);
        finding.code_flow = self.code_flow(&result, &mut outside);
        finding.category = facts.text("category").unwrap_or_default();
        finding.cwe = self.weaknesses(&facts, &result, rule);
        finding.recommendation = match facts.text("recommendation") {
            Some(text) => text,
            None if facts.own => String::new(),
            None => rule.and_then(|rule| rule.help.as_ref()?.plain()).unwrap_or_default().to_owned(),
        };
        finding.references = match facts.get("references").and_then(|list| Vec::deserialize(list).ok()) {
            Some(list) => list,
            None if facts.own => Vec::new(),
            None => rule.and_then(|rule| rule.help_uri.clone()).into_iter().collect(),
        };
        finding.fix = result.fixes.iter().flatten().find_map(|fix| self.fix(fix));
        finding.artifacts = result.attachments.iter().flatten().filter_map(artifact).collect();
        finding.suppressions = result.suppressions.iter().flatten().filter_map(suppression).collect();
        finding.evidence = evidence(&facts, named, &finding.rule_id, outside);
        finding.found_by = self.found_by(&facts);
        finding.fingerprint = Some(fingerprint(&finding, &result));
        Some(finding)
    }

    fn message(&self, message: &sarif::Message, rule: Option<&Rule>) -> String {
        let arguments = message.arguments.as_deref().unwrap_or_default();
        if let Some(text) = message.text.as_ref().filter(|text| !text.is_empty()) {
            return if arguments.is_empty() { text.clone() } else { fill(text, arguments) };
        }
        let id = message.id.as_deref().unwrap_or("default");
        let of_rule = rule.and_then(|rule| rule.message_strings.as_ref()?.get(id)?.plain());
        match of_rule.or_else(|| self.head.global_message(id)) {
            Some(text) => fill(text, arguments),
            None => message.markdown.clone().unwrap_or_default(),
        }
    }

    fn places(&self, list: Option<&[sarif::Location]>, outside: &mut Vec<String>) -> Vec<Location> {
        list.unwrap_or_default().iter().filter_map(|place| self.location(place, outside)).collect()
    }

    /// The first code flow, else the first stack, outermost step first.
    fn code_flow(&self, result: &sarif::Result, outside: &mut Vec<String>) -> Vec<Location> {
        let flow = result.code_flows.iter().flatten().find_map(|flow| flow.thread_flows.first());
        if let Some(flow) = flow {
            let place = |step: &sarif::ThreadFlowLocation, outside: &mut Vec<String>| {
                let shared =
                    step.index.and_then(|at| self.head.flow_locations.get(usize::try_from(at).ok()?));
                let location =
                    step.location.as_ref().or(shared.and_then(|shared| shared.location.as_ref()))?;
                self.location(location, outside)
            };
            return flow.locations.iter().filter_map(|step| place(step, outside)).collect();
        }
        let frames =
            result.stacks.iter().flatten().next().map(|stack| stack.frames.as_slice()).unwrap_or_default();
        frames.iter().rev().filter_map(|frame| self.location(frame.location.as_ref()?, outside)).collect()
    }

    fn weaknesses(&self, facts: &Facts<'_>, result: &sarif::Result, rule: Option<&Rule>) -> Vec<u32> {
        let mut seen = BTreeSet::new();
        let mut list = Vec::new();
        let mut add = |number: Option<u32>| list.extend(number.filter(|number| seen.insert(*number)));
        if let Some(taxa) = &result.taxa {
            for taxon in taxa {
                add(self.weakness(taxon));
            }
            if facts.own {
                return list;
            }
        }
        for relationship in rule.and_then(|rule| rule.relationships.as_ref()).into_iter().flatten() {
            add(self.weakness(&relationship.target));
        }
        if !facts.own {
            let tags = facts.rule.and_then(|bag| bag.tags.as_ref()).into_iter().flatten();
            tags.for_each(|tag| add(weakness_of_tag(tag)));
            match facts.get("cwe") {
                Some(Value::String(text)) => add(weakness_of_tag(text)),
                Some(Value::Array(texts)) => {
                    texts.iter().filter_map(Value::as_str).for_each(|text| add(weakness_of_tag(text)));
                }
                _ => {}
            }
        }
        list
    }

    /// The number of a reference into a CWE taxonomy.
    fn weakness(&self, taxon: &sarif::ReportingDescriptorReference) -> Option<u32> {
        let component = taxon.tool_component.as_ref()?;
        let by_index = || self.head.taxonomies.get(usize::try_from(component.index?).ok()?);
        let by_guid = || {
            let guid = component.guid.as_ref()?;
            self.head
                .taxonomies
                .iter()
                .take(MAX_COMPONENTS)
                .find(|taxonomy| taxonomy.guid.as_ref() == Some(guid))
        };
        let taxonomy = by_index().or_else(by_guid);
        let name = component.name.as_deref().or(taxonomy.map(|taxonomy| taxonomy.name.as_str()))?;
        if !name.eq_ignore_ascii_case("cwe") {
            return None;
        }
        let id = taxon.id.as_deref().or_else(|| {
            let index = usize::try_from(taxon.index?).ok()?;
            Some(taxonomy?.taxa.as_ref()?.get(index)?.id.as_str())
        })?;
        id.parse().ok().or_else(|| weakness_of_tag(id))
    }

    fn found_by(&self, facts: &Facts<'_>) -> Option<FoundBy> {
        if facts.own {
            return facts.get("foundBy").and_then(|value| FoundBy::deserialize(value).ok());
        }
        let module = self.head.tool.driver.name.clone();
        Some(FoundBy { module, version: self.head.tool_version().to_owned(), tool: None })
    }
}

/// The properties of a result and of its rule.
struct Facts<'f> {
    own: bool,
    result: &'f BTreeMap<String, Value>,
    rule: Option<&'f sarif::PropertyBag>,
}

impl<'f> Facts<'f> {
    fn get(&self, name: &str) -> Option<&'f Value> {
        self.result.get(name).or_else(|| self.rule?.additional_properties.get(name))
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    /// A number, written as one or as text.
    fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Value::String(text) => text.trim().parse().ok(),
            value => value.as_f64(),
        }
    }
}

fn title(facts: &Facts<'_>, rule: Option<&Rule>, message: &str, id: &str) -> String {
    if let Some(title) = facts.own.then(|| facts.result.get("title")?.as_str()).flatten() {
        return title.to_owned();
    }
    let described =
        rule.and_then(|rule| rule.short_description.as_ref().and_then(Words::plain).or(rule.name.as_deref()));
    let line = || message.lines().next().filter(|line| !line.is_empty());
    described.or_else(line).unwrap_or(if id.is_empty() { "finding" } else { id }).to_owned()
}

fn severity(facts: &Facts<'_>, result: &sarif::Result, rule: Option<&Rule>) -> Severity {
    if let Some(severity) =
        facts.result.get("severity").and_then(Value::as_str).and_then(|word| word.parse().ok())
    {
        return severity;
    }
    if !matches!(result.kind, None | Some(ResultKind::Fail | ResultKind::Open | ResultKind::Review)) {
        return Severity::Info;
    }
    if let Some(severity) = facts.number("security-severity").and_then(level::from_score) {
        return severity;
    }
    let default = || {
        let level = rule?.default_configuration.as_ref()?.level.as_ref()?;
        ResultLevel::deserialize(level).ok()
    };
    level::from_level(result.level.or_else(default).unwrap_or(ResultLevel::Warning))
}

fn confidence(facts: &Facts<'_>) -> Confidence {
    let own = facts.text("confidence").and_then(|word| word.to_ascii_lowercase().parse().ok());
    let precision = || facts.text("precision").and_then(|word| level::from_precision(&word));
    own.or_else(precision).unwrap_or_default()
}

/// The text as a rule id: what an id cannot hold becomes `-`.
fn rule_id(text: &str) -> RuleId {
    let valid = |letter: char| letter.is_ascii_alphanumeric() || "._/:@+-".contains(letter);
    let id: String = text.chars().map(|letter| if valid(letter) { letter } else { '-' }).take(200).collect();
    RuleId::new(id).unwrap_or_else(|_| unnamed())
}

fn unnamed() -> RuleId {
    #[allow(clippy::unwrap_used, reason = "the text is a rule id")]
    RuleId::new("unnamed").unwrap()
}

/// Fills `{0}` in; doubled braces stand for themselves.
fn fill(text: &str, arguments: &[String]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            filled.push_str(brace);
            rest = after;
            continue;
        }
        let argument = rest.split_once('}').and_then(|(number, after)| {
            let number: usize = number.parse().ok()?;
            Some((arguments.get(number)?, after))
        });
        match argument {
            Some((argument, after)) if brace == "{" => {
                filled.push_str(argument);
                rest = after;
            }
            _ => filled.push_str(brace),
        }
    }
    filled.push_str(rest);
    filled
}

/// `CWE-79`, `cwe-079: ...`, `external/cwe/cwe-79`.
fn weakness_of_tag(tag: &str) -> Option<u32> {
    let tag = tag.strip_prefix("external/cwe/").unwrap_or(tag);
    let number = tag.get(..4).filter(|start| start.eq_ignore_ascii_case("cwe-")).map(|_| &tag[4..])?;
    let digits = number.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

fn artifact(attachment: &sarif::Attachment) -> Option<ArtifactRef> {
    let bag = &attachment.properties.as_ref()?.additional_properties;
    Some(ArtifactRef {
        name: bag.get("name")?.as_str()?.to_owned(),
        digest: bag.get("blake3")?.as_str()?.to_owned(),
        size: bag.get("size")?.as_u64()?,
    })
}

/// One that was rejected or is still discussed does not suppress.
fn suppression(suppression: &sarif::Suppression) -> Option<Suppression> {
    let status = suppression.status.as_ref().and_then(Value::as_str).unwrap_or("accepted");
    let kind = match suppression.kind.as_str() {
        Some("inSource") => SuppressionKind::InSource,
        _ => SuppressionKind::External,
    };
    let reason = suppression.justification.clone().unwrap_or_default();
    (status == "accepted").then_some(Suppression { kind, reason })
}

fn evidence(facts: &Facts<'_>, named: &str, id: &RuleId, outside: Vec<String>) -> BTreeMap<String, Value> {
    let mut evidence = BTreeMap::new();
    if let Some(Value::Object(facts)) = facts.own.then(|| facts.result.get("evidence")).flatten() {
        evidence.extend(facts.clone());
    }
    if !named.is_empty() && named != id.as_str() {
        evidence.insert("sarif/ruleId".to_owned(), named.into());
    }
    if !outside.is_empty() {
        evidence.insert("sarif/uri".to_owned(), outside.into());
    }
    evidence
}

/// Our own; else the producer's, kept apart by rule and file; else the default.
fn fingerprint(finding: &Finding, result: &sarif::Result) -> Fingerprint {
    let partial = result.partial_fingerprints.as_ref();
    if let Some(own) = partial.and_then(|map| map.get(FINGERPRINT)) {
        let text: StringDeserializer<Error> = own.clone().into_deserializer();
        if let Ok(fingerprint) = Fingerprint::deserialize(text) {
            return fingerprint;
        }
    }
    // What some producers write in place of a fingerprint that they do not give away.
    let usable = |(_, value): &(&String, &String)| !value.is_empty() && *value != "requires login";
    let full = result.fingerprints.iter().flatten().find(usable);
    match full.or_else(|| partial.into_iter().flatten().find(usable)) {
        Some((name, value)) => {
            let path = finding.primary().map_or("", |place| place.path.as_str());
            Fingerprint::of([finding.rule_id.as_str(), path, name, value])
        }
        None => finding.default_fingerprint(),
    }
}
