//! PEP 440 as the packaging library orders it, and below all of it the legacy order for what is no PEP 440 version.

use std::cmp::Ordering;

use super::key::{KeyWriter, compare_numbers, is_number, significant, split_digits};

const LEGACY: u8 = 0x01;
const STANDARD: u8 = 0x02;
const LEGACY_PART_END: u8 = 0x02;
const LEGACY_END: u8 = 0x01;

const END: u8 = 0x01;
const NUMBER: u8 = 0x10;
/// Stands for a missing pre-release of a version that has only a development number: below alpha.
const PRE_LOWEST: u8 = 0x01;
const PRE_NONE: u8 = 0x7f;
const ABSENT: u8 = 0x01;
const DEV_NONE: u8 = 0x7f;
const LOCAL_TEXT: u8 = 0x02;

/// A version of either order.
#[derive(Debug)]
pub(super) enum Parsed {
    Standard(Standard),
    Legacy(Vec<String>),
}

/// A PEP 440 version.
#[derive(Debug, Default)]
pub(super) struct Standard {
    epoch: String,
    /// Without trailing zeros.
    release: Vec<String>,
    pre: Option<(PreKind, String)>,
    post: Option<String>,
    dev: Option<String>,
    local: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PreKind {
    Alpha = 2,
    Beta = 3,
    Candidate = 4,
}

pub(super) fn parse(version: &str) -> Parsed {
    let lower = version.to_lowercase();
    match standard(lower.trim()) {
        Some(parsed) => Parsed::Standard(parsed),
        None => Parsed::Legacy(legacy_parts(&lower)),
    }
}

fn standard(text: &str) -> Option<Standard> {
    let mut out = Standard::default();
    let text = text.strip_prefix('v').unwrap_or(text);
    let (public, local) = match text.split_once('+') {
        Some((public, local)) => (public, Some(local)),
        None => (text, None),
    };
    let mut rest = public;
    if let Some((epoch, after)) = public.split_once('!') {
        if !is_number(epoch) {
            return None;
        }
        epoch.clone_into(&mut out.epoch);
        rest = after;
    }
    let (first, after) = split_digits(rest);
    if first.is_empty() {
        return None;
    }
    out.release.push(first.to_owned());
    rest = after;
    while let Some(next) = rest.strip_prefix('.') {
        let (digits, after) = split_digits(next);
        if digits.is_empty() {
            break;
        }
        out.release.push(digits.to_owned());
        rest = after;
    }
    while out.release.last().is_some_and(|part| significant(part).is_empty()) {
        out.release.pop();
    }
    if let Some((kind, number, after)) = labelled(rest, &PRE_LABELS) {
        out.pre = Some((kind, number.to_owned()));
        rest = after;
    }
    let implicit = rest.strip_prefix('-').map(split_digits).filter(|(digits, _)| !digits.is_empty());
    if let Some((digits, after)) = implicit {
        out.post = Some(digits.to_owned());
        rest = after;
    } else if let Some(((), number, after)) = labelled(rest, &[("post", ()), ("rev", ()), ("r", ())]) {
        out.post = Some(number.to_owned());
        rest = after;
    }
    if let Some(((), number, after)) = labelled(rest, &[("dev", ())]) {
        out.dev = Some(number.to_owned());
        rest = after;
    }
    if !rest.is_empty() {
        return None;
    }
    if let Some(local) = local {
        for part in local.split(['.', '-', '_']) {
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return None;
            }
            out.local.push(part.to_owned());
        }
    }
    Some(out)
}

const PRE_LABELS: [(&str, PreKind); 8] = [
    ("alpha", PreKind::Alpha),
    ("beta", PreKind::Beta),
    ("preview", PreKind::Candidate),
    ("pre", PreKind::Candidate),
    ("rc", PreKind::Candidate),
    ("a", PreKind::Alpha),
    ("b", PreKind::Beta),
    ("c", PreKind::Candidate),
];

/// Reads `[-_.]? label [-_.]? digits?` and gives the label's value, the digits and what follows.
fn labelled<'a, T: Copy>(text: &'a str, labels: &[(&str, T)]) -> Option<(T, &'a str, &'a str)> {
    let start = text.strip_prefix(['-', '_', '.']).unwrap_or(text);
    let (value, rest) =
        labels.iter().find_map(|(label, value)| Some((*value, start.strip_prefix(label)?)))?;
    let (digits, after) = split_digits(rest.strip_prefix(['-', '_', '.']).unwrap_or(rest));
    if digits.is_empty() {
        // A separator without a number is the label's own, unless a further label needs it; both read the same.
        let after = if is_tail_separator(rest) { &rest[1..] } else { rest };
        return Some((value, "", after));
    }
    Some((value, digits, after))
}

/// Whether the text starts with a separator that no following label or implicit post number takes.
fn is_tail_separator(text: &str) -> bool {
    let Some(next) = text.strip_prefix(['-', '_', '.']) else { return false };
    next.is_empty() || next.starts_with(['-', '_', '.'])
}

