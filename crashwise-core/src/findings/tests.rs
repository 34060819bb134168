use super::*;
use crate::{Confidence, Finding, Fingerprint, Location, Position, RelPath, RuleId, Severity};
use crate::{SeverityCounts, Suppression, SuppressionKind};
use proptest::prelude::*;
use std::io::{self, Write};

fn at(path: &str, line: u32, rule: &str) -> Finding {
    let place = Location::new(RelPath::new(path).unwrap()).with_start(Position::new(line, 1).unwrap());
    Finding::new(RuleId::new(rule).unwrap(), "title", Severity::High)
        .with_location(place)
        .with_fingerprint(Fingerprint::of([rule, path]))
}

fn places(text: &[u8]) -> Vec<String> {
    FindingLines::new(text)
        .map(|finding| {
            let finding = finding.unwrap();
            let place = finding.primary().map_or_else(|| "-".to_owned(), ToString::to_string);
            format!("{place} {}", finding.rule_id)
        })
        .collect()
}

fn spooled(findings: Vec<Finding>, memory: usize) -> (Vec<u8>, SeverityCounts) {
    let directory = tempfile::tempdir().unwrap();
    let spool = FindingSpool::new(directory.path()).with_memory(memory);
    for finding in findings {
        spool.push(finding).unwrap();
    }
    let mut text = Vec::new();
    let counts = spool.finish(&mut text).unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the temporary file has no name");
    (text, counts)
}

#[test]
fn sorted_by_path_line_column_rule() {
    let whole_target = Finding::new(RuleId::new("z").unwrap(), "t", Severity::Info);
    let whole_file = Finding::new(RuleId::new("z").unwrap(), "t", Severity::Info)
        .with_location(Location::new(RelPath::new("a").unwrap()));
    let findings = vec![
        at("b", 1, "r"),
        at("a/b", 2, "r"),
        at("a", 10, "r"),
        at("a", 9, "s"),
        at("a", 9, "r"),
        whole_file,
        whole_target,
    ];
    for memory in [0, 200, 1 << 20] {
        let (text, counts) = spooled(findings.clone(), memory);
        assert_eq!(places(&text), ["- z", "a z", "a:9:1 r", "a:9:1 s", "a:10:1 r", "a/b:2:1 r", "b:1:1 r"]);
        assert_eq!((counts.high, counts.info, counts.total()), (5, 2, 7));
    }
}

#[test]
fn a_finding_reported_twice_is_kept_once_and_as_the_worse_one() {
    let suppressed = at("a", 1, "r")
        .with_suppression(Suppression { kind: SuppressionKind::External, reason: String::new() });
    let mut low = at("a", 1, "r");
    low.severity = Severity::Low;
    let sure = at("a", 1, "r").with_confidence(Confidence::High);
    let other_text = at("a", 1, "r").with_message("another advisory");
    let findings = vec![suppressed, low, at("a", 1, "r"), sure.clone(), other_text];
    for memory in [0, 1 << 20] {
        let (text, counts) = spooled(findings.clone(), memory);
        let kept: Vec<Finding> = FindingLines::new(&text[..]).map(Result::unwrap).collect();
        assert_eq!(kept.len(), 2);
        assert!(kept.contains(&sure));
        assert_eq!((counts.high, counts.total()), (2, 2));
    }
}

#[test]
fn suppressed_findings_are_kept_but_not_counted() {
    let finding = at("a", 1, "r")
        .with_suppression(Suppression { kind: SuppressionKind::InSource, reason: "test".into() });
    let (text, counts) = spooled(vec![finding], 0);
    assert_eq!((places(&text).len(), counts.total()), (1, 0));
}

#[test]
fn threads_and_memory_do_not_change_the_bytes() {
    let all: Vec<Finding> =
        (0..2000).map(|n| at(&format!("f{}", n % 37), 1 + n % 11, &format!("r{}", n % 7))).collect();
    let (expect, _) = spooled(all.clone(), 1 << 30);
    let directory = tempfile::tempdir().unwrap();
    let spool = FindingSpool::new(directory.path()).with_memory(10_000);
    std::thread::scope(|scope| {
        for part in all.chunks(250).rev() {
            scope.spawn(|| part.iter().for_each(|finding| spool.push(finding.clone()).unwrap()));
        }
    });
    assert_eq!(spool.counts().high, 2000);
    let mut text = Vec::new();
    spool.finish(&mut text).unwrap();
    assert!(text == expect);
}

