//! The pass itself.

use std::fmt;

use super::frequency::rarest_window;
use super::probe::{BLOCK, MASKED, MASKS, Probe, SPREAD, fold};
use super::{Case, Hit, LiteralError, LiteralId, LiteralRange};

/// Length of the window that identifies a literal.
const WINDOW: usize = 4;
/// Length of what the probe sees of a literal where it is long enough: a window at either alignment.
const PROBED: usize = WINDOW + 1;
/// The longest literal kept.
const MAX_LITERAL: usize = 4096;

/// Collects literals for a [`Prefilter`].
#[derive(Debug, Clone, Default)]
pub struct Builder {
    literals: Vec<Literal>,
}

impl Builder {
    /// Adds one literal of 2 to 4,096 bytes.
    pub fn add(&mut self, literal: &[u8], case: Case) -> Result<LiteralId, LiteralError> {
        let len = literal.len();
        if len < 2 {
            return Err(LiteralError::TooShort { len });
        }
        if len > MAX_LITERAL {
            return Err(LiteralError::TooLong { len, max: MAX_LITERAL });
        }
        let id = LiteralId(count(self.literals.len()));
        self.literals.push(Literal::new(literal, case));
        Ok(id)
    }

    /// Adds a set of literals, which receive contiguous ids; on an error none of them is added.
    pub fn add_all<L: AsRef<[u8]>>(
        &mut self,
        literals: impl IntoIterator<Item = (L, Case)>,
    ) -> Result<LiteralRange, LiteralError> {
        let first = self.literals.len();
        for (literal, case) in literals {
            if let Err(error) = self.add(literal.as_ref(), case) {
                self.literals.truncate(first);
                return Err(error);
            }
        }
        Ok(LiteralRange { first: count(first), len: count(self.literals.len() - first) })
    }

    /// Compiles the literals; takes well under a millisecond for a thousand of them.
    pub fn build(self) -> Prefilter {
        let mut probe = Probe::default();
        let (mut windows, mut triples, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        for (index, Literal { bytes: literal, .. }) in self.literals.iter().enumerate() {
            let (window_at, _) = rarest_window(literal, PROBED.min(literal.len()));
            let member = Member { literal: count(index), window_at: count(window_at) };
            match literal[window_at..] {
                [a, b] => {
                    for any in 0..=u8::MAX {
                        probe.set([a, b, any], None);
                        probe.set([any, a, b], None);
                    }
                    pairs.push((fold(u32::from_le_bytes([a, b, 0, 0])) & 0xFFFF, member));
                }
                [a, b, c] => {
                    probe.set([a, b, c], None);
                    for any in 0..=u8::MAX {
                        probe.set([any, a, b], Some(c));
                    }
                    triples.push((fold(u32::from_le_bytes([a, b, c, 0])) & 0x00FF_FFFF, member));
                }
                [a, b, c, d, ref rest @ ..] => {
                    probe.set([a, b, c], Some(d));
                    probe.set([b, c, d], rest.first().copied());
                    windows.push((fold(u32::from_le_bytes([a, b, c, d])), member));
                }
                _ => {}
            }
        }
        Prefilter {
            probe,
            windows: Table::new(windows),
            triples: Table::new(triples),
            pairs: Table::new(pairs),
            literals: self.literals,
        }
    }
}

/// Finds many literals in one pass. Built by [`Prefilter::builder`]; cheap to share between threads by reference.
#[derive(Clone)]
pub struct Prefilter {
    probe: Probe,
    windows: Table,
    triples: Table,
    pairs: Table,
    literals: Vec<Literal>,
}

impl fmt::Debug for Prefilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefilter").field("literals", &self.literals.len()).finish_non_exhaustive()
    }
}

impl Prefilter {
    /// An empty builder.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The number of literals.
    pub fn len(&self) -> usize {
        self.literals.len()
    }

    /// Whether there is no literal, so that nothing is ever found.
    pub fn is_empty(&self) -> bool {
        self.literals.is_empty()
    }

    /// The bytes and the case of a literal; `None` for an id of another prefilter.
    pub fn literal(&self, id: LiteralId) -> Option<(&[u8], Case)> {
        self.literals.get(id.index()).map(|literal| (&*literal.bytes, literal.case))
    }

