use crate::sample::{findings, injection, log, path, region, report};
use crashwise_core::{
    Change, Coverage, Finding, Fix, Gap, GapReason, Location, Position, Region, RuleId, Severity,
};
use crashwise_sarif::{Comparison, Report, RunStatus, Tool};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

fn result(log: &Value, rule: &str) -> Value {
    let results = log["runs"][0]["results"].as_array().unwrap();
    results.iter().find(|result| result["ruleId"] == rule).unwrap().clone()
}

#[test]
fn an_empty_report_is_a_valid_log() {
    let log = log(&Report::new(Tool::new("crashwise", "0.1.0"), "empty"));
    let run = &log["runs"][0];
    assert_eq!(log["version"], "2.1.0");
    assert_eq!((&run["results"], &run["tool"]["driver"]["rules"]), (&json!([]), &json!([])));
    assert_eq!(run["invocations"], json!([{ "executionSuccessful": true }]));
}

#[test]
fn a_finding_in_full() {
    let log = log(&report());
    let result = result(&log, "code/python/sql-injection");
    let uri = "src/gr%C3%B6%C3%9Fe%201.py";
    let place = json!({
        "startLine": 12, "startColumn": 5, "endLine": 12, "endColumn": 31, "byteOffset": 240, "byteLength": 26,
    });
    let mut with_snippet = place.clone();
    with_snippet["snippet"] = json!({ "text": "cursor.execute(q + name)" });
    let artifact = json!({ "uri": uri, "uriBaseId": "%SRCROOT%" });
    assert_eq!(result["level"], "error");
    assert_eq!(result.get("kind"), None);
    assert_eq!(result["message"]["text"], "the query holds `name`, which comes from the request");
    assert_eq!(
        result["locations"],
        json!([{ "physicalLocation": { "artifactLocation": artifact, "region": with_snippet } }])
    );
    assert_eq!(
        result["relatedLocations"],
        json!([{ "id": 1, "physicalLocation": {
            "artifactLocation": { "uri": "src/db.py", "uriBaseId": "%SRCROOT%" },
            "region": { "startLine": 3, "startColumn": 1 } } }])
    );
    let steps = result["codeFlows"][0]["threadFlows"][0]["locations"].as_array().unwrap();
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[0]["location"]["message"]["text"], "enters here");
    assert_eq!(steps[1]["location"]["physicalLocation"]["region"], place);
    assert_eq!(
        result["fixes"],
        json!([{ "description": { "text": "use a parameter" }, "artifactChanges": [{
            "artifactLocation": artifact,
            "replacements": [{ "deletedRegion": place, "insertedContent": { "text": "cursor.execute(q, (name,))" } }] }] }])
    );
    let fingerprint = injection().default_fingerprint();
    assert_eq!(result["partialFingerprints"]["crashwise/v1"], fingerprint.as_str());
    assert!(result["partialFingerprints"]["primaryLocationLineHash"].as_str().unwrap().ends_with(":1"));
    assert_eq!(
        result["properties"],
        json!({ "severity": "critical", "confidence": "high", "evidence": { "sink": "execute" } })
    );
}

#[test]
fn rules_and_weaknesses() {
    let log = log(&report());
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let ids: Vec<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["code/python/sql-injection", "files/large", "fuzz/heap-overflow", "secrets/token"]);
    for result in run["results"].as_array().unwrap() {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(result["ruleId"], ids[index]);
    }
    let rule = &rules[0];
    assert_eq!(rule["name"], "CodePythonSqlInjection");
    assert_eq!(rule["shortDescription"]["text"], "SQL built from strings");
    assert_eq!(rule["defaultConfiguration"]["level"], "error");
    assert_eq!(rule["helpUri"], "https://example.com/sql-injection");
    assert_eq!(rule["help"]["text"], "Pass `name` as a parameter.\nhttps://example.com/sql-injection");
    assert_eq!(rule["properties"]["security-severity"], "9.5");
    assert_eq!(rule["properties"]["tags"], json!(["external/cwe/cwe-089", "security", "sql_injection"]));
    let taxa = run["taxonomies"][0]["taxa"].as_array().unwrap();
    assert_eq!([&taxa[0]["id"], &taxa[1]["id"]], ["89", "798"]);
    let target = &rules[3]["relationships"][0]["target"];
    assert_eq!(*target, json!({ "id": "798", "index": 1, "toolComponent": { "name": "CWE", "index": 0 } }));
    assert_eq!(run["tool"]["driver"]["supportedTaxonomies"], json!([{ "name": "CWE", "index": 0 }]));
    assert_eq!(rules[1]["name"], "LargeFile");
    assert_eq!(rules[1]["fullDescription"]["text"], "A file over 10 MB.");
    assert_eq!(rules[1]["help"]["markdown"], "Move *it* away.");
}

