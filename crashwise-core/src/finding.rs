//! What a module reports.

use crate::{ByteSpan, Confidence, Fingerprint, Line, Position, Region, RelPath, RuleId, Severity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One problem that one module found in one target.
///
/// `found_by` and `fingerprint` are filled in by the context that receives the finding; a module sets a fingerprint
/// of its own only when it knows a better identity than rule, path and text.
///
/// ```
/// use crashwise_core::{Finding, Location, Position, RelPath, RuleId, Severity};
/// let finding = Finding::new(RuleId::new("demo/eval").unwrap(), "eval of user input", Severity::High)
///     .with_message("the argument of eval comes from the request")
///     .with_location(Location::new(RelPath::new("app.py").unwrap()).with_start(Position::new(3, 5).unwrap()))
///     .with_cwe(95);
/// assert_eq!(finding.primary().unwrap().to_string(), "app.py:3:5");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Finding {
    /// The rule that fired.
    pub rule_id: RuleId,
    /// One line that names the problem, the same for every finding of the rule.
    pub title: String,
    /// What is wrong here; falls back to the title.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
    /// How sure the module is.
    #[serde(default)]
    pub confidence: Confidence,
    /// Where it is; the first one is the primary place. Empty for findings about the whole target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<Location>,
    /// Group for summaries, e.g. `sql_injection`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub category: String,
    /// Numbers of the Common Weakness Enumeration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cwe: Vec<u32>,
    /// How to repair it, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recommendation: String,
    /// A repair that a machine can apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
    /// Pages to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// Facts that support the finding; secrets in it are redacted before they get here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, serde_json::Value>,
    /// Who found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_by: Option<FoundBy>,
    /// Other places that explain it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Location>,
    /// The way from source to sink, or a stack, outermost step first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub code_flow: Vec<Location>,
    /// Files that belong to it, e.g. the input that crashes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<crate::ArtifactRef>,
    /// Why it needs no action, if somebody said so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressions: Vec<Suppression>,
    /// Its identity over runs; does not change when lines move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
}

impl Finding {
    /// A finding with what every finding has.
    pub fn new(rule_id: RuleId, title: impl Into<String>, severity: Severity) -> Self {
        Self {
            rule_id,
            title: title.into(),
            message: String::new(),
            severity,
            confidence: Confidence::default(),
            locations: Vec::new(),
            category: String::new(),
            cwe: Vec::new(),
            recommendation: String::new(),
            fix: None,
            references: Vec::new(),
            evidence: BTreeMap::new(),
            found_by: None,
            related: Vec::new(),
            code_flow: Vec::new(),
            artifacts: Vec::new(),
            suppressions: Vec::new(),
            fingerprint: None,
        }
    }

    /// Says what is wrong here.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Says how sure the module is.
    #[must_use]
    pub fn with_confidence(mut self, confidence: Confidence) -> Self {
        self.confidence = confidence;
        self
    }

    /// Adds a place; the first one added is the primary place.
    #[must_use]
    pub fn with_location(mut self, location: Location) -> Self {
        self.locations.push(location);
        self
    }

    /// Sets the group for summaries.
    #[must_use]
    pub fn with_category(mut self, category: impl Into<String>) -> Self {
        self.category = category.into();
        self
    }

    /// Adds a number of the Common Weakness Enumeration.
    #[must_use]
    pub fn with_cwe(mut self, number: u32) -> Self {
        self.cwe.push(number);
        self
    }

    /// Says how to repair it.
    #[must_use]
    pub fn with_recommendation(mut self, text: impl Into<String>) -> Self {
        self.recommendation = text.into();
        self
    }