/// A disk with so many bytes left.
struct Full(usize);
impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_failed_write_is_never_a_shorter_result() {
    let spool = FindingSpool::new("/nonexistent/directory").with_memory(0);
    spool.push(at("a", 1, "r")).unwrap();
    assert_eq!(spool.push(at("b", 1, "r")).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(spool.push(at("c", 1, "r")).unwrap_err().to_string().contains("findings were lost before"));
    assert!(spool.finish(&mut Vec::new()).is_err());

    let spool = FindingSpool::new(std::env::temp_dir());
    spool.push(at("a", 1, "r")).unwrap();
    assert_eq!(spool.finish(&mut Full(10)).unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn an_oversized_finding_is_an_error_that_lasts() {
    let spool = FindingSpool::new(std::env::temp_dir());
    let error = spool.push(at("a", 1, "r").with_message("x".repeat(MAX_LINE))).unwrap_err();
    assert_eq!(error.to_string(), "a finding of rule r is longer than 16 MiB");
    assert!(spool.finish(&mut Vec::new()).is_err());
}

#[test]
fn broken_input_is_an_error_with_its_place() {
    let line = |finding: &Finding| serde_json::to_string(finding).unwrap() + "\n";
    let good = line(&at("a", 1, "r"));
    let late = line(&at("b", 1, "r"));
    for (text, expect) in [
        (format!("{good}{}", &good[..20]), "input 1: line 2 of the findings is cut short"),
        (good.trim_end().to_owned(), "input 1: line 1 of the findings is cut short"),
        (format!("{good}\n"), "input 1: line 2 of the findings is not a finding"),
        (format!("{late}{good}"), "input 1: line 2 of the findings is out of order"),
    ] {
        let mut merged = merge_findings([text.as_bytes()]);
        let error = merged.by_ref().find_map(Result::err).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().starts_with(expect), "{error}");
        assert!(merged.next().is_none());
    }
}

#[test]
fn the_rules_of_findings_are_told_by_the_start_of_their_lines() {
    let (text, _) = spooled(vec![at("a", 1, "x/b"), at("a", 2, "a"), at("b", 1, "x/b")], 1 << 20);
    let rules = |text: &[u8], limit| {
        rules_of(text, limit).map(|rules| rules.map(|set| set.into_iter().collect::<Vec<_>>().join(" ")))
    };
    assert_eq!(rules(&text, 2).unwrap().unwrap(), "a x/b");
    assert_eq!(rules(&text, 1).unwrap(), None);
    assert_eq!(rules(b"", 1).unwrap().unwrap(), "");
    for broken in [&text[..text.len() - 5], b"{}\n", b"\n"] {
        assert_eq!(rules(broken, 9).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

#[test]
fn merging_nothing() {
    assert_eq!(merge_findings(Vec::<&[u8]>::new()).count(), 0);
    assert_eq!(merge_findings([&b""[..], &b""[..]]).count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn merged_steps_equal_one_spool(picks in prop::collection::vec((0u32..4, 1u32..5, 0u32..3, 0usize..3), 0..60)) {
        let mut steps = vec![Vec::new(); 3];
        let mut all = Vec::new();
        for (path, line, rule, step) in picks {
            let finding = at(&format!("p{path}"), line, &format!("r{rule}"));
            steps[step].push(finding.clone());
            all.push(finding);
        }
        let files: Vec<Vec<u8>> = steps.into_iter().map(|step| spooled(step, 300).0).collect();
        let merged: Vec<Finding> = merge_findings(files.iter().map(Vec::as_slice)).map(Result::unwrap).collect();
        let (text, _) = spooled(all, 1 << 20);
        let expect: Vec<Finding> = FindingLines::new(&text[..]).map(Result::unwrap).collect();
        prop_assert_eq!(merged, expect);
    }
}