/// The parts of the order that setuptools had before PEP 440.
fn legacy_parts(lower: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for piece in legacy_pieces(lower) {
        let mapped = match piece {
            "pre" | "preview" | "rc" => "c",
            "-" => "final-",
            "dev" => "@",
            other => other,
        };
        if mapped.starts_with(|c: char| c.is_ascii_digit()) {
            parts.push(format!("{mapped:0>8}"));
        } else {
            push_legacy_text(&mut parts, format!("*{mapped}"));
        }
    }
    push_legacy_text(&mut parts, "*final".to_owned());
    parts
}

fn push_legacy_text(parts: &mut Vec<String>, text: String) {
    if text.as_str() < "*final" {
        while parts.last().is_some_and(|last| last == "*final-") {
            parts.pop();
        }
    }
    while parts.last().is_some_and(|last| last == "00000000") {
        parts.pop();
    }
    parts.push(text);
}

/// Splits into runs of digits, runs of letters, hyphens and whatever lies between; dots are dropped.
fn legacy_pieces(text: &str) -> Vec<&str> {
    #[derive(PartialEq, Clone, Copy)]
    enum Class {
        Digit,
        Letter,
        Dot,
        Hyphen,
        Other,
    }
    let class = |c: char| match c {
        '0'..='9' => Class::Digit,
        'a'..='z' => Class::Letter,
        '.' => Class::Dot,
        '-' => Class::Hyphen,
        _ => Class::Other,
    };
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut previous = None;
    for (index, c) in text.char_indices() {
        let current = class(c);
        let joins = previous == Some(current) && !matches!(current, Class::Dot | Class::Hyphen);
        if !joins && index > start {
            pieces.push(&text[start..index]);
            start = index;
        }
        previous = Some(current);
    }
    if start < text.len() {
        pieces.push(&text[start..]);
    }
    pieces.retain(|piece| *piece != ".");
    pieces
}

pub(super) fn compare(a: &Parsed, b: &Parsed) -> Ordering {
    match (a, b) {
        (Parsed::Standard(a), Parsed::Standard(b)) => compare_standard(a, b),
        (Parsed::Legacy(a), Parsed::Legacy(b)) => a.cmp(b),
        (Parsed::Legacy(_), Parsed::Standard(_)) => Ordering::Less,
        (Parsed::Standard(_), Parsed::Legacy(_)) => Ordering::Greater,
    }
}

fn compare_standard(a: &Standard, b: &Standard) -> Ordering {
    compare_numbers(&a.epoch, &b.epoch)
        .then_with(|| compare_releases(&a.release, &b.release))
        .then_with(|| pre_rank(a).cmp(&pre_rank(b)))
        .then_with(|| match (&a.pre, &b.pre) {
            (Some((_, x)), Some((_, y))) => compare_numbers(x, y),
            _ => Ordering::Equal,
        })
        .then_with(|| compare_optional(a.post.as_deref(), b.post.as_deref()))
        .then_with(|| match (&a.dev, &b.dev) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(x), Some(y)) => compare_numbers(x, y),
        })
        .then_with(|| compare_locals(&a.local, &b.local))
}

fn compare_releases(a: &[String], b: &[String]) -> Ordering {
    for (x, y) in a.iter().zip(b) {
        let order = compare_numbers(x, y);
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

fn compare_optional(a: Option<&str>, b: Option<&str>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(x), Some(y)) => compare_numbers(x, y),
    }
}

fn compare_locals(a: &[String], b: &[String]) -> Ordering {
    for (x, y) in a.iter().zip(b) {
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
    a.len().cmp(&b.len())
}

fn pre_rank(version: &Standard) -> u8 {
    match version.pre {
        Some((kind, _)) => kind as u8,
        None if version.post.is_none() && version.dev.is_some() => PRE_LOWEST,
        None => PRE_NONE,
    }
}

pub(super) fn write(version: &Parsed, key: &mut KeyWriter) {
    let version = match version {
        Parsed::Standard(version) => version,
        Parsed::Legacy(parts) => {
            key.tag(LEGACY);
            for part in parts {
                for byte in part.bytes() {
                    key.tag(byte);
                }
                key.tag(LEGACY_PART_END);
            }
            key.tag(LEGACY_END);
            return;
        }
    };
    key.tag(STANDARD);
    key.number(NUMBER, &version.epoch);
    for part in &version.release {
        key.number(NUMBER, part);
    }
    key.tag(END);
    key.tag(pre_rank(version));
    if let Some((_, number)) = &version.pre {
        key.number(NUMBER, number);
    }
    match &version.post {
        Some(number) => key.number(NUMBER, number),
        None => key.tag(ABSENT),
    }
    match &version.dev {
        Some(number) => key.number(NUMBER, number),
        None => key.tag(DEV_NONE),
    }
    for part in &version.local {
        if is_number(part) {
            key.number(NUMBER, part);
        } else {
            key.tag(LOCAL_TEXT);
            key.text(part);
        }
    }
    key.tag(END);
}
