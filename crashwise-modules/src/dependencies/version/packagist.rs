//! Packagist: the version as Composer normalises it, then PHP's `version_compare`.

use std::cmp::Ordering;

use super::key::{KeyWriter, compare_numbers, is_number, split_digits, split_while};

const WORD: u8 = 0x10;
const END: u8 = 0x20;
const NUMBER: u8 = 0x30;
const PATCH: u8 = 0x50;
/// The rank that PHP gives a number, and the end, when it meets a word.
const NUMBER_RANK: u8 = 5;
const PATCH_RANK: u8 = 6;

const MODIFIERS: [(&str, &str); 9] = [
    ("stable", "stable"),
    ("beta", "beta"),
    ("b", "beta"),
    ("rc", "RC"),
    ("alpha", "alpha"),
    ("a", "alpha"),
    ("patch", "patch"),
    ("pl", "patch"),
    ("p", "patch"),
];

/// Composer's normal form, or `None` for what Composer refuses.
pub(super) fn normalize(version: &str) -> Option<String> {
    let mut text = version.trim();
    if let Some((name, alias)) = text.split_once(" as ")
        && !name.contains([' ', ',', '\t'])
        && !alias.trim().is_empty()
    {
        text = name;
    }
    if let Some((before, flag)) = text.rsplit_once('@')
        && ["stable", "rc", "beta", "alpha", "dev"].iter().any(|known| flag.eq_ignore_ascii_case(known))
    {
        text = before;
    }
    if ["master", "trunk", "default"].contains(&text) {
        return Some(format!("dev-{text}"));
    }
    if strip_word(text, "dev-").is_some() {
        return Some(format!("dev-{}", &text[4..]));
    }
    if let Some((before, build)) = text.split_once('+')
        && !before.is_empty()
        && !build.is_empty()
        && !text.contains([' ', ','])
    {
        text = before;
    }
    let plain = text.strip_prefix(['v', 'V']).unwrap_or(text);
    classical(plain).or_else(|| dated(plain)).or_else(|| branch(text))
}

/// One to four numbers, the first of at most five digits.
fn classical(text: &str) -> Option<String> {
    let (first, mut rest) = split_digits(text);
    if first.is_empty() || first.len() > 5 {
        return None;
    }
    let mut out = first.to_owned();
    let mut count = 1;
    while count < 4 {
        let Some(next) = rest.strip_prefix('.') else { break };
        let (digits, after) = split_digits(next);
        if digits.is_empty() {
            break;
        }
        out.push('.');
        out.push_str(digits);
        rest = after;
        count += 1;
    }
    out.push_str(&".0".repeat(4 - count));
    out.push_str(&modifier(rest)?);
    Some(out)
}

/// Four digits of a year, pairs of digits, and up to three more.
fn dated(text: &str) -> Option<String> {
    let (year, rest) = text.split_at_checked(4)?;
    if !is_number(year) {
        return None;
    }
    let mut ends = Vec::new();
    let mut at = rest;
    while ends.len() < 6 {
        let next = skip_separator(at);
        let Some((pair, after)) = next.split_at_checked(2) else { break };
        if !is_number(pair) {
            break;
        }
        at = after;
        ends.push(after);
    }
    for end in ends.iter().rev() {
        let tail = skip_separator(end);
        let digits = split_digits(tail).0.len().min(3);
        let with_tail = (1..=digits).rev().map(|length| &tail[length..]);
        for after in with_tail.chain([*end]) {
            if let Some(modifier) = modifier(after) {
                let date = &text[..text.len() - after.len()];
                return Some(date.replace(|c: char| !c.is_ascii_digit(), ".") + &modifier);
            }
        }
    }
    None
}

fn skip_separator(text: &str) -> &str {
    text.strip_prefix(['.', ':', '-']).unwrap_or(text)
}