    /// Adds a repair that a machine can apply.
    #[must_use]
    pub fn with_fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }

    /// Adds a page to read.
    #[must_use]
    pub fn with_reference(mut self, url: impl Into<String>) -> Self {
        self.references.push(url.into());
        self
    }

    /// Adds a fact. The caller redacts secrets first.
    #[must_use]
    pub fn with_evidence(mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.evidence.insert(name.into(), value.into());
        self
    }

    /// Adds a place that explains it.
    #[must_use]
    pub fn with_related(mut self, location: Location) -> Self {
        self.related.push(location);
        self
    }

    /// Sets the way from source to sink, outermost step first.
    #[must_use]
    pub fn with_code_flow(mut self, steps: Vec<Location>) -> Self {
        self.code_flow = steps;
        self
    }

    /// Attaches a stored file.
    #[must_use]
    pub fn with_artifact(mut self, artifact: crate::ArtifactRef) -> Self {
        self.artifacts.push(artifact);
        self
    }

    /// Records why it needs no action.
    #[must_use]
    pub fn with_suppression(mut self, suppression: Suppression) -> Self {
        self.suppressions.push(suppression);
        self
    }

    /// Sets an identity other than rule, path and text.
    #[must_use]
    pub fn with_fingerprint(mut self, fingerprint: Fingerprint) -> Self {
        self.fingerprint = Some(fingerprint);
        self
    }

    /// The primary place.
    pub fn primary(&self) -> Option<&Location> {
        self.locations.first()
    }

    /// The message, or the title when there is none.
    pub fn text(&self) -> &str {
        if self.message.is_empty() { &self.title } else { &self.message }
    }

    /// The identity from rule, path and the text there (white space folded, else the message), never from an offset.
    pub fn default_fingerprint(&self) -> Fingerprint {
        let path = self.primary().map_or("", |location| location.path.as_str());
        let context = self.primary().and_then(|location| location.snippet.as_deref()).unwrap_or(self.text());
        let folded = context.split_whitespace().collect::<Vec<_>>().join(" ");
        Fingerprint::of([self.rule_id.as_str(), path, &folded])
    }
}

/// A place in the target, with the text found there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Location {
    /// The file.
    pub path: RelPath,
    /// The stretch of the file; none means the file as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// The text there, cut to what a report needs; secrets redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snippet: Option<String>,
    /// What this place contributes, e.g. `user input enters here` or a function name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Location {
    /// A whole file.
    pub fn new(path: RelPath) -> Self {
        Self { path, region: None, snippet: None, message: None }
    }

    /// Narrows it to a region.
    #[must_use]
    pub fn with_region(mut self, region: Region) -> Self {
        self.region = Some(region);
        self
    }

    /// Narrows it to a region of which only the start is known.
    #[must_use]
    pub fn with_start(self, start: Position) -> Self {
        self.with_region(Region::at(start))
    }

    /// Narrows it to one line.
    #[must_use]
    pub fn with_line(self, line: Line) -> Self {
        self.with_region(Region::line(line))
    }

    /// Adds the text found there.
    #[must_use]
    pub fn with_snippet(mut self, text: impl Into<String>) -> Self {
        self.snippet = Some(text.into());
        self
    }

    /// Says what this place contributes.
    #[must_use]
    pub fn with_message(mut self, text: impl Into<String>) -> Self {
        self.message = Some(text.into());
        self
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.region {
            Some(region) => write!(f, "{}:{}", self.path, region.start),
            None => self.path.fmt(f),
        }
    }
}

/// A repair as replacements of text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fix {
    /// What the repair does.
    pub description: String,
    /// The replacements, which do not overlap.
    pub changes: Vec<Change>,
}

/// One replacement in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The file.
    pub path: RelPath,
    /// The text that goes; empty (start equals end) to insert.
    pub region: Region,
    /// The text that comes.
    pub replacement: String,
}

impl Change {
    /// Replaces the bytes of a region.
    pub fn new(path: RelPath, region: Region, replacement: impl Into<String>) -> Self {
        Self { path, region, replacement: replacement.into() }
    }

    /// The bytes that go, when known.
    pub fn bytes(&self) -> Option<ByteSpan> {
        self.region.bytes
    }
}

/// The module that reported a finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct FoundBy {
    /// Name of the module.
    pub module: String,
    /// Version of the module.
    pub version: String,
    /// The program behind the module, with its version, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
}

/// Why a finding needs no action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suppression {
    /// Where it was said.
    pub kind: SuppressionKind,
    /// The reason given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Where a suppression was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SuppressionKind {
    /// A mark in the source beside the finding.
    InSource,
    /// An ignore file, a baseline or a VEX statement.
    External,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(snippet: &str, line: u32) -> Finding {
        let place = Location::new(RelPath::new("a.py").unwrap())
            .with_start(Position::new(line, 1).unwrap())
            .with_snippet(snippet);
        Finding::new(RuleId::new("r").unwrap(), "t", Severity::Low).with_location(place)
    }

    #[test]
    fn fingerprints_follow_text_not_lines() {
        let at_three = finding("eval( x )", 3).default_fingerprint();
        assert_eq!(at_three, finding("  eval( x )  ", 90).default_fingerprint());
        assert_ne!(at_three, finding("eval( y )", 3).default_fingerprint());
    }

    #[test]
    fn json_round_trip() {
        let before = finding("x", 2)
            .with_cwe(79)
            .with_evidence("entropy", 4.5)
            .with_suppression(Suppression { kind: SuppressionKind::InSource, reason: "test data".into() });
        let text = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), before);
    }
}
