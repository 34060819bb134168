//! Debian policy 5.6.12, as dpkg compares: epoch, upstream version, revision.

use std::cmp::Ordering;

use super::key::{KeyWriter, compare_numbers, is_number, split_digits};

const TILDE: u8 = 0x01;
const END: u8 = 0x02;
const NUMBER: u8 = 0x10;
const SYMBOL: u8 = 0x80;
const BEYOND_ASCII: u8 = 0xff;

/// A version taken apart; pieces borrow from the text.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    epoch: &'a str,
    upstream: &'a str,
    revision: &'a str,
}

pub(super) fn parse(version: &str) -> Option<Parsed<'_>> {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, _)) if !is_number(epoch) => return None,
        Some(split) => split,
        None => ("", version),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    if upstream.is_empty() {
        return None;
    }
    Some(Parsed { epoch, upstream, revision })
}

pub(super) fn compare(a: &Parsed<'_>, b: &Parsed<'_>) -> Ordering {
    compare_numbers(a.epoch, b.epoch)
        .then_with(|| compare_part(a.upstream, b.upstream))
        .then_with(|| compare_part(a.revision, b.revision))
}

fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = split_text(a);
        let (text_b, rest_b) = split_text(b);
        let weights = |text: &str| text.bytes().map(weight).chain([0]).collect::<Vec<_>>();
        let order = weights(text_a).cmp(&weights(text_b));
        if order.is_ne() {
            return order;
        }
        let (number_a, after_a) = split_digits(rest_a);
        let (number_b, after_b) = split_digits(rest_b);
        let order = compare_numbers(number_a, number_b);
        if order.is_ne() {
            return order;
        }
        (a, b) = (after_a, after_b);
    }
    Ordering::Equal
}

/// The tilde sorts before the end, letters after it, everything else after the letters.
fn weight(byte: u8) -> i16 {
    match byte {
        b'~' => -1,
        _ if byte.is_ascii_alphabetic() => i16::from(byte),
        _ => i16::from(byte) + 256,
    }
}

fn split_text(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len()))
}

pub(super) fn write(version: &Parsed<'_>, key: &mut KeyWriter) {
    key.number(NUMBER, version.epoch);
    write_part(version.upstream, key);
    write_part(version.revision, key);
}

fn write_part(mut part: &str, key: &mut KeyWriter) {
    // The end and a missing number are the same as zero, so the first pair is always written.
    loop {
        let (text, rest) = split_text(part);
        for byte in text.bytes() {
            match byte {
                b'~' => key.tag(TILDE),
                _ if byte.is_ascii_alphabetic() => key.tag(byte),
                _ if byte.is_ascii() => key.tag(SYMBOL | byte),
                _ => {
                    key.tag(BEYOND_ASCII);
                    key.tag(byte);
                }
            }
        }
        key.tag(END);
        let (number, after) = split_digits(rest);
        key.number(NUMBER, number);
        part = after;
        if part.is_empty() {
            break;
        }
    }
    key.tag(END);
}
