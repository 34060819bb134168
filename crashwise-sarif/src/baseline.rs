//! What changed since an earlier report.

use crate::FindingSource;
use crashwise_core::{Finding, SeverityCounts};
use serde_json::{Value, json};
use std::fmt;
use std::io;

/// How a finding compares with an earlier report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BaselineState {
    /// It was not there before.
    New,
    /// It was there, the same in every respect that counts: place, severity, text, suppression.
    Unchanged,
    /// It was there, but moved or changed.
    Updated,
    /// It was there and is not any more.
    Absent,
}

impl BaselineState {
    /// The word of SARIF.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Unchanged => "unchanged",
            Self::Updated => "updated",
            Self::Absent => "absent",
        }
    }
}

impl fmt::Display for BaselineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The findings of now against those of an earlier report, matched by fingerprint.
///
/// Several findings with one fingerprint (the same text on several lines of a file) match one to one: first those
/// that did not change, then the rest in order. Memory holds 48 bytes for each finding of the earlier report and one for
/// each of now.
///
/// ```
/// use crashwise_core::{Finding, RuleId, Severity};
/// use crashwise_sarif::{BaselineState, Comparison};
/// let finding = |rule| Finding::new(RuleId::new(rule).unwrap(), "title", Severity::High);
/// let earlier = vec![finding("a"), finding("b")];
/// let now = vec![finding("b"), finding("c")];
/// let comparison = Comparison::new(earlier, &now).unwrap();
/// assert_eq!([comparison.state(0), comparison.state(1)], [BaselineState::Unchanged, BaselineState::New]);
/// assert_eq!(comparison.new.high, 1); // what a gate looks at
/// assert_eq!(comparison.absent.high, 1);
/// ```
#[non_exhaustive]
pub struct Comparison {
    /// Findings that were not there before, suppressed ones left out. A gate looks at these.
    pub new: SeverityCounts,
    /// Findings that did not change, suppressed ones left out.
    pub unchanged: SeverityCounts,
    /// Findings that moved or changed, suppressed ones left out.
    pub updated: SeverityCounts,
    /// Findings of the earlier report that are not there any more, those suppressed then left out.
    pub absent: SeverityCounts,
    earlier: Box<dyn FindingSource>,
    states: Vec<BaselineState>,
    /// For each earlier finding whether it is absent now.
    gone: Vec<bool>,
}

impl Comparison {
    /// Compares `now` with `earlier`, each of which is gone through twice.
    pub fn new(earlier: impl FindingSource + 'static, now: &dyn FindingSource) -> io::Result<Self> {
        let mut index = Index::of(&earlier)?;
        now.for_each(&mut |finding| {
            index.reserve_exact(&finding);
            Ok(())
        })?;
        let mut comparison = Self {
            new: SeverityCounts::default(),
            unchanged: SeverityCounts::default(),
            updated: SeverityCounts::default(),
            absent: SeverityCounts::default(),
            earlier: Box::new(earlier),
            states: Vec::new(),
            gone: Vec::new(),
        };
        now.for_each(&mut |finding| {
            let state = index.take(&finding);
            comparison.states.push(state);
            if finding.suppressions.is_empty() {
                comparison.counts(state).add(finding.severity);
            }
            Ok(())
        })?;
        comparison.gone = index.gone();
        let mut absent = SeverityCounts::default();
        comparison.each_absent(&mut |finding| {
            if finding.suppressions.is_empty() {
                absent.add(finding.severity);
            }
            Ok(())
        })?;
        comparison.absent = absent;
        Ok(comparison)
    }

    /// The state of the n-th finding of now, from 0. One that was not compared is new.
    pub fn state(&self, position: usize) -> BaselineState {
        self.states.get(position).copied().unwrap_or(BaselineState::New)
    }

