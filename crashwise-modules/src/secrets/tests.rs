use std::io::Write;

use crashwise_core::testing::{Conformance, ModuleTest, ModuleTestResult};
use crashwise_core::{CoverageStatus, GapReason};
use serde_json::{Value, json};

use super::{ScanOptions, SecretScan, SecretScanner};

/// A password that appears nowhere but in the planted files.
const CANARY: &str = "Zq9!canary#77";

/// Size and overlap of the windows in which large texts are read here.
const WINDOW: usize = 128 << 10;
const CONTEXT: usize = 8 << 10;

async fn run(config: Value, files: &[(&str, &[u8])]) -> ModuleTestResult {
    let mut test = ModuleTest::new(SecretScan::new().with_windows(WINDOW, CONTEXT)).config(config);
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
    Conformance::new(SecretScan::new())
        .file("a/.env", line("DB_PASSWORD"))
        .check()
        .await
        .expect("conforming");
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
async fn what_an_earlier_report_names_is_suppressed() {
    let other = "password = \"Kx4!zebra%51q\"\n";
    let text = line("password");
    let first = run(json!({}), &[("a.py", text.as_bytes())]).await;
    let fingerprint = first.findings[0].fingerprint.as_ref().expect("a fingerprint").to_string();
    let sarif = json!({"runs": [{"results": [{"partialFingerprints": {"crashwise/v1": fingerprint}}]}]});
    let leaks = json!([{"File": "a.py", "StartLine": 99, "Secret": CANARY, "RuleID": "generic-api-key"}]);
    for report in [sarif.to_string(), leaks.to_string()] {
        let both = format!("{text}{other}");
        let files = [("a.py", both.as_bytes()), ("known.json", report.as_bytes())];
        let result = run(json!({ "baseline": "known.json" }), &files).await;
        assert_eq!(
            result.places(),
            ["secret/generic-password a.py:1:13", "secret/generic-password a.py:2:13"],
            "the report itself is not scanned"
        );
        assert_eq!(result.findings[0].suppressions[0].reason, "baseline");
        assert!(result.findings[1].suppressions.is_empty(), "a new secret is not hidden");
    }
}

#[tokio::test]
async fn configuration_that_cannot_be_used_is_refused() {
    for config in [
        json!({ "allow": [{ "reason": "everything" }] }),
        json!({ "allow": [{ "regexes": ["("] }] }),
        json!({ "rule_files": ["missing.toml"] }),
        json!({ "rule_files": ["../outside.toml"] }),
        json!({ "baseline": "missing.json" }),
        json!({ "unknown": true }),
    ] {
        let result = ModuleTest::new(SecretScan::new()).config(config.clone()).run().await;
        assert!(result.is_err(), "{config}");
    }
}

#[tokio::test]
async fn rule_files_add_rules_and_say_what_they_left_out() {
    let rules = "[[rules]]\nid = 'acme'\nregex = 'acme_[a-z0-9]{16}'\nvalidate = 'x'\n[[rules]]\nid = 'p'\n";
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
async fn rules_may_want_a_file_for_its_path() {
    let rules = "[[rules]]\nid = 'key-store'\ndescription = 'A key store'\npath = '\\.p12$'\n\
                 [[rules.allowlists]]\npaths = ['^test/']\n";
    let files: [(&str, &[u8]); 4] = [
        ("r.toml", rules.as_bytes()),
        ("a.p12", b"0\x82\0\0"),
        ("test/b.p12", b"0\x82"),
        ("c.p12.txt", b"x"),
    ];
    let config = json!({ "rule_files": ["r.toml"] });
    let result = run(config.clone(), &files).await;
    assert_eq!(result.places(), ["key-store a.p12"]);
    assert_eq!(result.findings[0].message, "A key store");
    assert!(result.coverage.gaps.is_empty(), "{:?}", result.coverage);
    let other = run(config, &[files[0], ("a.p12", b"0\x82\0\x01")]).await;
    assert_ne!(
        other.findings[0].fingerprint, result.findings[0].fingerprint,
        "another file is another finding"
    );
    let list = json!([{ "paths": ["a.p12"], "reason": "public" }]);
    let allowed = run(json!({ "rule_files": ["r.toml"], "allow": list }), &files).await;
    assert_eq!(allowed.findings[0].suppressions[0].reason, "public");
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

/// A tar archive of one file.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[156] = b'0';
    header[257..262].copy_from_slice(b"ustar");
    let mut archive = [&header[..], content].concat();
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}

fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file(name, zip::write::SimpleFileOptions::default()).expect("memory");
    archive.write_all(content).expect("memory");
    archive.finish().expect("memory").into_inner()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).expect("memory");
    encoder.finish().expect("memory")
}

