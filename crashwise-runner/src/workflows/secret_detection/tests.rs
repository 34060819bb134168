use super::*;
use crashwise_core::testing::WorkflowTest;
use crashwise_core::workflow::StepFailure;
use crashwise_core::{ModuleOutput, Severity};

fn params(value: Value) -> SecretDetectionParams {
    let checked = Workflow::metadata(&SecretDetection).check_parameters(value).unwrap();
    serde_json::from_value(checked).unwrap()
}

#[test]
fn defaults_are_those_of_the_module() {
    let defaults = params(Value::Null).scanner_config;
    let module = serde_json::to_value(crashwise_modules::secrets::SecretScanConfig::default()).unwrap();
    assert_eq!(defaults, module);
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
