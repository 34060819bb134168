use std::io::Write;

use crashwise_core::testing::{Conformance, ModuleTest, ModuleTestResult};
use crashwise_core::{CoverageStatus, GapReason};
use serde_json::{Value, json};

use super::{ScanOptions, SecretScan, SecretScanner};

/// A password that appears nowhere but in the planted files.
const CANARY: &str = "Zq9!canary#77";

async fn run(config: Value, files: &[(&str, &[u8])]) -> ModuleTestResult {
    let mut test = ModuleTest::new(SecretScan).config(config);
    for (path, content) in files {
        test = test.file(*path, content);
    }
    test.run().await.expect("a result")
}

fn line(name: &str) -> String {
    format!("{name} = \"{CANARY}\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_promises_of_a_module() {
    Conformance::new(SecretScan).file("a/.env", line("DB_PASSWORD")).check().await.expect("conforming");
}

#[tokio::test]
async fn finds_places_and_groups_what_is_the_same() {
    let twice = format!("x\n{}{}", line("password"), line("other_password"));
    let result = run(json!({}), &[("b/app.py", twice.as_bytes()), ("a.ini", line("pwd").as_bytes())]).await;
    assert_eq!(
        result.places(),
        ["secret/generic-password a.ini:1:8", "secret/generic-password b/app.py:2:13"]
    );
    let second = &result.findings[1];
    assert_eq!(second.related.len(), 1);
    assert_eq!(second.evidence["occurrences"], 2);
    assert_eq!(second.evidence["also_in"], json!(["a.ini"]));
    assert_eq!(result.findings[0].evidence["secret_digest"], second.evidence["secret_digest"]);
    let snippet = second.locations[0].snippet.as_deref();
    assert_eq!(snippet, Some("password = \"[redacted]\""));
    assert_eq!(result.summary.values["secrets_found"], 2);
    assert_eq!(result.coverage.status, CoverageStatus::Complete);
}

#[tokio::test]
async fn a_fingerprint_follows_the_secret_and_not_the_line() {
    let fingerprint = |text: String| async move {
        run(json!({}), &[("a.py", text.as_bytes())]).await.findings[0].fingerprint.clone()
    };
    let first = fingerprint(line("password")).await;
    assert_eq!(first, fingerprint(format!("# moved\n\n{}", line("password"))).await);
    assert_ne!(
        first,
        fingerprint("password = \"Kx4!zebra%51q\"\n".to_owned()).await,
        "same place, new secret"
    );
}

#[tokio::test]
async fn the_raw_value_is_shown_only_when_asked_for() {
    let encoded = "cGFzc3dvcmQgPSAiWnE5IWNhbmFyeSM3NyIKcGFzc3dvcmQgPSAiWnE5IWNhbmFyeSM3NyI=";
    let text = format!("{}x = \"{encoded}\"\npassword: {CANARY} # {CANARY}\n", line("password"));
    let files: [(&str, &[u8]); 1] = [("a.yml", text.as_bytes())];
    for (config, shown) in [(json!({}), false), (json!({ "reveal": true }), true)] {
        let result = run(config, &files).await;
        let everything = format!(
            "{} {:?} {:?} {:?}",
            serde_json::to_string(&result.findings).expect("json"),
            result.summary,
            result.stats,
            result.findings
        );
        assert!(!result.findings.is_empty());
        assert_eq!(everything.contains(CANARY), shown);
        assert!(!everything.contains(encoded));
    }
}

#[tokio::test]
async fn marks_ignore_files_and_allowlists_suppress() {
    let marked = format!("password = \"{CANARY}\" # crashwise:allow\n");
    let files: [(&str, &[u8]); 4] = [
        ("marked.py", marked.as_bytes()),
        ("listed.py", &line("password").into_bytes()),
        ("allowed.py", &line("password").into_bytes()),
        (".gitleaksignore", b"listed.py:generic-api-key:1\n"),
    ];
    let config = json!({ "allow": [{ "paths": ["allowed.py"], "reason": "made up" }] });
    let result = run(config, &files).await;
    let reasons: Vec<&str> =
        result.findings.iter().map(|finding| finding.suppressions[0].reason.as_str()).collect();
    assert_eq!(reasons, ["made up", ".gitleaksignore", "crashwise:allow"]);
    let expired = json!({ "allow": [{ "paths": ["*"], "expires": "2001-01-01", "reason": "old" }] });
    let result = run(expired, &files[1..2]).await;
    assert!(result.findings[0].suppressions.is_empty());
    assert_eq!(result.summary.values["expired_allowlists"], 1);
}

#[tokio::test]
async fn configuration_that_cannot_be_used_is_refused() {
    for config in [
        json!({ "allow": [{ "reason": "everything" }] }),
        json!({ "allow": [{ "regexes": ["("] }] }),
        json!({ "rule_files": ["missing.toml"] }),
        json!({ "rule_files": ["../outside.toml"] }),
        json!({ "unknown": true }),
    ] {
        let result = ModuleTest::new(SecretScan).config(config.clone()).run().await;
        assert!(result.is_err(), "{config}");
    }
}

#[tokio::test]
async fn rule_files_add_rules_and_say_what_they_left_out() {
    let rules = "[[rules]]\nid = 'acme'\nregex = 'acme_[a-z0-9]{16}'\nvalidate = 'x'\n[[rules]]\nid = 'p'\npath = 'x'\n";
    let files: [(&str, &[u8]); 2] =
        [("rules.toml", rules.as_bytes()), ("a.txt", b"use acme_a1b2c3d4e5f6g7h8 now")];
    let result = run(json!({ "rule_files": ["rules.toml"] }), &files).await;
    assert_eq!(result.places(), ["acme a.txt:1:5"]);
    assert_eq!(result.coverage.gaps[0].reason, GapReason::Unsupported);
    assert_eq!(
        result.summary.values["rule_file_notes"],
        json!(["rules.toml: rule acme: `validate` has no effect"])
    );
}

#[tokio::test]
async fn archives_are_looked_into() {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    archive.start_file("inner/.env", options).expect("memory");
    archive.write_all(line("DB_PASSWORD").as_bytes()).expect("memory");
    let packed = archive.finish().expect("memory").into_inner();
    let result = run(json!({}), &[("doc.docx", &packed), ("broken.zip", b"PK\x03\x04\0\0")]).await;
    assert_eq!(result.places(), ["secret/generic-password doc.docx"]);
    assert!(result.findings[0].message.contains("in the entry inner/.env"), "{}", result.findings[0].message);
    assert_eq!(result.coverage.gaps[0].reason, GapReason::Malformed);
    let result = run(json!({ "containers": false }), &[("doc.docx", &packed)]).await;
    assert!(result.findings.is_empty());
}

#[test]
fn tokens_stand_alone_and_are_no_placeholders() {
    let scanner = SecretScanner::new(ScanOptions::new());
    let body = "0f3a9c1b7d5e2468ace013579bdf2468";
    for (text, expect) in [
        (format!("dapi{body}"), 1),
        (format!("url?x=%20dapi{body}&y"), 1),
        (format!("\"\\ndapi{body}\""), 1),
        (format!("xdapi{body}"), 0),
        (format!("dapi{body}f"), 0),
        (format!("dapi{}", "0".repeat(32)), 0),
        (format!("dapi{}", &body[..31]), 0),
    ] {
        assert_eq!(scanner.scan_bytes("a.txt", text.as_bytes()).len(), expect, "{text}");
    }
}

#[test]
fn matches_across_segments_are_found_once() {
    let scanner = SecretScanner::new(ScanOptions::new());
    let token = b"dapi0f3a9c1b7d5e2468ace013579bdf2468";
    for at in ((1 << 20) - 40..(1 << 20) + 4).step_by(5) {
        let mut text = vec![b' '; (1 << 20) + 200];
        text[at..at + token.len()].copy_from_slice(token);
        let found = scanner.scan_bytes("", &text);
        assert_eq!(found.len(), 1, "at {at}");
        assert_eq!(found[0].span, at..at + token.len());
    }
}

#[test]
fn hostile_input_ends_in_bounded_time() {
    let scanner = SecretScanner::new(ScanOptions::new());
    for unit in [
        "password=",
        "://a:b@",
        "AKIA",
        "eyJ",
        "-----BEGIN PRIVATE KEY-----",
        "\\x41",
        "%3D",
        "[",
        "\"a\" + ",
        "', '",
    ] {
        let text = unit.repeat(100_000 / unit.len());
        let found = scanner.scan_bytes("a.txt", text.as_bytes());
        assert!(found.len() <= 10_000, "{unit}");
    }
}
