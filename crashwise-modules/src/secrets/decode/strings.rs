//! String literals that are joined, taken apart, or turned around by the code beside them.

use std::ops::Range;

use memchr::memmem;

use super::{Decoding, Hints, LEAST, Layer, is_text, runs};
use crate::secrets::base64;

/// The longest literal.
const MAX_LITERAL: usize = 4096;
/// The most pieces joined.
const MAX_PIECES: usize = 64;
/// How far back the constant that a name stands for is looked for.
const MAX_BACK: usize = 16 << 10;
/// The most literals turned around in one input, and the most keys and texts tried against each other.
const MAX_TURNED: usize = 2000;
const MAX_TRIED: usize = 8;

pub(super) fn find(bytes: &[u8], hints: &Hints, push: &mut impl FnMut(Layer)) {
    let mut joints = hints.joints.clone();
    joints.extend(tight_joints(bytes));
    joints.sort_unstable();
    concatenations(bytes, &joints, push);
    characters(bytes, &hints.characters, push);
    let (reversed, rotated) = (hints.reversed, hints.rotated);
    if reversed || rotated {
        for literal in literals(bytes).filter(|literal| literal.len() >= LEAST).take(MAX_TURNED) {
            let text = &bytes[literal.clone()];
            // What has words in it was not turned around.
            if text.contains(&b' ') {
                continue;
            }
            if reversed {
                let content = text.iter().rev().copied().collect();
                push(Layer { decoding: Decoding::Reversed, span: literal.clone(), content });
            }
            if rotated {
                push(Layer {
                    decoding: Decoding::Rot13,
                    span: literal,
                    content: text.iter().copied().map(rot13).collect(),
                });
            }
        }
    }
    if hints.xor {
        combined(bytes, push);
    }
}

/// `"+`: too short and too common a literal for the prefilter.
fn tight_joints(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    [b"\"+", b"'+"].into_iter().flat_map(|joint| memmem::find_iter(bytes, joint).take(super::MAX_PLACES))
}

/// `"a" + "b"`, `'a' . NAME`: pieces around an operator, as far as they are literals or names of constants.
fn concatenations(bytes: &[u8], joints: &[usize], push: &mut impl FnMut(Layer)) {
    let operators = joints.iter().filter_map(|&joint| {
        let operator = |byte: &u8| matches!(byte, b'+' | b'.' | b'&');
        Some(joint + bytes.get(joint..)?.iter().take(4).position(operator)?)
    });
    let mut behind = 0;
    for at in operators {
        if at < behind {
            continue;
        }
        let Some((span, mut content)) = operand_before(bytes, at) else { continue };
        let (mut end, mut pieces) = (at, 1);
        while pieces < MAX_PIECES && content.len() < MAX_LITERAL {
            let operator = skip_white(bytes, end);
            if !matches!(bytes.get(operator), Some(b'+' | b'.' | b'&')) {
                break;
            }
            let operator = operator
                + bytes[operator..].iter().take(2).take_while(|&&byte| byte == bytes[operator]).count();
            let Some((piece_end, piece)) = operand_behind(bytes, skip_white(bytes, operator)) else { break };
            content.extend_from_slice(&piece);
            end = piece_end;
            pieces += 1;
        }
        behind = end.max(at + 1);
        if pieces > 1 {
            push(Layer { decoding: Decoding::Concatenation, span: span.start..end, content });
        }
    }
}

