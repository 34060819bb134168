use std::path::{Path, PathBuf};
use std::sync::Arc;

use crashwise_core::testing::{Conformance, MemoryHost, ModuleTest, ModuleTestResult};
use crashwise_core::{CoverageStatus, Severity};
use serde_json::{Value, json};

use super::advisory::DatabaseBuilder;
use super::{DependencyScanner, VulnerabilityAnalyzer};

const LOCK: &str = r#"{"lockfileVersion": 3, "packages": {
"": {"dependencies": {"a": "1"}, "devDependencies": {"t": "1"}},
"node_modules/a": {"version": "1.0.0", "dependencies": {"b": "1"}},
"node_modules/b": {"version": "1.0.0"},
"node_modules/t": {"version": "1.0.0", "dev": true}}}"#;

#[allow(clippy::needless_pass_by_value, reason = "the rows read better")]
fn advisory(id: &str, name: &str, more: Value) -> Value {
    let mut record = json!({
        "id": id, "modified": "2999-01-01T00:00:00Z", "summary": format!("{name} breaks"),
        "affected": [{"package": {"ecosystem": "npm", "name": name}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.5.0"}]}]}],
    });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record
}

fn database(folder: &Path, records: &[Value]) -> PathBuf {
    let source = folder.join("source");
    std::fs::create_dir(&source).unwrap();
    for (index, record) in records.iter().enumerate() {
        std::fs::write(source.join(format!("{index}.json")), record.to_string()).unwrap();
    }
    let path = folder.join("advisories.cwdb");
    let mut builder = DatabaseBuilder::new();
    builder.add(&source).unwrap();
    builder.write(&path).unwrap();
    path
}

#[allow(clippy::needless_pass_by_value, reason = "the rows read better")]
async fn analyze(records: &[Value], files: &[(&str, &str)], config: Value) -> ModuleTestResult {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = json!({"database": database(folder.path(), records)});
    whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let test = files
        .iter()
        .fold(ModuleTest::new(VulnerabilityAnalyzer), |test, (path, text)| test.file(*path, text));
    test.config(whole).run().await.unwrap()
}

fn high() -> Value {
    json!({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_keep_the_promises_of_modules() {
    Conformance::new(DependencyScanner).file("package-lock.json", LOCK).check().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path(), &[advisory("GHSA-1", "b", high())]);
    Conformance::new(VulnerabilityAnalyzer)
        .config(json!({"database": database}))
        .file("package-lock.json", LOCK)
        .check()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finding_says_where_why_and_what_to_do() {
    let records = [
        advisory(
            "GHSA-1",
            "b",
            json!({"aliases": ["CVE-1"], "database_specific": {"severity": "HIGH", "cwe_ids": ["CWE-79"]}, "references": [{"type": "WEB", "url": "https://advisories.example/1"}]}),
        ),
        advisory("OTHER-1", "b", json!({"aliases": ["CVE-1"]})),
    ];
    let result = analyze(
        &records,
        &[("web/package-lock.json", LOCK), ("web/package.json", "{\n\"dependencies\": {\"a\": \"1\"}}")],
        json!({}),
    )
    .await;
    assert_eq!(result.coverage.status, CoverageStatus::Complete);
    assert_eq!(result.places(), ["OTHER-1 web/package-lock.json:4:1"]);
    let finding = &result.findings[0];
    assert_eq!(finding.severity, Severity::High);
    assert_eq!(finding.text(), "b 1.0.0 is vulnerable: b breaks; fixed in 1.5.0; needed by a");
    assert_eq!(finding.related[0].to_string(), "web/package.json:2:18");
    let flow: Vec<String> = finding.code_flow.iter().map(ToString::to_string).collect();
    assert_eq!(flow, ["web/package-lock.json:3:1", "web/package-lock.json:4:1"]);
    assert_eq!(finding.evidence["aliases"], json!(["CVE-1", "GHSA-1"]));
    assert_eq!(finding.evidence["upgrade_to"], "1.5.0");
    assert_eq!(finding.evidence["severity_source"], "database");
    assert_eq!(result.summary.values["vulnerabilities"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn thresholds_scopes_and_unknown_severities() {
    let low = json!({"database_specific": {"severity": "LOW"}});
    let records = [advisory("A-1", "a", low), advisory("B-1", "b", json!({})), advisory("T-1", "t", high())];
    let rows = [
        (json!({}), vec![("B-1", Severity::Medium), ("T-1", Severity::High)]),
        (
            json!({"vulnerability_threshold": "low"}),
            vec![("A-1", Severity::Low), ("B-1", Severity::Low), ("T-1", Severity::High)],
        ),
        (json!({"vulnerability_threshold": "critical"}), vec![("B-1", Severity::Critical)]),
        (json!({"scan_dev_dependencies": false}), vec![("B-1", Severity::Medium)]),
        (json!({"unknown_severity": "ignore"}), vec![("T-1", Severity::High)]),
        (json!({"unknown_severity": "low"}), vec![("T-1", Severity::High)]),
        (json!({"unknown_severity": "critical"}), vec![("B-1", Severity::Critical), ("T-1", Severity::High)]),
    ];
    for (config, expect) in rows {
        let result = analyze(&records, &[("package-lock.json", LOCK)], config.clone()).await;
        let found: Vec<_> =
            result.findings.iter().map(|finding| (finding.rule_id.as_str(), finding.severity)).collect();
        assert_eq!(found, expect, "{config}");
    }
    let result =
        analyze(&records, &[("package-lock.json", LOCK)], json!({"scan_dev_dependencies": false})).await;
    assert_eq!(result.coverage.excluded["packages for development"], 1);
    assert_eq!(result.summary.values["unknown_severity"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ignores_suppress_expire_and_are_missed() {
    let records =
        [advisory("GHSA-1", "b", json!({"aliases": ["CVE-1"], "database_specific": {"severity": "HIGH"}}))];
    let file = "[[IgnoredVulns]]\nid = \"CVE-1\"\nreason = \"not reachable\"\n[[IgnoredVulns]]\nid = \"CVE-9\"\n[[IgnoredVulns]]\nid = \"GHSA-1\"\nignoreUntil = 2020-01-01\n";
    let result =
        analyze(&records, &[("package-lock.json", LOCK), ("osv-scanner.toml", file)], json!({})).await;
    assert_eq!(
        result.places(),
        [
            "dependencies/unused-ignore osv-scanner.toml:5:6",
            "dependencies/expired-ignore osv-scanner.toml:7:6",
            "GHSA-1 package-lock.json:4:1",
        ]
    );
    assert_eq!(result.findings[2].suppressions[0].reason, "not reachable (osv-scanner.toml:2:6)");
    assert_eq!(result.summary.values["suppressed"], 1);
    let result = analyze(
        &records,
        &[("package-lock.json", LOCK), ("osv-scanner.toml", file)],
        json!({"ignore_files": false}),
    )
    .await;
    assert!(result.findings.iter().all(|finding| finding.suppressions.is_empty()));
    // A statement counts for its own folder and below.
    let result =
        analyze(&records, &[("a/package-lock.json", LOCK), ("b/.trivyignore", "CVE-1\n")], json!({})).await;
    assert!(
        result
            .findings
            .iter()
            .any(|finding| finding.rule_id.as_str() == "GHSA-1" && finding.suppressions.is_empty())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_is_named_and_the_rest_is_judged() {
    let records = [advisory("GHSA-1", "b", high())];
    let files = [
        ("a/package-lock.json", LOCK),
        ("b/package-lock.json", &LOCK[..80]),
        ("d/Cargo.lock", "version = 99\n"),
    ];
    let result = analyze(&records, &files, json!({})).await;
    assert_eq!(result.places(), ["GHSA-1 a/package-lock.json:4:1"]);
    assert_eq!(result.coverage.status, CoverageStatus::Partial);
    let gaps: Vec<String> = result.coverage.gaps.iter().map(ToString::to_string).collect();
    for expect in ["b/package-lock.json:2:", "d/Cargo.lock:1:11: unsupported"] {
        assert!(gaps.iter().any(|gap| gap.contains(expect)), "{expect}: {gaps:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_old_database_is_never_a_clean_result() {
    let test = || ModuleTest::new(VulnerabilityAnalyzer).file("package-lock.json", LOCK);
    let error = test().run().await.unwrap_err();
    assert!(error.chain().contains("database: expected the path"), "{}", error.chain());
    let error = test().config(json!({"database": "/nowhere/x"})).run().await.unwrap_err();
    assert!(error.chain().contains("/nowhere/x"), "{}", error.chain());
    let folder = tempfile::tempdir().unwrap();
    let path =
        database(folder.path(), &[advisory("GHSA-1", "b", json!({"modified": "2020-01-01T00:00:00Z"}))]);
    let error = test().config(json!({"database": path, "max_database_age": 30})).run().await.unwrap_err();
    assert!(error.chain().contains("days old, at most 30 are allowed"), "{}", error.chain());
    let result = test().config(json!({"database": path})).run().await.unwrap();
    assert!(result.findings.iter().any(|finding| finding.rule_id.as_str() == "dependencies/old-database"));
    let result = analyze(
        &[advisory("GHSA-1", "b", json!({}))],
        &[(
            "Gemfile.lock",
            "GEM\n  remote: https://rubygems.example/\n  specs:\n    a (1.0)\n\nDEPENDENCIES\n  a\n",
        )],
        json!({}),
    )
    .await;
    assert_eq!(result.coverage.status, CoverageStatus::Partial, "nothing is known about the ecosystem");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scanner_hands_its_inventory_on() {
    let lock = r#"{"lockfileVersion": 3, "packages": {"": {"dependencies": {"g": "x"}},
"node_modules/g": {"version": "1.0.0", "resolved": "git+https://git.example/g.git#main"},
"node_modules/s": {"version": "1.0.0", "hasInstallScript": true}}}"#;
    let host = Arc::new(MemoryHost::default());
    let scan = ModuleTest::new(DependencyScanner)
        .host(Arc::clone(&host))
        .file("package-lock.json", lock)
        .run()
        .await
        .unwrap();
    assert_eq!(
        scan.places(),
        [
            "dependencies/unpinned-source package-lock.json:2:1",
            "dependencies/install-script package-lock.json:3:1"
        ]
    );
    assert_eq!(scan.summary.values["packages"], 2);
    let folder = tempfile::tempdir().unwrap();
    let path = database(folder.path(), &[advisory("GHSA-1", "s", high())]);
    let config = json!({"database": path, "inventory": scan.summary.output});
    let judged = ModuleTest::new(VulnerabilityAnalyzer).host(host).config(config).run().await.unwrap();
    assert!(judged.places().contains(&"GHSA-1 package-lock.json:3:1".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lockfile_over_the_limit_is_a_gap() {
    let test = ModuleTest::new(DependencyScanner).config(json!({"max_file_size": 400}));
    let huge = format!("{{\"lockfileVersion\": 3, \"x\": \"{}\"}}", "x".repeat(500));
    let result =
        test.file("a/package-lock.json", LOCK).file("c/package-lock.json", huge).run().await.unwrap();
    assert_eq!(result.summary.values["packages"], 3);
    let gaps: Vec<String> = result.coverage.gaps.iter().map(ToString::to_string).collect();
    assert!(gaps.len() == 1 && gaps[0].starts_with("c/package-lock.json: too large"), "{gaps:?}");
}
