//! Advisories in RustSec's Markdown: a TOML block, then title and text.

use semver::{Comparator, Op, Version, VersionReq};
use serde::Deserialize;
use serde_json::json;

use super::record::{Affected, Event, Package, Range, Record, Reference, SeverityScore};

#[derive(Debug, Deserialize)]
struct Front {
    advisory: Advisory,
    #[serde(default)]
    versions: VersionRules,
}

#[derive(Debug, Deserialize)]
struct Advisory {
    id: String,
    package: String,
    date: String,
    #[serde(default)]
    withdrawn: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    references: Vec<String>,
    #[serde(default)]
    informational: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    cvss: Option<String>,
    #[serde(default)]
    collection: Option<String>,
    #[serde(default)]
    license: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct VersionRules {
    #[serde(default)]
    patched: Vec<String>,
    #[serde(default)]
    unaffected: Vec<String>,
}

/// Reads an advisory; the error says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Record, String> {
    let body = text.trim_start_matches('\u{feff}').trim_start();
    let rest = body.strip_prefix("```toml").ok_or("there is no TOML block at its start")?;
    let (front, markdown) = rest.split_once("\n```").ok_or("its TOML block does not end")?;
    let front: Front = toml::from_str(front).map_err(|error| error.message().to_owned())?;
    let advisory = front.advisory;
    if advisory.collection.as_deref() == Some("rust") {
        return Err("it is about the toolchain, not about a package".to_owned());
    }
    let mut safe = Vec::new();
    for requirement in front.versions.patched.iter().chain(&front.versions.unaffected) {
        safe.push(safe_stretch(requirement)?);
    }
    let summary = markdown.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default().trim();
    let references = advisory.url.into_iter().chain(advisory.references);
    Ok(Record {
        id: advisory.id,
        modified: advisory.date,
        withdrawn: advisory.withdrawn.unwrap_or_default(),
        aliases: advisory.aliases,
        summary: summary.to_owned(),
        severity: advisory.cvss.into_iter().map(|score| SeverityScore { score }).collect(),
        affected: vec![Affected {
            package: Package { ecosystem: "crates.io".to_owned(), name: advisory.package },
            ranges: vec![Range { kind: "SEMVER".to_owned(), events: events(safe) }],
            database_specific: json!({ "informational": advisory.informational }),
            ..Affected::default()
        }],
        references: references.map(|url| Reference { kind: "WEB".to_owned(), url }).collect(),
        database_specific: json!({ "license": advisory.license }),
        ..Record::default()
    })
}

/// A stretch of versions that are not affected: from a version, to before another.
type Stretch = (Version, Option<Version>);

