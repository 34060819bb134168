//! Plain sequences of numbers: Hackage, where a longer one follows its prefix, and CRAN, where zeros at the end do not
//! count.

use std::cmp::Ordering;

use super::key::{KeyWriter, compare_numbers, is_number, significant};

const END: u8 = 0x01;
const NUMBER: u8 = 0x10;

/// Hackage: numbers between dots; tags after a hyphen have no order.
pub(super) fn parse_hackage(version: &str) -> Option<Vec<&str>> {
    numbers(version.split('-').next().unwrap_or_default(), &['.'])
}

/// CRAN: numbers between dots and hyphens, which mean the same; R's `package_version` pads with zeros to compare.
pub(super) fn parse_cran(version: &str) -> Option<Vec<&str>> {
    let mut numbers = numbers(version, &['.', '-'])?;
    while numbers.last().is_some_and(|last| significant(last).is_empty()) {
        numbers.pop();
    }
    Some(numbers)
}

fn numbers<'a>(version: &'a str, separators: &[char]) -> Option<Vec<&'a str>> {
    version.trim().split(separators).map(|number| is_number(number).then_some(number)).collect()
}

pub(super) fn compare(a: &[&str], b: &[&str]) -> Ordering {
    for (x, y) in a.iter().zip(b) {
        let order = compare_numbers(x, y);
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

pub(super) fn write(numbers: &[&str], key: &mut KeyWriter) {
    for number in numbers {
        key.number(NUMBER, number);
    }
    key.tag(END);
}