    /// Calls `on_hit` once for every occurrence of every literal, overlapping ones included.
    ///
    /// Hits come in the order in which they are recognised, which is nearly but not exactly that of their start:
    /// sort them where the order matters. The order is the same in every run.
    pub fn scan(&self, haystack: &[u8], mut on_hit: impl FnMut(Hit)) {
        if self.is_empty() {
            return;
        }
        let mut masks = [0_u64; MASKS];
        let mut base = 0;
        while let Some(block) = haystack.get(base..base + BLOCK + 8) {
            self.probe.run(block, &mut masks);
            self.confirm(haystack, base, &masks, &mut on_hit);
            base += BLOCK;
        }
        // What is left is shorter than a block; zeros behind the end keep the probe free of special cases.
        while base < haystack.len() {
            let rest = &haystack[base..haystack.len().min(base + BLOCK + 8)];
            let masked = rest.len().min(BLOCK).next_multiple_of(MASKED);
            let mut padded = [0_u8; BLOCK + 8];
            padded[..rest.len()].copy_from_slice(rest);
            self.probe.run(&padded[..masked + 8], &mut masks);
            self.confirm(haystack, base, &masks[..masked / MASKED], &mut on_hit);
            base += BLOCK;
        }
    }

    /// Looks at every position that a mask names.
    fn confirm(&self, haystack: &[u8], base: usize, masks: &[u64], on_hit: &mut impl FnMut(Hit)) {
        for (index, &mask) in masks.iter().enumerate() {
            let mut mask = mask;
            while mask != 0 {
                let step = mask.trailing_zeros();
                mask &= mask - 1;
                self.candidate(haystack, base + index * MASKED + 2 * step as usize, on_hit);
            }
        }
    }

    /// Looks the windows at and before an even position up and compares the literals they belong to.
    #[inline]
    fn candidate(&self, haystack: &[u8], at: usize, on_hit: &mut impl FnMut(Hit)) {
        // Positions are even, so the window one byte earlier is never that of another candidate; nor is the triple one
        // byte later, which the probe sees from the even position before it.
        if let Some(before) = at.checked_sub(1)
            && let Some(&[a, b, c, d, e]) = haystack.get(before..before + 5).and_then(|s| s.as_array())
        {
            let (window_before, window) =
                (fold(u32::from_le_bytes([a, b, c, d])), fold(u32::from_le_bytes([b, c, d, e])));
            let (triple, triple_behind) = (window & 0x00FF_FFFF, window >> 8);
            // One branch for all four, which is seldom taken.
            if self.windows.may_contain(window_before)
                | self.windows.may_contain(window)
                | self.triples.may_contain(triple)
                | self.triples.may_contain(triple_behind)
            {
                self.look_up(&self.windows, haystack, before, window_before, on_hit);
                self.look_up(&self.windows, haystack, at, window, on_hit);
                self.look_up(&self.triples, haystack, at, triple, on_hit);
                self.look_up(&self.triples, haystack, at + 1, triple_behind, on_hit);
            }
        } else {
            self.edge(haystack, at, on_hit);
        }
        if !self.pairs.is_empty() {
            for start in [at, at + 1] {
                if let Some(&[a, b]) = haystack.get(start..start + 2).and_then(|s| s.as_array()) {
                    let key = fold(u32::from_le_bytes([a, b, 0, 0])) & 0xFFFF;
                    self.look_up(&self.pairs, haystack, start, key, on_hit);
                }
            }
        }
    }

    /// The same at the start and the end of the input, where not all of the bytes around the position exist.
    #[cold]
    fn edge(&self, haystack: &[u8], at: usize, on_hit: &mut impl FnMut(Hit)) {
        for start in [at.checked_sub(1), Some(at)].into_iter().flatten() {
            if let Some(&window) = haystack.get(start..start + WINDOW).and_then(|s| s.as_array()) {
                self.look_up(&self.windows, haystack, start, fold(u32::from_le_bytes(window)), on_hit);
            }
        }
        for start in [at, at + 1] {
            if let Some(&[a, b, c]) = haystack.get(start..start + 3).and_then(|s| s.as_array()) {
                let key = fold(u32::from_le_bytes([a, b, c, 0])) & 0x00FF_FFFF;
                self.look_up(&self.triples, haystack, start, key, on_hit);
            }
        }
    }

