//! `regression_fuzzer`: what is known of the targets, run again.

use crashwise_core::{
    Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, Summary, async_trait, nearest,
};

use super::cargo::{self, Sanitizer};
use super::config::{Options, fuzzer_config, fuzzer_module};
use super::corpora::Kept;
use super::session::{self, Ready};
use super::{afl_fuzzer, atheris_fuzzer, cargo_fuzzer, libfuzzer_fuzzer};

fuzzer_module! {
    /// Replays corpora and known crashes of cargo-fuzz projects, libFuzzer programs, atheris scripts and harnesses for AFL++, and
    /// makes no new inputs: a finding for each crash that still happens, and the names of those that do not.
    RegressionFuzzer
}

fuzzer_config! {
    /// Configuration of [`RegressionFuzzer`].
    pub struct RegressionFuzzerConfig, 600 seconds {
        /// Targets to replay: names in a cargo-fuzz project, programs, scripts, and C or C++ files with a harness for AFL++; all
        /// that are found if none is named, harnesses if something is kept of them.
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
        let (mut rust, mut programs, mut scripts, mut sources) = (vec![], vec![], vec![], vec![]);
        let project = cargo::find(&session::root(cx));
        let known = project.as_ref().map_or(&[][..], |project| &project.targets);
        for name in &config.targets {
            if known.contains(name) {
                rust.push(name.clone());
            } else if name.to_ascii_lowercase().ends_with(".py") {
                scripts.push(name.clone());
            } else if afl_fuzzer::is_source(name) {
                sources.push(afl_fuzzer::inside(&session::root(cx), name, "targets")?);
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
            let level = config.sandbox.building();
            ready.extend(cargo_fuzzer::prepare(cx, &rust, config.sanitizer, level, work.path()).await?);
            let mut native = Vec::new();
            for one in ready.iter().filter(|_| config.sanitizer != Sanitizer::None) {
                if Kept::of(cx, &options, &one.target.name).needs_native().await {
                    native.push(one.target.name.clone());
                }
            }
            if !native.is_empty() {
                let built = cargo_fuzzer::native(cx, &native, level, work.path()).await?;
                cargo_fuzzer::add_native(cx, &mut ready, &built);
            }
        }
        if all || !programs.is_empty() {
            ready.extend(here(libfuzzer_fuzzer::prepare(cx, &programs).await, all)?);
        }
        if all || !scripts.is_empty() {
            ready.extend(here(atheris_fuzzer::prepare(cx, &scripts).await, all)?);
        }
        if all {
            for (name, path) in afl_fuzzer::harnesses(cx).await {
                // A program built of the same file has the same name, and the same corpus.
                let other = ready.iter().any(|ready| ready.target.name == name);
                if !other && !Kept::of(cx, &options, &name).is_empty().await {
                    sources.push(path);
                }
            }
        }
        if !sources.is_empty() {
            ready.extend(afl_fuzzer::prepare(cx, sources, config.sandbox, work.path()).await?);
        }
        if ready.is_empty() && !cx.is_cancelled() {
            return Err(ModuleError::Config(
                "the workspace has no fuzz targets: expected a cargo-fuzz project, executables built with \
                 -fsanitize=fuzzer, Python scripts with a TestOneInput, or harnesses in C of which AFL++ has found something"
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
