//! `cargo_fuzzing`, `libfuzzer_fuzzing`, `atheris_fuzzing` and `afl_fuzzing`: one step each, which builds, fuzzes within its budget,
//! confirms and minimises what it finds. `fuzz_regression` replays what they know.

use crashwise_core::workflow::{Retry, Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, ModuleOutput, SeverityCounts};
use crashwise_modules::fuzzing::{
    AflFuzzerConfig, AtherisFuzzerConfig, CargoFuzzerConfig, LibfuzzerFuzzerConfig, RegressionFuzzerConfig,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Output of a fuzzing workflow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FuzzingOutput {
    /// Inputs executed.
    pub total_executions: u64,
    /// Crashes with different stacks.
    pub crashes_found: u64,
    /// Crashes, known ones too.
    pub total_crashes: u64,
    /// Crashes of earlier runs that still happen.
    pub known_crashes: u64,
    /// Crashes of earlier runs that no longer happen: target and title of each.
    pub fixed: Vec<String>,
    /// Inputs in the corpora.
    pub corpus_size: u64,
    /// Share of known edges reached, in percent, where the targets know how many there are.
    pub coverage: Option<f64>,
    /// Lines that the corpora reach, where a report of them was asked for.
    pub lines: Option<u64>,
    /// Lines that there are.
    pub lines_total: Option<u64>,
    /// Seconds of fuzzing.
    pub execution_time: u64,
    /// Findings by severity.
    pub severity_counts: SeverityCounts,
}

impl FuzzingOutput {
    fn of(output: &ModuleOutput) -> Self {
        let value = |name: &str| output.summary.values.get(name);
        let count = |name: &str| value(name).and_then(Value::as_u64).unwrap_or_default();
        Self {
            total_executions: count("total_executions"),
            crashes_found: count("crashes_found"),
            total_crashes: count("total_crashes"),
            known_crashes: count("known_crashes"),
            fixed: value("fixed").and_then(|fixed| Vec::deserialize(fixed).ok()).unwrap_or_default(),
            corpus_size: count("corpus_size"),
            coverage: value("coverage").and_then(Value::as_f64),
            lines: value("lines").and_then(Value::as_u64),
            lines_total: value("lines_total").and_then(Value::as_u64),
            execution_time: count("execution_time"),
            severity_counts: output.counts,
        }
    }
}

/// The one step. A campaign is not tried again by itself: the time is spent, and its findings are kept.
async fn fuzz<P: Serialize>(
    cx: &WorkflowContext,
    module: &str,
    params: &P,
) -> Result<FuzzingOutput, WorkflowError> {
    let config = serde_json::to_value(params).map_err(|error| WorkflowError::failed(error.to_string()))?;
    let output = cx.step("fuzz").retry(Retry::never()).call_named(module, config).await?;
    Ok(FuzzingOutput::of(&output))
}

macro_rules! fuzzing_workflow {
    ($(#[$doc:meta])* $name:ident, $params:ty, $module:literal, $file:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default)]
        #[non_exhaustive]
        pub struct $name;

        impl Workflow for $name {
            type Params = $params;
            type Output = FuzzingOutput;

            fn metadata(&self) -> Metadata {
                super::shipped($file, include_str!($file))
            }

            async fn run(&self, cx: &WorkflowContext, params: $params) -> Result<FuzzingOutput, WorkflowError> {
                fuzz(cx, $module, &params).await
            }
        }
    };
}

fuzzing_workflow!(
    /// Builds and fuzzes the targets of a cargo-fuzz project (step `fuzz`).
    CargoFuzzing,
    CargoFuzzerConfig,
    "cargo_fuzzer",
    "cargo_fuzzing.yaml"
);

fuzzing_workflow!(
    /// Fuzzes programs that libFuzzer is linked into (step `fuzz`).
    LibfuzzerFuzzing,
    LibfuzzerFuzzerConfig,
    "libfuzzer_fuzzer",
    "libfuzzer_fuzzing.yaml"
);

fuzzing_workflow!(
    /// Fuzzes Python scripts with a `TestOneInput` (step `fuzz`).
    AtherisFuzzing,
    AtherisFuzzerConfig,
    "atheris_fuzzer",
    "atheris_fuzzing.yaml"
);

fuzzing_workflow!(
    /// Fuzzes C and C++ targets by AFL++ (step `fuzz`).
    AflFuzzing,
    AflFuzzerConfig,
    "afl_fuzzer",
    "afl_fuzzing.yaml"
);

fuzzing_workflow!(
    /// Replays corpora and known crashes, and nothing else (step `fuzz`).
    FuzzRegression,
    RegressionFuzzerConfig,
    "regression_fuzzer",
    "fuzz_regression.yaml"
);

#[cfg(test)]
mod tests;
