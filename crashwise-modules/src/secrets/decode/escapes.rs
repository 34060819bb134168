//! Escaped characters: percent signs of URLs and backslashes of string literals.

use std::ops::Range;

use super::runs::hexadecimal;
use super::{Decoding, Hints, Layer};

/// The longest stretch taken as one.
const MAX_STRETCH: usize = 16 << 10;

pub(super) fn find(bytes: &[u8], hints: &Hints, push: &mut impl FnMut(Layer)) {
    // One sign may be anything, two make an encoded text.
    stretches(bytes, &hints.percent, 2, percent, |span, content| {
        push(Layer { decoding: Decoding::Percent, span, content });
    });
    stretches(bytes, &hints.escapes, 3, backslash, |span, content| {
        push(Layer { decoding: Decoding::Escapes, span, content });
    });
}

/// Reads the stretches around the places where an escape was seen.
fn stretches(
    bytes: &[u8],
    places: &[usize],
    least: usize,
    escape: fn(&[u8]) -> Option<(u8, usize)>,
    mut push: impl FnMut(Range<usize>, Vec<u8>),
) {
    let mut behind = 0;
    for &at in places {
        if at < behind {
            continue;
        }
        let start = stretch_start(bytes, at, behind);
        let (end, content, escapes) = unescape(bytes, start, escape);
        if escapes >= least {
            push(start..end, content);
        }
        behind = end.max(at + 1);
    }
}

fn stretch_start(bytes: &[u8], at: usize, behind: usize) -> usize {
    let from = behind.max(at.saturating_sub(MAX_STRETCH / 2));
    at - bytes[from..at].iter().rev().take_while(|&&byte| goes_on(byte)).count()
}

fn goes_on(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && !matches!(byte, b'"' | b'\'' | b'`' | b'<' | b'>')
}

/// Reads from `start` on: the end of the stretch, its content, and how many escapes were in it.
fn unescape(bytes: &[u8], start: usize, escape: fn(&[u8]) -> Option<(u8, usize)>) -> (usize, Vec<u8>, usize) {
    let limit = bytes.len().min(start + MAX_STRETCH);
    let (mut at, mut content, mut escapes) = (start, Vec::new(), 0);
    while at < limit && goes_on(bytes[at]) {
        if let Some((byte, len)) = escape(&bytes[at..limit]) {
            content.push(byte);
            escapes += 1;
            at += len;
        } else {
            content.push(bytes[at]);
            at += 1;
        }
    }
    (at, content, escapes)
}

/// `%41`: the byte and the length of its escape.
fn percent(text: &[u8]) -> Option<(u8, usize)> {
    let byte = *hexadecimal(text.get(1..3)?)?.first()?;
    (text[0] == b'%').then_some((byte, 3))
}

/// `\x41`, `\u0041`, `\u{41}` and `\101`, for ASCII.
fn backslash(text: &[u8]) -> Option<(u8, usize)> {
    let (byte, len) = match *text.get(..2)? {
        [b'\\', b'x'] => (*hexadecimal(text.get(2..4)?)?.first()?, 4),
        [b'\\', b'u'] if text.get(2..4) == Some(b"00") => (*hexadecimal(text.get(4..6)?)?.first()?, 6),
        [b'\\', b'u'] if text.get(2) == Some(&b'{') && text.get(5) == Some(&b'}') => {
            (*hexadecimal(text.get(3..5)?)?.first()?, 6)
        }
        [b'\\', b'0'..=b'1'] => {
            let digits = text.get(1..4)?;
            let octal = |sum: Option<u8>, &digit: &u8| {
                matches!(digit, b'0'..=b'7').then(|| sum.map(|sum| sum << 3 | (digit - b'0')))?
            };
            (digits.iter().fold(Some(0), octal)?, 4)
        }
        _ => return None,
    };
    byte.is_ascii().then_some((byte, len))
}
