use std::path::{Path, PathBuf};
use std::sync::Arc;

use crashwise_core::testing::{Conformance, MemoryHost, ModuleTest, ModuleTestResult};
use crashwise_core::{CoverageStatus, Severity};
use serde_json::{Value, json};

mod out_of_step;

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
        .fold(ModuleTest::new(VulnerabilityAnalyzer::default()), |test, (path, text)| test.file(*path, text));
    test.config(whole).run().await.unwrap()
}

fn high() -> Value {
    json!({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"}]})
}

fn esc(text: &str) -> String {
    text.replace('\'', "\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_keep_the_promises_of_modules() {
    Conformance::new(DependencyScanner::default()).file("package-lock.json", LOCK).check().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path(), &[advisory("GHSA-1", "b", high())]);
    Conformance::new(VulnerabilityAnalyzer::default())
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
    let test = || ModuleTest::new(VulnerabilityAnalyzer::default()).file("package-lock.json", LOCK);
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
    let scan = ModuleTest::new(DependencyScanner::default())
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
    let judged =
        ModuleTest::new(VulnerabilityAnalyzer::default()).host(host).config(config).run().await.unwrap();
    assert!(judged.places().contains(&"GHSA-1 package-lock.json:3:1".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lockfile_over_the_limit_is_a_gap() {
    let test = ModuleTest::new(DependencyScanner::default()).config(json!({"max_file_size": 400}));
    let huge = format!("{{\"lockfileVersion\": 3, \"x\": \"{}\"}}", "x".repeat(500));
    let result =
        test.file("a/package-lock.json", LOCK).file("c/package-lock.json", huge).run().await.unwrap();
    assert_eq!(result.summary.values["packages"], 3);
    let gaps: Vec<String> = result.coverage.gaps.iter().map(ToString::to_string).collect();
    assert!(gaps.len() == 1 && gaps[0].starts_with("c/package-lock.json: too large"), "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn private_names_must_not_come_from_public_registries() {
    let lock = r#"{"lockfileVersion": 3, "packages": {"": {},
"node_modules/@acme/ui": {"version": "1.0.0"},
"node_modules/@acme/own": {"version": "1.0.0", "resolved": "https://npm.acme.example/@acme/own/-/own-1.0.0.tgz"},
"node_modules/acme-tool": {"version": "1.0.0", "license": "MIT"}}}"#;
    let config = json!({"private_names": ["@acme/*", "PyPI:acme_core", "npm:acme-*"]});
    let result = ModuleTest::new(DependencyScanner::default())
        .config(config)
        .file("package-lock.json", lock)
        .file("requirements.txt", "Acme.Core==1.0\nacme-tool==1.0\n")
        .run()
        .await
        .unwrap();
    assert_eq!(
        result.places(),
        [
            "dependencies/confusion package-lock.json:2:1",
            "dependencies/confusion package-lock.json:4:1",
            "dependencies/confusion requirements.txt:1:1",
        ]
    );
    assert_eq!(result.summary.values["licenses"], json!({"MIT": 1, "not stated": 4}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exploited_is_high_and_scores_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let epss = folder.path().join("epss.csv");
    std::fs::write(&epss, "#model\ncve,epss,percentile\nCVE-1-1,0.25,0.9\nCVE-1-2,0.5,0.95\n").unwrap();
    let kev = folder.path().join("kev.json");
    std::fs::write(&kev, r#"{"vulnerabilities": [{"cveID": "CVE-1-1", "dateAdded": "2024-01-02"}]}"#)
        .unwrap();
    let low = json!({"aliases": ["CVE-1-1", "CVE-1-2"], "database_specific": {"severity": "LOW"}});
    let records = [advisory("GHSA-1", "a", low), advisory("GHSA-2", "b", json!({}))];
    let files = [("package-lock.json", LOCK)];
    let result = analyze(&records, &files, json!({"unknown_severity": "ignore"})).await;
    assert_eq!(result.places(), Vec::<String>::new());
    let config = json!({"epss": epss, "kev": kev, "unknown_severity": "ignore"});
    let result = analyze(&records, &files, config).await;
    assert_eq!(result.places(), ["GHSA-1 package-lock.json:3:1"]);
    let finding = &result.findings[0];
    assert_eq!(finding.severity, Severity::High);
    assert_eq!(
        (&finding.evidence["epss"], &finding.evidence["known_exploited"]),
        (&json!(0.5), &json!(true))
    );
    std::fs::write(&kev, "{}").unwrap();
    let database = database(folder.path(), &records);
    let test = ModuleTest::new(VulnerabilityAnalyzer::default()).file("package-lock.json", LOCK);
    let error = test.config(json!({"database": database, "kev": kev})).run().await.unwrap_err();
    assert!(error.chain().contains("kev.json is no catalogue"), "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawn_versions_are_found_if_an_index_is_given() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("index/3/l")).unwrap();
    std::fs::write(folder.path().join("index/3/l/lib"), "{\"vers\":\"1.0.0\",\"yanked\":true}\n").unwrap();
    let package = |name: &str| {
        let public = super::lockfile::PUBLIC_INDEX;
        format!(
            "\n[[package]]\nname = '{name}'\nversion = '1.0.0'\nsource = 'registry+https{public}-index'\n"
        )
    };
    let lock = esc(&format!("version = 4\n{}{}", package("lib"), package("new")));
    let rust =
        json!({"affected": [{"package": {"ecosystem": "crates.io", "name": "other"}, "versions": ["1"]}]});
    let records = [advisory("A-1", "x", rust)];
    let config = json!({"registry_index": folder.path().join("index")});
    let result = analyze(&records, &[("Cargo.lock", &lock)], config).await;
    assert_eq!(result.places(), ["dependencies/yanked Cargo.lock:4:8"]);
    assert_eq!(result.summary.values["yanked"], 1);
    assert_eq!(result.coverage.status, CoverageStatus::Partial, "one version is not in the index");
}

/// An advisory, the file to change, its text, the other files, and the text after the change.
type Fixed<'a> = (Value, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn fixes_change_the_version_that_was_written_by_hand() {
    let record = |ecosystem: &str, name: &str| {
        json!({"id": format!("X-{name}").replace([':', '/'], "-"), "modified": "2999-01-01T00:00:00Z", "affected": [{"package": {"ecosystem": ecosystem, "name": name},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.5.0"}]}]}]})
    };
    let rows: [Fixed<'_>; 5] = [
        (
            record("npm", "a"),
            "package.json",
            "{\"dependencies\": {\"a\": \"^1\"}}",
            &[("package-lock.json", LOCK)],
            "{\"dependencies\": {\"a\": \"^1.5.0\"}}",
        ),
        (
            record("PyPI", "django"),
            "requirements.txt",
            "x>=1\nDjango==1.2 # old\n",
            &[],
            "x>=1\nDjango==1.5.0 # old\n",
        ),
        (
            record("Go", "example.org/a"),
            "go.mod",
            "module x\ngo 1.21\nrequire example.org/a v1.0.0 // x\n",
            &[],
            "module x\ngo 1.21\nrequire example.org/a v1.5.0 // x\n",
        ),
        (
            record("Maven", "g:a"),
            "pom.xml",
            "<project><dependencies><dependency><groupId>g</groupId><artifactId>a</artifactId><version>1.0</version></dependency></dependencies></project>",
            &[],
            "<project><dependencies><dependency><groupId>g</groupId><artifactId>a</artifactId><version>1.5.0</version></dependency></dependencies></project>",
        ),
        (
            record("NuGet", "A"),
            "a.csproj",
            "<Project><ItemGroup><PackageReference Include=\"A\" Version=\"1.0.0\" /></ItemGroup></Project>",
            &[],
            "<Project><ItemGroup><PackageReference Include=\"A\" Version=\"1.5.0\" /></ItemGroup></Project>",
        ),
    ];
    for (record, path, text, others, expect) in rows {
        let files: Vec<(&str, &str)> = others.iter().copied().chain([(path, text)]).collect();
        let result = analyze(&[record], &files, json!({})).await;
        let fix = result.findings[0].fix.as_ref().expect(path);
        let change = &fix.changes[0];
        let bytes = change.bytes().unwrap();
        let mut changed = text.to_owned();
        let at = usize::try_from(bytes.start).unwrap()..usize::try_from(bytes.end).unwrap();
        changed.replace_range(at, &change.replacement);
        assert_eq!((change.path.as_str(), changed.as_str()), (path, expect));
    }
}
