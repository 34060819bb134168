use super::kind::media_type;
use super::*;
use crate::walk::ContentKind;
use crashwise_core::testing::{Conformance, ModuleTest};
use crashwise_core::{CoverageStatus, GapReason};
use serde_json::json;

const BODY: &str = "MIIEpAIBAAKCAQEA7bq8Y2kQ1v0m3n5p7r9t1v3x5z7B9D1F3H5J7L9NMIIEpAIBAAKCAQEA7bq8Y2kQ1v0m3n5p7r9t1v3x5z7B9D1F3H5J7L9N";

fn key(kind: &str) -> String {
    format!("-----BEGIN {kind}-----\n{BODY}\n-----END {kind}-----\n")
}

#[tokio::test]
async fn sensitive_files() {
    for (path, content, expect) in [
        ("id_rsa", key("OPENSSH PRIVATE KEY").as_str(), "file/private-key"),
        ("a/server.pem", &format!("Bag\n{}", key("PRIVATE KEY")), "file/private-key"),
        ("a/notes", &key("RSA PRIVATE KEY"), "file/private-key"),
        ("a/server.pem", &key("CERTIFICATE"), ""),
        ("README.md", &format!("Put it so:\n{}", key("RSA PRIVATE KEY")), ""),
        ("id_rsa.pub", "ssh-rsa AAAA", ""),
        (".env", "DB_PASSWORD=hunter22\n", "file/env"),
        (".env", "COLOUR=blue\n", "file/env-plain"),
        (".env.example", "DB_PASSWORD=hunter22\n", ""),
        (".npmrc", "//registry.example.org/:_authToken=npm_abcdef\n", "file/npmrc-token"),
        (".npmrc", "//registry.example.org/:_authToken=${NPM_TOKEN}\n", ""),
        (".git-credentials", "https://me:pw@example.org\n", "file/git-credentials"),
        ("home/.docker/config.json", "{\"auths\": {\"x\": {\"auth\": \"bWU6cHc=\"}}}", "file/docker-config"),
        ("src/config.json", "{\"auths\": {\"x\": {\"auth\": \"bWU6cHc=\"}}}", ""),
        ("k.jks", "\u{0}", ""),
        ("passwords.txt", "a\nb\n", "file/suspicious-name"),
        ("src/password.py", "a = 1\n", ""),
        ("tokenizer.json", "{}", ""),
        ("infra/x.tfstate", "{\"terraform_version\": \"1\"}", "file/terraform-state"),
        ("config/master.key", "0123456789abcdef0123456789abcdef\n", "file/rails-master-key"),
        (".kube/config", "users:\n- user:\n    token: abc\n", "file/kubeconfig"),
    ] {
        let result = ModuleTest::new(FileScanner).file(path, content).run().await.unwrap();
        let expect: Vec<_> =
            [expect].into_iter().filter(|id| !id.is_empty()).map(|id| format!("{id} {path}")).collect();
        assert_eq!(result.places(), expect, "{path}: {content}");
        assert_eq!(result.summary.values["sensitive_files"], expect.len());
    }
}

#[tokio::test]
async fn inventory() {
    let test = || {
        ModuleTest::new(FileScanner)
            .file("b.py", "x = 1\n")
            .file("a/c.png", b"\x89PNG\r\n\x1a\n\0")
            .file("a/big", "0123456789abcdef")
    };
    let result = test().config(json!({"calculate_hashes": true, "max_file_size": 10})).run().await.unwrap();
    let lines = String::from_utf8(result.artifact("inventory.jsonl").unwrap()).unwrap();
    let entries: Vec<InventoryEntry> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry.path.as_str(), entry.size, &*entry.media_type, entry.sha256.is_some()))
        .collect();
    assert_eq!(
        seen,
        [
            ("a/big", 16, "text/plain", false),
            ("a/c.png", 9, "image/png", true),
            ("b.py", 6, "text/x-python", true)
        ]
    );
    let expect = "9e26bf369911c45c243c684147b23fc9e1dcfcf257d299a1c632016a6fcd33f4";
    assert_eq!(entries[2].sha256.as_deref(), Some(expect));
    assert_eq!(result.summary.values["total_files"], 3);
    assert_eq!(result.summary.values["total_size_bytes"], 31);
    assert_eq!(
        result.summary.values["file_types"],
        json!({"image/png": 1, "text/plain": 1, "text/x-python": 1})
    );
    assert_eq!(result.coverage.gaps[0].reason, GapReason::TooLarge);
    assert!(result.findings.is_empty());
    let listed =
        test().config(json!({"list_files": true, "patterns": ["*.py", "b*", "*"]})).run().await.unwrap();
    assert_eq!(listed.places(), ["file/listed a/big", "file/listed a/c.png", "file/listed b.py"]);
    assert_eq!(listed.coverage.status, CoverageStatus::Complete);
    let python = test().config(json!({"patterns": ["*.py", "b*.py"]})).run().await.unwrap();
    assert_eq!(python.summary.values["total_files"], 1);
    assert!(test().config(json!({"patterns": ["a{"]})).run().await.unwrap_err().to_string().contains("a{"));
}

#[test]
fn media_types() {
    for (name, head, expect) in [
        ("x", &b"\x7fELF\x02"[..], "application/x-elf"),
        ("x.py", b"\x7fELF\x02", "application/x-elf"),
        ("x.jar", b"PK\x03\x04", "application/java-archive"),
        ("x.bin", b"PK\x03\x04", "application/zip"),
        ("MZ.txt", b"MZ is not a program", "text/plain"),
        ("run", b"#!/bin/sh\n", "text/x-shellscript"),
        ("run", b"#!/usr/bin/env python3\n", "text/x-python"),
        ("x.RS", b"fn", "text/x-rust"),
        ("x", b"", "inode/x-empty"),
        ("x.dat", b"\0\xff\0", "application/octet-stream"),
    ] {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        assert_eq!(media_type(name, extension, head, ContentKind::of(head)), expect, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    Conformance::new(FileScanner).file(".env", "SECRET=hunter22\n").check().await.unwrap();
}