    fn look_up(&self, table: &Table, haystack: &[u8], at: usize, key: u32, on_hit: &mut impl FnMut(Hit)) {
        if !table.may_contain(key) {
            return;
        }
        for member in table.find(key) {
            let Some(start) = at.checked_sub(member.window_at as usize) else { continue };
            if self.literals[member.literal as usize].begins(&haystack[start..]) {
                on_hit(Hit { start, literal: LiteralId(member.literal) });
            }
        }
    }
}

/// A literal, and its first bytes for a comparison at once.
#[derive(Debug, Clone)]
struct Literal {
    bytes: Box<[u8]>,
    case: Case,
    head: u128,
    /// The bits of the head that count: none behind a shorter literal, and not that of the case where the case is all the same.
    mask: u128,
}

impl Literal {
    fn new(literal: &[u8], case: Case) -> Self {
        let (mut head, mut mask) = ([0; 16], [0; 16]);
        for ((byte, bits), literal) in head.iter_mut().zip(&mut mask).zip(literal) {
            let any_case = case == Case::Insensitive && literal.is_ascii_alphabetic();
            (*byte, *bits) = (*literal, if any_case { !0x20 } else { !0 });
        }
        let [head, mask] = [head, mask].map(u128::from_le_bytes);
        Self { bytes: literal.into(), case, head, mask }
    }

    /// Whether a text begins with it.
    #[inline]
    fn begins(&self, text: &[u8]) -> bool {
        if let Some(first) = text.first_chunk::<16>() {
            let same = (u128::from_le_bytes(*first) ^ self.head) & self.mask == 0;
            if !same || self.bytes.len() <= first.len() {
                return same;
            }
        }
        text.get(..self.bytes.len()).is_some_and(|found| match self.case {
            Case::Sensitive => found == &*self.bytes,
            Case::Insensitive => found.eq_ignore_ascii_case(&self.bytes),
        })
    }
}

/// A literal under the key of its window.
#[derive(Debug, Clone, Copy)]
struct Member {
    literal: u32,
    /// Offset of the window in the literal.
    window_at: u32,
}

/// One bit per hashed window.
#[derive(Clone)]
struct Bitmap(Box<[u8; 1 << 13]>);

impl Default for Bitmap {
    fn default() -> Self {
        Self(Box::new([0; 1 << 13]))
    }
}

impl Bitmap {
    fn set(&mut self, slot: u32) {
        self.0[(slot >> 3) as usize & 0x1FFF] |= 1 << (slot & 7);
    }

    #[inline]
    fn has(&self, slot: u32) -> bool {
        self.0[(slot >> 3) as usize & 0x1FFF] >> (slot & 7) & 1 != 0
    }
}

/// Literals by their windows: a bitmap in front of an open-addressing table of ranges.
#[derive(Clone)]
struct Table {
    filter: Bitmap,
    /// Key, first member and number of members; a range without members is a free slot.
    slots: Vec<(u32, u32, u32)>,
    members: Vec<Member>,
    shift: u32,
}

impl Table {
    fn new(mut entries: Vec<(u32, Member)>) -> Self {
        entries.sort_by_key(|&(key, member)| (key, member.literal));
        let bits = (entries.len().max(1) * 4).next_power_of_two().trailing_zeros();
        let mut table = Self {
            filter: Bitmap::default(),
            slots: vec![(0, 0, 0); 1 << bits],
            members: entries.iter().map(|&(_, member)| member).collect(),
            shift: 32 - bits,
        };
        let mut first = 0;
        for group in entries.chunk_by(|a, b| a.0 == b.0) {
            let key = group[0].0;
            table.filter.set(key.wrapping_mul(SPREAD) >> 16);
            let mut slot = table.home(key);
            while table.slots[slot].2 != 0 {
                slot = (slot + 1) & (table.slots.len() - 1);
            }
            table.slots[slot] = (key, count(first), count(group.len()));
            first += group.len();
        }
        table
    }

    fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn home(&self, key: u32) -> usize {
        (key.wrapping_mul(SPREAD) >> self.shift) as usize
    }

    #[inline]
    fn may_contain(&self, key: u32) -> bool {
        self.filter.has(key.wrapping_mul(SPREAD) >> 16)
    }

    /// The members under `key`, none where there is no such key.
    fn find(&self, key: u32) -> &[Member] {
        let mut slot = self.home(key);
        loop {
            let (found, first, len) = self.slots[slot];
            if found == key || len == 0 {
                return &self.members[first as usize..(first + len) as usize];
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}

/// Counts of literals and offsets in them fit: a literal has at most `MAX_LITERAL` bytes.
fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
