//! From matches to findings: grouped, redacted, with a fingerprint that follows the secret.

use std::collections::BTreeMap;

use crashwise_core::{
    Finding, Fingerprint, LineIndex, Location, Region, RelPath, Suppression, SuppressionKind,
};

use super::scanner::SecretMatch;

/// The longest snippet in characters.
const MAX_SNIPPET: usize = 240;
/// The most other places named in one finding.
const MAX_PLACES: usize = 50;

/// One occurrence of a secret, with what a report may say of it.
#[derive(Debug)]
pub(super) struct Occurrence {
    pub(super) path: RelPath,
    pub(super) region: Option<Region>,
    pub(super) snippet: String,
    pub(super) found: SecretMatch,
    pub(super) suppression: Option<Suppression>,
    /// The entry of a container that holds it.
    pub(super) entry: Option<String>,
}

impl Occurrence {
    /// The line of the occurrence without any of the secrets of the file.
    pub(super) fn new(
        path: RelPath,
        bytes: &[u8],
        lines: &LineIndex,
        found: SecretMatch,
        all: &[SecretMatch],
    ) -> Self {
        let region = lines.region(bytes, found.span.clone());
        let snippet = snippet(lines.line_text(bytes, found.span.start), bytes, all);
        Self { path, region: Some(region), snippet, found, suppression: None, entry: None }
    }

    /// The one-based line, where there is one.
    pub(super) fn line(&self) -> u32 {
        self.region.map_or(0, |region| region.start.line.number())
    }

    /// Rule, secret and file: a new secret in the same place is another finding, a moved one is the same.
    pub(super) fn fingerprint(&self, digest: &str) -> Fingerprint {
        let entry = self.entry.as_deref().unwrap_or_default();
        Fingerprint::of([self.found.rule.id.as_str(), self.path.as_str(), entry, digest])
    }
}

/// A line with every secret in it replaced, cut to a readable length.
fn snippet(line: &[u8], bytes: &[u8], all: &[SecretMatch]) -> String {
    let mut text = line.to_vec();
    let mut hidden: Vec<&[u8]> = all.iter().map(|one| &bytes[one.span.clone()]).collect();
    hidden.extend(all.iter().map(|one| one.secret.reveal()));
    // A secret of several lines is in none of them as a whole.
    let mut pieces: Vec<&[u8]> =
        hidden.iter().flat_map(|secret| secret.split(|&byte| byte == b'\n')).collect();
    pieces.retain(|piece| piece.len() >= 4);
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
    pieces.dedup();
    for piece in pieces {
        while let Some(at) = memchr::memmem::find(&text, piece) {
            text.splice(at..at + piece.len(), *b"\0");
        }
    }
    // Control characters would be read as commands by a terminal; NUL stands for what was taken out.
    let text: String = String::from_utf8_lossy(&text)
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\0' | '\t'))
        .collect();
    let text = text.trim().replace('\0', "[redacted]");
    let around =
        text.find("[redacted]").map_or(0, |at| text[..at].chars().count().saturating_sub(MAX_SNIPPET / 2));
    text.chars().skip(around).take(MAX_SNIPPET).collect()
}

/// File, entry of a container, and rule.
type Group = (RelPath, Option<String>, String);

/// One finding per rule, secret and file, in the order of files and places; the other places of the same secret are named
/// in it.
pub(super) fn findings(occurrences: Vec<Occurrence>, reveal: bool) -> Vec<Finding> {
    let mut groups: BTreeMap<Group, BTreeMap<String, Vec<Occurrence>>> = BTreeMap::new();
    let mut elsewhere: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in occurrences {
        let digest = one.found.secret.digest();
        let key = (one.path.clone(), one.entry.clone(), one.found.rule.id.to_string());
        elsewhere.entry(digest.clone()).or_default().push(one.path.to_string());
        groups.entry(key).or_default().entry(digest).or_default().push(one);
    }
    for paths in elsewhere.values_mut() {
        paths.sort_unstable();
        paths.dedup();
    }
    let mut findings = Vec::new();
    for (digest, mut group) in groups.into_values().flatten() {
        group.sort_by_key(|one| one.found.span.start);
        let paths = elsewhere.get(&digest).map(Vec::as_slice).unwrap_or_default();
        findings.extend(finding(group, &digest, paths, reveal));
    }
    findings.sort_by(|a, b| place(a).cmp(&place(b)));
    findings
}

fn place(finding: &Finding) -> (Option<&RelPath>, u64, &str) {
    let primary = finding.primary();
    let start = primary.and_then(|at| at.region?.bytes).map_or(0, |bytes| bytes.start);
    (primary.map(|at| &at.path), start, finding.rule_id.as_str())
}

fn finding(group: Vec<Occurrence>, digest: &str, paths: &[String], reveal: bool) -> Option<Finding> {
    let count = group.len();
    let mut group = group.into_iter();
    let first = group.next()?;
    let fingerprint = first.fingerprint(digest);
    let found = &first.found;
    let rule = &found.rule;
    let named = found.name.as_ref().map(|name| format!(", assigned to {name}")).unwrap_or_default();
    let within = first.entry.as_ref().map(|entry| format!(", in the entry {entry}")).unwrap_or_default();
    let message = format!("{} of {} bytes{named}{within}", rule.title, found.secret.len());
    let mut finding = Finding::new(rule.id.clone(), capitalised(&rule.title), rule.severity)
        .with_message(capitalised(&message))
        .with_confidence(found.confidence)
        .with_location(location(&first))
        .with_category("secret")
        .with_cwe(798)
        .with_recommendation(
            "Revoke the secret where it was issued, then load it from the environment or a vault.",
        )
        .with_evidence("secret_digest", digest)
        .with_evidence("occurrences", count);
    finding.fingerprint = Some(fingerprint);
    if !rule.provider.is_empty() {
        finding = finding.with_evidence("provider", rule.provider.clone());
    }
    if let Some(verdict) = found.verdict {
        finding = finding.with_evidence("checksum", serde_json::json!(verdict));
    }
    if !found.decoded.is_empty() {
        finding = finding.with_evidence("decoded", serde_json::json!(found.decoded));
    }
    let others: Vec<&String> =
        paths.iter().filter(|path| **path != first.path.as_str()).take(MAX_PLACES).collect();
    if !others.is_empty() {
        finding = finding.with_evidence("also_in", serde_json::json!(others));
    }
    if reveal {
        finding = finding.with_evidence("secret", String::from_utf8_lossy(found.secret.reveal()));
    }
    // Suppressed only when every occurrence is.
    let mut suppression = first.suppression.clone();
    for other in group {
        if other.suppression.is_none() {
            suppression = None;
        }
        if finding.related.len() < MAX_PLACES {
            finding = finding.with_related(location(&other));
        }
    }
    Some(match suppression {
        Some(suppression) => finding.with_suppression(suppression),
        None => finding,
    })
}

fn location(one: &Occurrence) -> Location {
    let location = Location::new(one.path.clone()).with_snippet(one.snippet.clone());
    match one.region {
        Some(region) if one.entry.is_none() => location.with_region(region),
        _ => location,
    }
}

pub(super) fn suppressed(kind: SuppressionKind, reason: &str) -> Suppression {
    Suppression { kind, reason: reason.to_owned() }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