fn skip_white(bytes: &[u8], at: usize) -> usize {
    at + bytes[at.min(bytes.len())..].iter().take(200).take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The literal or the constant that ends before `at`.
fn operand_before(bytes: &[u8], at: usize) -> Option<(Range<usize>, Vec<u8>)> {
    let end = at - bytes[..at].iter().rev().take(200).take_while(|byte| byte.is_ascii_whitespace()).count();
    let last = *bytes[..end].last()?;
    if is_quote(last) {
        let from = end.saturating_sub(MAX_LITERAL);
        let open = from + bytes[from..end - 1].iter().rposition(|&byte| byte == last || byte == b'\n')?;
        return (bytes[open] == last).then(|| (open..end, bytes[open + 1..end - 1].to_vec()));
    }
    let start = end - bytes[..end].iter().rev().take(64).take_while(|&&byte| is_name(byte)).count();
    constant(bytes, start..end).map(|content| (start..end, content))
}

/// The literal or the constant that starts at `at`, and its end.
fn operand_behind(bytes: &[u8], at: usize) -> Option<(usize, Vec<u8>)> {
    let first = *bytes.get(at)?;
    if is_quote(first) {
        let rest = &bytes[at + 1..bytes.len().min(at + MAX_LITERAL)];
        let len = rest.iter().position(|&byte| byte == first || byte == b'\n')?;
        return (rest[len] == first).then(|| (at + len + 2, rest[..len].to_vec()));
    }
    let end = at + bytes[at..].iter().take(64).take_while(|&&byte| is_name(byte)).count();
    constant(bytes, at..end).map(|content| (end, content))
}

/// The literal last assigned to the name before it is used.
fn constant(bytes: &[u8], name: Range<usize>) -> Option<Vec<u8>> {
    let word = &bytes[name.clone()];
    if word.len() < 2 || word[0].is_ascii_digit() {
        return None;
    }
    let from = name.start.saturating_sub(MAX_BACK);
    for at in memmem::rfind_iter(&bytes[from..name.start], word).map(|at| from + at).take(MAX_TRIED) {
        let whole = at.checked_sub(1).is_none_or(|before| !is_name(bytes[before]))
            && bytes.get(at + word.len()).is_none_or(|&behind| !is_name(behind));
        let operator = skip_white(bytes, at + word.len());
        let operator = operator + usize::from(bytes.get(operator) == Some(&b':'));
        if whole && bytes.get(operator) == Some(&b'=') {
            let start = skip_white(bytes, operator + 1);
            if bytes.get(start).copied().is_some_and(is_quote) {
                return operand_behind(bytes, start).map(|(_, content)| content);
            }
        }
    }
    None
}

/// `[103, 104, 112]`, `{0x67, 0x68}`, `['g', 'h']`.
fn characters(bytes: &[u8], places: &[usize], push: &mut impl FnMut(Layer)) {
    let mut behind = 0;
    for &place in places {
        if place < behind {
            continue;
        }
        // `join([`: the list starts behind the hint; `'].join`: the bracket of the hint is its end.
        let hint = &bytes[place..bytes.len().min(place + 6)];
        let place = place + if hint == b"join([" { 6 } else { 0 };
        let from = behind.max(place.saturating_sub(8 * MAX_LITERAL));
        behind = place + 1;
        let bracket = |byte: &u8| matches!(byte, b'[' | b'{' | b'(' | b']' | b'}' | b';');
        let Some(open) = bytes[from..place].iter().rposition(bracket).map(|at| from + at) else { continue };
        let mut content = Vec::new();
        let mut at = skip_white(bytes, open + 1);
        while let Some((byte, len)) = character(&bytes[at..bytes.len().min(at + 8)]) {
            content.push(byte);
            at = skip_white(bytes, at + len);
            if bytes.get(at) != Some(&b',') || content.len() >= MAX_LITERAL {
                break;
            }
            at = skip_white(bytes, at + 1);
        }
        behind = behind.max(at);
        if content.len() >= LEAST && matches!(bytes.get(at), Some(b']' | b'}' | b')')) {
            push(Layer { decoding: Decoding::Characters, span: open..at + 1, content });
        }
    }
}

/// One printable character of a list and the length of its form.
fn character(text: &[u8]) -> Option<(u8, usize)> {
    let (byte, len) = match *text {
        [quote @ (b'\'' | b'"'), byte, close, ..] if quote == close => (byte, 3),
        [b'0', b'x' | b'X', high, low, ..] => (*runs::hexadecimal(&[high, low])?.first()?, 4),
        _ => {
            let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?, digits)
        }
    };
    (b' '..=b'~').contains(&byte).then_some((byte, len))
}

/// Encoded texts of the input combined with its short literals.
fn combined(bytes: &[u8], push: &mut impl FnMut(Layer)) {
    let (mut keys, mut texts) = (Vec::new(), Vec::new());
    for literal in literals(bytes).take(MAX_TURNED) {
        let text = &bytes[literal.clone()];
        let decoded = if text.len() >= 2 * LEAST && text.len().is_multiple_of(2) {
            runs::hexadecimal(text).or_else(|| base64::decode(text))
        } else if text.len() >= LEAST {
            base64::decode(text)
        } else {
            None
        };
        match decoded {
            Some(decoded) if decoded.len() >= LEAST && !is_text(&decoded) && texts.len() < MAX_TRIED => {
                texts.push((literal, decoded));
            }
            _ if (1..=64).contains(&text.len()) && keys.len() < MAX_TRIED => keys.push(text),
            _ => {}
        }
    }
    for (span, text) in texts {
        for key in &keys {
            let content: Vec<u8> =
                text.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            if content.iter().all(|byte| (b' '..=b'~').contains(byte)) {
                push(Layer { decoding: Decoding::Xor, span: span.clone(), content });
            }
        }
    }
}

/// The insides of the string literals of one line each.
fn literals(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let open = at + memchr::memchr2(b'"', b'\'', bytes.get(at..)?)?;
            let rest = &bytes[open + 1..bytes.len().min(open + 1 + MAX_LITERAL)];
            match memchr::memchr2(bytes[open], b'\n', rest) {
                Some(len) if rest[len] == bytes[open] => {
                    at = open + len + 2;
                    return Some(open + 1..open + 1 + len);
                }
                _ => at = open + 1,
            }
        }
    })
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

pub(super) fn rot13(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => (byte - b'a' + 13) % 26 + b'a',
        b'A'..=b'Z' => (byte - b'A' + 13) % 26 + b'A',
        _ => byte,
    }
}
