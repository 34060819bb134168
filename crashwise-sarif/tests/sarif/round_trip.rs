use crate::sample::{assert_valid, findings, report};
use crashwise_core::{
    ArtifactRef, ByteSpan, Change, Confidence, CoverageStatus, Finding, Fix, FoundBy, GapReason, Location,
    Position, Region, RelPath, RuleId, Severity, Suppression, SuppressionKind,
};
use crashwise_sarif::{LogSummary, ReadOptions, Report, SarifLog, Tool, read};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use std::io::Cursor;

fn through_sarif(report: &Report) -> (Vec<Finding>, LogSummary) {
    let mut log = Vec::new();
    crashwise_sarif::write(report, &mut log).unwrap();
    assert_valid(&serde_json::from_slice(&log).unwrap());
    let mut back = Vec::new();
    let summary = read(Cursor::new(log), &ReadOptions::new(), &mut |finding| {
        back.push(finding);
        Ok(())
    })
    .unwrap();
    (back, summary)
}

fn with_fingerprints(mut findings: Vec<Finding>) -> Vec<Finding> {
    for finding in &mut findings {
        finding.fingerprint = Some(finding.default_fingerprint());
    }
    findings
}

#[test]
fn the_sample_and_its_coverage_come_back() {
    let (back, summary) = through_sarif(&report());
    assert_eq!(back, with_fingerprints(findings()));
    let coverage = &summary.runs[0].coverage;
    assert_eq!((coverage.status, coverage.gap_count()), (CoverageStatus::Partial, 5));
    assert_eq!(coverage.gaps, {
        let mut gaps = report().coverage.gaps;
        gaps.sort();
        gaps
    });
    assert_eq!(coverage.more_gaps[&GapReason::TooLarge], 3);
}

#[test]
fn an_earlier_log_is_a_baseline_in_which_nothing_changed() {
    let mut log = Vec::new();
    crashwise_sarif::write(&report(), &mut log).unwrap();
    let earlier = SarifLog::new(move || Ok(Cursor::new(log.clone())), ReadOptions::new());
    let comparison = crashwise_sarif::Comparison::new(earlier, &findings()).unwrap();
    assert_eq!((comparison.new.total(), comparison.updated.total(), comparison.absent.total()), (0, 0, 0));
    assert_eq!(comparison.unchanged.total(), 3);
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z<&\"\\\\ ]{1,12}", "\\PC{1,8}", "[\u{1}-\u{1f}x]{1,4}"]
}

fn rel_path() -> impl Strategy<Value = RelPath> {
    vec(prop_oneof!["[a-z]{1,5}", "[a-z%:#? ü\\\\]{1,6}x"], 1..4)
        .prop_map(|parts| RelPath::new(parts.join("/")).unwrap())
}

fn region(exact: bool) -> impl Strategy<Value = Region> {
    let number = || 1u32..5000;
    let end = option::of((0u32..9, number()));
    (number(), number(), end, option::of((0u64..1 << 50, 0u64..999))).prop_map(
        move |(line, column, end, bytes)| {
            let mut region = Region::at(Position::new(line, column).unwrap());
            region.end = end
                .or(exact.then_some((0, 0)))
                .map(|(lines, add)| Position::new(line + lines, column + add).unwrap());
            region.bytes = bytes.map(|(start, length)| ByteSpan::new(start, start + length));
            region
        },
    )
}

prop_compose! {
    fn location()(path in rel_path(), region in option::of(region(false)), snippet in option::of(text()),
        message in option::of(text())) -> Location
    {
        let mut place = Location::new(path);
        place.region = region;
        place.snippet = snippet;
        place.message = message;
        place
    }
}

prop_compose! {
    fn fix()(description in text(), changes in btree_map(rel_path(), vec((region(true), "[a-z]{0,3}"), 1..3), 1..3)) -> Fix {
        let changes = changes.into_iter().flat_map(|(path, list)| {
            list.into_iter().map(move |(region, text)| Change::new(path.clone(), region, text))
        });
        Fix { description, changes: changes.collect() }
    }
}

prop_compose! {
    fn facts()(title in text(), message in option::of(text()), severity in prop::sample::select(&Severity::ALL[..]),
        confidence in prop::sample::select(&[Confidence::Low, Confidence::Medium, Confidence::High][..]),
        category in prop_oneof![Just(String::new()), text()], recommendation in prop_oneof![Just(String::new()), text()],
        cwe in prop::sample::subsequence(vec![22u32, 79, 89, 798, 1321], 0..4), references in vec(text(), 0..3),
        evidence in btree_map("[a-z]{1,4}", text(), 0..3), found_by in option::of(text())) -> Finding
    {
        let mut finding = Finding::new(RuleId::new("replaced").unwrap(), title, severity).with_confidence(confidence);
        finding.message = message.filter(|text| *text != finding.title).unwrap_or_default();
        finding.category = category;
        finding.recommendation = recommendation;
        finding.cwe = cwe;
        finding.references = references;
        finding.evidence = evidence.into_iter().map(|(name, text)| (name, text.into())).collect();
        finding.found_by = found_by.map(|module| FoundBy { module, version: "1".into(), tool: None });
        finding
    }
}

prop_compose! {
    fn finding()(facts in facts(), rule in "[a-c]/[A-B.@+-]{1,2}", locations in vec(location(), 0..3),
        related in vec(location(), 0..2), code_flow in vec(location(), 0..3), fix in option::of(fix()),
        artifact in option::of((text(), "[0-9a-f]{64}", 0u64..1 << 60)), suppressed in option::of((any::<bool>(), text()))) -> Finding
    {
        let mut finding = facts;
        finding.rule_id = RuleId::new(rule).unwrap();
        finding.locations = locations;
        finding.related = related;
        finding.code_flow = code_flow;
        finding.fix = fix;
        finding.artifacts = artifact.into_iter().map(|(name, digest, size)| ArtifactRef { name, digest, size }).collect();
        finding.suppressions = suppressed
            .into_iter()
            .map(|(source, reason)| Suppression {
                kind: if source { SuppressionKind::InSource } else { SuppressionKind::External },
                reason,
            })
            .collect();
        finding
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn findings_come_back_as_they_went(list in vec(finding(), 0..6)) {
        let report = Report::new(Tool::new("crashwise", "0.1.0"), "w").with_findings(list.clone());
        let (back, _) = through_sarif(&report);
        prop_assert_eq!(back, with_fingerprints(list));
    }
}
