//! Which paths an archive has used, at 16 bytes each.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;

use unicode_normalization::UnicodeNormalization;

/// Whether a path was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    New,
    Known,
    /// Another path that some file systems take for the same one.
    Collides,
}

/// Hash of the folded path -> hash of the exact path. The keys are random, so nobody can aim at collisions.
pub(crate) struct Seen {
    fold: bool,
    keys: RandomState,
    paths: HashMap<u64, u64>,
    folded: String,
}

impl Seen {
    /// With `fold`, letter case and unicode normalisation make no difference.
    pub(crate) fn new(fold: bool) -> Self {
        Self { fold, keys: RandomState::new(), paths: HashMap::new(), folded: String::new() }
    }

    /// Looks a path up and remembers it.
    pub(crate) fn look(&mut self, path: &[u8]) -> Sight {
        let exact = self.keys.hash_one((0u8, path));
        let key = if self.fold { self.folded(path) } else { exact };
        match self.paths.entry(key) {
            Entry::Vacant(place) => {
                place.insert(exact);
                Sight::New
            }
            Entry::Occupied(place) if *place.get() == exact => Sight::Known,
            Entry::Occupied(_) => Sight::Collides,
        }
    }

    fn folded(&mut self, path: &[u8]) -> u64 {
        self.folded.clear();
        match std::str::from_utf8(path) {
            Ok(text) if text.is_ascii() => {
                self.folded.push_str(text);
                self.folded.make_ascii_lowercase();
            }
            // Decompose, fold, decompose again: folding may compose (İ) and the other way round.
            Ok(text) => self.folded.extend(text.nfd().flat_map(char::to_lowercase).flat_map(fold_rest).nfd()),
            Err(_) => return self.keys.hash_one((1u8, path)),
        }
        // Some systems drop dots and spaces at the end of a name.
        if self.folded.bytes().any(|b| matches!(b, b'.' | b' ')) {
            let parts: Vec<_> =
                self.folded.split('/').map(|part| part.trim_end_matches(['.', ' '])).collect();
            self.folded = parts.join("/");
        }
        self.keys.hash_one((2u8, self.folded.as_bytes()))
    }
}

/// Letters whose simple lower case is not what file systems compare by.
fn fold_rest(c: char) -> impl Iterator<Item = char> {
    let (first, second) = match c {
        'ß' => ('s', Some('s')),
        'ς' => ('σ', None),
        'ſ' => ('s', None),
        other => (other, None),
    };
    std::iter::once(first).chain(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_collide_by_case_and_normalisation() {
        let mut seen = Seen::new(true);
        for (path, expect) in [
            ("a/B", Sight::New),
            ("a/B", Sight::Known),
            ("a/b", Sight::Collides),
            ("é", Sight::New),
            ("e\u{301}", Sight::Collides),
            ("É", Sight::Collides),
            ("straße", Sight::New),
            ("STRASSE", Sight::Collides),
            ("c", Sight::New),
            ("c.", Sight::Collides),
            ("d. /e", Sight::New),
            ("d/e", Sight::Collides),
            ("a.b/.c", Sight::New),
        ] {
            assert_eq!(seen.look(path.as_bytes()), expect, "{path}");
        }
        let mut exact = Seen::new(false);
        assert_eq!(exact.look(b"a"), Sight::New);
        assert_eq!(exact.look(b"A"), Sight::New);
        assert_eq!(exact.look(b"a"), Sight::Known);
    }
}
