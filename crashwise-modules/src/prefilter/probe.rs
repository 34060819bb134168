//! A first look at every second position: whether the bytes there may be in a literal.

/// Bytes looked at by one round of the probe.
pub(super) const BLOCK: usize = 4096;
/// Bytes described by one mask: a bit for every second position.
pub(super) const MASKED: usize = 128;
/// Masks of one block.
pub(super) const MASKS: usize = BLOCK / MASKED;
/// Bits of a hashed trigram: a table of 64 KiB.
const SLOT_BITS: u32 = 14;
/// Slots of that table.
const SLOTS: usize = 1 << SLOT_BITS;
/// Setting this bit in every byte folds ASCII letters, and a few other bytes with them: the final comparison is exact.
const FOLD: u64 = 0x2020_2020_2020_2020;
/// Odd multiplier that spreads the bits of a window (Knuth's 2^32 over the golden ratio).
pub(super) const SPREAD: u32 = 0x9E37_79B1;

/// For each hashed trigram, one bit per low five bits of the byte behind it: those bits are the same in both cases.
#[derive(Clone)]
pub(super) struct Probe(Box<[u32; SLOTS]>);

impl Default for Probe {
    fn default() -> Self {
        // By way of the heap: it is too large for the stack of a thread.
        Self(vec![0; SLOTS].into_boxed_slice().try_into().expect("as many slots as asked for"))
    }
}

impl Probe {
    /// Admits a trigram, followed by `next` where it is known.
    pub(super) fn set(&mut self, [a, b, c]: [u8; 3], next: Option<u8>) {
        let slot = Self::slot(fold(u32::from_le_bytes([a, b, c, 0])));
        self.0[slot] |= next.map_or(u32::MAX, |next| 1 << (next & 31));
    }

    /// The slot of the folded trigram in the low three bytes; the multiplier shifts the fourth out.
    #[inline]
    fn slot(bytes: u32) -> usize {
        (bytes.wrapping_mul(SPREAD << 8) >> (32 - SLOT_BITS)) as usize
    }

    /// Writes one mask for each `MASKED` bytes, the first position in the lowest bit. `block` has a multiple of
    /// `MASKED` bytes and eight more, which are read but not probed.
    pub(super) fn run(&self, block: &[u8], masks: &mut [u64; MASKS]) {
        #[cfg(target_arch = "x86_64")]
        if wide::run(&self.0, block, masks) {
            return;
        }
        self.run_narrow(block, masks);
    }

    /// The same on any processor.
    fn run_narrow(&self, block: &[u8], masks: &mut [u64; MASKS]) {
        for ((group, next), mask) in groups(block).zip(masks) {
            let mut bits = 0_u64;
            let mut word = u64::from_le_bytes(group[0]) | FOLD;
            for &next in group[1..].iter().chain([&next]) {
                let next = u64::from_le_bytes(next) | FOLD;
                for window in [low(word), low(word >> 16), low(word >> 32), low(word >> 48 | next << 16)] {
                    let admitted = self.0[Self::slot(window)].wrapping_shr(window >> 24) & 1;
                    bits = bits >> 1 | u64::from(admitted) << 63;
                }
                word = next;
            }
            *mask = bits;
        }
    }
}

/// What one mask describes, and the word behind it.
fn groups(block: &[u8]) -> impl Iterator<Item = (&[[u8; 8]; MASKED / 8], [u8; 8])> {
    let (words, _) = block.as_chunks::<8>();
    let (groups, _) = words.as_chunks::<{ MASKED / 8 }>();
    groups.iter().zip(words.chunks(MASKED / 8).skip(1).map(|chunk| chunk[0]))
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
fn low(word: u64) -> u32 {
    word as u32
}

pub(super) fn fold(window: u32) -> u32 {
    window | low(FOLD)
}

/// Eight positions at a time, with a load from the table for each of them in one instruction.
#[cfg(target_arch = "x86_64")]
mod wide {
    #![allow(unsafe_code, reason = "instructions that not every processor has, and loads by computed places")]

    use super::{MASKS, SLOT_BITS, SLOTS, SPREAD, groups};
    use std::arch::x86_64 as x86;

    /// As [`super::Probe::run`]; no where the processor cannot do it, and then nothing was written.
    pub(super) fn run(table: &[u32; SLOTS], block: &[u8], masks: &mut [u64; MASKS]) -> bool {
        let can = is_x86_feature_detected!("avx2");
        if can {
            // SAFETY: the processor has the instructions.
            unsafe { probe(table, block, masks) };
        }
        can
    }

    #[target_feature(enable = "avx2")]
    fn probe(table: &[u32; SLOTS], block: &[u8], masks: &mut [u64; MASKS]) {
        // The windows at four even positions of a half, which has the two bytes behind those.
        let spread_out = x86::_mm256_broadcastsi128_si256(x86::_mm_setr_epi8(
            0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7, 8, 9,
        ));
        let (fold, low_bits) = (x86::_mm256_set1_epi8(0x20), x86::_mm256_set1_epi32(31));
        let multiplier = x86::_mm256_set1_epi32((SPREAD << 8).cast_signed());
        for ((group, next), mask) in groups(block).zip(masks) {
            let word = |at: usize| i64::from_le_bytes(*group.get(at).unwrap_or(&next));
            let mut bits = 0;
            for at in (0..group.len()).step_by(2) {
                let (a, b, c) = (word(at), word(at + 1), word(at + 2));
                let halves = x86::_mm256_or_si256(x86::_mm256_set_epi64x(c, b, b, a), fold);
                let windows = x86::_mm256_shuffle_epi8(halves, spread_out);
                let hashed = x86::_mm256_mullo_epi32(windows, multiplier);
                let slots = x86::_mm256_srli_epi32::<{ 32 - SLOT_BITS.cast_signed() }>(hashed);
                // SAFETY: a slot has `SLOT_BITS` bits, so it lies in the table.
                let found = unsafe { x86::_mm256_i32gather_epi32::<4>(table.as_ptr().cast(), slots) };
                let behind = x86::_mm256_and_si256(x86::_mm256_srli_epi32::<24>(windows), low_bits);
                let admitted = x86::_mm256_slli_epi32::<31>(x86::_mm256_srlv_epi32(found, behind));
                let eight = x86::_mm256_movemask_ps(x86::_mm256_castsi256_ps(admitted));
                bits |= u64::from(eight.cast_unsigned()) << (4 * at);
            }
            *mask = bits;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_admit_the_same() {
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        let mut byte = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 56) as u8
        };
        let mut probe = Probe::default();
        for _ in 0..2000 {
            let trigram = [byte(), byte(), byte()];
            let next = byte();
            probe.set(trigram, (next > 127).then_some(next));
        }
        let mut admitted = 0;
        for length in [MASKED, 3 * MASKED, BLOCK] {
            for _ in 0..20 {
                let block: Vec<u8> = (0..length + 8).map(|_| byte()).collect();
                let (mut any, mut narrow) = ([0; MASKS], [0; MASKS]);
                probe.run(&block, &mut any);
                probe.run_narrow(&block, &mut narrow);
                assert_eq!(any, narrow);
                admitted += narrow.iter().map(|mask| mask.count_ones()).sum::<u32>();
            }
        }
        assert!(admitted > 300, "{admitted}");
    }
}
