use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CrashReport, StackHash};

/// Whether a crash is a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Sighting {
    /// No crash of this `major` hash was seen before.
    New,
    /// The same functions, on other lines.
    Moved,
    /// Seen before, line by line.
    Known,
}

/// Crashes seen so far, in this run and, when loaded, in earlier ones.
///
/// ```
/// use crashwise_modules::fuzzing::triage::{Known, Scope, Sighting, triage};
///
/// let crash = |line: u32| {
///     let log = format!("thread 'main' panicked at src/a.rs:{line}:1:\nattempt to divide by zero\n");
///     triage(log.as_bytes(), &Scope::new()).unwrap()
/// };
/// let mut known = Known::new();
/// assert_eq!(known.see(&crash(7)), Sighting::New);
/// assert_eq!(known.see(&crash(7)), Sighting::Known);
/// assert_eq!(known.see(&crash(9)), Sighting::Moved);
/// assert_eq!((known.unique(), known.total()), (1, 3));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Known(BTreeMap<StackHash, BTreeMap<StackHash, u64>>);

impl Known {
    /// Nothing seen.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records a crash.
    pub fn see(&mut self, crash: &CrashReport) -> Sighting {
        let sighting = match self.0.get(&crash.major) {
            None => Sighting::New,
            Some(minors) if minors.contains_key(&crash.minor) => Sighting::Known,
            Some(_) => Sighting::Moved,
        };
        *self.0.entry(crash.major.clone()).or_default().entry(crash.minor.clone()).or_default() += 1;
        sighting
    }

    /// Whether a crash of this hash was seen.
    pub fn contains(&self, major: &StackHash) -> bool {
        self.0.contains_key(major)
    }

    /// Distinct crashes.
    pub fn unique(&self) -> usize {
        self.0.len()
    }

    /// All crashes.
    pub fn total(&self) -> u64 {
        self.0.values().flat_map(BTreeMap::values).sum()
    }

    /// Takes over what another has seen.
    pub fn merge(&mut self, other: Self) {
        for (major, minors) in other.0 {
            let own = self.0.entry(major).or_default();
            for (minor, count) in minors {
                *own.entry(minor).or_default() += count;
            }
        }
    }
}
