//! Long runs of base64 or hexadecimal digits.

use std::io::Read;
use std::ops::Range;

use flate2::read::GzDecoder;

use super::{Decoding, Layer, is_text};
use crate::secrets::base64;

/// A run has at least one whole aligned block of this size.
const BLOCK: usize = 16;
/// The shortest run.
const LEAST_RUN: usize = 2 * BLOCK - 1;
/// The most bytes that gzip may unfold to.
const MAX_UNFOLDED: u64 = 4 << 20;

pub(super) fn find(bytes: &[u8], push: &mut impl FnMut(Layer)) {
    let mut behind = 0;
    let (pairs, _) = bytes.as_chunks::<{ 2 * BLOCK }>();
    for (number, pair) in pairs.iter().enumerate() {
        let (halves, _) = pair.as_chunks::<BLOCK>();
        // Nearly every block has a space or a sign that comes before all digits.
        let low = [has_low(&halves[0]), has_low(&halves[1])];
        if low[0] & low[1] {
            continue;
        }
        for (at, half) in halves.iter().enumerate() {
            let block = (2 * number + at) * BLOCK;
            if !low[at] && block >= behind && are_digits(half) {
                behind = around(bytes, block, behind, push);
            }
        }
    }
    let block = pairs.len() * 2 * BLOCK;
    if let Some(text) = bytes.get(block..).and_then(|rest| rest.first_chunk())
        && block >= behind
        && are_digits(text)
    {
        around(bytes, block, behind, push);
    }
}

/// Looks at the run around a block of digits and returns its end.
fn around(bytes: &[u8], block: usize, behind: usize, push: &mut impl FnMut(Layer)) -> usize {
    let start = block - bytes[behind..block].iter().rev().take_while(|&&byte| is_digit(byte)).count();
    let mut end = block + bytes[block..].iter().take_while(|&&byte| is_digit(byte)).count();
    end += bytes[end..].iter().take(2).take_while(|&&byte| byte == b'=').count();
    if end - start >= LEAST_RUN {
        run(bytes, start..end, push);
    }
    end.max(block + 1)
}

#[inline]
fn are_digits(block: &[u8; BLOCK]) -> bool {
    let (words, _) = block.as_chunks::<4>();
    words.iter().all(|[a, b, c, d]| is_digit(*a) & is_digit(*b) & is_digit(*c) & is_digit(*d))
}

/// Whether a byte is less than `+`, the first of all digits.
#[inline]
fn has_low(block: &[u8; BLOCK]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let (words, _) = block.as_chunks::<8>();
    let low = words.iter().fold(0, |low, word| {
        let word = u64::from_le_bytes(*word);
        low | word.wrapping_sub(EACH * u64::from(b'+')) & !word
    });
    low & (EACH << 7) != 0
}

fn run(bytes: &[u8], mut span: Range<usize>, push: &mut impl FnMut(Layer)) {
    // A run from the first byte on may be the rest of one that is not here as a whole.
    let readable =
        |at: usize| bytes[at..span.end].get(..64).and_then(base64::decode).is_some_and(|head| is_text(&head));
    if span.start == 0 && !readable(0) {
        span.start = (1..4).find(|&at| readable(at)).unwrap_or(0);
    }
    let text = &bytes[span.clone()];
    let decoded = if text.len().is_multiple_of(2) && text.iter().all(u8::is_ascii_hexdigit) {
        hexadecimal(text).map(|content| (Decoding::Hex, content))
    } else {
        // The start decides: images and hashes are given up here.
        let head = &text[..text.len().min(64) / 4 * 4];
        let plausible =
            base64::decode(head).is_some_and(|head| is_text(&head) || head.starts_with(&[0x1f, 0x8b]));
        plausible.then(|| base64::decode(text)).flatten().map(|content| (Decoding::Base64, content))
    };
    let Some((decoding, content)) = decoded else { return };
    if content.starts_with(&[0x1f, 0x8b]) {
        let mut unfolded = Vec::new();
        // What could be read before an error is read.
        let _ = GzDecoder::new(&*content).take(MAX_UNFOLDED).read_to_end(&mut unfolded);
        push(Layer { decoding: Decoding::Gzip, span, content: unfolded });
    } else if is_text(&content) {
        push(Layer { decoding, span, content });
    }
}

/// Whether a byte is a digit of base64 in either alphabet, which those of hexadecimal are as well.
#[inline]
fn is_digit(byte: u8) -> bool {
    DIGITS[usize::from(byte)]
}

static DIGITS: [bool; 256] = {
    let (mut digits, mut byte) = ([false; 256], 0_u8);
    while byte < 128 {
        digits[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
        byte += 1;
    }
    digits
};

/// The bytes of pairs of hexadecimal digits.
pub(super) fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}
