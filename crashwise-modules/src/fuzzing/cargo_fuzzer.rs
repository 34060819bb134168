//! `cargo_fuzzer`: fuzz targets in the layout of cargo-fuzz.

use std::path::Path;

use crashwise_core::process::Level;
use crashwise_core::{
    Gap, GapReason, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, Summary, async_trait,
};

use super::cargo::{self, Build, Built, FuzzProject, Sanitizer};
use super::config::{Options, fuzzer_config, fuzzer_module};
use super::coverage::{self, Counted, CoverageTools};
use super::libfuzzer::Target;
use super::session::{self, Native, Ready};

fuzzer_module! {
    /// Builds and fuzzes the targets of a cargo-fuzz project, with the compiler that is installed.
    CargoFuzzer
}

fuzzer_config! {
    /// Configuration of [`CargoFuzzer`].
    pub struct CargoFuzzerConfig, 1800 seconds {
        /// The only target to fuzz; all of them if none is named.
        pub target_name: Option<String> = None,
        /// Inputs to execute for each target; as many as the time allows without.
        #[schemars(range(min = 1))]
        pub max_iterations: Option<u64> = None,
        /// What watches the targets.
        pub sanitizer: Sanitizer = Sanitizer::Address,
        /// Builds the targets without the sanitizer too, and lets both builds take turns over one corpus: one is many times as
        /// fast, the other sees what only a sanitizer can see.
        pub decouple_sanitizer: bool = true,
        /// Makes a report of the lines that the corpus reaches at the end: a second build, which needs LLVM's tools.
        pub coverage: bool = false,
    }
}

/// The folder of the build without a sanitizer, below that of a run.
const NATIVE: &str = "native";

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
        let names: Vec<String> = config.target_name.iter().cloned().collect();
        let work = session::work()?;
        let tools = if config.coverage {
            let project = cargo::find(&session::root(cx))?;
            Some(coverage::rust_tools(Some(&project.directory), cx.cancel_token()).await?)
        } else {
            None
        };
        let level = config.sandbox.building();
        // The build without a sanitizer comes first, since the others link the libFuzzer that it compiles.
        let decoupled = config.decouple_sanitizer && config.sanitizer != Sanitizer::None;
        let native = if decoupled { Some(native(cx, &names, level, work.path()).await?) } else { None };
        let mut ready = prepare(cx, &names, config.sanitizer, level, work.path()).await?;
        if let Some(native) = native {
            add_native(cx, &mut ready, &native);
        }
        for one in &mut ready {
            one.target = config.confine(one.target.clone());
            if config.sanitizer == Sanitizer::None {
                one.target = cargo::guarded(one.target.clone());
            }
        }
        if let Some(tools) = tools {
            count(cx, &mut ready, &tools, level, work.path()).await?;
        }
        let options = Options { executions: config.max_iterations, ..config.options(self.store.as_ref()) };
        session::fuzz(cx, ready, options, work.path().to_owned()).await
    }
}

/// The project in the workspace and those of its targets that are named, all if none is.
fn choose(root: &Path, names: &[String]) -> Result<(FuzzProject, Vec<String>), ModuleError> {
    let project = cargo::find(root)?;
    if let Some(name) = names.iter().find(|name| !project.targets.contains(name)) {
        return Err(cargo::unknown(name, &project.targets));
    }
    let names = if names.is_empty() { project.targets.clone() } else { names.to_vec() };
    if names.is_empty() {
        return Err(ModuleError::Config(
            "the fuzzing project has no targets: its manifest has no [[bin]]".into(),
        ));
    }
    Ok((project, names))
}

