use std::collections::BTreeSet;

use crashwise_core::CoverageStatus;
use crashwise_core::testing::ModuleTest;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::HttpVerifier;
use crate::secrets::{RuleInfo, ScanOptions, Secret, SecretScan, SecretScanner, Verification, Verifier};

/// Tokens of a format whose body is any text, so that the tests need no real one.
const TOKENS: [&str; 3] = [
    "r8_3fK9dLq7ZxW1cVbN5mJhG2tYuR8eS4aPo6iUy",
    "r8_7hQ2wErT9yUiO1pAsD4fGhJ6kLzX8cVbN3mQw",
    "r8_5tGbN8yHuJ2mKiL4oPaS7dFgH1jKlZ3xCvB6q",
];

/// Answers every request by the text of its head; gives the heads back.
async fn serve(
    answer: fn(&str) -> String,
    requests: usize,
) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        let mut heads = Vec::new();
        for _ in 0..requests {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut head = Vec::new();
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut part = [0; 1024];
                match stream.read(&mut part).await {
                    Ok(read) if read > 0 => head.extend_from_slice(&part[..read]),
                    _ => break,
                }
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            stream.write_all(answer(&head).as_bytes()).await.expect("written");
            heads.push(head);
        }
        heads
    });
    (address, server)
}

fn status(code: &str, body: &str) -> String {
    format!("HTTP/1.1 {code}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

#[test]
fn definitions_are_complete_and_name_rules_of_the_catalogue() {
    let verifier = HttpVerifier::new(&[].into()).expect("a verifier");
    let providers: BTreeSet<&str> = verifier.providers().collect();
    assert!(providers.len() >= 20, "{providers:?}");
    let scanner = SecretScanner::new(ScanOptions::new());
    for (rule, issuer) in &verifier.issuers {
        let id = format!("secret/{rule}");
        let known = scanner.rules().find(|known| known.id.as_str() == id);
        let known = known.unwrap_or_else(|| panic!("{id} is a rule"));
        assert_eq!(known.provider, issuer.provider, "{id}");
        assert!(issuer.host.starts_with("https://") && !issuer.host.ends_with('/'), "{}", issuer.host);
        assert!(issuer.path.starts_with('/') && !issuer.path.contains("{secret}"), "{}", issuer.path);
        assert!(issuer.header.1.contains("{secret}"), "{id}");
        assert!(!issuer.verified.is_empty() && !issuer.rejected.is_empty(), "{id}");
    }
}

#[test]
fn hosts_are_checked() {
    for (provider, host) in [
        ("nobody", "https://a.example"),
        ("GitLab", "http://git.example"),
        ("GitLab", "git.example"),
        ("GitLab", "ftp://127.0.0.1"),
    ] {
        let hosts = [(provider.to_owned(), host.to_owned())].into();
        assert!(HttpVerifier::new(&hosts).is_err(), "{provider} {host}");
    }
}

#[tokio::test]
async fn answers_are_read_and_stand_in_the_findings() {
    let answer = |head: &str| match TOKENS.iter().position(|token| head.contains(token)) {
        Some(0) => status("200 OK", "{}"),
        Some(1) => status("401 Unauthorized", "{}"),
        _ => status("500 Oops", "{}"),
    };
    let (address, server) = serve(answer, 3).await;
    let content = TOKENS.map(|token| format!("t: {token}\n")).concat();
    let test =
        |config: Value| ModuleTest::new(SecretScan::new()).config(config).file("a.txt", content.as_bytes());
    let plain = test(json!({})).run().await.expect("a result");
    assert_eq!(plain.findings.len(), 3);
    assert!(
        plain.findings.iter().all(|finding| !finding.evidence.contains_key("verification")),
        "never by default"
    );
    let config = json!({ "verify": true, "verify_hosts": { "replicate": address } });
    let result = test(config).run().await.expect("a result");
    let heads = server.await.expect("served");
    let said: Vec<&Value> = result.findings.iter().map(|finding| &finding.evidence["verification"]).collect();
    assert_eq!(said, ["verified", "rejected", "unknown"]);
    assert_eq!(
        (&result.summary.values["verified_secrets"], &result.summary.values["rejected_secrets"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(result.coverage.status, CoverageStatus::Partial, "one could not be verified");
    for (head, token) in heads.iter().zip(TOKENS) {
        assert!(head.starts_with("GET /v1/account HTTP/1.1\r\n"), "{head}");
        assert!(
            TOKENS.iter().any(|token| head.contains(&format!("authorization: Bearer {token}\r\n"))),
            "{head}"
        );
        let everything = format!("{:?} {:?} {:?}", result.findings, result.summary, result.coverage);
        assert!(!everything.contains(token));
    }
}

#[tokio::test]
async fn answers_are_told_by_their_text_where_the_status_says_nothing() {
    let verifier = HttpVerifier::new(&[].into()).expect("a verifier");
    let slack = &verifier.issuers["slack-bot-token"];
    let ok = reqwest::StatusCode::OK;
    for (text, expect) in [
        ("{\"ok\": true, \"user\": \"u\"}", Verification::Verified),
        ("{\"ok\":false,\"error\":\"invalid_auth\"}", Verification::Rejected),
        ("<html>", Verification::Unknown),
    ] {
        assert_eq!(slack.reads(ok, text), expect, "{text}");
    }
}

#[tokio::test]
async fn nobody_there_is_unknown_and_questions_are_paced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let verifier = HttpVerifier::new(&[("Replicate".to_owned(), address)].into()).expect("a verifier");
    let scanner = SecretScanner::new(ScanOptions::new());
    let rule = |id: &str| scanner.rules().find(|rule| rule.id.as_str() == id).expect("a rule").clone();
    let started = std::time::Instant::now();
    for _ in 0..3 {
        let said = verifier.verify(&rule("secret/replicate-token"), &Secret::new(TOKENS[0].as_bytes())).await;
        assert_eq!(said, Some(Verification::Unknown));
    }
    assert!(started.elapsed() >= 2 * std::time::Duration::from_millis(250));
    assert_eq!(verifier.verify(&rule("secret/jwt"), &Secret::new(b"x")).await, None, "nobody to ask");
}

#[derive(Debug)]
struct Always;

#[async_trait::async_trait]
impl Verifier for Always {
    async fn verify(&self, rule: &RuleInfo, _: &Secret) -> Option<Verification> {
        (rule.provider == "Replicate").then_some(Verification::Verified)
    }
}

#[tokio::test]
async fn an_embedder_brings_a_verifier() {
    let test = ModuleTest::new(SecretScan::new().with_verifier(Always))
        .config(json!({ "verify": true }))
        .file("a.txt", format!("{}\npassword = 'q8Xn!41kz'\n", TOKENS[0]).as_bytes());
    let result = test.run().await.expect("a result");
    let said: Vec<Option<&Value>> =
        result.findings.iter().map(|finding| finding.evidence.get("verification")).collect();
    assert_eq!(said, [Some(&json!("verified")), None]);
    assert_eq!(result.coverage.status, CoverageStatus::Complete);
}
