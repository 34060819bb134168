//! From matches to findings: grouped, redacted, with a fingerprint that follows the secret.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crashwise_core::{
    Finding, Fingerprint, Location, Position, Region, RelPath, Suppression, SuppressionKind,
};

use super::redact::RedactionOfAll;
use super::scanner::SecretMatch;
use super::secret::Secret;
use super::verify::Verification;

/// The most other places named in one finding.
pub(super) const MAX_PLACES: usize = 50;

/// One occurrence of a secret, with what a report may say of it.
#[derive(Debug)]
pub(super) struct Occurrence {
    pub(super) path: RelPath,
    pub(super) region: Option<Region>,
    pub(super) snippet: String,
    pub(super) found: SecretMatch,
    /// What stands for the secret where it must not be shown.
    pub(super) digest: Arc<str>,
    pub(super) suppression: Option<Suppression>,
    /// The entry of a container that holds it.
    pub(super) entry: Option<String>,
    /// Where in a history it is.
    pub(super) origin: Option<Origin>,
}

/// Where a blob comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// Position of the first commit that holds it among all, the oldest first.
    pub(super) order: usize,
    /// That commit; none for what is staged.
    pub(super) commit: Option<String>,
    /// Whether the tree of `HEAD` holds the blob.
    pub(super) in_head: bool,
}

/// What is known of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    /// Name and address of the author.
    pub(super) author: String,
    /// When it was written, as RFC 3339.
    pub(super) date: String,
}

/// How findings are made of occurrences.
pub(super) struct Reporting<'r> {
    /// Whether the secrets themselves stand in the findings.
    pub(super) reveal: bool,
    /// What a commit says of itself.
    pub(super) commit: &'r dyn Fn(&str) -> Option<Commit>,
    /// What issuers say, by rule and digest of the secret.
    pub(super) verified: &'r BTreeMap<(String, String), Verification>,
}

impl Occurrence {
    /// What comes first in a file, and the older commit first in a history.
    pub(super) fn order(&self) -> (Option<usize>, Option<Position>) {
        (self.origin.as_ref().map(|origin| origin.order), self.region.map(|region| region.start))
    }

    /// The one-based line, where there is one.
    pub(super) fn line(&self) -> u32 {
        self.region.map_or(0, |region| region.start.line.number())
    }

    /// Rule, secret and file: a new secret in the same place is another finding, a moved one is the same.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let entry = self.entry.as_deref().unwrap_or_default();
        Fingerprint::of([self.found.rule.id.as_str(), self.path.as_str(), entry, &self.digest])
    }
}

/// File, entry of a container, and rule.
type Group = (RelPath, Option<String>, String);

/// Gives one finding per rule, secret and file, in the order of files and places; the other places of the same secret are
/// named in it. Each is made when its turn comes: many are larger than what they are made of.
pub(super) fn findings<E>(
    occurrences: Vec<Occurrence>,
    reporting: &Reporting<'_>,
    mut give: impl FnMut(Finding) -> Result<(), E>,
) -> Result<(), E> {
    let secrets: BTreeSet<Secret> = occurrences.iter().map(|one| one.found.secret.clone()).collect();
    let redaction = RedactionOfAll::new(secrets.iter().map(Secret::reveal));
    let mut groups: BTreeMap<Group, BTreeMap<String, Vec<Occurrence>>> = BTreeMap::new();
    let mut elsewhere: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut in_head: BTreeSet<String> = BTreeSet::new();
    for mut one in occurrences {
        one.snippet = redaction.apply(&one.snippet);
        let digest = one.digest.to_string();
        let key = (one.path.clone(), one.entry.clone(), one.found.rule.id.to_string());
        elsewhere.entry(digest.clone()).or_default().push(one.path.to_string());
        if one.origin.as_ref().is_some_and(|origin| origin.in_head) {
            in_head.insert(digest.clone());
        }
        groups.entry(key).or_default().entry(digest).or_default().push(one);
    }
    for paths in elsewhere.values_mut() {
        paths.sort_unstable();
        paths.dedup();
    }
    let mut groups: Vec<(String, Vec<Occurrence>)> = groups.into_values().flatten().collect();
    for (_, group) in &mut groups {
        group.sort_by_key(Occurrence::order);
    }
    groups.sort_by(|(_, a), (_, b)| place(a).cmp(&place(b)));
    for (digest, group) in groups {
        let about = About {
            digest: &digest,
            paths: elsewhere.get(&digest).map(Vec::as_slice).unwrap_or_default(),
            in_head: in_head.contains(&digest),
            redaction: &redaction,
        };
        finding(group, &about, reporting).map_or(Ok(()), &mut give)?;
    }
    Ok(())
}

