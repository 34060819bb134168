use crashwise_core::{CoverageStatus, Finding, Severity};
use crashwise_sarif::{LogSummary, ReadError, ReadOptions, read};
use serde_json::{Value, json};
use std::io::{self, Cursor};

fn read_with(log: &str, options: &ReadOptions) -> Result<(Vec<Finding>, LogSummary), ReadError> {
    let mut findings = Vec::new();
    let summary = read(Cursor::new(log), options, &mut |finding| {
        findings.push(finding);
        Ok(())
    })?;
    Ok((findings, summary))
}

fn read_run(run: &Value) -> (Vec<Finding>, LogSummary) {
    let log = json!({ "version": "2.1.0", "runs": [run] });
    read_with(&log.to_string(), &ReadOptions::new()).unwrap()
}

/// Reads one result of a run with these rules.
fn read_one(result: Value, rules: Value) -> Finding {
    let (mut findings, _) = read_run(&json!({
        "tool": { "driver": { "name": "lint", "version": "3", "rules": rules } }, "results": [result],
    }));
    assert_eq!(findings.len(), 1);
    findings.remove(0)
}

fn at(physical: Value) -> Value {
    json!({ "ruleId": "r", "message": { "text": "m" }, "locations": [{ "physicalLocation": physical }] })
}

#[test]
fn severities_of_other_producers() {
    let rule = |level: &str| json!([{ "id": "r", "defaultConfiguration": { "level": level } }]);
    let scored = json!([{ "id": "r", "properties": { "security-severity": "9.8" } }]);
    for (extra, rules, expect) in [
        (json!({}), json!([]), Severity::Medium),
        (json!({}), rule("error"), Severity::High),
        (json!({}), rule("nonsense"), Severity::Medium),
        (json!({ "level": "note" }), rule("error"), Severity::Low),
        (json!({ "level": "none" }), json!([]), Severity::Info),
        (json!({ "level": "warning" }), scored, Severity::Critical),
        (json!({ "level": "error", "properties": { "security-severity": 5 } }), json!([]), Severity::Medium),
        (json!({ "kind": "informational" }), rule("error"), Severity::Info),
        (json!({ "kind": "review" }), json!([]), Severity::Medium),
        (json!({ "level": "note", "properties": { "severity": "HIGH" } }), json!([]), Severity::High),
    ] {
        let mut result = json!({ "ruleId": "r", "message": { "text": "m" } });
        result.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        assert_eq!(read_one(result.clone(), rules).severity, expect, "{result}");
    }
}

#[test]
fn rules_by_index_reference_extension_and_case() {
    let run = json!({
        "results": [
            { "ruleIndex": 1, "message": { "text": "m" } },
            { "ruleId": "A/7", "message": { "text": "m" } },
            { "rule": { "index": 0, "toolComponent": { "index": 0 } }, "message": { "text": "m" } },
            { "rule": { "id": "P", "toolComponent": { "name": "plugin" } }, "message": { "text": "m" } },
            { "ruleIndex": 99, "message": { "text": "first\nsecond" } },
            { "ruleId": "a b\u{e9}", "message": { "text": "m" } },
        ],
        "tool": {
            "driver": { "name": "lint", "semanticVersion": "1.2.3", "rules": [
                { "id": "A", "shortDescription": { "text": "rule a" } }, { "id": "B", "name": "RuleB" }] },
            "extensions": [{ "name": "plugin", "rules": [{ "id": "P", "shortDescription": { "text": "rule p" } }] }],
        },
    });
    let (findings, summary) = read_run(&run);
    let told: Vec<(&str, &str)> = findings.iter().map(|f| (f.rule_id.as_str(), f.title.as_str())).collect();
    assert_eq!(
        told,
        [
            ("B", "RuleB"),
            ("A/7", "rule a"),
            ("P", "rule p"),
            ("P", "rule p"),
            ("unnamed", "first"),
            ("a-b-", "m"),
        ]
    );
    assert_eq!(findings[5].evidence["sarif/ruleId"], "a b\u{e9}");
    let found_by = findings[0].found_by.as_ref().unwrap();
    assert_eq!((found_by.module.as_str(), found_by.version.as_str()), ("lint", "1.2.3"));
    assert_eq!((summary.runs[0].tool.as_str(), summary.runs[0].results), ("lint", 6));
}

#[test]
fn messages_by_id_with_arguments() {
    let rules = json!([{ "id": "r", "shortDescription": { "text": "t" }, "messageStrings": {
        "default": { "text": "{{{0}}} and {1}, {2} {x" }, "other": { "text": "other {0}" } } }]);
    for (message, expect) in [
        (json!({ "id": "other", "arguments": ["x"] }), "other x"),
        (json!({ "arguments": ["a{1}", "b"] }), "{a{1}} and b, {2} {x"),
        (json!({ "text": "{0}!", "arguments": ["a"] }), "a!"),
        (json!({ "text": "{0}!" }), "{0}!"),
        (json!({ "id": "missing", "markdown": "*m*" }), "*m*"),
    ] {
        let finding = read_one(json!({ "ruleId": "r", "message": message }), rules.clone());
        assert_eq!(finding.text(), expect);
    }
}