#[tokio::test]
async fn every_kind_of_file_is_read() {
    // Base64 of the canary, as the tools that write these files put it there.
    let encoded = "WnE5IWNhbmFyeSM3Nw==";
    let manifest = format!(
        "apiVersion: v1\nkind: ConfigMap\ndata:\n  host: bm90IHNlY3JldA==\n---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ntype: Opaque\ndata:\n  # of the database\n  password: {encoded}\n  host: ZGIuZXhhbXBsZQ==\n---\nkind: Pod\n"
    );
    let json = format!(
        "{{\n  \"kind\": \"Secret\",\n  \"data\": {{\n    \"db-password\": \"{encoded}\"\n  }}\n}}\n"
    );
    let notebook = format!(
        "{{\"cells\": [{{\"cell_type\": \"code\", \"source\": [\"import x\\n\", \"password = \\\"{CANARY}\\\"\\n\"]}}]}}"
    );
    let plain = line("password");
    let sheet = format!("<sst><si><t>password: {CANARY}</t></si></sst>");
    for (name, content, place, secret) in [
        ("secret.yaml", manifest.into_bytes(), "secret/generic-password secret.yaml:13:13", CANARY),
        ("secret.json", json.into_bytes(), "secret/generic-password secret.json:4:21", CANARY),
        (
            "config.json",
            b"{\"auths\": {\"r.example\": {\"auth\": \"Ym9iOlpxOSFjYW5hcnkjNzc=\"}}}".to_vec(),
            "secret/docker-config-auth config.json:1:35",
            "Ym9iOlpxOSFjYW5hcnkjNzc=",
        ),
        (
            ".env",
            format!("export DB_PASSWORD={CANARY}\n").into_bytes(),
            "secret/generic-password .env:1:20",
            CANARY,
        ),
        ("a.ipynb", notebook.into_bytes(), "secret/generic-password a.ipynb:1:73", CANARY),
        ("a.docx", zip("word/document.xml", sheet.as_bytes()), "secret/generic-password a.docx", CANARY),
        ("a.xlsx", zip("xl/sharedStrings.xml", sheet.as_bytes()), "secret/generic-password a.xlsx", CANARY),
        ("a.tar", tar("etc/app.conf", plain.as_bytes()), "secret/generic-password a.tar", CANARY),
        ("a.tgz", gzip(&tar("etc/app.conf", plain.as_bytes())), "secret/generic-password a.tgz", CANARY),
        (
            "b.zip",
            zip("a.tar", &tar("etc/app.conf", plain.as_bytes())),
            "secret/generic-password b.zip",
            CANARY,
        ),
        ("log.gz", gzip(plain.as_bytes()), "secret/generic-password log.gz", CANARY),
    ] {
        let result = run(json!({ "reveal": true }), &[(name, &content)]).await;
        assert_eq!(result.places(), [place]);
        assert_eq!(result.findings[0].evidence["secret"], secret, "{name}");
        assert_eq!(result.coverage.status, CoverageStatus::Complete, "{name}: {:?}", result.coverage.gaps);
    }
}

