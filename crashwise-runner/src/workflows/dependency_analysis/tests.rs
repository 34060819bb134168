use super::*;
use crashwise_core::testing::WorkflowTest;
use crashwise_core::workflow::StepFailure;
use crashwise_core::{ModuleOutput, Severity};

fn params(value: Value) -> DependencyAnalysisParams {
    let checked = Workflow::metadata(&DependencyAnalysis).check_parameters(value).unwrap();
    serde_json::from_value(checked).unwrap()
}

#[test]
fn the_database_is_asked_for_and_the_rest_has_defaults() {
    let metadata = Workflow::metadata(&DependencyAnalysis);
    let problems = metadata.check_parameters(Value::Null).unwrap_err().to_string();
    assert!(problems.contains("database: is required"), "{problems}");
    let wrong = json!({"database": "x", "vulnerability_threshold": "huge"});
    let problems = metadata.check_parameters(wrong).unwrap_err().to_string();
    assert!(problems.contains("vulnerability_threshold: expected one of"), "{problems}");
    let defaults = params(json!({"database": "x"}));
    assert!(defaults.scan_dev_dependencies && defaults.ignore_files);
    assert_eq!((defaults.vulnerability_threshold.as_str(), defaults.max_database_age), ("medium", None));
}

fn scan() -> ModuleOutput {
    let mut output = ModuleOutput::new("dependency_scanner", "1.0.0");
    output.summary.output = json!({"name": "inventory.json", "size": 2, "digest": "d"});
    output.counts.add(Severity::Low);
    output
}

#[tokio::test]
async fn the_steps_hand_on_and_are_counted() {
    let test = WorkflowTest::new(DependencyAnalysis).fake("scan", |_| Ok(scan())).fake("analyze", |_| {
        let mut output = ModuleOutput::new("vulnerability_analyzer", "1.0.0");
        output.summary = crashwise_core::Summary::new().with("packages", 7).with("vulnerabilities", 1);
        output.counts.add(Severity::High);
        Ok(output)
    });
    let output = test.run(params(json!({"database": "x"}))).await.result.unwrap();
    assert_eq!((output.packages, output.vulnerabilities), (7, 1));
    assert_eq!((output.severity_counts.high, output.severity_counts.low), (1, 1));
    test.replay_from_every_prefix(params(json!({"database": "x"}))).await.unwrap();
}

#[tokio::test]
async fn a_failed_step_fails_the_run() {
    let test = WorkflowTest::new(DependencyAnalysis)
        .fake("scan", |_| Ok(scan()))
        .fake("analyze", |_| Err(StepFailure::fatal("the database is gone")));
    let error = test.run(params(json!({"database": "x"}))).await.result.unwrap_err();
    assert!(!error.to_string().is_empty());
}