#[test]
fn places_of_other_producers() {
    for (physical, expect) in [
        (json!({ "artifactLocation": { "uri": "a.c" } }), "a.c - -"),
        (json!({ "artifactLocation": { "uri": "a.c" }, "region": { "startLine": 3 } }), "a.c:3:1 - -"),
        (
            json!({ "artifactLocation": { "uri": "a.c" }, "region": { "startLine": 3, "endLine": 5 } }),
            "a.c:3:1 6:1 -",
        ),
        (
            json!({ "artifactLocation": { "uri": "a.c" }, "region": { "startLine": 3, "startColumn": 2, "endColumn": 4 } }),
            "a.c:3:2 3:4 -",
        ),
        (json!({ "artifactLocation": { "uri": "a.c" }, "region": { "startLine": 0 } }), "a.c - -"),
        (json!({ "artifactLocation": { "uri": "a.c" }, "region": { "startLine": -5 } }), "a.c - -"),
        (
            json!({ "artifactLocation": { "uri": "a.c" }, "region": { "startLine": 9, "endLine": 2, "endColumn": 1 } }),
            "a.c:9:1 - -",
        ),
        (json!({ "artifactLocation": { "uri": "a.c" }, "region": { "byteOffset": 7 } }), "a.c - -"),
        (
            json!({ "artifactLocation": { "uri": "a.c" }, "region": { "startLine": 1, "byteOffset": 7, "byteLength": 2 } }),
            "a.c:1:1 - 7-9",
        ),
        (json!({ "artifactLocation": { "uri": "x/../a%20b.c" } }), "a b.c - -"),
        (json!({ "artifactLocation": { "uri": "a.c", "uriBaseId": "SRC" } }), "src/lib/a.c - -"),
        (json!({ "artifactLocation": { "uri": "a.c", "uriBaseId": "ABS" } }), "a.c - -"),
        (json!({ "artifactLocation": { "index": 0 } }), "src/lib/indexed.c - -"),
        (json!({ "artifactLocation": { "uri": "../a.c" } }), "outside ../a.c"),
        (json!({ "artifactLocation": { "uri": "a.c", "uriBaseId": "LOOP" } }), "outside a.c"),
        (json!({ "artifactLocation": { "uri": "file:///etc/passwd" } }), "outside file:///etc/passwd"),
        (json!({ "artifactLocation": { "uri": "https://example.com/a" } }), "outside https://example.com/a"),
    ] {
        let (findings, _) = read_run(&json!({
            "tool": { "driver": { "name": "lint" } },
            "originalUriBaseIds": {
                "SRC": { "uri": "lib/", "uriBaseId": "ROOT" }, "ROOT": { "uri": "src/" },
                "ABS": { "uri": "file:///home/x/" }, "LOOP": { "uri": "l/", "uriBaseId": "LOOP" },
            },
            "artifacts": [{ "location": { "uri": "indexed.c", "uriBaseId": "SRC" } }],
            "results": [at(physical.clone())],
        }));
        let got = match findings[0].primary() {
            Some(place) => {
                let region = place.region;
                let end = region.and_then(|r| r.end).map_or("-".to_owned(), |end| end.to_string());
                let bytes =
                    region.and_then(|r| r.bytes).map_or("-".to_owned(), |b| format!("{}-{}", b.start, b.end));
                format!("{place} {end} {bytes}")
            }
            None => format!("outside {}", findings[0].evidence["sarif/uri"][0].as_str().unwrap()),
        };
        assert_eq!(got, expect, "{physical}");
    }
}

#[test]
fn a_root_makes_absolute_paths_relative() {
    let log = |uri: &str| {
        json!({ "version": "2.1.0", "runs": [{ "tool": { "driver": { "name": "t" } },
            "results": [at(json!({ "artifactLocation": { "uri": uri } }))] }] })
        .to_string()
    };
    for (root, uri, expect) in [
        ("/home/x", "file:///home/x/src/a.c", Some("src/a.c")),
        ("/home/x/", "/home/x/a.c", Some("a.c")),
        ("/home/x", "/home/xy/a.c", None),
        ("C:\\w", "file:///C:/w/a.c", Some("a.c")),
    ] {
        let (findings, _) = read_with(&log(uri), &ReadOptions::new().with_root(root)).unwrap();
        assert_eq!(findings[0].primary().map(|place| place.path.as_str()), expect, "{uri}");
    }
}

