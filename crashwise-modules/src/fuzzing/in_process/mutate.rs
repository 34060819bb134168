//! Changes inputs.

use super::compares::{self, Words};
use fastrand::Rng;

/// How one input becomes another.
#[derive(Debug)]
pub(super) struct Mutator {
    rng: Rng,
    /// Words of the user.
    pub(super) words: Vec<Vec<u8>>,
    /// Whether short parts are repeated many times, which finds recursion without bound.
    pub(super) repeat: bool,
}

/// Numbers that programs stumble over.
const NUMBERS: [i64; 14] =
    [0, 1, -1, 16, 32, 64, 100, 127, -128, 255, 32_767, 65_535, 2_147_483_647, -2_147_483_648];

impl Mutator {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), words: Vec::new(), repeat: false }
    }

    pub(super) fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Changes `input` once; it is never longer than `limit` afterwards. `other` chooses an input to borrow from.
    pub(super) fn change<'c>(
        &mut self,
        input: &mut Vec<u8>,
        other: impl Fn(&mut Rng) -> &'c [u8],
        limit: usize,
    ) {
        let limit = limit.max(1);
        // A way that does not fit this input leaves it as it is, and the next one is tried.
        for _ in 0..16 {
            let done = match self.rng.u8(0..16) {
                0 => self.erase(input),
                1 => self.insert_byte(input, limit),
                2 => self.insert_run(input, limit),
                3 => self.change_byte(input),
                4 => self.flip_bit(input),
                5 => self.shuffle(input),
                6 => self.ascii_number(input),
                7 => self.number(input),
                8 => self.copy_part(input, limit),
                9 => {
                    let other = other(&mut self.rng);
                    self.splice(input, other, limit)
                }
                10 => self.word(input, limit),
                11..=13 => self.compared_words(input, limit),
                14 => self.compared_strings(input, limit),
                _ => self.repeat && self.rng.u8(0..4) == 0 && self.repeat_part(input),
            };
            if done {
                return;
            }
        }
        if input.is_empty() {
            input.push(self.rng.u8(..));
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.rng.usize(0..end.max(1))
    }

    fn erase(&mut self, input: &mut Vec<u8>) -> bool {
        if input.len() < 2 {
            return false;
        }
        let len = 1 + self.below(input.len() / 2);
        let at = self.below(input.len() - len + 1);
        input.drain(at..at + len);
        true
    }

    /// Makes room for `len` bytes at `at`.
    fn open(input: &mut Vec<u8>, at: usize, len: usize) -> &mut [u8] {
        let end = input.len();
        input.resize(end + len, 0);
        input.copy_within(at..end, at + len);
        &mut input[at..at + len]
    }

    fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) -> bool {
        Self::open(input, at, bytes.len()).copy_from_slice(bytes);
        true
    }

    fn insert_byte(&mut self, input: &mut Vec<u8>, limit: usize) -> bool {
        let (at, byte) = (self.below(input.len() + 1), self.rng.u8(..));
        input.len() < limit && Self::insert(input, at, &[byte])
    }

    fn insert_run(&mut self, input: &mut Vec<u8>, limit: usize) -> bool {
        let room = limit.saturating_sub(input.len()).min(128);
        if room < 3 {
            return false;
        }
        let len = self.rng.usize(3..=room);
        let at = self.below(input.len() + 1);
        let byte =
            if self.rng.bool() { self.rng.u8(..) } else { *self.rng.choice(b"\0\xff 0aA").unwrap_or(&0) };
        Self::open(input, at, len).fill(byte);
        true
    }

    fn change_byte(&mut self, input: &mut [u8]) -> bool {
        let (at, byte) = (self.below(input.len()), self.rng.u8(..));
        input.get_mut(at).map(|place| *place = byte).is_some()
    }

    fn flip_bit(&mut self, input: &mut [u8]) -> bool {
        let (at, bit) = (self.below(input.len()), self.rng.u8(0..8));
        input.get_mut(at).map(|place| *place ^= 1 << bit).is_some()
    }

    fn shuffle(&mut self, input: &mut [u8]) -> bool {
        if input.len() < 2 {
            return false;
        }
        let len = self.rng.usize(2..=input.len().min(8));
        let at = self.below(input.len() - len + 1);
        self.rng.shuffle(&mut input[at..at + len]);
        true
    }

    /// Changes a decimal number that stands in the input.
    fn ascii_number(&mut self, input: &mut [u8]) -> bool {
        let from = self.below(input.len());
        let Some(at) = input[from..].iter().position(u8::is_ascii_digit) else { return false };
        let start = from + at;
        let len = input[start..].iter().take(18).take_while(|byte| byte.is_ascii_digit()).count();
        let digits = &mut input[start..start + len];
        let value = digits.iter().fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0'));
        let mut next = match self.rng.u8(0..5) {
            0 => value.wrapping_add(1),
            1 => value.wrapping_sub(1),
            2 => value / 2,
            3 => value.wrapping_mul(2),
            _ => self.rng.u64(..=value.saturating_mul(value).max(9)),
        };
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(next % 10).unwrap_or(0);
            next /= 10;
        }
        true
    }

    /// Changes some bytes as a binary number.
    fn number(&mut self, input: &mut [u8]) -> bool {
        let width = 1 << self.rng.u8(0..4);
        if input.len() < width {
            return false;
        }
        let at = self.below(input.len() - width + 1);
        let place = &mut input[at..at + width];
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(place);
        let big = self.rng.bool();
        if big {
            bytes[..width].reverse();
        }
        let value = i64::from_le_bytes(bytes);
        let next = match self.rng.u8(0..3) {
            0 => NUMBERS[self.below(NUMBERS.len())],
            1 => value.wrapping_add(self.rng.i64(-10..=10)),
            _ => value.wrapping_neg(),
        };
        bytes = next.to_le_bytes();
        if big {
            bytes[..width].reverse();
        }
        place.copy_from_slice(&bytes[..width]);
        true
    }

    /// Copies a part over or into another place.
    fn copy_part(&mut self, input: &mut Vec<u8>, limit: usize) -> bool {
        if input.is_empty() {
            return false;
        }
        let len = 1 + self.below(input.len().min(64));
        let len = len.min(input.len());
        let from = self.below(input.len() - len + 1);
        if self.rng.bool() {
            let to = self.below(input.len() - len + 1);
            input.copy_within(from..from + len, to);
            true
        } else if input.len() + len <= limit {
            let mut part = [0; 64];
            part[..len].copy_from_slice(&input[from..from + len]);
            let to = self.below(input.len() + 1);
            Self::insert(input, to, &part[..len])
        } else {
            false
        }
    }

    /// Takes over a part of another input.
    fn splice(&mut self, input: &mut Vec<u8>, other: &[u8], limit: usize) -> bool {
        if other.is_empty() {
            return false;
        }
        let from = self.below(other.len());
        let part = &other[from..from + 1 + self.below((other.len() - from).min(64))];
        let part = &part[..part.len().min(other.len() - from)];
        let at = self.below(input.len() + 1);
        self.place(input, at, part, limit)
    }

    /// Puts `part` over what stands at `at`, or before it where there is room.
    fn place(&mut self, input: &mut Vec<u8>, at: usize, part: &[u8], limit: usize) -> bool {
        if input.len() + part.len() <= limit && self.rng.bool() {
            return Self::insert(input, at, part);
        }
        let end = at + part.len();
        if part.is_empty() || end > limit.max(input.len()) {
            return false;
        }
        if input.len() < end {
            input.resize(end, 0);
        }
        input[at..end].copy_from_slice(part);
        true
    }

    /// Puts in a word of the user.
    fn word(&mut self, input: &mut Vec<u8>, limit: usize) -> bool {
        if self.words.is_empty() {
            return false;
        }
        let word = self.words[self.rng.usize(0..self.words.len())].clone();
        let at = self.below(input.len() + 1);
        self.place(input, at, &word, limit)
    }

    /// Finds one side of a comparison in the input and puts the other there.
    fn compared_words(&mut self, input: &mut Vec<u8>, limit: usize) -> bool {
        compares::words(self.rng.usize(..)).is_some_and(|pair| self.make_equal(input, pair, limit))
    }

    /// Puts one side of a comparison where the other stands.
    fn make_equal(&mut self, input: &mut Vec<u8>, pair: Words, limit: usize) -> bool {
        let (from, to) = if !pair.constant && self.rng.bool() { (pair.a, pair.b) } else { (pair.b, pair.a) };
        // Off by one passes `<` where the same value passes `<=`.
        let to = match self.rng.u8(0..8) {
            0 => to.wrapping_add(1),
            1 => to.wrapping_sub(1),
            _ => to,
        };
        let big = self.rng.bool();
        let bytes = |value: u64, width: usize| {
            let mut bytes = value.to_le_bytes();
            if big {
                bytes[..width].reverse();
            }
            bytes
        };
        // A wide comparison often is of a narrow value.
        let (wide, needed) = (usize::from(pair.width), 8 - from.max(to).leading_zeros() as usize / 8);
        let narrow = needed.clamp(1, wide);
        let start = self.below(input.len());
        for width in [wide, 4, 2, narrow] {
            if (narrow..=wide).contains(&width)
                && let Some(at) = find_from(start, input, &bytes(from, width)[..width])
            {
                input[at..at + width].copy_from_slice(&bytes(to, width)[..width]);
                if self.rng.u8(0..4) == 0 {
                    self.follow(input, at + width, (from, to), limit);
                }
                return true;
            }
        }
        let width = if self.rng.bool() { wide } else { narrow };
        self.put_anywhere(input, &bytes(to, width)[..width], limit)
    }

    /// Makes what follows a number as much longer or shorter as the number became larger or smaller: it may be a length.
    fn follow(&mut self, input: &mut Vec<u8>, at: usize, (from, to): (u64, u64), limit: usize) {
        let bytes = usize::try_from(from.abs_diff(to)).unwrap_or(usize::MAX);
        if to < from {
            let end = at.saturating_add(bytes).min(input.len());
            input.drain(at..end);
        } else if bytes <= limit.saturating_sub(input.len()).min(256) {
            let byte = self.rng.u8(..);
            Self::open(input, at, bytes).fill(byte);
        }
    }

    fn compared_strings(&mut self, input: &mut Vec<u8>, limit: usize) -> bool {
        let Some(pair) = compares::strings(self.rng.usize(..)) else { return false };
        let len = usize::from(pair.len);
        let (from, to) = if self.rng.bool() { (pair.a, pair.b) } else { (pair.b, pair.a) };
        self.exchange(input, &from[..len], &to[..len], limit)
    }

    /// Puts `to` where `from` stands.
    fn exchange(&mut self, input: &mut Vec<u8>, from: &[u8], to: &[u8], limit: usize) -> bool {
        let start = self.below(input.len());
        let Some(at) = find_from(start, input, from) else { return self.put_anywhere(input, to, limit) };
        input[at..at + to.len()].copy_from_slice(to);
        true
    }

    /// Puts in a value, now and then: where it belongs may have been computed.
    fn put_anywhere(&mut self, input: &mut Vec<u8>, value: &[u8], limit: usize) -> bool {
        if self.rng.u8(0..4) > 0 {
            return false;
        }
        let at = self.below(input.len() + 1);
        self.place(input, at, value, limit)
    }

    /// Repeats a short part many times, beyond the limit of length: what a parser calls itself for.
    fn repeat_part(&mut self, input: &mut Vec<u8>) -> bool {
        if input.is_empty() || input.len() > 4096 {
            return false;
        }
        let len = 1 + self.below(input.len().min(8));
        let len = len.min(input.len());
        let at = self.below(input.len() - len + 1);
        let part = input[at..at + len].to_vec();
        let times = 1_usize << self.rng.u32(4..14);
        let times = times.min((64 << 10) / len);
        Self::insert(input, at, &part.repeat(times))
    }
}

