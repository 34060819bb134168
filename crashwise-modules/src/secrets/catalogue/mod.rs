//! The rules that come with the scanner.
//!
//! One file per family under `data/`, each rule a table: `id`, `provider`, `title`, `severity` and one of three shapes:
//!
//! - `prefixes` and `body`: a token that is recognised wherever it stands alone,
//! - `names` and `body`: the whole value of an assignment whose name holds one of the words,
//! - `regex`: anything else; its first group is the secret.
//!
//! `check` names a checksum or structure the token must satisfy, `entropy` is the least entropy in bits per byte,
//! `judge` has the secret judged as a password that people choose. What each rule must and must not match is in `data/examples/`, in parts, so that no token stands in a file as a whole.

use std::str::FromStr;

use crashwise_core::{RuleId, Severity};
use serde::Deserialize;

use super::check::Check;
use super::rule::{Rule, RuleInfo, Shape};

#[cfg(test)]
mod tests;

const FAMILIES: [(&str, &str); 9] = [
    ("structures", include_str!("data/structures.toml")),
    ("source_hosting", include_str!("data/source_hosting.toml")),
    ("cloud", include_str!("data/cloud.toml")),
    ("data", include_str!("data/data.toml")),
    ("ai", include_str!("data/ai.toml")),
    ("payments", include_str!("data/payments.toml")),
    ("messaging", include_str!("data/messaging.toml")),
    ("operations", include_str!("data/operations.toml")),
    ("products", include_str!("data/products.toml")),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    rule: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    #[serde(default)]
    provider: String,
    title: String,
    severity: String,
    prefixes: Option<Vec<String>>,
    names: Option<Vec<String>>,
    body: Option<String>,
    regex: Option<String>,
    check: Option<String>,
    #[serde(default)]
    entropy: f32,
    #[serde(default)]
    judge: bool,
}

/// The rules of all families. A rule that is not well-formed is left out; a test makes sure that there is none.
pub(super) fn rules() -> Vec<Rule> {
    FAMILIES
        .iter()
        .filter_map(|(_, text)| toml::from_str::<Family>(text).ok())
        .flat_map(|family| family.rule)
        .filter_map(Entry::rule)
        .collect()
}

/// Digest of all families: another catalogue gives other results.
pub(super) fn digest() -> String {
    let mut hasher = blake3::Hasher::new();
    for (_, text) in FAMILIES {
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

impl Entry {
    fn rule(self) -> Option<Rule> {
        let shape = match (self.prefixes, self.names, self.body, self.regex) {
            (Some(prefixes), None, Some(body), None) => Shape::Token { prefixes, body },
            (None, Some(words), Some(body), None) => Shape::Named { words, body },
            (None, None, None, Some(regex)) => Shape::pattern(regex),
            _ => return None,
        };
        let info = RuleInfo {
            id: RuleId::new(format!("secret/{}", self.id)).ok()?,
            provider: self.provider,
            title: self.title,
            severity: Severity::from_str(&self.severity).ok()?,
        };
        let check = match &self.check {
            Some(name) => Some(Check::parse(name)?),
            None => None,
        };
        let mut rule = Rule::new(info, shape);
        rule.check = check;
        rule.entropy = self.entropy;
        rule.judge = self.judge;
        Some(rule)
    }
}