/// The stretch that a requirement such as `>= 1.2, < 2` or `^1.2` names.
fn safe_stretch(requirement: &str) -> Result<Stretch, String> {
    let parsed: VersionReq =
        requirement.parse().map_err(|error| format!("`{requirement}` is no requirement: {error}"))?;
    let mut low = lowest();
    let mut high: Option<Version> = None;
    for comparator in &parsed.comparators {
        let (from, to) = bounds(comparator);
        low = low.max(from);
        high = match (high, to) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    Ok((low, high))
}

/// The first of all versions.
fn lowest() -> Version {
    Version { pre: "0".parse().unwrap_or_default(), ..Version::new(0, 0, 0) }
}

/// What a comparator includes, as a half-open stretch.
fn bounds(comparator: &Comparator) -> Stretch {
    let Comparator { op, major, minor, patch, pre } = comparator;
    let floor = Version {
        pre: pre.clone(),
        ..Version::new(*major, minor.unwrap_or_default(), patch.unwrap_or_default())
    };
    let next_major = || Version::new(major + 1, 0, 0);
    let next_minor = || Version::new(*major, minor.unwrap_or_default() + 1, 0);
    let after = match (minor, patch) {
        (None, _) => next_major(),
        (Some(_), None) => next_minor(),
        (Some(_), Some(patch)) if pre.is_empty() => Version {
            pre: "0".parse().unwrap_or_default(),
            ..Version::new(*major, minor.unwrap_or_default(), patch + 1)
        },
        (Some(_), Some(_)) => {
            Version { pre: format!("{pre}.0").parse().unwrap_or_default(), ..floor.clone() }
        }
    };
    match op {
        Op::Greater => (after, None),
        Op::GreaterEq => (floor, None),
        Op::Less => (lowest(), Some(floor)),
        Op::LessEq => (lowest(), Some(after)),
        Op::Tilde => (floor, Some(if minor.is_some() { next_minor() } else { next_major() })),
        Op::Caret => {
            let end = if *major > 0 || minor.is_none() {
                next_major()
            } else if minor.is_some_and(|minor| minor > 0) || patch.is_none() {
                next_minor()
            } else {
                Version::new(0, 0, patch.unwrap_or_default() + 1)
            };
            (floor, Some(end))
        }
        // `=1.2`, `1.2.*` and `*` name the stretch of the parts that they give.
        _ => (floor, Some(after)),
    }
}

/// The events whose ranges are everything outside the safe stretches.
fn events(mut safe: Vec<Stretch>) -> Vec<Event> {
    safe.sort();
    let introduced = |version: String| Event { introduced: Some(version), ..Event::default() };
    let mut events = Vec::new();
    let mut affected_from = Some(lowest());
    for (low, high) in safe {
        let Some(from) = affected_from.clone() else { break };
        if low > from {
            events.push(introduced(from.to_string()));
            events.push(Event { fixed: Some(low.to_string()), ..Event::default() });
        }
        affected_from = high.map(|high| high.max(from));
    }
    if let Some(from) = affected_from {
        events.push(introduced(from.to_string()));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(patched: &[&str], unaffected: &[&str]) -> String {
        let safe = patched.iter().chain(unaffected).map(|text| safe_stretch(text).unwrap()).collect();
        let text = |event: &Event| match (&event.introduced, &event.fixed) {
            (Some(version), _) => format!("[{version}"),
            (_, Some(version)) => format!("{version})"),
            _ => String::new(),
        };
        events(safe).iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn requirements_become_ranges() {
        for (patched, unaffected, expect) in [
            (&[">= 1.2.3"][..], &[][..], "[0.0.0-0 1.2.3)"),
            (&[], &[], "[0.0.0-0"),
            (&["^0.8.4", ">= 0.9.1"], &["< 0.8.0"], "[0.8.0 0.8.4) [0.9.0 0.9.1)"),
            (&["~1.2.5", ">=1.3.1"], &[], "[0.0.0-0 1.2.5) [1.3.0 1.3.1)"),
            (&["> 1.0.0"], &["< 1.0.0"], "[1.0.0 1.0.1-0)"),
            (&[">=1.0.0, <1.1.0", ">=1.2.0"], &["<0.5"], "[0.5.0 1.0.0) [1.1.0 1.2.0)"),
            (&["^0.0.3", ">=0.1"], &[], "[0.0.0-0 0.0.3) [0.0.4 0.1.0)"),
            (&["= 1.0.1"], &[], "[0.0.0-0 1.0.1) [1.0.2-0"),
        ] {
            assert_eq!(ranges(patched, unaffected), expect, "{patched:?} {unaffected:?}");
        }
    }

    #[test]
    fn an_advisory_is_read() {
        let record = parse("```toml\n[advisory]\nid = \"RUSTSEC-2024-0001\"\npackage = \"left\"\ndate = \"2024-01-02\"\ninformational = \"unsound\"\n[versions]\npatched = [\">= 2\"]\n```\n\n# It breaks\n\nText.\n").unwrap();
        assert_eq!((record.id.as_str(), record.summary.as_str()), ("RUSTSEC-2024-0001", "It breaks"));
        assert_eq!(super::super::record::Class::of(&record), super::super::record::Class::Unsound);
        for (text, expect) in [
            ("# no block", "no TOML block"),
            ("```toml\n[advisory]", "does not end"),
            ("```toml\n[advisory]\nid = 1\n```", "invalid type"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expect), "{error}");
        }
    }
}
