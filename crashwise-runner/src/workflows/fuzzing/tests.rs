use super::*;
use crashwise_core::Severity;
use crashwise_core::testing::WorkflowTest;
use crashwise_core::workflow::StepFailure;
use serde_json::json;
use std::time::Duration;

fn params<W: Workflow>(workflow: &W, value: Value) -> W::Params {
    let checked = workflow.metadata().check_parameters(value).unwrap();
    serde_json::from_value(checked).unwrap()
}

#[test]
fn metadata_and_modules_agree_on_defaults() {
    assert_eq!(params(&CargoFuzzing, Value::Null), CargoFuzzerConfig::default());
    assert_eq!(params(&LibfuzzerFuzzing, Value::Null), LibfuzzerFuzzerConfig::default());
    assert_eq!(params(&AtherisFuzzing, Value::Null), AtherisFuzzerConfig::default());
    assert_eq!(params(&AflFuzzing, Value::Null), AflFuzzerConfig::default());
    assert_eq!(params(&FuzzRegression, Value::Null), RegressionFuzzerConfig::default());
    let wrong = json!({"sanitizer": "undefined"});
    let problems = Workflow::metadata(&CargoFuzzing).check_parameters(wrong).unwrap_err().to_string();
    assert!(problems.contains("sanitizer") && problems.contains("address"), "{problems}");
    let wrong = json!({"timeout_second": 5});
    let problems = Workflow::metadata(&AtherisFuzzing).check_parameters(wrong).unwrap_err().to_string();
    assert!(problems.contains("timeout_seconds"), "{problems}");
}

#[tokio::test]
async fn the_step_is_counted_and_replays() {
    let test = WorkflowTest::new(CargoFuzzing).fake_taking("fuzz", Duration::from_mins(1), |_| {
        let mut output = ModuleOutput::new("cargo_fuzzer", "1.0.0");
        output.summary =
            output.summary.with("total_executions", 900).with("crashes_found", 2).with("coverage", 12.5);
        output.counts.add(Severity::High);
        output.counts.add(Severity::Medium);
        Ok(output)
    });
    let run = test.run(params(&CargoFuzzing, Value::Null)).await;
    assert_eq!(run.elapsed, Duration::from_mins(1));
    let output = run.result.unwrap();
    assert_eq!((output.total_executions, output.crashes_found, output.coverage), (900, 2, Some(12.5)));
    assert_eq!(output.severity_counts.high, 1);
    test.replay_from_every_prefix(params(&CargoFuzzing, Value::Null)).await.unwrap();
}

#[tokio::test]
async fn a_campaign_that_ran_nothing_fails_the_run() {
    let test =
        WorkflowTest::new(AtherisFuzzing).fake("fuzz", |_| Err(StepFailure::fatal("nothing was executed")));
    let error = test.run(params(&AtherisFuzzing, Value::Null)).await.result.unwrap_err();
    assert!(error.to_string().contains("nothing was executed"), "{error}");
}
