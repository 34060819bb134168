//! `regression_fuzzer`: what is known of the targets, run again.

use std::collections::BTreeSet;

use crashwise_core::{
    Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, Summary, async_trait, nearest,
};

use super::cargo::{self, Sanitizer};
use super::config::{Options, fuzzer_config, fuzzer_module};
use super::corpora::Kept;
use super::session::{self, Ready};
use super::{atheris_fuzzer, cargo_fuzzer, libfuzzer_fuzzer};

fuzzer_module! {
    /// Replays corpora and known crashes of cargo-fuzz projects, libFuzzer programs and atheris scripts, and makes no new
    /// inputs: a finding for each crash that still happens, and the names of those that do not.
    RegressionFuzzer
}

fuzzer_config! {
    /// Configuration of [`RegressionFuzzer`].
    pub struct RegressionFuzzerConfig, 600 seconds {
        /// Targets to replay: names in a cargo-fuzz project, programs and scripts; all that are found if none is named.
        pub targets: Vec<String> = Vec::new(),
        /// What watches targets that are built.
        pub sanitizer: Sanitizer = Sanitizer::Address,
        /// Lets go of inputs of the kept corpora that reach nothing of their own.
        pub minimise_corpus: bool = false,
    }
}

#[async_trait]
impl Module for RegressionFuzzer {
    type Config = RegressionFuzzerConfig;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new(
            "regression_fuzzer",
            "1.0.0",
            ModuleKind::Fuzzer,
            "Replays corpora and known crashes of fuzz targets",
        )
        .with_tags(["fuzzing", "regression", "libfuzzer"])
    }

    async fn run(&self, cx: &ModuleContext, config: RegressionFuzzerConfig) -> Result<Summary, ModuleError> {
        let work = session::work()?;
        let options = Options {
            replay: true,
            minimise_corpus: config.minimise_corpus,
            ..config.options(self.store.as_ref())
        };
        let (mut rust, mut programs, mut scripts) = (Vec::new(), Vec::new(), Vec::new());
        let project = cargo::find(&session::root(cx));
        let known = project.as_ref().map_or(&[][..], |project| &project.targets);
        for name in &config.targets {
            if known.contains(name) {
                rust.push(name.clone());
            } else if name.to_ascii_lowercase().ends_with(".py") {
                scripts.push(name.clone());
            } else if let Some(near) = nearest(name, known.iter().map(String::as_str)) {
                let text = format!("targets: there is no fuzz target {name:?}, did you mean {near:?}?");
                return Err(ModuleError::Config(text));
            } else {
                programs.push(name.clone());
            }
        }
        let all = config.targets.is_empty();
        let mut ready: Vec<Ready> = Vec::new();
        if (all && project.is_ok()) || !rust.is_empty() {
            let level = config.sandbox.level();
            ready.extend(cargo_fuzzer::prepare(cx, &rust, config.sanitizer, level, work.path()).await?);
            let mut native = BTreeSet::new();
            for one in ready.iter().filter(|_| config.sanitizer != Sanitizer::None) {
                if Kept::of(cx, &options, &one.target.name).needs_native().await {
                    native.insert(one.target.name.clone());
                }
            }
            let wants = |one: &Ready| native.contains(&one.target.name);
            cargo_fuzzer::add_native(cx, &mut ready, wants, level, work.path()).await?;
        }
        if all || !programs.is_empty() {
            ready.extend(here(libfuzzer_fuzzer::prepare(cx, &programs).await, all)?);
        }
        if all || !scripts.is_empty() {
            ready.extend(here(atheris_fuzzer::prepare(cx, &scripts).await, all)?);
        }
        if ready.is_empty() && !cx.is_cancelled() {
            return Err(ModuleError::Config(
                "the workspace has no fuzz targets: expected a cargo-fuzz project, executables built with \
                 -fsanitize=fuzzer, or Python scripts with a TestOneInput"
                    .into(),
            ));
        }
        let ready =
            ready.into_iter().map(|ready| Ready { target: config.confine(ready.target), ..ready }).collect();
        session::fuzz(cx, ready, options, work.path().to_owned()).await
    }
}

/// What is ready of one family; one that is not in the workspace is fine when nothing of it was named.
fn here(found: Result<Vec<Ready>, ModuleError>, all: bool) -> Result<Vec<Ready>, ModuleError> {
    match found {
        Err(ModuleError::Config(_)) if all => Ok(Vec::new()),
        found => found,
    }
}
