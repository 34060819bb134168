//! Semantic Versioning 2.0.0 precedence, read leniently: npm, the Rust registry, Go and Hex.
//!
//! A leading `v` or `=`, missing or additional numeric parts, parts of any size and a pre-release without its hyphen
//! are read, because advisories and lockfiles hold them. Build metadata has no order.

use std::cmp::Ordering;

use super::key::{KeyWriter, NUMBER_TAGS, compare_numbers, is_number, significant, split_digits};

const PRE_END: u8 = 0x01;
const PRE_NUMBER: u8 = 0x02;
const PRE_TEXT: u8 = PRE_NUMBER + NUMBER_TAGS;
const PRE_RELEASE: u8 = 0x01;
const RELEASE: u8 = 0x02;
const PART: u8 = 0x10;

/// A version taken apart; pieces borrow from the text.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    /// Numeric parts without trailing zeros.
    parts: Vec<&'a str>,
    /// Pre-release identifiers; empty for a release.
    pre: Vec<&'a str>,
}

pub(super) fn parse(version: &str) -> Option<Parsed<'_>> {
    let mut rest = version.trim_start_matches(['v', 'V', '=', ' ']);
    let mut parts = Vec::new();
    loop {
        let (digits, after) = split_digits(rest);
        if digits.is_empty() {
            if parts.is_empty() {
                return None;
            }
            break;
        }
        parts.push(digits);
        rest = after;
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None => break,
        }
    }
    while parts.last().is_some_and(|part| significant(part).is_empty()) {
        parts.pop();
    }
    let labels = rest.split('+').next().unwrap_or_default();
    let labels = labels.strip_prefix(['-', '.', '_']).unwrap_or(labels);
    let pre = if labels.is_empty() { Vec::new() } else { labels.split('.').collect() };
    Some(Parsed { parts, pre })
}

pub(super) fn compare(a: &Parsed<'_>, b: &Parsed<'_>) -> Ordering {
    for index in 0..a.parts.len().max(b.parts.len()) {
        let order = compare_numbers(
            a.parts.get(index).copied().unwrap_or_default(),
            b.parts.get(index).copied().unwrap_or_default(),
        );
        if order.is_ne() {
            return order;
        }
    }
    match (a.pre.is_empty(), b.pre.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => compare_identifiers(&a.pre, &b.pre),
    }
}

fn compare_identifiers(a: &[&str], b: &[&str]) -> Ordering {
    for (x, y) in a.iter().zip(b) {
        let order = match (is_number(x), is_number(y)) {
            (true, true) => compare_numbers(x, y),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => x.cmp(y),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

pub(super) fn write(version: &Parsed<'_>, key: &mut KeyWriter) {
    for part in &version.parts {
        key.number(PART, part);
    }
    if version.pre.is_empty() {
        key.tag(RELEASE);
        return;
    }
    key.tag(PRE_RELEASE);
    for identifier in &version.pre {
        if is_number(identifier) {
            key.number(PRE_NUMBER, identifier);
        } else {
            key.tag(PRE_TEXT);
            key.text(identifier);
        }
    }
    key.tag(PRE_END);
}
