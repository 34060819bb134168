//! `cargo_fuzzer`: fuzz targets in the layout of cargo-fuzz.

use std::time::Duration;

use crashwise_core::process::Level;
use crashwise_core::{
    Gap, GapReason, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, Summary, async_trait,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cargo::{self, Build, Sanitizer};
use super::libfuzzer::Target;
use super::session::{self, Options, Ready};

/// Builds and fuzzes the targets of a cargo-fuzz project, with the compiler that is installed.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct CargoFuzzer;

impl CargoFuzzer {
    /// The module.
    pub fn new() -> Self {
        Self
    }
}

/// Configuration of [`CargoFuzzer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CargoFuzzerConfig {
    /// The only target to fuzz; all of them if none is named.
    pub target_name: Option<String>,
    /// Inputs to execute for each target.
    #[schemars(range(min = 1))]
    pub max_iterations: u64,
    /// Seconds to fuzz, all targets together; building is not counted.
    #[schemars(range(min = 1, max = 604_800))]
    pub timeout_seconds: u64,
    /// What watches the targets.
    pub sanitizer: Sanitizer,
    /// Processes for each target at once.
    #[schemars(range(min = 1, max = 256))]
    pub jobs: usize,
    /// Seconds that one input may take.
    #[schemars(range(min = 1, max = 3600))]
    pub input_timeout_seconds: u64,
    /// Memory that one input may take, in MiB.
    #[schemars(range(min = 16))]
    pub memory_mib: u64,
    /// Seconds to spend on making each crashing input smaller.
    pub minimise_seconds: u64,
    /// Seed of the first process; 0 takes another each time.
    pub seed: u32,
    /// How far building and fuzzing are confined.
    pub sandbox: Confinement,
}

impl Default for CargoFuzzerConfig {
    fn default() -> Self {
        Self {
            target_name: None,
            max_iterations: 1_000_000,
            timeout_seconds: 1800,
            sanitizer: Sanitizer::Address,
            jobs: 1,
            input_timeout_seconds: 10,
            memory_mib: 2048,
            minimise_seconds: 10,
            seed: 0,
            sandbox: Confinement::Sandbox,
        }
    }
}

/// How far code of the project under test is confined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Confinement {
    /// No network, only the workspace and the tools, no privileges.
    #[default]
    Sandbox,
    /// Limits of memory, processes and time only.
    Limits,
}

impl Confinement {
    pub(super) fn level(self) -> Level {
        match self {
            Self::Sandbox => Level::Sandbox,
            Self::Limits => Level::Limits,
        }
    }
}

#[async_trait]
impl Module for CargoFuzzer {
    type Config = CargoFuzzerConfig;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new(
            "cargo_fuzzer",
            "1.0.0",
            ModuleKind::Fuzzer,
            "Builds and fuzzes the targets of a cargo-fuzz project",
        )
        .with_tags(["fuzzing", "rust", "libfuzzer", "coverage-guided"])
        .with_tool("cargo")
        .with_tool("rustc")
    }

    async fn run(&self, cx: &ModuleContext, config: CargoFuzzerConfig) -> Result<Summary, ModuleError> {
        let root = &session::root(cx);
        let project = cargo::find(root)?;
        let names = match &config.target_name {
            Some(name) if project.targets.contains(name) => vec![name.clone()],
            Some(name) => return Err(cargo::unknown(name, &project.targets)),
            None => project.targets.clone(),
        };
        if names.is_empty() {
            return Err(ModuleError::Config(
                "the fuzzing project has no targets: its manifest has no [[bin]]".into(),
            ));
        }
        cargo::require("rustc")?;
        let work = tempfile::Builder::new()
            .prefix("crashwise-fuzz-")
            .tempdir()
            .map_err(|error| ModuleError::failed_to("making a working directory failed", error))?;
        let recipe = Build {
            root,
            project: &project,
            sanitizer: config.sanitizer,
            level: config.sandbox.level(),
            output: work.path().join("target"),
        };
        let built = recipe.run(&names, cx.cancel_token()).await?;
        if cx.is_cancelled() {
            return Ok(Summary::new().with("total_executions", 0));
        }
        for (name, said) in &built.failed {
            cx.not_covered(Gap::new(name, GapReason::Failed, format!("it does not build: {said}")));
        }
        if built.programs.is_empty() {
            let said: Vec<&str> = built.failed.iter().map(|(_, said)| said.as_str()).collect();
            return Err(ModuleError::failed(format!("no fuzz target builds: {}", said.join("\n"))));
        }
        let base =
            project.directory.strip_prefix(root).unwrap_or(&project.directory).to_string_lossy().into_owned();
        let ready = built
            .programs
            .into_iter()
            .map(|(name, program)| {
                let dictionaries =
                    [project.directory.join(format!("{name}.dict")), project.directory.join("fuzz.dict")];
                Ready {
                    command: format!("{} {name} --", built.command),
                    base: base.clone(),
                    seeds: vec![
                        project.directory.join("corpus").join(&name),
                        project.directory.join("seeds").join(&name),
                    ],
                    corpus: None,
                    recursion: false,
                    dictionary: dictionaries.into_iter().find(|path| path.is_file()),
                    target: Target::new(name, program)
                        .with_level(config.sandbox.level())
                        .with_memory(config.memory_mib)
                        .with_patience(config.input_timeout_seconds)
                        .with_readable(root),
                }
            })
            .collect();
        let options = Options {
            budget: Duration::from_secs(config.timeout_seconds),
            executions: Some(config.max_iterations),
            jobs: config.jobs,
            seed: config.seed,
            minimise: Duration::from_secs(config.minimise_seconds),
            engine: "libFuzzer (cargo-fuzz)",
            sources: Vec::new(),
        };
        session::fuzz(cx, ready, options, work.path().to_owned()).await
    }
}
