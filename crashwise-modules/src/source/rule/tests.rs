use super::*;
use crate::source::rule::builtin::files;
use crate::source::{CodeAnalyzer, CodeAnalyzerConfig, Language};
use crashwise_core::{Document, RelPath, RuleId};
use std::collections::BTreeSet;

fn all() -> Vec<Rule> {
    files()
        .iter()
        .map(|(folder, name, text)| {
            super::folder::parse(&format!("{folder}/{name}.yaml"), text)
                .unwrap_or_else(|problems| panic!("{problems}"))
        })
        .collect()
}

#[test]
fn every_rule_is_complete() {
    let rules = all();
    assert!(rules.len() >= 120, "{} rules", rules.len());
    let mut titles = BTreeSet::new();
    for ((folder, name, _), rule) in files().iter().zip(&rules) {
        assert_eq!(rule.id.as_str(), format!("code/{folder}/{name}"));
        assert!(
            *folder == "shared"
                || rule.languages == [serde_json::from_value(serde_json::json!(folder)).unwrap()]
        );
        assert!(!rule.cwe.is_empty() && !rule.fix.is_empty() && !rule.references.is_empty(), "{name}");
        assert!(titles.insert(rule.title.clone()), "{name}: another rule has this title");
        for language in &rule.languages {
            let examples =
                rule.examples.get(language).unwrap_or_else(|| panic!("{name}: no example for {language}"));
            assert!(!examples.bad.is_empty() && !examples.good.is_empty(), "{name}: {language}");
        }
    }
}

#[test]
fn rules_match_their_examples() {
    let analyzer = CodeAnalyzer::default();
    let mut wrong = Vec::new();
    for rule in all() {
        for (language, examples) in &rule.examples {
            let path = RelPath::new(format!("example.{}", language.extensions()[0])).unwrap();
            let fires = |text: &str| {
                let text = if *language == Language::Php && !text.contains("<?php") {
                    format!("<?php\n{text}")
                } else {
                    text.to_owned()
                };
                let found = analyzer.analyze(&path, text.as_bytes()).findings;
                found.iter().any(|finding| finding.rule_id == rule.id)
            };
            wrong.extend(
                examples
                    .bad
                    .iter()
                    .filter(|text| !fires(text))
                    .map(|text| format!("{} misses {text}", rule.id)),
            );
            wrong.extend(
                examples
                    .good
                    .iter()
                    .filter(|text| fires(text))
                    .map(|text| format!("{} fires on {text}", rule.id)),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn broken_rules_are_refused_with_places() {
    let good = "id: a/b\ntitle: t\nmessage: m\nseverity: low\ncategory: c\ncwe: [1]\nlanguages: [python]\nfix: f\nmatch:\n";
    for (shape, expect) in [
        ("  - call: eval(\n", "r.yaml:10:5: match[0].call: is not a valid regex: unclosed group"),
        ("  - {}\n", "expected exactly one of call, pattern and string"),
        ("  - {call: a, string: b}\n", "expected exactly one of call, pattern and string"),
        ("  - pattern: '[0-9]+'\n", "holds no literal of two characters"),
        ("  - {pattern: abc, args: [{at: 0}]}\n", "args: belongs to a call"),
        ("  - {pattern: abc, value: random}\n", "needs a group"),
        ("  - {call: abc, ags: []}\n", "did you mean \"args\""),
    ] {
        let problems = folder::parse("r.yaml", &format!("{good}{shape}")).unwrap_err().to_string();
        assert!(problems.contains(expect), "{shape}: {problems}");
    }
}

#[test]
fn rules_of_the_user() {
    let folder = tempfile::tempdir().unwrap();
    let rule = "id: mine/print\ntitle: t\nmessage: m\nseverity: low\ncategory: c\ncwe: [1]\nlanguages: [python]\nfix: f\nmatch: [{call: print}]\n";
    std::fs::write(folder.path().join("a.yaml"), rule).unwrap();
    let config = CodeAnalyzerConfig {
        rule_folder: Some(folder.path().to_owned()),
        rules: vec!["mine/print".into()],
        ..Default::default()
    };
    let analyzer = CodeAnalyzer::new(config.clone()).unwrap();
    let found = analyzer.analyze(&RelPath::new("a.py").unwrap(), b"print(eval(x))").findings;
    assert_eq!(
        found.iter().map(|finding| &finding.rule_id).collect::<Vec<_>>(),
        [&RuleId::new("mine/print").unwrap()]
    );
    std::fs::write(folder.path().join("b.yml"), rule.replace("low", "lwo")).unwrap();
    let problems = CodeAnalyzer::new(config.clone()).unwrap_err().to_string();
    assert!(problems.contains("b.yml:4:1: severity") && problems.contains("\"low\""), "{problems}");
    std::fs::write(folder.path().join("b.yml"), rule).unwrap();
    assert!(CodeAnalyzer::new(config).unwrap_err().to_string().contains("already"));
    let unknown = CodeAnalyzerConfig {
        exclude_rules: vec!["python/evl".into(), "code/python/".into()],
        ..Default::default()
    };
    let problems = CodeAnalyzer::new(unknown).unwrap_err().to_string();
    assert!(
        problems.contains("exclude_rules: there is no rule \"python/evl\"")
            && !problems.contains("code/python/\""),
        "{problems}"
    );
}

#[test]
fn documents_parse_without_the_schema() {
    for (folder, name, text) in files() {
        let document = Document::parse(*name, text).unwrap();
        assert!(<Rule as serde::Deserialize>::deserialize(document.value()).is_ok(), "{folder}/{name}");
    }
}