#[test]
fn weaknesses_from_taxa_relationships_and_tags() {
    let cwe = json!({ "name": "cwe" });
    for (result, rule, expect) in [
        (json!({ "taxa": [{ "id": "CWE-79", "toolComponent": cwe }] }), json!({}), vec![79]),
        (
            json!({}),
            json!({ "relationships": [{ "target": { "id": "89", "toolComponent": cwe } }] }),
            vec![89],
        ),
        (
            json!({}),
            json!({ "relationships": [{ "target": { "id": "89", "toolComponent": { "name": "OWASP" } } }] }),
            vec![],
        ),
        (
            json!({}),
            json!({ "properties": { "tags": ["external/cwe/cwe-022", "CWE-79: XSS", "cwe", "x"] } }),
            vec![22, 79],
        ),
        (json!({ "properties": { "cwe": ["CWE-1"] } }), json!({}), vec![1]),
    ] {
        let mut rule = rule;
        rule["id"] = "r".into();
        let mut result = result;
        result["ruleId"] = "r".into();
        result["message"] = json!({ "text": "m" });
        assert_eq!(read_one(result, json!([rule])).cwe, expect);
    }
}

#[test]
fn suppressions_count_only_when_accepted() {
    let result = json!({ "ruleId": "r", "message": { "text": "m" }, "suppressions": [
        { "kind": "external", "status": "rejected" }, { "kind": "inSource", "justification": "why" },
        { "kind": "external", "status": "underReview" }] });
    let finding = read_one(result, json!([]));
    assert_eq!(finding.suppressions.len(), 1);
    assert_eq!(finding.suppressions[0].reason, "why");
}

#[test]
fn fingerprints_of_other_producers() {
    let print = |extra: Value| {
        let mut result = at(json!({ "artifactLocation": { "uri": "a.c" }, "region": { "startLine": 1 } }));
        result.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        read_one(result, json!([])).fingerprint.unwrap()
    };
    let none = print(json!({}));
    assert_eq!(print(json!({ "fingerprints": { "matchBasedId/v1": "requires login" } })), none);
    let one = print(json!({ "fingerprints": { "x/v1": "1" } }));
    assert_ne!(one, none);
    assert_ne!(one, print(json!({ "fingerprints": { "x/v1": "2" } })));
    assert_ne!(print(json!({ "partialFingerprints": { "primaryLocationLineHash": "ab:1" } })), none);
    assert_eq!(print(json!({ "partialFingerprints": { "crashwise/v1": "own" } })).as_str(), "own");
}

#[test]
fn what_is_no_problem_is_skipped_and_counted() {
    let results: Vec<Value> = ["pass", "notApplicable", "fail", "open"]
        .iter()
        .map(|kind| json!({ "ruleId": kind, "kind": kind, "message": { "text": "m" } }))
        .chain([json!({ "ruleId": "gone", "baselineState": "absent", "message": { "text": "m" } })])
        .collect();
    let (findings, summary) = read_run(&json!({ "tool": { "driver": { "name": "t" } }, "results": results }));
    let ids: Vec<&str> = findings.iter().map(|finding| finding.rule_id.as_str()).collect();
    assert_eq!(ids, ["fail", "open"]);
    assert_eq!((summary.runs[0].results, summary.runs[0].skipped), (2, 3));
}

