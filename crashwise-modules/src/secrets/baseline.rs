//! Reports of earlier runs: what stands in them is known.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::report::Occurrence;
use super::secret::Secret;

/// Secrets that an earlier report names.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    fingerprints: BTreeSet<String>,
    /// By file, where a report holds the secrets themselves.
    secrets: BTreeSet<(String, Secret)>,
    /// File and line, where a report holds nothing else.
    places: BTreeSet<(String, u32)>,
}

/// Why a report cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum BaselineError {
    // What the reader of JSON says may quote the report, which may hold secrets.
    #[error("line {line}, column {column}: expected a SARIF log, a report in JSON or a report of gitleaks")]
    Json { line: usize, column: usize },
    #[error(
        "it has neither runs nor findings: expected a SARIF log, a report in JSON or a report of gitleaks"
    )]
    Unknown,
}

impl From<serde_json::Error> for BaselineError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json { line: error.line(), column: error.column() }
    }
}

/// A SARIF log has runs, a report of our own has findings.
#[derive(Deserialize)]
struct Log {
    runs: Option<Vec<Run>>,
    findings: Option<Vec<Reported>>,
}

#[derive(Deserialize)]
struct Run {
    results: Option<Vec<Logged>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logged {
    #[serde(default)]
    partial_fingerprints: BTreeMap<String, String>,
    #[serde(default)]
    locations: Vec<Located>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Located {
    physical_location: Option<Physical>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Option<Artifact>,
    region: Option<Lines>,
}

#[derive(Deserialize)]
struct Artifact {
    uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lines {
    start_line: Option<u32>,
}

#[derive(Deserialize)]
struct Reported {
    fingerprint: Option<String>,
}

/// An entry of a report of gitleaks or Betterleaks.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Leak {
    file: String,
    #[serde(default)]
    start_line: u32,
    #[serde(default)]
    secret: String,
}

impl Baseline {
    /// Reads a SARIF log, a report of ours in JSON, or a report of gitleaks.
    pub(super) fn parse(text: &str) -> Result<Self, BaselineError> {
        let mut baseline = Self::default();
        if text.trim_start().starts_with('[') {
            for leak in serde_json::from_str::<Vec<Leak>>(text)? {
                // What was redacted says no more than where it was.
                if leak.secret.is_empty() || leak.secret.contains("REDACTED") || leak.secret.ends_with("...")
                {
                    baseline.places.insert((leak.file, leak.start_line));
                } else {
                    baseline.secrets.insert((leak.file, Secret::new(leak.secret.as_bytes())));
                }
            }
            return Ok(baseline);
        }
        let log: Log = serde_json::from_str(text)?;
        if log.runs.is_none() && log.findings.is_none() {
            return Err(BaselineError::Unknown);
        }
        let found = log.findings.into_iter().flatten();
        baseline.fingerprints.extend(found.filter_map(|one| one.fingerprint));
        for one in log.runs.into_iter().flatten().flat_map(|run| run.results.into_iter().flatten()) {
            let ours = one.partial_fingerprints.into_iter().find(|(name, _)| name.starts_with("crashwise/"));
            if let Some((_, fingerprint)) = ours {
                baseline.fingerprints.insert(fingerprint);
                continue;
            }
            baseline.places.extend(one.locations.into_iter().filter_map(|located| {
                let physical = located.physical_location?;
                Some((unescaped(&physical.artifact_location?.uri?), physical.region?.start_line?))
            }));
        }
        Ok(baseline)
    }

    /// Whether the earlier report names this secret.
    pub(super) fn names(&self, one: &Occurrence) -> bool {
        let path = one.path.as_str().to_owned();
        self.fingerprints.contains(one.fingerprint().as_str())
            || !self.places.is_empty() && self.places.contains(&(path.clone(), one.line()))
            || !self.secrets.is_empty() && self.secrets.contains(&(path, one.found.secret.clone()))
    }
}

/// A path of a SARIF log without its percent signs.
fn unescaped(uri: &str) -> String {
    let bytes = uri.strip_prefix("./").unwrap_or(uri).as_bytes();
    let (mut text, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok()).filter(|_| byte == b'%');
        let meant = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        at += if meant.is_some() { 3 } else { 1 };
        text.push(meant.unwrap_or(byte));
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_report_is_read() {
        let sarif = r#"{"runs": [{"results": [
            {"partialFingerprints": {"crashwise/v1": "aa"}, "locations": []},
            {"locations": [{"physicalLocation": {"artifactLocation": {"uri": "./a%20b%+1.py"}, "region": {"startLine": 7}}}]}
        ]}, {}]}"#;
        let read = Baseline::parse(sarif).expect("a log");
        assert_eq!((read.fingerprints.len(), read.secrets.len()), (1, 0));
        assert_eq!(read.places, BTreeSet::from([("a b%+1.py".to_owned(), 7)]));
        let ours = Baseline::parse(r#"{"findings": [{"fingerprint": "bb", "rule_id": "x"}]}"#).expect("ours");
        assert_eq!(ours.fingerprints, BTreeSet::from(["bb".to_owned()]));
        let leaks = r#"[{"File": "a.py", "StartLine": 3, "Secret": "q8Xn!41kz", "RuleID": "x"},
            {"File": "b.py", "StartLine": 4, "Secret": "REDACTED"}]"#;
        let leaks = Baseline::parse(leaks).expect("leaks");
        assert_eq!((leaks.secrets.len(), leaks.places.len()), (1, 1));
        assert!(!format!("{leaks:?}").contains("q8Xn"));
        for wrong in ["", "{}", "[1]", "{\"runs\": \"q8Xn!41kz\"}", "no json"] {
            let error = Baseline::parse(wrong).expect_err("refused").to_string();
            assert!(error.contains("expected a SARIF log") && !error.contains("q8Xn"), "{error}");
        }
    }
}