/// Reads `[._-]?(stability numbers?)?([.-]?dev)?` to the end and gives its normal form.
fn modifier(text: &str) -> Option<String> {
    let start = text.strip_prefix(['.', '_', '-']).unwrap_or(text);
    for (word, normal) in MODIFIERS {
        let Some(rest) = strip_word(start, word) else { continue };
        let numbers_end = rest.len() - skip_numbers(rest).len();
        let (numbers, rest) = rest.split_at(numbers_end);
        let Some(dev) = dev_tail(rest) else { continue };
        if start.starts_with("stable") {
            return Some(String::new());
        }
        return Some(format!("-{normal}{}{dev}", numbers.trim_start_matches(['.', '-'])));
    }
    dev_tail(start).or_else(|| dev_tail(text)).map(str::to_owned)
}

fn skip_numbers(mut text: &str) -> &str {
    loop {
        let (digits, after) = split_digits(text.strip_prefix(['.', '-']).unwrap_or(text));
        if digits.is_empty() {
            return text;
        }
        text = after;
    }
}

fn dev_tail(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("");
    }
    let rest = strip_word(text.strip_prefix(['.', '-']).unwrap_or(text), "dev")?;
    rest.is_empty().then_some("-dev")
}

/// A numeric branch such as `1.2.x-dev`.
fn branch(text: &str) -> Option<String> {
    let at = text.len().checked_sub(3)?;
    let (name, dev) = text.split_at_checked(at)?;
    if !dev.eq_ignore_ascii_case("dev") {
        return None;
    }
    let name = name.strip_suffix(['.', '-']).unwrap_or(name).trim();
    let name = name.strip_prefix(['v', 'V']).unwrap_or(name);
    let mut parts: Vec<&str> = name.split('.').collect();
    let numeric =
        |(index, part): (usize, &&str)| is_number(part) || (index > 0 && matches!(*part, "x" | "X" | "*"));
    if parts.len() > 4 || !parts.iter().enumerate().all(numeric) {
        return None;
    }
    parts.resize(4, "x");
    let parts: Vec<_> =
        parts.into_iter().map(|part| if is_number(part) { part } else { "9999999" }).collect();
    Some(parts.join(".") + "-dev")
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(rest)
}

/// The runs of digits and of letters that `version_compare` sees.
fn tokens(normalized: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = normalized;
    while let Some(first) = rest.bytes().next() {
        let (token, after) = if first.is_ascii_digit() {
            split_digits(rest)
        } else {
            split_while(rest, |byte| byte.is_ascii_alphabetic())
        };
        if token.is_empty() {
            let mut chars = rest.chars();
            chars.next();
            rest = chars.as_str();
        } else {
            tokens.push(token);
            rest = after;
        }
    }
    tokens
}

/// PHP's rank of a word, by prefix; an unknown word is the lowest.
fn rank(word: &str) -> u8 {
    const RANKS: [(&str, u8); 9] = [
        ("dev", 1),
        ("alpha", 2),
        ("a", 2),
        ("beta", 3),
        ("b", 3),
        ("RC", 4),
        ("rc", 4),
        ("pl", PATCH_RANK),
        ("p", PATCH_RANK),
    ];
    RANKS.iter().find(|(prefix, _)| word.starts_with(prefix)).map_or(0, |(_, rank)| *rank)
}

fn token_rank(token: Option<&&str>) -> u8 {
    token.map_or(NUMBER_RANK, |token| if is_number(token) { NUMBER_RANK } else { rank(token) })
}

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (tokens(a), tokens(b));
    for index in 0..a.len().max(b.len()) {
        let (x, y) = (a.get(index), b.get(index));
        let order = token_rank(x).cmp(&token_rank(y)).then_with(|| match (x, y) {
            (Some(x), Some(y)) if is_number(x) => compare_numbers(x, y),
            (Some(x), None) if is_number(x) => Ordering::Greater,
            (None, Some(y)) if is_number(y) => Ordering::Less,
            _ => Ordering::Equal,
        });
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

pub(super) fn write(normalized: &str, key: &mut KeyWriter) {
    for token in tokens(normalized) {
        if is_number(token) {
            key.number(NUMBER, token);
        } else {
            match rank(token) {
                PATCH_RANK => key.tag(PATCH),
                rank => key.tag(WORD + rank),
            }
        }
    }
    key.tag(END);
}
