//! How far before a literal a match may begin.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// What may stand before a literal in a match: how many bytes, and which; and whether nothing stands before those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Before {
    /// The most bytes; `usize::MAX` where there is no limit.
    most: usize,
    /// A bit for each byte.
    bytes: [u64; 4],
    /// Whether matches begin where the text begins.
    anchored: bool,
}

impl Before {
    /// The literal is the start of every match.
    pub(super) const NOTHING: Self = Self { most: 0, bytes: [0; 4], anchored: false };

    /// The matches of a part of a regex.
    pub(super) fn of(hir: &Hir) -> Self {
        let properties = hir.properties();
        let mut this = Self {
            most: properties.maximum_len().unwrap_or(usize::MAX),
            bytes: [0; 4],
            anchored: properties.look_set_prefix().contains(Look::Start),
        };
        this.admit_all(hir);
        this
    }

    /// The parser bounds the nesting of a pattern, and with it this recursion.
    fn admit_all(&mut self, hir: &Hir) {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => literal.0.iter().for_each(|byte| self.admit(*byte..=*byte)),
            HirKind::Class(Class::Bytes(class)) => {
                class.iter().for_each(|range| self.admit(range.start()..=range.end()));
            }
            HirKind::Class(Class::Unicode(class)) => class.iter().for_each(|range| {
                let ascii = |c: char| u8::try_from(c).ok().filter(u8::is_ascii);
                if let Some(start) = ascii(range.start()) {
                    self.admit(start..=ascii(range.end()).unwrap_or(0x7F));
                }
                if ascii(range.end()).is_none() {
                    self.admit(0x80..=0xFF);
                }
            }),
            HirKind::Repetition(repetition) => self.admit_all(&repetition.sub),
            HirKind::Capture(capture) => self.admit_all(&capture.sub),
            HirKind::Concat(parts) | HirKind::Alternation(parts) => {
                for part in parts {
                    self.admit_all(part);
                }
            }
        }
    }

    fn admit(&mut self, bytes: std::ops::RangeInclusive<u8>) {
        for byte in bytes {
            self.bytes[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
    }

    fn admits(&self, byte: u8) -> bool {
        self.bytes[usize::from(byte >> 6)] >> (byte & 63) & 1 != 0
    }

    /// This, and `next` behind it.
    pub(super) fn then(&self, next: &Self) -> Self {
        let mut both = *self;
        both.or(next);
        both.most = self.most.saturating_add(next.most);
        both.anchored = self.anchored || next.anchored;
        both
    }

    /// Admits what `other` admits as well.
    pub(super) fn or(&mut self, other: &Self) {
        self.most = self.most.max(other.most);
        self.anchored &= other.anchored;
        self.bytes.iter_mut().zip(other.bytes).for_each(|(own, other)| *own |= other);
    }

    /// The first offset at which a match may begin that has its literal at `place` of `text`, at most `limit` bytes before it.
    ///
    /// ```
    /// use crashwise_modules::prefilter::mandatory_literals;
    ///
    /// let literals = mandatory_literals(r"\b[a-z]+\.execute\(").unwrap();
    /// assert_eq!(literals[0].bytes, b".execute(");
    /// assert_eq!(literals[0].before.earliest(b"let row = db.execute(query)", 12, 100), 10);
    /// ```
    pub fn earliest(&self, text: &[u8], place: usize, limit: usize) -> usize {
        let floor = place - self.most.min(limit).min(place);
        let before = text.get(floor..place).unwrap_or_default();
        before.iter().rposition(|byte| !self.admits(*byte)).map_or(floor, |other| floor + other + 1)
    }

    /// Whether a match that has its literal at `place` may begin behind a byte that `opens` a text, where matches begin with the
    /// text. Looks at most `limit` bytes back; what that does not tell may be.
    ///
    /// ```
    /// use crashwise_modules::prefilter::mandatory_literals;
    ///
    /// let literals = mandatory_literals(r"^\s*SELECT\b").unwrap();
    /// let begins = |text: &[u8]| literals[0].before.may_begin(text, 6, 100, |byte| byte == b'"');
    /// assert!(begins(b"sql(\" SELECT 1\")") && !begins(b"// to SELECT one"));
    /// ```
    pub fn may_begin(&self, text: &[u8], place: usize, limit: usize, opens: impl Fn(u8) -> bool) -> bool {
        let earliest = self.earliest(text, place, limit);
        !self.anchored
            || place - earliest == limit
            || (earliest..=place).any(|at| at.checked_sub(1).is_none_or(|before| opens(text[before])))
    }
}