/// Where `part` stands first after `start`, else before it.
fn find_from(start: usize, input: &[u8], part: &[u8]) -> Option<usize> {
    find(&input[start..], part).map(|at| start + at).or_else(|| find(input, part))
}

/// Where `part` stands first. Both are short, and a searcher takes longer to make than to use.
fn find(input: &[u8], part: &[u8]) -> Option<usize> {
    let (first, rest) = part.split_first()?;
    let last = input.len().checked_sub(part.len())?;
    let mut at = 0;
    while at <= last {
        at += memchr::memchr(*first, &input[at..=last])?;
        // Compared byte by byte: `memcmp` is one of those that watch what the target compares.
        if input[at + 1..].iter().zip(rest).all(|(a, b)| a == b) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_stay_below_the_limit_and_repeat_by_seed() {
        let run = |seed: u64| {
            let mut mutator = Mutator::new(seed);
            mutator.words.push(b"word".to_vec());
            let mut input = b"seed 123".to_vec();
            let mut all = Vec::new();
            for round in 0..20_000 {
                let limit = 1 + round % 64;
                if input.len() > limit {
                    input.truncate(limit);
                }
                mutator.change(&mut input, |_| b"another", limit);
                assert!(input.len() <= limit.max(1), "{round}: {input:?}");
                all.extend_from_slice(&input);
            }
            all
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn a_number_becomes_the_constant_and_what_follows_as_long() {
        let mut mutator = Mutator::new(1);
        let mut made = |input: &[u8], pair: Words| {
            let change = |_| {
                let mut input = input.to_vec();
                mutator.make_equal(&mut input, pair, 64).then_some(input)
            };
            (0..400).filter_map(change).collect::<std::collections::BTreeSet<_>>()
        };
        let pair = |width, a, b| Words { width, constant: true, a, b };
        let lengths = made(b"\x17\x03abc", pair(8, 13, 3));
        assert!(lengths.contains(&b"\x17\x0dabc"[..]), "{lengths:?}");
        let longer = |input: &Vec<u8>| input.starts_with(b"\x17\x0d") && input.len() == 15;
        assert!(lengths.iter().any(longer), "{lengths:?}");
        assert!(lengths.iter().all(|input| !input.is_empty() && input.len() <= 64));
        let shorter = made(b"\x17\x03abc!", pair(8, 0, 3));
        assert!(shorter.contains(&b"\x17\x00!"[..]), "{shorter:?}");
        let wide = made(b"..\x01\x02\x03\x04..", pair(4, 0x0a0b_0c0d, 0x0102_0304));
        assert!(wide.contains(&b"..\x0a\x0b\x0c\x0d.."[..]), "{wide:?}");
        let three = made(b"..\x01\x02\x03..", pair(4, 0x0a_0b0c, 0x01_0203));
        assert!(three.contains(&b"..\x0a\x0b\x0c.."[..]), "{three:?}");
    }

    #[test]
    fn parts_are_found() {
        let input = b"abcabd";
        for (part, expect) in [
            (&b"abd"[..], Some(3)),
            (b"a", Some(0)),
            (b"d", Some(5)),
            (b"abe", None),
            (b"", None),
            (b"abcabdx", None),
        ] {
            assert_eq!(find(input, part), expect, "{part:?}");
        }
        assert_eq!(find(b"", b"a"), None);
    }

    #[test]
    fn parts_are_repeated_when_asked_for() {
        let mut mutator = Mutator::new(1);
        mutator.repeat = true;
        let longest = (0..2000).map(|_| {
            let mut input = b"[".to_vec();
            mutator.change(&mut input, |_| b"", 4);
            input.len()
        });
        assert!(longest.max().unwrap_or(0) > 4000);
    }
}
