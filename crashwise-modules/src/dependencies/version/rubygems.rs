//! RubyGems: numbers and words, a word is a pre-release, trailing zeros do not count.

use std::cmp::Ordering;

use super::key::{KeyWriter, compare_numbers, is_number, significant};

const WORD: u8 = 0x10;
const ZEROS_BEFORE_WORD: u8 = 0x20;
const END: u8 = 0x30;
const ZEROS_BEFORE_NUMBER: u8 = 0x40;
const NUMBER: u8 = 0x50;

/// The canonical segments: the zeros that end the leading numbers and the whole are gone.
pub(super) fn parse(version: &str) -> Option<Vec<String>> {
    let version = version.trim();
    if !version.is_empty() && !version.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let expanded = version.replace('-', ".pre.");
    let mut numbers = Vec::new();
    let mut words = Vec::new();
    for segment in segments(&expanded) {
        let target = if words.is_empty() && is_number(segment) { &mut numbers } else { &mut words };
        target.push(segment.to_owned());
    }
    for part in [&mut numbers, &mut words] {
        while part.last().is_some_and(|last| is_zero(last)) {
            part.pop();
        }
    }
    numbers.append(&mut words);
    Some(numbers)
}

/// The runs of digits and the runs of letters.
fn segments(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).flat_map(|piece| {
        piece.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()).scan(0, move |at, run| {
            let start = *at;
            *at += run.len();
            piece.get(start..*at)
        })
    })
}

fn is_zero(segment: &str) -> bool {
    is_number(segment) && significant(segment).is_empty()
}

pub(super) fn compare(a: &[String], b: &[String]) -> Ordering {
    for index in 0..a.len().max(b.len()) {
        let x = a.get(index).map_or("0", String::as_str);
        let y = b.get(index).map_or("0", String::as_str);
        let order = match (is_number(x), is_number(y)) {
            (true, true) => compare_numbers(x, y),
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => x.cmp(y),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

pub(super) fn write(segments: &[String], key: &mut KeyWriter) {
    // A missing segment equals zero, so a run of zeros is ranked by what ends it and by its length.
    let mut zeros = 0_u16;
    for segment in segments {
        if is_zero(segment) {
            zeros += 1;
            continue;
        }
        let number = is_number(segment);
        if zeros > 0 {
            let (tag, length) =
                if number { (ZEROS_BEFORE_NUMBER, !zeros) } else { (ZEROS_BEFORE_WORD, zeros) };
            key.tag(tag);
            for byte in length.to_be_bytes() {
                key.tag(byte);
            }
            zeros = 0;
        }
        if number {
            key.number(NUMBER, segment);
        } else {
            key.tag(WORD);
            key.text(segment);
        }
    }
    key.tag(END);
}
