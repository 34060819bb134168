use std::collections::{BTreeMap, BTreeSet};

use crashwise_core::Confidence;
use serde::Deserialize;

use super::{FAMILIES, Family, rules};
use crate::secrets::{ScanOptions, SecretScanner};

const EXAMPLES: [(&str, &str); 9] = [
    ("structures", include_str!("data/examples/structures.toml")),
    ("source_hosting", include_str!("data/examples/source_hosting.toml")),
    ("cloud", include_str!("data/examples/cloud.toml")),
    ("data", include_str!("data/examples/data.toml")),
    ("ai", include_str!("data/examples/ai.toml")),
    ("payments", include_str!("data/examples/payments.toml")),
    ("messaging", include_str!("data/examples/messaging.toml")),
    ("operations", include_str!("data/examples/operations.toml")),
    ("products", include_str!("data/examples/products.toml")),
];

#[derive(Deserialize)]
struct Examples {
    rule: Vec<Example>,
}

#[derive(Deserialize)]
struct Example {
    id: String,
    good: Vec<Vec<String>>,
    bad: Vec<Vec<String>>,
}

#[test]
fn every_entry_is_a_rule_with_a_regex_and_a_literal() {
    let entries: usize = FAMILIES
        .iter()
        .map(|(name, text)| {
            toml::from_str::<Family>(text).unwrap_or_else(|error| panic!("{name}: {error}")).rule.len()
        })
        .sum();
    let rules = rules();
    assert_eq!(rules.len(), entries);
    let ids: BTreeSet<&str> = rules.iter().map(|rule| rule.info.id.as_str()).collect();
    assert_eq!(ids.len(), entries, "ids are distinct");
    for rule in &rules {
        assert!(rule.regex().is_some(), "{} has a regex that compiles", rule.info.id);
        let literals = rule.literals().unwrap_or_default();
        assert!(!literals.is_empty(), "{} has a mandatory literal", rule.info.id);
        for (literal, _) in literals {
            assert!(
                literal.len() >= 3,
                "{}: {:?} is long enough",
                rule.info.id,
                String::from_utf8_lossy(&literal)
            );
        }
    }
    let providers: BTreeSet<&str> = rules.iter().map(|rule| rule.info.provider.as_str()).collect();
    assert!(providers.len() >= 250, "{} providers", providers.len());
}

#[test]
fn examples_match_and_counter_examples_do_not() {
    let mut rules: BTreeMap<String, _> =
        rules().into_iter().map(|rule| (rule.info.id.to_string(), rule)).collect();
    let known: BTreeSet<String> = rules.keys().cloned().collect();
    let mut covered = BTreeSet::new();
    let mut wrong = Vec::new();
    for (family, text) in EXAMPLES {
        let examples: Examples = toml::from_str(text).unwrap_or_else(|error| panic!("{family}: {error}"));
        for example in examples.rule {
            let id = format!("secret/{}", example.id);
            let own =
                rules.remove(&id).unwrap_or_else(|| panic!("{id} is a rule, and has one set of examples"));
            let options = ScanOptions::new().with_generic(false).with_min_confidence(Confidence::Low);
            let scanner = SecretScanner::with_rules(options, vec![own]);
            for text in example.good.iter().map(|parts| parts.concat()) {
                if scanner.scan_bytes("", text.as_bytes()).len() != 1 {
                    wrong.push(format!("{id} does not find {text:?}"));
                }
            }
            for text in example.bad.iter().map(|parts| parts.concat()) {
                let found = scanner.scan_bytes("", text.as_bytes());
                if found.iter().any(|one| one.confidence > Confidence::Low) {
                    wrong.push(format!("{id} finds {text:?}"));
                }
            }
            assert!(!example.good.is_empty() && !example.bad.is_empty(), "{id} has examples of both kinds");
            covered.insert(id);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(covered, known, "each rule has examples");
}
