//! A report that uses everything, and the schema that judges logs.

use crashwise_core::{
    ArtifactRef, ByteSpan, Change, Confidence, Coverage, Finding, Fix, Gap, GapReason, Location, Position,
    Region, RelPath, RuleId, RunId, Severity, Suppression, SuppressionKind,
};
use crashwise_sarif::{Report, Rule, Tool};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    // A bracket too many in two patterns: JavaScript takes it as a character, the `u` flag and Rust do not.
    let schema =
        include_str!("../data/sarif-schema-2.1.0.json").replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}\\\\]?$");
    let schema = serde_json::from_str(&schema).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
});

/// Writes a log and asserts that it meets the schema.
pub(crate) fn log(report: &Report) -> Value {
    let mut bytes = Vec::new();
    crashwise_sarif::write(report, &mut bytes).unwrap();
    let log: Value = serde_json::from_slice(&bytes).unwrap();
    assert_valid(&log);
    log
}

pub(crate) fn assert_valid(log: &Value) {
    let errors: Vec<String> =
        SCHEMA.iter_errors(log).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

pub(crate) fn path(path: &str) -> RelPath {
    RelPath::new(path).unwrap()
}

pub(crate) fn region(start: (u32, u32), end: (u32, u32)) -> Region {
    Region::between(Position::new(start.0, start.1).unwrap(), Position::new(end.0, end.1).unwrap())
}

pub(crate) fn injection() -> Finding {
    let mut place = region((12, 5), (12, 31));
    place.bytes = Some(ByteSpan::new(240, 266));
    Finding::new(
        RuleId::new("code/python/sql-injection").unwrap(),
        "SQL built from strings",
        Severity::Critical,
    )
    .with_message("the query holds `name`, which comes from the request")
    .with_confidence(Confidence::High)
    .with_location(
        Location::new(path("src/größe 1.py")).with_region(place).with_snippet("cursor.execute(q + name)"),
    )
    .with_category("sql_injection")
    .with_cwe(89)
    .with_recommendation("Pass `name` as a parameter.")
    .with_reference("https://example.com/sql-injection")
    .with_evidence("sink", "execute")
    .with_related(Location::new(path("src/db.py")).with_start(Position::new(3, 1).unwrap()))
    .with_code_flow(vec![
        Location::new(path("src/web.py")).with_region(region((4, 1), (4, 9))).with_message("enters here"),
        Location::new(path("src/größe 1.py")).with_region(place).with_message("used here"),
    ])
    .with_fix(Fix {
        description: "use a parameter".into(),
        changes: vec![Change::new(path("src/größe 1.py"), place, "cursor.execute(q, (name,))")],
    })
}

pub(crate) fn findings() -> Vec<Finding> {
    let suppressed =
        Finding::new(RuleId::new("secrets/token").unwrap(), "Token in the source", Severity::High)
            .with_location(Location::new(path("test/a:b.txt")).with_region(region((1, 1), (1, 9))))
            .with_suppression(Suppression {
                kind: SuppressionKind::InSource,
                reason: "a test's token".into(),
            })
            .with_cwe(798);
    let crash = Finding::new(RuleId::new("fuzz/heap-overflow").unwrap(), "Heap overflow", Severity::Medium)
        .with_artifact(ArtifactRef { name: "crash/1 a".into(), digest: "ab".repeat(32), size: 17 });
    let info = Finding::new(RuleId::new("files/large").unwrap(), "Large file", Severity::Info)
        .with_location(Location::new(path("data.bin")));
    vec![crash, info, injection(), suppressed]
}

pub(crate) fn report() -> Report {
    let mut coverage = Coverage::new();
    coverage.add("files", 7);
    coverage.exclude("files", 2);
    coverage.push(Gap::new("src/broken.py", GapReason::Encoding, "not UTF-8"));
    coverage.push(Gap::new("afl-fuzz", GapReason::ToolMissing, ""));
    coverage.more_gaps.insert(GapReason::TooLarge, 3);
    Report::new(
        Tool::new("crashwise", "0.1.0").with_information_uri("https://example.com/"),
        "security_assessment",
    )
    .with_run_id(RunId::new("run-00000001").unwrap())
    .with_target("sample")
    .with_coverage(coverage)
    .with_exit_code(2)
    .with_summary(BTreeMap::from([("files_scanned".to_owned(), 7.into())]))
    .with_rule(
        RuleId::new("files/large").unwrap(),
        Rule::new()
            .with_name("LargeFile")
            .with_description("A file over 10 MB.")
            .with_help("Move *it* away."),
    )
    .with_findings(findings())
}
