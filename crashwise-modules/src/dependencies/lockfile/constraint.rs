//! Whether a locked version is one that a manifest asks for. What a requirement means beyond its operators is not
//! guessed: such a requirement is not judged.

use crate::dependencies::version::{Order, VersionKey};

/// Most comparisons of one requirement.
const MAX_PARTS: usize = 64;

/// Whether a version is in what Dart's Pub is asked for: `^1.2.3`, `>=1.0.0 <2.0.0`, `any`, `1.2.3`.
pub(super) fn dart(wanted: &str, version: &str) -> Option<bool> {
    let key = Order::Pub.key(version).ok()?;
    let wanted = wanted.trim();
    if wanted.is_empty() || wanted == "any" {
        return Some(true);
    }
    let mut parts = wanted.split_ascii_whitespace();
    let mut fits = true;
    for _ in 0..MAX_PARTS {
        let Some(part) = parts.next() else { return Some(fits) };
        let operator = part.trim_start_matches(['<', '>', '=', '^']);
        let (operator, mut text) = (&part[..part.len() - operator.len()], operator);
        if text.is_empty() {
            text = parts.next()?;
        }
        fits &= match operator {
            "^" => within(Order::Pub, &key, text, &next_breaking(text)?)?,
            operator => compare(Order::Pub, operator, &key, text)?,
        };
    }
    None
}

/// Whether a version is in what Elixir's Mix is asked for: `~> 1.2`, `>= 1.0.0 and < 2.0.0`, `1.2.3 or ~> 2.0`.
pub(super) fn elixir(wanted: &str, version: &str) -> Option<bool> {
    let key = Order::SemVer.key(version).ok()?;
    let mut fits = false;
    for choice in wanted.split(" or ").take(MAX_PARTS) {
        let mut all = true;
        for part in choice.split(" and ").take(MAX_PARTS) {
            let part = part.trim();
            let text = part.trim_start_matches(['<', '>', '=', '~', '!']);
            let (operator, text) = (&part[..part.len() - text.len()], text.trim());
            all &= match operator {
                "~>" => within(Order::SemVer, &key, text, &after_last_but_one(text)?)?,
                operator => compare(Order::SemVer, operator, &key, text)?,
            };
        }
        fits |= all;
    }
    Some(fits)
}

fn compare(order: Order, operator: &str, key: &VersionKey, text: &str) -> Option<bool> {
    let other = order.key(text).ok()?;
    Some(match operator {
        "" | "=" | "==" => *key == other,
        "!=" => *key != other,
        ">" => *key > other,
        ">=" => *key >= other,
        "<" => *key < other,
        "<=" => *key <= other,
        _ => return None,
    })
}

fn within(order: Order, key: &VersionKey, low: &str, high: &str) -> Option<bool> {
    Some(*key >= order.key(low).ok()? && *key < order.key(high).ok()?)
}

/// The numbers of a version, without what follows them.
fn numbers(version: &str) -> Option<Vec<u64>> {
    let release = version.split(['-', '+']).next()?;
    release.split('.').map(|part| part.parse().ok()).collect()
}

/// The first version that may break what used `version`: the first number that is not zero is raised.
fn next_breaking(version: &str) -> Option<String> {
    Some(match *numbers(version)?.as_slice() {
        [0, 0, patch] => format!("0.0.{}", patch.checked_add(1)?),
        [0, minor, _] => format!("0.{}.0", minor.checked_add(1)?),
        [major, ..] => format!("{}.0.0", major.checked_add(1)?),
        [] => return None,
    })
}

/// `2.0.0` after `1.4`, `1.5.0` after `1.4.2`.
fn after_last_but_one(version: &str) -> Option<String> {
    Some(match *numbers(version)?.as_slice() {
        [major, _] => format!("{}.0.0", major.checked_add(1)?),
        [major, minor, _] => format!("{major}.{}.0", minor.checked_add(1)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{dart, elixir};

    #[test]
    fn requirements_of_pub() {
        for (wanted, version, expect) in [
            ("any", "1.0.0", Some(true)),
            ("^1.2.3", "1.9.0", Some(true)),
            ("^1.2.3", "2.0.0", Some(false)),
            ("^1.2.3", "1.2.2", Some(false)),
            ("^0.2.3", "0.3.0", Some(false)),
            ("^0.0.3", "0.0.3+1", Some(true)),
            (">=1.0.0 <2.0.0", "1.5.0", Some(true)),
            (">=1.0.0 <2.0.0", "2.0.0", Some(false)),
            (">= 1.0.0 < 2.0.0", "0.9.0", Some(false)),
            ("1.2.3", "1.2.3", Some(true)),
            ("1.2.3", "1.2.4", Some(false)),
            ("newest", "1.2.4", None),
            (">=", "1.2.4", None),
        ] {
            assert_eq!(dart(wanted, version), expect, "{wanted} {version}");
        }
    }

    #[test]
    fn requirements_of_mix() {
        for (wanted, version, expect) in [
            ("~> 1.4", "1.9.0", Some(true)),
            ("~> 1.4", "2.0.0", Some(false)),
            ("~> 1.4.2", "1.4.9", Some(true)),
            ("~> 1.4.2", "1.5.0", Some(false)),
            (">= 1.0.0 and < 2.0.0", "1.5.0", Some(true)),
            ("~> 1.0 or ~> 2.0", "2.3.0", Some(true)),
            ("~> 1.0 or ~> 2.0", "3.0.0", Some(false)),
            ("== 1.0.0", "1.0.0", Some(true)),
            ("1.0.0", "1.0.1", Some(false)),
            ("!= 1.0.0", "1.0.1", Some(true)),
            ("~> 1", "1.0.1", None),
            ("latest", "1.0.1", None),
        ] {
            assert_eq!(elixir(wanted, version), expect, "{wanted} {version}");
        }
    }
}