/// Builds the targets of the project in the workspace, all if none is named, below `work`. None is ready when the run was
/// cancelled.
pub(super) async fn prepare(
    cx: &ModuleContext,
    names: &[String],
    sanitizer: Sanitizer,
    level: Level,
    work: &Path,
) -> Result<Vec<Ready>, ModuleError> {
    let root = &session::root(cx);
    let (project, names) = choose(root, names)?;
    cargo::require("rustc")?;
    let (output, after) = (work.join("target"), Some(work.join(NATIVE)));
    let recipe = Build { root, project: &project, sanitizer, counts: false, level, output, after };
    let built = recipe.run(&names, cx.cancel_token()).await?;
    if cx.is_cancelled() {
        return Ok(Vec::new());
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
    let ready = built.programs.into_iter().map(|(name, program)| {
        let dictionaries =
            [project.directory.join(format!("{name}.dict")), project.directory.join("fuzz.dict")];
        let target = Target::new(&name, program).with_readable(root);
        Ready {
            seeds: vec![
                project.directory.join("corpus").join(&name),
                project.directory.join("seeds").join(&name),
            ],
            dictionary: dictionaries.into_iter().find(|path| path.is_file()),
            base: base.clone(),
            place: session::place(cx, &project.directory.join(format!("fuzz_targets/{name}.rs")))
                .or_else(|| session::place(cx, &project.directory.join("Cargo.toml"))),
            recursion: true,
            runner: (sanitizer == Sanitizer::None).then(|| built.runner.clone()),
            ..Ready::new(target, "libFuzzer (cargo-fuzz)", format!("{} {name} --", built.command))
        }
    });
    Ok(ready.collect())
}

/// Builds the targets without a sanitizer, all if none is named.
pub(super) async fn native(
    cx: &ModuleContext,
    names: &[String],
    level: Level,
    work: &Path,
) -> Result<Built, ModuleError> {
    let root = &session::root(cx);
    let (project, names) = choose(root, names)?;
    cargo::require("rustc")?;
    let (output, sanitizer) = (work.join(NATIVE), Sanitizer::None);
    let recipe = Build { root, project: &project, sanitizer, counts: false, level, output, after: None };
    recipe.run(&names, cx.cancel_token()).await
}

/// Adds what was built without a sanitizer. What does not build so is a gap, and fuzzed with the sanitizer alone.
pub(super) fn add_native(cx: &ModuleContext, ready: &mut [Ready], built: &Built) {
    for one in ready {
        let name = &one.target.name;
        if let Some((_, said)) = built.failed.iter().find(|(other, _)| other == name) {
            let why = format!("it does not build without a sanitizer: {said}");
            cx.not_covered(Gap::new(format!("{name} without a sanitizer"), GapReason::Failed, why));
        }
        if let Some((_, program)) = built.programs.iter().find(|(other, _)| other == name) {
            let command = format!("{} {name} --", built.command);
            let runner = built.runner.clone();
            one.native = Some(Native { program: program.clone(), command, runner });
        }
    }
}

/// Builds the targets once more, so that they count lines.
async fn count(
    cx: &ModuleContext,
    ready: &mut [Ready],
    tools: &CoverageTools,
    level: Level,
    work: &Path,
) -> Result<(), ModuleError> {
    let root = &session::root(cx);
    let project = cargo::find(root)?;
    let (output, after) = (work.join("counting"), Some(work.join(NATIVE)));
    let sanitizer = Sanitizer::None;
    let recipe = Build { root, project: &project, sanitizer, counts: true, level, output, after };
    let names: Vec<String> = ready.iter().map(|ready| ready.target.name.clone()).collect();
    let built = recipe.run(&names, cx.cancel_token()).await?;
    for (name, said) in &built.failed {
        let why = format!("it does not build with counters: {said}");
        cx.not_covered(Gap::new(format!("coverage of {name}"), GapReason::Failed, why));
    }
    for (name, program) in built.programs {
        for one in ready.iter_mut().filter(|one| one.target.name == name) {
            let target = Target { program: program.clone(), ..one.target.clone() };
            one.counted = Some(Counted { target, tools: tools.clone() });
        }
    }
    Ok(())
}