#[tokio::test]
async fn archives_inside_each_other_end_somewhere() {
    let mut nested = line("password").into_bytes();
    for _ in 0..5 {
        nested = zip("inner.zip", &nested);
    }
    let result = run(json!({}), &[("a.zip", &nested)]).await;
    assert_eq!(result.coverage.gaps[0].reason, GapReason::TooDeep);
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

#[tokio::test]
async fn large_texts_are_read_in_windows_without_losing_anything_at_a_border() {
    let token = "dapi0f3a9c1b7d5e2468ace013579bdf2468";
    // Around each border of the first two windows, one token at a time and one line to the left of it.
    let borders = [WINDOW - CONTEXT, WINDOW, 2 * (WINDOW - CONTEXT) - CONTEXT];
    let mut text = vec![b'x'; 3 * WINDOW];
    for at in (99..text.len()).step_by(100) {
        text[at] = b'\n';
    }
    let mut expect = Vec::new();
    for border in borders {
        for at in [border - 150, border - 20, border + 120] {
            text[at - 1] = b' ';
            text[at..at + token.len()].copy_from_slice(token.as_bytes());
            text[at + token.len()] = b' ';
            let line = memchr::memchr_iter(b'\n', &text[..at]).count() + 1;
            let column = at - text[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1) + 1;
            expect.push((at as u64, line, column));
        }
    }
    expect.sort_unstable();
    let result = run(json!({ "threads": 1 }), &[("big.log", &text)]).await;
    assert_eq!(result.findings.len(), 1, "one secret, many places");
    let finding = &result.findings[0];
    let places: Vec<_> =
        finding.locations.iter().chain(&finding.related).filter_map(|place| place.region).collect();
    let found: Vec<_> = places
        .iter()
        .map(|region| {
            let start = region.start;
            let line = usize::try_from(start.line.number()).expect("small");
            (region.bytes.expect("bytes").start, line, usize::try_from(start.column.number()).expect("small"))
        })
        .collect();
    assert_eq!(found, expect);
    assert_eq!(result.coverage.status, CoverageStatus::Complete);
    assert_eq!(result.coverage.looked_at["files"], 1);
    assert_eq!(result.coverage.looked_at["bytes"], text.len() as u64);
}

#[tokio::test]
async fn one_endless_line_full_of_secrets_is_bounded() {
    let one = "password = 'q8Xn!41kz'; ";
    let text = one.repeat((400 << 10) / one.len());
    let started = std::time::Instant::now();
    let result = run(json!({}), &[("line.js", text.as_bytes())]).await;
    assert_eq!(result.findings.len(), 1);
    assert_eq!(result.findings[0].evidence["occurrences"], text.len() / one.len());
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_run_keeps_no_more_secrets_than_it_has_room_for() {
    let text = "password = 'q8Xn!41kz'\n".repeat(9_000);
    let files = ["a.js", "b.js", "c.js", "d.js", "e.js"].map(|name| (name, text.as_bytes()));
    let result = run(json!({}), &files).await;
    let kept: u64 = result.findings.iter().filter_map(|one| one.evidence["occurrences"].as_u64()).sum();
    assert_eq!(kept, 40_000);
    let gaps: Vec<_> =
        result.coverage.gaps.iter().map(|gap| (gap.what.as_str(), gap.detail.as_str())).collect();
    assert_eq!(gaps, [(".", "more than 40000 secrets")]);
}

#[tokio::test]
async fn large_files_of_no_use_are_not_read_and_too_large_ones_are_gaps() {
    let mut archive = b"PK\x03\x04\0\0".to_vec();
    archive.resize((32 << 20) + 1, 0);
    let binary = vec![0_u8; 1 << 20];
    let result = run(json!({}), &[("a.zip", &archive), ("b.bin", &binary)]).await;
    let gaps: Vec<_> = result.coverage.gaps.iter().map(|gap| (gap.what.as_str(), gap.reason)).collect();
    assert_eq!(gaps, [("a.zip", GapReason::TooLarge)]);
    let result = run(json!({ "max_file_size": 1000 }), &[("a.txt", &[b'x'; 1001])]).await;
    assert_eq!(result.coverage.gaps[0].reason, GapReason::TooLarge);
}

#[tokio::test]
async fn rules_are_chosen_by_id_and_provider() {
    let text = format!("{}token dapi0f3a9c1b7d5e2468ace013579bdf2468\n", line("password"));
    for (config, expect) in [
        (json!({ "include_rules": ["Databricks"] }), vec!["secret/databricks-token"]),
        (json!({ "include_rules": ["generic-password"] }), vec!["secret/generic-password"]),
        (json!({ "exclude_rules": ["secret/generic-password"] }), vec!["secret/databricks-token"]),
        (json!({ "exclude_rules": ["databricks", "generic-password"] }), vec![]),
    ] {
        let result = run(config.clone(), &[("a.txt", text.as_bytes())]).await;
        let rules: Vec<&str> = result.findings.iter().map(|one| one.rule_id.as_str()).collect();
        assert_eq!(rules, expect, "{config}");
    }
    let wrong =
        ModuleTest::new(SecretScan::new()).config(json!({ "exclude_rules": ["nonesuch"] })).run().await;
    assert!(wrong.is_err());
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
