//! RPM: epoch, version and release, each by the segment comparison of rpm with its tilde and caret.

use std::cmp::Ordering;

use super::key::{KeyWriter, compare_numbers, split_digits, split_while};

const TILDE: u8 = 0x10;
const END: u8 = 0x20;
const CARET: u8 = 0x30;
const LETTERS: u8 = 0x40;
const NUMBER: u8 = 0x50;
const NO_RELEASE: u8 = 0x01;
const RELEASE: u8 = 0x02;

/// A version taken apart; pieces borrow from the text.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    epoch: &'a str,
    version: &'a str,
    release: Option<&'a str>,
}

/// What one step of the comparison looks at; the order of the variants is the order of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'a> {
    Tilde,
    End,
    Caret,
    Letters(&'a str),
    Number(&'a str),
}

pub(super) fn parse(text: &str) -> Parsed<'_> {
    let (digits, after) = split_digits(text);
    let (epoch, rest) = after.strip_prefix(':').map_or(("", text), |rest| (digits, rest));
    match rest.rsplit_once('-') {
        Some((version, release)) => Parsed { epoch, version, release: Some(release) },
        None => Parsed { epoch, version: rest, release: None },
    }
}

/// Takes the next segment; whatever is no letter, digit, tilde or caret only separates.
fn next_segment(text: &str) -> (Segment<'_>, &str) {
    let start = text.find(|c: char| c.is_ascii_alphanumeric() || c == '~' || c == '^').unwrap_or(text.len());
    let text = &text[start..];
    match text.as_bytes().first() {
        None => (Segment::End, text),
        Some(b'~') => (Segment::Tilde, &text[1..]),
        Some(b'^') => (Segment::Caret, &text[1..]),
        Some(byte) if byte.is_ascii_digit() => {
            let (digits, rest) = split_digits(text);
            (Segment::Number(digits), rest)
        }
        Some(_) => {
            let (letters, rest) = split_while(text, |byte| byte.is_ascii_alphabetic());
            (Segment::Letters(letters), rest)
        }
    }
}

pub(super) fn compare(a: &Parsed<'_>, b: &Parsed<'_>) -> Ordering {
    compare_numbers(a.epoch, b.epoch).then_with(|| compare_part(a.version, b.version)).then_with(|| {
        match (a.release, b.release) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(x), Some(y)) => compare_part(x, y),
        }
    })
}

fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let (left, rest_a) = next_segment(a);
        let (right, rest_b) = next_segment(b);
        let order = match (left, right) {
            (Segment::Number(x), Segment::Number(y)) => compare_numbers(x, y),
            (left, right) => left.cmp(&right),
        };
        if order.is_ne() || left == Segment::End {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

pub(super) fn write(version: &Parsed<'_>, key: &mut KeyWriter) {
    key.number(NUMBER, version.epoch);
    write_part(version.version, key);
    match version.release {
        None => key.tag(NO_RELEASE),
        Some(release) => {
            key.tag(RELEASE);
            write_part(release, key);
        }
    }
}

fn write_part(mut text: &str, key: &mut KeyWriter) {
    loop {
        let (segment, rest) = next_segment(text);
        match segment {
            Segment::Tilde => key.tag(TILDE),
            Segment::Caret => key.tag(CARET),
            Segment::Letters(letters) => {
                key.tag(LETTERS);
                key.text(letters);
            }
            Segment::Number(digits) => key.number(NUMBER, digits),
            Segment::End => {
                key.tag(END);
                return;
            }
        }
        text = rest;
    }
}
