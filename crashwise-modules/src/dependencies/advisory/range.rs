//! The evaluation of the OSV schema: which versions the events of an affected package include.

use crate::dependencies::version::{Order, VersionKey};

use super::record::{Affected, Event, Range};

/// Versions from `low` on, up to `high`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Interval {
    /// Empty for "from the first version on", which sorts before every key.
    pub(super) low: Vec<u8>,
    pub(super) high: Bound,
}

/// Where an interval ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bound {
    /// Nowhere.
    Open,
    /// Before this version, written as in the record; for a fix, this is the fixed version.
    Before { key: Vec<u8>, version: String },
    /// With this version.
    With { key: Vec<u8> },
}

/// The versions of one package that one advisory affects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) intervals: Vec<Interval>,
    /// Keys of enumerated versions that no interval covers, sorted.
    pub(super) keys: Vec<Vec<u8>>,
    /// Enumerated versions that have no key.
    pub(super) raw: Vec<String>,
}

impl Interval {
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        key >= self.low.as_slice()
            && match &self.high {
                Bound::Open => true,
                Bound::Before { key: high, .. } => key < high.as_slice(),
                Bound::With { key: high } => key <= high.as_slice(),
            }
    }
}

/// Collects what is affected; `warn` receives what cannot be read, and the rest is kept.
pub(super) fn versions(affected: &Affected, order: Order, warn: &mut dyn FnMut(String)) -> Versions {
    let mut out = Versions::default();
    for range in &affected.ranges {
        // Commits have no order without their repository; what they affect is enumerated beside them.
        if range.kind == "GIT" {
            continue;
        }
        match intervals(range, order) {
            Ok(intervals) => out.intervals.extend(intervals),
            Err(message) => warn(message),
        }
    }
    out.intervals.sort();
    out.intervals.dedup();
    for version in &affected.versions {
        match order.key(version) {
            Ok(key) if out.intervals.iter().any(|interval| interval.contains(key.as_bytes())) => {}
            Ok(key) => out.keys.push(key.as_bytes().to_vec()),
            Err(_) => out.raw.push(version.clone()),
        }
    }
    out.keys.sort();
    out.keys.dedup();
    out.raw.sort();
    out.raw.dedup();
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Introduced,
    Fixed,
    LastAffected,
}

/// The intervals of one range: its events in order, cut off at its limits.
fn intervals(range: &Range, order: Order) -> Result<Vec<Interval>, String> {
    let key = |version: &str| {
        order.key(version).map_err(|error| format!("a range of type {} was left out: {error}", range.kind))
    };
    let mut turns: Vec<(Vec<u8>, Turn, &str)> = Vec::new();
    let mut limits: Vec<(Vec<u8>, &str)> = Vec::new();
    let mut unlimited = true;
    for event in &range.events {
        let Event { introduced, fixed, last_affected, limit } = event;
        if let Some(version) = introduced {
            let low = if version == "0" { Vec::new() } else { bytes(&key(version)?) };
            turns.push((low, Turn::Introduced, version));
        }
        if let Some(version) = fixed {
            turns.push((bytes(&key(version)?), Turn::Fixed, version));
        }
        if let Some(version) = last_affected {
            turns.push((bytes(&key(version)?), Turn::LastAffected, version));
        }
        if let Some(version) = limit {
            if version == "*" {
                limits.push((Vec::new(), "*"));
            } else {
                limits.push((bytes(&key(version)?), version));
            }
            unlimited = false;
        }
    }
    unlimited |= limits.iter().any(|(_, version)| *version == "*");
    // Equal versions keep their order in the record, but a last affected version is one that was introduced.
    turns.sort_by(|a, b| {
        let late = |turn: Turn| turn == Turn::LastAffected;
        a.0.cmp(&b.0).then_with(|| late(a.1).cmp(&late(b.1)))
    });
    let mut out = Vec::new();
    let mut low: Option<Vec<u8>> = None;
    for (key, turn, version) in turns {
        match turn {
            Turn::Introduced => {
                low.get_or_insert(key);
            }
            Turn::Fixed => {
                if let Some(low) = low.take() {
                    let high = Bound::Before { key, version: version.to_owned() };
                    out.push(Interval { low, high });
                }
            }
            Turn::LastAffected => {
                if let Some(low) = low.take() {
                    out.push(Interval { low, high: Bound::With { key } });
                }
            }
        }
    }
    out.extend(low.map(|low| Interval { low, high: Bound::Open }));
    if !unlimited && let Some((limit, version)) = limits.into_iter().max() {
        for interval in &mut out {
            cut(interval, &limit, version);
        }
    }
    out.retain(|interval| match &interval.high {
        Bound::Open => true,
        Bound::Before { key, .. } => interval.low < *key,
        Bound::With { key } => interval.low <= *key,
    });
    Ok(out)
}

/// Ends the interval before the limit if it went further.
fn cut(interval: &mut Interval, limit: &[u8], version: &str) {
    let further = match &interval.high {
        Bound::Open => true,
        Bound::Before { key, .. } => key.as_slice() > limit,
        Bound::With { key } => key.as_slice() >= limit,
    };
    if further {
        interval.high = Bound::Before { key: limit.to_vec(), version: version.to_owned() };
    }
}

fn bytes(key: &VersionKey) -> Vec<u8> {
    key.as_bytes().to_vec()
}
