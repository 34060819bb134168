//! The fingerprint that code scanning services match results by.

use crashwise_core::Finding;
use std::collections::HashMap;

/// Hashes of the text of primary places, numbered where a file has the same text on several lines.
///
/// It expects findings sorted by path and line and forgets a file when the next one begins.
#[derive(Debug, Default)]
pub(super) struct LineHashes {
    path: String,
    /// Hash of the text to how many lines had it and the last of them.
    seen: HashMap<u64, (u32, u32)>,
}

impl LineHashes {
    /// The hash of a finding with a place: 16 hexadecimal digits, a colon, and which of the equal lines it is.
    pub(super) fn hash(&mut self, finding: &Finding) -> Option<String> {
        let place = finding.primary()?;
        if place.path.as_str() != self.path {
            place.path.as_str().clone_into(&mut self.path);
            self.seen.clear();
        }
        let mut hasher = blake3::Hasher::new();
        for word in place.snippet.as_deref().unwrap_or(finding.text()).split_whitespace() {
            hasher.update(word.as_bytes());
            hasher.update(b" ");
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        let hash = u64::from_be_bytes(first);
        let line = place.region.map_or(0, |region| region.start.line.number());
        let (count, last) = self.seen.entry(hash).or_insert((0, 0));
        if *count == 0 || *last != line {
            *count += 1;
            *last = line;
        }
        Some(format!("{hash:016x}:{count}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crashwise_core::{Location, Position, RelPath, RuleId, Severity};

    #[test]
    fn equal_lines_are_numbered_per_file() {
        let finding = |path: &str, line, text: &str| {
            let place = Location::new(RelPath::new(path).unwrap())
                .with_start(Position::new(line, 1).unwrap())
                .with_snippet(text);
            Finding::new(RuleId::new("r").unwrap(), "t", Severity::Low).with_location(place)
        };
        let mut hashes = LineHashes::default();
        let mut hash = |path, line, text| hashes.hash(&finding(path, line, text)).unwrap();
        let first = hash("a", 1, "eval( x )");
        assert!(first.ends_with(":1") && first.len() == 18);
        assert_eq!(hash("a", 1, " eval(  x ) "), first);
        assert!(hash("a", 5, "eval( x )").ends_with(":2"));
        assert_ne!(hash("a", 6, "eval( y )"), first);
        assert_eq!(hash("b", 9, "eval( x )"), first);
    }
}
