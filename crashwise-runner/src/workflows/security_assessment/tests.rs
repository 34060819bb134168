use super::*;
use crashwise_core::Severity;
use crashwise_core::testing::WorkflowTest;
use crashwise_core::workflow::{StepErrorKind, StepFailure};
use std::time::Duration;

fn output(module: &str, files: u64, severities: &[Severity]) -> ModuleOutput {
    let mut output = ModuleOutput::new(module, "1.0.0");
    output.coverage.add("files", files);
    for severity in severities {
        output.counts.add(*severity);
    }
    output
}

fn params(value: Value) -> SecurityAssessmentParams {
    let checked = Workflow::metadata(&SecurityAssessment).check_parameters(value).unwrap();
    serde_json::from_value(checked).unwrap()
}

fn scan_finds_two() -> WorkflowTest<SecurityAssessment> {
    WorkflowTest::new(SecurityAssessment)
        .fake_taking("scan", Duration::from_secs(3), |_| {
            Ok(output("file_scanner", 7, &[Severity::Medium, Severity::Medium]))
        })
        .fake_taking("analyze", Duration::from_secs(4), |_| {
            Ok(output("code_analyzer", 5, &[Severity::High, Severity::Info]))
        })
}

#[test]
fn defaults_are_the_documented_ones() {
    let defaults = params(Value::Null);
    assert_eq!(defaults.scanner_config["max_file_size"], 10_485_760);
    assert_eq!(defaults.scanner_config["patterns"], serde_json::json!(["*"]));
    assert_eq!(defaults.analyzer_config["check_sql"], true);
    assert!(!defaults.reporter_config.include_code_flows);
    let wrong = serde_json::json!({"analyzer_config": {"chek_sql": true}});
    let problems = Workflow::metadata(&SecurityAssessment).check_parameters(wrong).unwrap_err().to_string();
    assert!(problems.contains("did you mean \"check_sql\""), "{problems}");
}

#[tokio::test]
async fn steps_run_side_by_side_and_are_counted() {
    let test = scan_finds_two();
    let run = test.run(params(Value::Null)).await;
    assert_eq!(run.elapsed, Duration::from_secs(4));
    let output = run.result.unwrap();
    assert_eq!((output.total_findings, output.files_scanned, output.files_analyzed), (4, 7, 5));
    assert_eq!((output.sensitive_files, output.code_findings), (2, 2));
    assert_eq!((output.severity_counts.high, output.severity_counts.medium), (1, 2));
    test.replay_from_every_prefix(params(Value::Null)).await.unwrap();
}

#[tokio::test]
async fn code_flows_are_kept_when_asked_for() {
    for asked in [false, true] {
        let test = scan_finds_two().fake("analyze", move |call| {
            assert_eq!(call.config["code_flows"], asked);
            Ok(ModuleOutput::new("code_analyzer", "1.0.0"))
        });
        let given = serde_json::json!({"reporter_config": {"include_code_flows": asked}});
        test.run(params(given)).await.result.unwrap();
    }
}

#[tokio::test]
async fn one_failed_step_leaves_the_other() {
    let test = scan_finds_two().fake("analyze", |_| Err(StepFailure::fatal("the disk is gone")));
    let output = test.run(params(Value::Null)).await.result.unwrap();
    assert_eq!((output.total_findings, output.files_analyzed), (2, 0));
    let both = test.fake("scan", |_| Err(StepFailure::fatal("the disk is gone")));
    let error = both.run(params(Value::Null)).await.result.unwrap_err();
    assert!(error.to_string().contains("step scan failed: the disk is gone"), "{error}");
}

#[tokio::test]
async fn cancel_and_wrong_configurations_end_the_run() {
    let cancelled = scan_finds_two().cancel_after(Duration::from_secs(1)).run(params(Value::Null)).await;
    assert!(cancelled.result.unwrap_err().is_cancelled());
    let config = |_: &crashwise_core::testing::FakeCall| {
        Err(StepFailure::new(StepErrorKind::Config, "patterns: expected a list"))
    };
    let error = scan_finds_two().fake("scan", config).run(params(Value::Null)).await.result.unwrap_err();
    assert!(error.to_string().contains("patterns"), "{error}");
}
