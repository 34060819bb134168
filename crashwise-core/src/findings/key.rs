//! The order of findings as bytes that compare like it.

use crate::{Confidence, Finding, Severity};
use std::cmp::Ordering;

/// Sorts findings and tells which are the same one.
///
/// The identity comes first; after it comes what decides which of several reports is kept: one that is not
/// suppressed, then the more severe, then the surer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    bytes: Vec<u8>,
    identity: usize,
}

impl Key {
    pub(super) fn of(finding: &Finding) -> Self {
        let primary = finding.primary();
        let start = primary.and_then(|place| place.region).map(|region| region.start);
        let (line, column) = start.map_or((0, 0), |at| (at.line.number(), at.column.number()));
        let path = primary.map_or("", |place| place.path.as_str());
        let rule = finding.rule_id.as_str();
        let mut bytes = Vec::with_capacity(path.len() + rule.len() + 64);
        bytes.extend_from_slice(path.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&line.to_be_bytes());
        bytes.extend_from_slice(&column.to_be_bytes());
        bytes.extend_from_slice(rule.as_bytes());
        bytes.push(0);
        match &finding.fingerprint {
            Some(fingerprint) => bytes.extend_from_slice(fingerprint.as_str().as_bytes()),
            None => bytes.extend_from_slice(finding.default_fingerprint().as_str().as_bytes()),
        }
        bytes.push(0);
        bytes.extend_from_slice(&blake3::hash(finding.text().as_bytes()).as_bytes()[..16]);
        let identity = bytes.len();
        bytes.push(u8::from(!finding.suppressions.is_empty()));
        bytes.push(severity_rank(finding.severity));
        bytes.push(confidence_rank(finding.confidence));
        Self { bytes, identity }
    }

    pub(super) fn from_parts(bytes: Vec<u8>, identity: usize) -> Self {
        Self { identity: identity.min(bytes.len()), bytes }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn identity_len(&self) -> usize {
        self.identity
    }

    /// The severity, unless the finding is suppressed.
    pub(super) fn active_severity(&self) -> Option<Severity> {
        match self.bytes.get(self.identity..)? {
            [0, rank, ..] => Severity::ALL.get(usize::from(*rank)).copied(),
            _ => None,
        }
    }

    pub(super) fn same_finding(&self, other: &Self) -> bool {
        self.bytes[..self.identity] == other.bytes[..other.identity]
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The index into [`Severity::ALL`], which begins with the worst.
fn severity_rank(severity: Severity) -> u8 {
    Severity::ALL.iter().zip(0..).find(|(other, _)| **other == severity).map_or(u8::MAX, |(_, rank)| rank)
}

fn confidence_rank(confidence: Confidence) -> u8 {
    match confidence {
        Confidence::High => 0,
        Confidence::Medium => 1,
        Confidence::Low => 2,
    }
}