    /// Calls `visit` with every earlier finding that is absent now.
    pub fn each_absent(&self, visit: &mut dyn FnMut(Finding) -> io::Result<()>) -> io::Result<()> {
        if !self.gone.contains(&true) {
            return Ok(());
        }
        let mut gone = self.gone.iter();
        self.earlier.for_each(&mut |finding| match gone.next() {
            Some(true) => visit(finding),
            Some(false) => Ok(()),
            None => Err(io::Error::other("the earlier report changed while it was compared")),
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({ "new": self.new, "unchanged": self.unchanged, "updated": self.updated, "absent": self.absent })
    }

    fn counts(&mut self, state: BaselineState) -> &mut SeverityCounts {
        match state {
            BaselineState::New => &mut self.new,
            BaselineState::Unchanged => &mut self.unchanged,
            BaselineState::Updated => &mut self.updated,
            BaselineState::Absent => &mut self.absent,
        }
    }
}

impl fmt::Debug for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Comparison")
            .field("new", &self.new)
            .field("unchanged", &self.unchanged)
            .field("updated", &self.updated)
            .field("absent", &self.absent)
            .finish_non_exhaustive()
    }
}

/// The earlier findings by fingerprint, then content.
struct Index {
    entries: Vec<Entry>,
}

struct Entry {
    identity: Identity,
    position: u32,
    /// In the first entry of an identity: how many have an unchanged counterpart now that did not come by yet.
    unchanged: u32,
    /// In the first entry of a fingerprint: how many need no second look for one that is free.
    skip: u32,
    used: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    fingerprint: [u64; 2],
    content: u64,
}

impl Index {
    fn of(earlier: &dyn FindingSource) -> io::Result<Self> {
        let mut entries = Vec::new();
        earlier.for_each(&mut |finding| {
            let position = u32::try_from(entries.len())
                .map_err(|_| io::Error::other("the earlier report has more than 4294967295 findings"))?;
            entries.push(Entry {
                identity: Identity::of(&finding),
                position,
                unchanged: 0,
                skip: 0,
                used: false,
            });
            Ok(())
        })?;
        entries.sort_unstable_by_key(|entry| (entry.identity, entry.position));
        Ok(Self { entries })
    }

    fn exact(&self, identity: Identity) -> Option<usize> {
        let at = self.entries.partition_point(|entry| entry.identity < identity);
        self.entries.get(at).is_some_and(|entry| entry.identity == identity).then_some(at)
    }

    fn reserve_exact(&mut self, finding: &Finding) {
        let identity = Identity::of(finding);
        let Some(first) = self.exact(identity) else { return };
        let next = first + self.entries[first].unchanged as usize;
        if let Some(entry) = self.entries.get_mut(next).filter(|entry| entry.identity == identity) {
            entry.used = true;
            self.entries[first].unchanged += 1;
        }
    }

    fn take(&mut self, finding: &Finding) -> BaselineState {
        let identity = Identity::of(finding);
        if let Some(first) = self.exact(identity) {
            let unchanged = &mut self.entries[first].unchanged;
            if *unchanged > 0 {
                *unchanged -= 1;
                return BaselineState::Unchanged;
            }
        }
        let fingerprint = identity.fingerprint;
        let first = self.entries.partition_point(|entry| entry.identity.fingerprint < fingerprint);
        let Some(skip) = self.entries.get(first).map(|entry| entry.skip) else { return BaselineState::New };
        let mut skip = skip;
        let mut state = BaselineState::New;
        while let Some(entry) = self.entries.get_mut(first + skip as usize) {
            if entry.identity.fingerprint != fingerprint {
                break;
            }
            skip += 1;
            if !entry.used {
                entry.used = true;
                state = BaselineState::Updated;
                break;
            }
        }
        self.entries[first].skip = skip;
        state
    }

    fn gone(self) -> Vec<bool> {
        let mut gone = vec![false; self.entries.len()];
        for entry in self.entries {
            gone[entry.position as usize] = !entry.used;
        }
        gone
    }
}

