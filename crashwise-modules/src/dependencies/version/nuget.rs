//! NuGet: up to four numeric parts, labels compared without case, build metadata without order.

use std::cmp::Ordering;

use super::key::{KeyWriter, compare_numbers, significant, split_digits};

const LABELS: u8 = 0x01;
const RELEASE: u8 = 0x02;
const PART: u8 = 0x10;
const LABEL_END: u8 = 0x01;
const LABEL_NUMBER: u8 = 0x02;
const LABEL_TEXT: u8 = 0x03;

/// A version taken apart.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    /// Without trailing zeros.
    parts: Vec<&'a str>,
    labels: Vec<Label>,
}

/// A pre-release label; numbers sort first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    /// What the platform's 32-bit integer parser accepts; anything longer is text.
    Number(i32),
    Text(String),
}

pub(super) fn parse(version: &str) -> Option<Parsed<'_>> {
    let text = version.trim();
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let text = text.split('+').next().unwrap_or_default();
    let (numbers, labels) = text.split_once('-').map_or((text, None), |(n, l)| (n, Some(l)));
    let mut parts = Vec::new();
    for part in numbers.split('.') {
        let part = part.trim();
        let (digits, rest) = split_digits(part);
        if digits.is_empty() || !rest.is_empty() {
            return None;
        }
        parts.push(digits);
    }
    while parts.last().is_some_and(|part| significant(part).is_empty()) {
        parts.pop();
    }
    let labels = labels.map_or(Vec::new(), |labels| labels.split('.').map(label).collect());
    Some(Parsed { parts, labels })
}

fn label(text: &str) -> Label {
    text.parse().map_or_else(|_| Label::Text(text.to_uppercase()), Label::Number)
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
    match (a.labels.is_empty(), b.labels.is_empty()) {
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => a.labels.cmp(&b.labels),
    }
}

pub(super) fn write(version: &Parsed<'_>, key: &mut KeyWriter) {
    for part in &version.parts {
        key.number(PART, part);
    }
    if version.labels.is_empty() {
        key.tag(RELEASE);
        return;
    }
    key.tag(LABELS);
    for label in &version.labels {
        match label {
            Label::Number(value) => {
                key.tag(LABEL_NUMBER);
                key.signed(i64::from(*value));
            }
            Label::Text(text) => {
                key.tag(LABEL_TEXT);
                key.text(text);
            }
        }
    }
    key.tag(LABEL_END);
}
