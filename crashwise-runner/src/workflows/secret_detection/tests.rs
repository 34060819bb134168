use super::*;
use crashwise_core::testing::WorkflowTest;
use crashwise_core::workflow::StepFailure;
use crashwise_core::{ModuleOutput, Severity};
use serde_json::json;

fn params(value: Value) -> SecretDetectionParams {
    let checked = Workflow::metadata(&SecretDetection).check_parameters(value).unwrap();
    serde_json::from_value(checked).unwrap()
}

#[test]
fn defaults_are_those_of_the_module() {
    let defaults = params(Value::Null).scanner_config;
    let module = serde_json::to_value(crashwise_modules::secrets::SecretScanConfig::default()).unwrap();
    assert_eq!(defaults, module);
    assert_eq!(params(Value::Null).config().unwrap(), module, "nothing said changes nothing");
}

#[test]
fn what_is_said_at_the_top_goes_to_the_module() {
    for (given, expect) in [
        (json!({"staged": true}), json!({"source": "staged"})),
        (json!({"scan_mode": "protect", "redact": true}), json!({"source": "staged"})),
        (json!({"scan_mode": "detect", "no_git": true}), json!({})),
        (json!({"no_git": false, "max_depth": 5}), json!({"source": "history", "max_commits": 5})),
        (json!({"history": true}), json!({"source": "history"})),
        (json!({"range": "a..b"}), json!({"source": "history", "range": "a..b"})),
        (json!({"redact": false, "concurrency": 3}), json!({"reveal": true, "threads": 3})),
        (
            json!({"verify": true, "include_detectors": ["github"]}),
            json!({"verify": true, "include_rules": ["github"]}),
        ),
        (json!({"exclude_detectors": ["jwt"]}), json!({"exclude_rules": ["jwt"]})),
        (
            json!({"file_patterns": ["*.py"], "max_file_size": 30000}),
            json!({"include": ["*.py"], "max_file_size": 30000}),
        ),
        (json!({"max_target_megabytes": 100}), json!({"max_file_size": 100_000_000})),
        (json!({"config_file": "r.toml"}), json!({"rule_files": ["r.toml"]})),
        (
            json!({"config_file": "r.toml", "scanner_config": {"rule_files": ["q.toml"]}}),
            json!({"rule_files": ["q.toml", "r.toml"]}),
        ),
        (json!({"baseline_file": "old.sarif"}), json!({"baseline": "old.sarif"})),
        (
            json!({"trufflehog_config": {"verify": true, "concurrency": 2, "max_depth": 7, "include_detectors": ["github"]}}),
            json!({"verify": true, "threads": 2, "max_commits": 7, "include_rules": ["github"]}),
        ),
        (
            json!({"gitleaks_config": {"scan_mode": "detect", "no_git": false, "redact": true, "max_target_megabytes": 2}}),
            json!({"source": "history", "max_file_size": 2_000_000}),
        ),
        (
            json!({"concurrency": 1, "trufflehog_config": {"concurrency": 2, "exclude_detectors": ["jwt"]}}),
            json!({"threads": 1, "exclude_rules": ["jwt"]}),
        ),
        (json!({"max_file_size": 1, "scanner_config": {"max_file_size": 2}}), json!({"max_file_size": 1})),
    ] {
        let mut config =
            serde_json::to_value(crashwise_modules::secrets::SecretScanConfig::default()).unwrap();
        config.as_object_mut().unwrap().extend(expect.as_object().unwrap().clone());
        assert_eq!(params(given.clone()).config().unwrap(), config, "{given}");
        serde_json::from_value::<crashwise_modules::secrets::SecretScanConfig>(config).unwrap();
    }
    assert!(params(json!({"staged": true, "history": true})).config().is_err());
}

#[tokio::test]
async fn findings_are_counted_and_a_failure_is_one() {
    let test = WorkflowTest::new(SecretDetection).fake("scan", |_| {
        let mut output = ModuleOutput::new("secret_scanner", "1.0.0");
        output.coverage.add("files", 9);
        output.counts.add(Severity::Critical);
        output.counts.add(Severity::High);
        Ok(output)
    });
    let output = test.run(params(Value::Null)).await.result.unwrap();
    assert_eq!((output.total_findings, output.files_scanned, output.severity_counts.critical), (2, 9, 1));
    test.replay_from_every_prefix(params(Value::Null)).await.unwrap();
    let failing = test.fake("scan", |_| Err(StepFailure::fatal("the disk is gone")));
    let error = failing.run(params(Value::Null)).await.result.unwrap_err();
    assert!(error.to_string().contains("the disk is gone"), "{error}");
}