#[test]
fn a_tool_that_failed_is_not_clean() {
    let run = |extra: Value| {
        let mut run = json!({ "tool": { "driver": { "name": "t" } }, "results": [] });
        run.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let (_, summary) = read_run(&run);
        let coverage = &summary.runs[0].coverage;
        (coverage.status, coverage.gaps.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    for (extra, status, gaps) in [
        (json!({}), CoverageStatus::Complete, vec![]),
        (json!({ "results": null }), CoverageStatus::Partial, vec!["t: failed (the run has no results)"]),
        (
            json!({ "invocations": [{ "executionSuccessful": false, "exitCode": 3 }] }),
            CoverageStatus::Failed,
            vec!["t: failed (exit code 3)"],
        ),
        (
            json!({ "invocations": [{ "executionSuccessful": true, "toolExecutionNotifications": [
                { "message": { "text": "parse error" }, "level": "error", "locations": [
                    { "physicalLocation": { "artifactLocation": { "uri": "a.c" } } }] },
                { "message": { "text": "fyi" }, "level": "note" }] }] }),
            CoverageStatus::Partial,
            vec!["a.c: failed (parse error)"],
        ),
        (
            json!({ "externalPropertyFileReferences": { "results": [{ "itemCount": 1 }] } }),
            CoverageStatus::Partial,
            vec!["t: unsupported (parts of the log are in other files)"],
        ),
    ] {
        assert_eq!(run(extra.clone()), (status, gaps.into_iter().map(str::to_owned).collect()), "{extra}");
    }
}

#[test]
fn flows_stacks_and_byte_order_mark() {
    let step = |line: u32| json!({ "physicalLocation": { "artifactLocation": { "uri": "a.c" }, "region": { "startLine": line } } });
    let run = json!({
        "tool": { "driver": { "name": "t" } },
        "threadFlowLocations": [{ "location": step(8) }],
        "results": [
            { "message": { "text": "flow" }, "codeFlows": [{ "threadFlows": [{ "locations": [
                { "location": step(1) }, { "index": 0 }] }] }] },
            { "message": { "text": "stack" }, "stacks": [{ "frames": [{ "location": step(2) }, { "location": step(1) }] }] },
        ],
    });
    let log = format!("\u{feff}{}", json!({ "version": "2.1.0", "runs": [run] }));
    let (findings, _) = read_with(&log, &ReadOptions::new()).unwrap();
    let steps = |n: usize| findings[n].code_flow.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(steps(0), ["a.c:1:1", "a.c:8:1"]);
    assert_eq!(steps(1), ["a.c:1:1", "a.c:2:1"]);
}

#[test]
fn broken_logs_are_errors_that_say_where() {
    let tool = r#""tool": {"driver": {"name": "t"}}"#;
    for (log, expect) in [
        (String::new(), "the SARIF log is broken at line 1, column 0: EOF while parsing a value"),
        (
            "[]".into(),
            "the SARIF log is broken at line 1, column 1: invalid type: sequence, expected a SARIF log, which is an object",
        ),
        ("{}".into(), "the SARIF log is broken at line 1, column 2: missing field `runs`"),
        (r#"{"runs": []}"#.into(), "SARIF version (none) is not supported: expected 2.1.0"),
        (
            r#"{"version": "2.0.0", "runs": []}"#.into(),
            "SARIF version 2.0.0 is not supported: expected 2.1.0",
        ),
        (
            r#"{"version": "2.1.0", "runs": [{}]}"#.into(),
            "the SARIF log is broken at line 1, column 32: missing field `tool`",
        ),
        (
            format!("{{\"version\": \"2.1.0\", \"runs\": [{{{tool},\n\"results\": [{{}}]}}]}}"),
            "the SARIF log is broken at line 2, column 14: missing field `message`",
        ),
        (
            format!("{{\"version\": \"2.1.0\", \"runs\": [{{{tool},\n\"results\": [{{\"message\""),
            "the SARIF log is broken at line 2, column 22: EOF while parsing an object",
        ),
        (
            format!("{{\"version\": \"2.1.0\", \"runs\": [{{{tool}, \"results\": []}}]}} x"),
            "the SARIF log is broken at line 1, column 84: trailing characters",
        ),
        ("\u{0}".into(), "the SARIF log is broken at line 1, column 1: expected value"),
    ] {
        let error = read_with(&log, &ReadOptions::new()).unwrap_err();
        assert_eq!(error.to_string(), expect, "{log}");
    }
    let deep = format!("{{\"version\": \"2.1.0\", \"x\": {}", "[".repeat(100_000));
    assert!(read_with(&deep, &ReadOptions::new()).is_err());
}

#[test]
fn limits() {
    let bulk = "x".repeat(10_000);
    let result = json!({ "message": { "text": bulk } });
    let log = |rules: Value, results: Value, other: Value| {
        json!({ "version": "2.1.0", "other": other,
            "runs": [{ "tool": { "driver": { "name": "t", "rules": rules } }, "results": results }] })
        .to_string()
    };
    let options =
        ReadOptions::new().with_max_result_bytes(9_000).with_max_head_bytes(9_000).with_max_bytes(50_000);
    let small = json!([{ "message": { "text": "m" } }]);
    for (log, expect) in [
        (
            log(json!([]), json!([result]), json!(0)),
            "the SARIF log is too large: a result is over 9000 bytes",
        ),
        (
            log(json!([{ "id": bulk }]), small.clone(), json!(0)),
            "the SARIF log is too large: the description of tools and rules is over 9000 bytes",
        ),
        (
            log(json!([]), small.clone(), json!("x".repeat(50_000))),
            "the SARIF log is too large: the log is over 50000 bytes",
        ),
    ] {
        assert_eq!(read_with(&log, &options).unwrap_err().to_string(), expect);
    }
    assert_eq!(read_with(&log(json!([]), small, json!(bulk)), &options).unwrap().0.len(), 1);
}

#[test]
fn the_receivers_error_comes_back() {
    let log = json!({ "version": "2.1.0", "runs": [{ "tool": { "driver": { "name": "t" } },
        "results": [{ "message": { "text": "m" } }] }] });
    let full = &mut |_| Err(io::Error::from(io::ErrorKind::StorageFull));
    match read(Cursor::new(log.to_string()), &ReadOptions::new(), full) {
        Err(ReadError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
        other => panic!("{other:?}"),
    }
}