/// File, place in it, and rule of the finding that a group becomes.
fn place(group: &[Occurrence]) -> Option<(&RelPath, u64, &str)> {
    let first = group.first()?;
    let bytes = first.region.filter(|_| first.entry.is_none()).and_then(|region| region.bytes);
    Some((&first.path, bytes.map_or(0, |bytes| bytes.start), first.found.rule.id.as_str()))
}

/// What is known of a secret over all files.
struct About<'a> {
    digest: &'a str,
    /// The files that hold it.
    paths: &'a [String],
    /// Whether `HEAD` holds it.
    in_head: bool,
    /// Takes every secret out of what stands beside this one.
    redaction: &'a RedactionOfAll,
}

fn finding(group: Vec<Occurrence>, about: &About<'_>, reporting: &Reporting<'_>) -> Option<Finding> {
    let digest = about.digest;
    let count = group.len();
    let mut group = group.into_iter();
    let first = group.next()?;
    let fingerprint = first.fingerprint();
    let found = &first.found;
    let rule = &found.rule;
    let named = found.name.as_ref().map(|name| format!(", assigned to {name}")).unwrap_or_default();
    let within = first.entry.as_ref().map(|entry| format!(", in the entry {entry}")).unwrap_or_default();
    // A file that was found by its path holds nothing that is known to be the secret.
    let size =
        if found.secret.is_empty() { String::new() } else { format!(" of {} bytes", found.secret.len()) };
    let message = format!("{}{size}{named}{within}", rule.title);
    let mut finding = Finding::new(rule.id.clone(), capitalised(&rule.title), rule.severity)
        .with_message(capitalised(&about.redaction.text(&message)))
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
    if let Some(origin) = &first.origin
        && let Some(commit) = &origin.commit
    {
        finding = finding.with_evidence("commit", commit.clone()).with_evidence("in_head", about.in_head);
        if let Some(known) = (reporting.commit)(commit) {
            let author = about.redaction.text(&known.author);
            finding = finding.with_evidence("author", author).with_evidence("date", known.date);
        }
    }
    if let Some(verification) = reporting.verified.get(&(rule.id.to_string(), digest.to_owned())) {
        finding = finding.with_evidence("verification", serde_json::json!(verification));
    }
    let others: Vec<&String> =
        about.paths.iter().filter(|path| **path != first.path.as_str()).take(MAX_PLACES).collect();
    if !others.is_empty() {
        finding = finding.with_evidence("also_in", serde_json::json!(others));
    }
    if reporting.reveal && !found.secret.is_empty() {
        finding = finding.with_evidence("secret", String::from_utf8_lossy(found.secret.reveal()));
    }
    // Suppressed only when every occurrence is.
    let mut suppression = first.suppression.clone();
    for other in group {
        if other.suppression.is_none() {
            suppression = None;
        }
        let place = location(&other);
        let known =
            finding.locations.iter().chain(&finding.related).any(|known| known.region == place.region);
        if finding.related.len() < MAX_PLACES && (other.origin.is_none() || !known) {
            finding = finding.with_related(place);
        }
    }
    Some(match suppression {
        Some(suppression) => finding.with_suppression(suppression),
        None => finding,
    })
}

fn location(one: &Occurrence) -> Location {
    let mut location = Location::new(one.path.clone());
    if !one.snippet.is_empty() {
        location = location.with_snippet(one.snippet.clone());
    }
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