impl Identity {
    /// Hashes of the fingerprint and of what may change without the finding becoming another one.
    fn of(finding: &Finding) -> Self {
        let fingerprint = match &finding.fingerprint {
            Some(fingerprint) => blake3::hash(fingerprint.as_str().as_bytes()),
            None => blake3::hash(finding.default_fingerprint().as_str().as_bytes()),
        };
        let place = finding.primary();
        let start = place.and_then(|place| place.region).map(|region| region.start);
        let (line, column) = start.map_or((0, 0), |at| (at.line.number(), at.column.number()));
        let suppressed = !finding.suppressions.is_empty();
        let mut content = blake3::Hasher::new();
        content.update(&line.to_le_bytes());
        content.update(&column.to_le_bytes());
        content.update(finding.severity.as_str().as_bytes());
        content.update(&[u8::from(suppressed)]);
        content.update(place.map_or("", |place| place.path.as_str()).as_bytes());
        content.update(b"\0");
        content.update(finding.text().as_bytes());
        Self {
            fingerprint: [word(fingerprint.as_bytes(), 0), word(fingerprint.as_bytes(), 8)],
            content: word(content.finalize().as_bytes(), 0),
        }
    }
}

fn word(hash: &[u8; 32], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[at..at + 8]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crashwise_core::{Location, Position, RelPath, RuleId, Severity, Suppression, SuppressionKind};

    fn at(path: &str, line: u32, text: &str) -> Finding {
        let place = Location::new(RelPath::new(path).unwrap())
            .with_start(Position::new(line, 1).unwrap())
            .with_snippet(text);
        Finding::new(RuleId::new("r").unwrap(), "t", Severity::High).with_location(place)
    }

    fn words(earlier: Vec<Finding>, now: &Vec<Finding>) -> Vec<String> {
        let comparison = Comparison::new(earlier, now).unwrap();
        let mut words: Vec<String> = (0..now.len()).map(|n| comparison.state(n).to_string()).collect();
        comparison
            .each_absent(&mut |finding| {
                words.push(format!("-{}", finding.primary().unwrap()));
                Ok(())
            })
            .unwrap();
        words
    }

    #[test]
    fn states() {
        let mut milder = at("a", 1, "x");
        milder.severity = Severity::Low;
        for (earlier, now, expect) in [
            (vec![], vec![at("a", 1, "x")], vec!["new"]),
            (vec![at("a", 1, "x")], vec![at("a", 1, "x")], vec!["unchanged"]),
            (vec![at("a", 1, "x")], vec![at("a", 7, " x ")], vec!["updated"]),
            (vec![at("a", 1, "x")], vec![milder], vec!["updated"]),
            (vec![at("a", 1, "x")], vec![], vec!["-a:1:1"]),
            (vec![at("a", 1, "x")], vec![at("b", 1, "x")], vec!["new", "-a:1:1"]),
            (vec![at("a", 20, "x")], vec![at("a", 10, "x"), at("a", 20, "x")], vec!["new", "unchanged"]),
            (
                vec![at("a", 10, "x"), at("a", 20, "x")],
                vec![at("a", 5, "x"), at("a", 20, "x")],
                vec!["updated", "unchanged"],
            ),
            (vec![at("a", 1, "x"), at("a", 2, "x")], vec![at("a", 3, "x")], vec!["updated", "-a:2:1"]),
        ] {
            assert_eq!(words(earlier, &now), expect);
        }
    }

    #[test]
    fn many_equal_findings_take_no_quadratic_time() {
        let many = |line| (0..10_000).map(|_| at("a", line, "x")).collect::<Vec<_>>();
        for (line, expect) in [(1, BaselineState::Unchanged), (2, BaselineState::Updated)] {
            let comparison = Comparison::new(many(1), &many(line)).unwrap();
            assert_eq!((comparison.state(0), comparison.state(9_999)), (expect, expect));
            assert_eq!(comparison.absent.total(), 0);
        }
    }

    #[test]
    fn a_gate_counts_new_findings_that_are_not_suppressed() {
        let quiet = at("a", 1, "x")
            .with_suppression(Suppression { kind: SuppressionKind::External, reason: String::new() });
        let comparison =
            Comparison::new(vec![at("c", 1, "x")], &vec![quiet, at("b", 1, "x"), at("c", 1, "x")]).unwrap();
        assert_eq!(
            (comparison.new.total(), comparison.unchanged.total(), comparison.absent.total()),
            (1, 1, 0)
        );
    }
}
