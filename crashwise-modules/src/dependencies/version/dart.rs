//! Pub: Semantic Versioning in which build metadata has an order too.

use std::cmp::Ordering;

use super::key::{KeyWriter, compare_numbers, split_digits};

const PRE: u8 = 0x01;
const RELEASE: u8 = 0x02;
const NUMBER: u8 = 0x10;
const ITEM_END: u8 = 0x01;
const ITEM_NUMBER: u8 = 0x02;
const ITEM_TEXT: u8 = 0x03;

/// A version taken apart; pieces borrow from the text.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    numbers: [&'a str; 3],
    pre: Vec<Item<'a>>,
    build: Vec<Item<'a>>,
}

/// An identifier; numbers sort first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item<'a> {
    /// What Dart's integer parser accepts; anything longer is text.
    Number(i64),
    Text(&'a str),
}

pub(super) fn parse(version: &str) -> Option<Parsed<'_>> {
    let text = version.trim();
    let mut rest = text.strip_prefix('v').unwrap_or(text);
    let mut numbers = [""; 3];
    for (index, number) in numbers.iter_mut().enumerate() {
        let start = if index == 0 { Some(rest) } else { rest.strip_prefix('.') };
        let Some(start) = start else { break };
        let (digits, after) = split_digits(start);
        if digits.is_empty() {
            return None;
        }
        *number = digits;
        rest = after;
    }
    let (pre, build) = rest.split_once('+').map_or((rest, ""), |split| split);
    if !pre.is_empty() && !pre.starts_with('-') {
        return None;
    }
    Some(Parsed { numbers, pre: items(pre.strip_prefix('-').unwrap_or_default()), build: items(build) })
}

fn items(text: &str) -> Vec<Item<'_>> {
    if text.is_empty() {
        return Vec::new();
    }
    text.split('.').map(|item| integer(item).map_or(Item::Text(item), Item::Number)).collect()
}

/// Dart reads decimal and `0x` integers with an optional minus.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            i128::from_str_radix(hex, 16).ok()?
        }
        None if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        Some(_) | None => return None,
    };
    i64::try_from(if negative { -value } else { value }).ok()
}

pub(super) fn compare(a: &Parsed<'_>, b: &Parsed<'_>) -> Ordering {
    for (x, y) in a.numbers.iter().zip(&b.numbers) {
        let order = compare_numbers(x, y);
        if order.is_ne() {
            return order;
        }
    }
    let pre = match (a.pre.is_empty(), b.pre.is_empty()) {
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => a.pre.cmp(&b.pre),
    };
    pre.then_with(|| a.build.cmp(&b.build))
}

pub(super) fn write(version: &Parsed<'_>, key: &mut KeyWriter) {
    for number in version.numbers {
        key.number(NUMBER, number);
    }
    if version.pre.is_empty() {
        key.tag(RELEASE);
    } else {
        key.tag(PRE);
        write_items(&version.pre, key);
    }
    write_items(&version.build, key);
}

fn write_items(items: &[Item<'_>], key: &mut KeyWriter) {
    for item in items {
        match item {
            Item::Number(value) => {
                key.tag(ITEM_NUMBER);
                key.signed(*value);
            }
            Item::Text(text) => {
                key.tag(ITEM_TEXT);
                key.text(text);
            }
        }
    }
    key.tag(ITEM_END);
}
