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
    let config = CodeAnalyzerConfig { code_flows: false, ..CodeAnalyzerConfig::default() };
    let text = b"a = request.args['x']\nos.system(a)\n";
    let findings = CodeAnalyzer::new(config).unwrap().analyze(&RelPath::new("a.py").unwrap(), text).findings;
    assert!(findings[0].code_flow.is_empty() && findings[0].confidence == Confidence::High);
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

/// What analysers of this kind are commonly expected to know, one line each.
#[test]
fn the_usual_suspects() {
    let analyzer = CodeAnalyzer::default();
    for (file, category, lines) in [
        (
            "a.py",
            "hardcoded_secret",
            &[
                "api_key = 'fR7kq2ZpW9xLmT4vNcY8sB1h'",
                "API_KEY = \"fR7kq2ZpW9xLmT4vNcY8sB1h\"",
                "api_secret = 'Zk3mW8qRt5vXy2bNc7LdPf4sGh6j'",
                "password = 'tr0ub4dor&3Kx'",
                "auth_token = 'q9Wm3Zr7Tk5vXy2bNc8LdPf4sGh6j'",
                "aws_access_key_id = 'AKIAQ3EGRSDFWTYZBNMP'",
                "aws_secret_access_key = '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'",
                "KEY = '-----BEGIN RSA PRIVATE KEY-----\\nMIIEpAIBAAKCAQEA7bq98aTjQ2'",
                "h = {'Authorization': 'Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxOTI4In0.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1g'}",
                "secret = 'a94f2c8be17d3065f9e1b47a2c6d8035'",
            ][..],
        ),
        (
            "a.py",
            "sql_injection",
            &[
                "cursor.execute(\"SELECT * FROM users WHERE name = '\" + name + \"'\")",
                "cursor.execute(\"SELECT * FROM users WHERE id = %s\" % user_id)",
                "cursor.execute(f\"SELECT * FROM users WHERE id = {user_id}\")",
                "query = 'DELETE FROM users WHERE id = ' + user_id",
                "cursor.execute(\"SELECT * FROM t WHERE a = {}\".format(a))",
            ],
        ),
        ("a.js", "sql_injection", &["db.query(\"SELECT * FROM t WHERE id = \" + id);"]),
        ("a.php", "sql_injection", &["<?php mysqli_query($db, \"SELECT * FROM t WHERE id = \" . $id);"]),
        ("A.java", "sql_injection", &["st.executeQuery(\"SELECT * FROM t WHERE id = \" + id);"]),
        ("a.py", "", &["eval(data)", "exec(data)", "os.system(cmd)", "pickle.load(f)", "pickle.loads(data)"]),
        ("a.py", "", &["subprocess.call(cmd, shell=True)"]),
        (
            "a.js",
            "",
            &["eval(text);", "new Function(text);", "el.innerHTML = text;", "document.write(text);"],
        ),
        (
            "a.php",
            "",
            &[
                "<?php eval($x);",
                "<?php exec($cmd);",
                "<?php system($cmd);",
                "<?php shell_exec($cmd);",
                "<?php echo $_GET['name'];",
                "<?php echo $_POST['name'];",
            ],
        ),
    ] {
        let path = RelPath::new(file).unwrap();
        for line in lines {
            let findings = analyzer.analyze(&path, line.as_bytes()).findings;
            let found = findings.iter().any(|finding| category.is_empty() || finding.category == category);
            assert!(found, "{file}: {line}: {findings:?}");
        }
    }
}

#[test]
fn a_habit_is_reported_some_times_and_the_last_says_how_much_more_there_is() {
    let text = "let y = unsafe { core::mem::transmute(x) };\n".repeat(50);
    let findings = CodeAnalyzer::default().analyze(&RelPath::new("a.rs").unwrap(), text.as_bytes()).findings;
    assert_eq!(findings.len(), 20);
    let (last, others) = findings.split_last().unwrap();
    assert!(others.iter().all(|finding| finding.evidence.is_empty()));
    assert_eq!(last.evidence["more_places"], 30);
    assert!(last.message.ends_with("The file has 30 more such places."), "{}", last.message);
    assert_eq!(last.primary().unwrap().to_string(), "a.rs:20:18");
}
