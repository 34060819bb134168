//! The analyser as a module, on small trees.

use super::{CodeAnalyzer, CodeAnalyzerConfig, Language};
use crashwise_core::testing::{Conformance, ModuleTest};
use crashwise_core::{Confidence, CoverageStatus, GapReason, RelPath};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    Conformance::new(CodeAnalyzer::default()).check().await.unwrap();
}

#[tokio::test]
async fn configuration_chooses_rules_and_files() {
    let tree = || {
        ModuleTest::new(CodeAnalyzer::default())
            .file("a.py", "eval(x)\npassword = 'hunter2'\nq = 'SELECT a FROM b WHERE c = ' + d\n")
            .file("b.js", "eval(x)")
            .file("run", "#!/usr/bin/python3\nexec(x)\n")
            .file("node_modules/c.js", "eval(x)")
            .file("notes.txt", "eval(x)")
    };
    for (config, expect) in [
        (
            json!({}),
            "eval a.py:1:1, hardcoded-password a.py:2:1, sql-built a.py:3:5, eval b.js:1:1, exec run:2:1",
        ),
        (json!({"file_extensions": [".py"], "check_sql": false, "check_secrets": false}), "eval a.py:1:1"),
        (json!({"languages": ["javascript"], "exclude": []}), "eval b.js:1:1, eval node_modules/c.js:1:1"),
        (json!({"check_dangerous_functions": false, "check_sql": false}), "hardcoded-password a.py:2:1"),
        (json!({"rules": ["python/exec"]}), "exec run:2:1"),
        (json!({"exclude_rules": ["code/python/", "shared/*"]}), "eval b.js:1:1"),
        (json!({"include": ["*.js"]}), "eval b.js:1:1"),
        (json!({"min_confidence": "high"}), ""),
    ] {
        let result = tree().config(config.clone()).run().await.unwrap();
        let places = result
            .places()
            .iter()
            .map(|place| {
                place
                    .rsplit_once("code/")
                    .map_or(place.clone(), |(_, p)| p.split_once('/').unwrap().1.to_owned())
            })
            .collect::<Vec<_>>();
        assert_eq!(places.join(", "), expect, "{config}");
        assert_eq!(result.coverage.status, CoverageStatus::Complete);
    }
    let error = tree().config(json!({"exclude_rules": ["python/evil"]})).run().await.unwrap_err().to_string();
    assert!(error.contains("there is no rule \"python/evil\""), "{error}");
}