#[test]
fn levels_kinds_suppressions_and_attachments() {
    let log = log(&report());
    for (rule, level, kind) in [
        ("fuzz/heap-overflow", "warning", Value::Null),
        ("files/large", "none", "informational".into()),
        ("secrets/token", "error", Value::Null),
    ] {
        let result = result(&log, rule);
        assert_eq!((&result["level"], &result["kind"]), (&level.into(), &kind), "{rule}");
    }
    let token = result(&log, "secrets/token");
    assert_eq!(
        token["suppressions"],
        json!([{ "kind": "inSource", "status": "accepted", "justification": "a test's token" }])
    );
    assert_eq!(token["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "test/a%3Ab.txt");
    let crash = result(&log, "fuzz/heap-overflow");
    assert_eq!(crash.get("locations"), None);
    let attachment = &crash["attachments"][0];
    let uri = format!("{}/crash%2F1%20a", "ab".repeat(32));
    assert_eq!(attachment["artifactLocation"], json!({ "uri": uri, "uriBaseId": "%ARTIFACTS%" }));
    assert_eq!(attachment["properties"]["size"], 17);
}

#[test]
fn what_was_not_covered_is_told() {
    let log = log(&report());
    let invocation = &log["runs"][0]["invocations"][0];
    assert_eq!((&invocation["executionSuccessful"], &invocation["exitCode"]), (&json!(true), &json!(2)));
    let notes = invocation["toolExecutionNotifications"].as_array().unwrap();
    let texts: Vec<&str> = notes.iter().map(|note| note["message"]["text"].as_str().unwrap()).collect();
    assert_eq!(
        texts,
        ["afl-fuzz: tool missing", "src/broken.py: encoding (not UTF-8)", "3 more not covered: too large"]
    );
    assert!(notes.iter().all(|note| note["level"] == "warning"));
    assert_eq!(notes[0].get("locations"), None);
    let artifact = &notes[1]["locations"][0]["physicalLocation"]["artifactLocation"];
    assert_eq!(artifact["uri"], "src/broken.py");
    let descriptors = &log["runs"][0]["tool"]["driver"]["notifications"];
    for note in notes {
        let index = usize::try_from(note["descriptor"]["index"].as_u64().unwrap()).unwrap();
        assert_eq!(descriptors[index]["id"], note["descriptor"]["id"]);
    }
}

#[test]
fn a_run_that_failed_never_looks_clean() {
    let tool = || Tool::new("crashwise", "0.1.0");
    let gap = Gap::new("scan", GapReason::Panicked, "boom");
    for report in [
        Report::new(tool(), "w").with_status(RunStatus::Failed),
        Report::new(tool(), "w").with_status(RunStatus::Cancelled),
        Report::new(tool(), "w").with_status(RunStatus::TimedOut),
        Report::new(tool(), "w").with_coverage(Coverage::failed(gap)),
    ] {
        let log = log(&report);
        let invocation = &log["runs"][0]["invocations"][0];
        assert_eq!(invocation["executionSuccessful"], false);
        assert_eq!(invocation["toolExecutionNotifications"][0]["level"], "error");
    }
}

#[test]
fn times_only_when_given() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
    let log = log(&report().with_time(start, Duration::from_secs(90)));
    let invocation = &log["runs"][0]["invocations"][0];
    assert_eq!(invocation["startTimeUtc"], "2023-11-14T22:13:20.250Z");
    assert_eq!(invocation["endTimeUtc"], "2023-11-14T22:14:50.250Z");
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    let bytes = |report: &Report| {
        let mut bytes = Vec::new();
        crashwise_sarif::write(report, &mut bytes).unwrap();
        bytes
    };
    assert_eq!(bytes(&report()), bytes(&report()));
    let mut turned = report();
    turned.coverage.gaps.reverse();
    assert_eq!(bytes(&turned), bytes(&report()));
}

#[test]
fn baseline_states() {
    let mut earlier = findings();
    earlier.push(
        Finding::new(RuleId::new("gone/rule").unwrap(), "Gone", Severity::Low)
            .with_location(Location::new(path("old.py")).with_region(region((1, 1), (1, 2)))),
    );
    let mut now = findings();
    now[2].locations[0].region = Some(Region::at(Position::new(99, 1).unwrap()));
    now[3].locations[0].path = path("elsewhere.txt");
    let comparison = Comparison::new(earlier, &now).unwrap();
    let log = log(&report().with_findings(now).with_comparison(comparison));
    for (rule, state) in [
        ("fuzz/heap-overflow", "unchanged"),
        ("files/large", "unchanged"),
        ("code/python/sql-injection", "updated"),
        ("gone/rule", "absent"),
    ] {
        assert_eq!(result(&log, rule)["baselineState"], state, "{rule}");
    }
    let states: Vec<&Value> =
        log["runs"][0]["results"].as_array().unwrap().iter().map(|r| &r["baselineState"]).collect();
    assert_eq!(states, ["unchanged", "unchanged", "updated", "new", "absent", "absent"]);
    assert_eq!(log["runs"][0]["properties"]["baseline"]["absent"]["low"], 1);
}

#[test]
fn a_repair_without_an_exact_place_is_not_offered() {
    let at = |region| {
        injection()
            .with_fix(Fix { description: "d".into(), changes: vec![Change::new(path("a"), region, "x")] })
    };
    let start_only = Region::at(Position::new(3, 4).unwrap());
    let mut bytes_only = start_only;
    bytes_only.bytes = Some(crashwise_core::ByteSpan::new(30, 30));
    let fixes = |finding| {
        result(&log(&report().with_findings(vec![finding])), "code/python/sql-injection")["fixes"].clone()
    };
    assert_eq!(fixes(at(start_only)), Value::Null);
    assert_eq!(
        fixes(at(bytes_only))[0]["artifactChanges"][0]["replacements"][0]["deletedRegion"],
        json!({ "byteOffset": 30, "byteLength": 0 })
    );
}