#[tokio::test]
async fn suppressed_findings_are_kept() {
    let text = "eval(a)  # crashwise:allow python/eval: input of tests\neval(b)\n";
    let result = ModuleTest::new(CodeAnalyzer::default()).file("a.py", text).run().await.unwrap();
    assert_eq!(result.findings[0].suppressions[0].reason, "input of tests");
    assert!(result.findings[1].suppressions.is_empty());
    assert_eq!(
        (&result.summary.values["total_findings"], &result.summary.values["suppressed_findings"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test]
async fn findings_beyond_the_limit_are_a_gap() {
    let config = json!({"max_findings_per_file": 2});
    let result = ModuleTest::new(CodeAnalyzer::default())
        .file("a.py", "eval(x)\n".repeat(5))
        .config(config)
        .run()
        .await
        .unwrap();
    assert_eq!((result.findings.len(), result.coverage.gaps[0].reason), (2, GapReason::TooMany));
}

#[test]
fn input_of_users_is_followed() {
    let analyzer = CodeAnalyzer::default();
    for (file, text, expect) in [
        (
            "a.py",
            "def f(request):\n    a = request.args['x']\n    b = 'ls ' + a\n    os.system(b)\n",
            Some("a.py:2:9"),
        ),
        ("a.py", "def f(request):\n    a = request.args['x']\ndef g(a):\n    os.system(a)\n", None),
        ("a.py", "a = int(request.args['x'])\nos.system(a)\n", None),
        ("a.js", "const { q } = req.query;\nexecSync('ls ' + q);\n", Some("a.js:1:15")),
        ("a.php", "<?php $a = $_GET['x'];\nsystem(\"ls $a\");\n", Some("a.php:1:12")),
        ("a.go", "n := r.FormValue(\"n\")\nexec.Command(\"sh\", \"-c\", n)\n", Some("a.go:1:6")),
    ] {
        let findings = analyzer.analyze(&RelPath::new(file).unwrap(), text.as_bytes()).findings;
        let finding = findings.iter().find(|finding| finding.category == "command_injection").unwrap();
        let from = finding.code_flow.first().map(ToString::to_string);
        assert_eq!(from.as_deref(), expect, "{text}");
        assert_eq!(finding.confidence == Confidence::High, expect.is_some());
    }
}

#[test]
fn repairs_are_exact() {
    let analyzer = CodeAnalyzer::default();
    for (file, text, expect) in [
        ("a.py", "x = yaml.load(f)", "x = yaml.safe_load(f)"),
        ("a.py", "yaml.load(f, Loader=yaml.Loader)", "yaml.safe_load(f)"),
        ("a.py", "requests.get(u, verify=False)", "requests.get(u, verify=True)"),
        ("a.go", "tls.Config{InsecureSkipVerify: true}", "tls.Config{InsecureSkipVerify: false}"),
        ("a.c", "printf(msg);", "printf(\"%s\", msg);"),
        ("a.js", "el.innerHTML = name;", "el.textContent = name;"),
        ("a.java", "MessageDigest.getInstance(\"MD5\");", "MessageDigest.getInstance(\"SHA-256\");"),
    ] {
        let findings = analyzer.analyze(&RelPath::new(file).unwrap(), text.as_bytes()).findings;
        let change = &findings[0].fix.as_ref().unwrap().changes[0];
        let bytes = change.bytes().unwrap();
        let (start, end) = (usize::try_from(bytes.start).unwrap(), usize::try_from(bytes.end).unwrap());
        assert_eq!(format!("{}{}{}", &text[..start], change.replacement, &text[end..]), expect);
    }
}

#[test]
fn hostile_text() {
    let analyzer =
        CodeAnalyzer::new(CodeAnalyzerConfig { max_findings_per_file: 10, ..Default::default() }).unwrap();
    let long = |text: &str, bytes: usize| text.repeat(bytes / text.len());
    for language in Language::ALL {
        let path = RelPath::new(format!("a.{}", language.extensions()[0])).unwrap();
        for text in [
            long("eval(", 60_000),
            long("a = \"select a from b\" + ", 60_000),
            long("`${", 30_000),
            long("/*", 30_000),
            long("x = eval(y); ", 60_000),
            long("password = '", 30_000),
            long("a=a+", 30_000),
            long("<<A ", 20_000),
        ] {
            let started = std::time::Instant::now();
            analyzer.analyze(&path, text.as_bytes());
            assert!(started.elapsed().as_secs() < 5, "{language}: {}", &text[..20]);
        }
        analyzer.analyze(&path, b"eval(\xff\xfe'\xc3\nx = \"\xed\xa0\x80");
    }
}

/// What the sample project is expected to give, finding by finding: near misses in it must stay silent.
#[tokio::test]
async fn sample_project() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/vulnerable-app");
    let expect = std::fs::read_to_string(root.join("expected.txt")).unwrap();
    let mut found = Vec::new();
    for module in crate::registry()
        .iter()
        .filter(|module| ["file_scanner", "code_analyzer"].contains(&module.info().name.as_str()))
    {
        let result = ModuleTest::shared(module.clone()).tree(&root).run().await.unwrap();
        assert_eq!(result.coverage.status, CoverageStatus::Complete);
        for finding in &result.findings {
            let place = finding.primary().unwrap();
            let line = place.region.map_or(String::new(), |region| format!(":{}", region.start.line));
            found.push(format!("{} {}{line}", finding.rule_id, place.path));
        }
    }
    found.sort();
    let expect: Vec<&str> = expect.lines().collect();
    assert_eq!(found, expect, "\n{}", found.join("\n"));
}
