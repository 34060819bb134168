//! `afl_fuzzer`: C and C++ targets and programs, by AFL++.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crashwise_core::process::{Limits, Network, Spec};
use crashwise_core::{
    Gap, GapReason, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, RelPath, Summary, async_trait,
};
use memchr::memmem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cargo;
use super::config::{Confinement, Options, fuzzer_config, fuzzer_module};
use super::libfuzzer::{FlagsBy, Target};
use super::session::{self, Ready, module_error};

/// What watches a C target while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CSanitizer {
    /// Memory errors.
    Address,
    /// Undefined behaviour.
    Undefined,
}

fuzzer_module! {
    /// Fuzzes by AFL++: C and C++ files with an `LLVMFuzzerTestOneInput` or a `main`, which it builds with AFL's compiler, or
    /// a program that was built with it.
    AflFuzzer
}

fuzzer_config! {
    /// Configuration of [`AflFuzzer`].
    pub struct AflFuzzerConfig, 1800 seconds {
        /// Source files of the only target, relative to the workspace; without any, each C or C++ file with an
        /// `LLVMFuzzerTestOneInput` is a target.
        pub sources: Vec<String> = Vec::new(),
        /// Further flags of the compiler, such as `-Iinclude`.
        pub flags: Vec<String> = Vec::new(),
        /// A program of the workspace that was built with AFL's compiler, in place of source files, and its arguments: `@@`
        /// stands for the file with the input, which comes on standard input without.
        pub command: Vec<String> = Vec::new(),
        /// What watches targets that are built; none is faster.
        pub sanitizers: Vec<CSanitizer> = vec![CSanitizer::Address, CSanitizer::Undefined],
        /// Inputs to execute for each target.
        #[schemars(range(min = 1))]
        pub max_iterations: Option<u64> = None,
    }
}

#[async_trait]
impl Module for AflFuzzer {
    type Config = AflFuzzerConfig;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new("afl_fuzzer", "1.0.0", ModuleKind::Fuzzer, "Fuzzes C and C++ targets by AFL++")
            .with_tags(["fuzzing", "c", "c++", "afl", "coverage-guided"])
            .with_tool("afl-fuzz")
            .with_tool("afl-clang-fast")
    }

    async fn run(&self, cx: &ModuleContext, config: AflFuzzerConfig) -> Result<Summary, ModuleError> {
        cargo::require("afl-fuzz")?;
        let work = session::work()?;
        let root = &session::root(cx);
        let ready = if config.command.is_empty() {
            cargo::require("afl-clang-fast")?;
            let groups = config.groups(cx, root).await?;
            config.build(cx, root, groups, work.path()).await?
        } else {
            vec![config.program(root)?]
        };
        let options = Options { executions: config.max_iterations, ..config.options(self.store.as_ref()) };
        session::fuzz(cx, ready, options, work.path().to_owned()).await
    }
}

impl AflFuzzerConfig {
    fn ready(&self, root: &Path, name: &str, program: &Path, args: Vec<String>, command: String) -> Ready {
        let mut target =
            self.confine(Target::new(name, program)).with_readable(root).with_flags(FlagsBy::Input);
        target.leaks = false;
        target.args.clone_from(&args);
        Ready { afl: Some(args), ..Ready::new(target, "AFL++", command) }
    }

    fn program(&self, root: &Path) -> Result<Ready, ModuleError> {
        let (name, args) = self.command.split_first().ok_or_else(|| ModuleError::Config("command".into()))?;
        let program = inside(root, name, "command")?;
        let stem = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let words: Vec<String> = args.iter().map(|arg| format!(" {arg}")).collect();
        let by_file = args.iter().any(|arg| arg.contains("@@"));
        let command = format!("./{name}{}{}", words.concat(), if by_file { "" } else { " <" });
        let beside = program.parent().unwrap_or(root);
        Ok(Ready {
            seeds: vec![beside.join(format!("{stem}_seed_corpus"))],
            dictionary: Some(beside.join(format!("{stem}.dict"))).filter(|path| path.is_file()),
            place: RelPath::new(name).ok(),
            ..self.ready(root, &stem, &program, args.to_vec(), command)
        })
    }

    /// The source files of each target.
    async fn groups(&self, cx: &ModuleContext, root: &Path) -> Result<Vec<Vec<PathBuf>>, ModuleError> {
        if !self.sources.is_empty() {
            let named = self.sources.iter().map(|name| inside(root, name, "sources"));
            return Ok(vec![named.collect::<Result<_, _>>()?]);
        }
        let found = cx.blocking(|cx| find(&session::root(cx))).await;
        if found.is_empty() {
            return Err(ModuleError::Config(
                "the workspace has no targets for AFL++: expected a C or C++ file with an LLVMFuzzerTestOneInput, or \
                 `sources` or `command`"
                    .into(),
            ));
        }
        Ok(found.into_iter().map(|path| vec![path]).collect())
    }

    async fn build(
        &self,
        cx: &ModuleContext,
        root: &Path,
        groups: Vec<Vec<PathBuf>>,
        work: &Path,
    ) -> Result<Vec<Ready>, ModuleError> {
        let (mut ready, mut failed) = (Vec::new(), Vec::new());
        for group in groups {
            let (name, relative) = named(root, &group[0]);
            match self.compile(cx, root, &group, &work.join("build").join(&name)).await? {
                Ok((program, command, driver)) => {
                    let beside = group[0].parent().unwrap_or(root);
                    let mut one = self.ready(root, &name, &program, Vec::new(), command);
                    if driver {
                        // The driver takes inputs from memory that it shares with AFL++, and a single one by its name.
                        one.target.args = vec!["@@".into()];
                    }
                    one.base = relative.parent().unwrap_or(Path::new("")).to_string_lossy().into_owned();
                    one.place = session::place(cx, &group[0]);
                    one.seeds = vec![beside.join(format!("{name}_seed_corpus"))];
                    one.dictionary = Some(beside.join(format!("{name}.dict"))).filter(|path| path.is_file());
                    ready.push(one);
                }
                Err(said) => {
                    cx.not_covered(Gap::new(&name, GapReason::Failed, format!("it does not build: {said}")));
                    failed.push(said);
                }
            }
        }
        if ready.is_empty() && !cx.is_cancelled() {
            return Err(ModuleError::failed(format!("no target builds: {}", failed.join("\n"))));
        }
        Ok(ready)
    }

    /// The program, what builds and runs it again, and whether it has AFL's driver; or what the compiler said.
    async fn compile(
        &self,
        cx: &ModuleContext,
        root: &Path,
        sources: &[PathBuf],
        folder: &Path,
    ) -> Result<Result<(PathBuf, String, bool), String>, ModuleError> {
        let made = fs::create_dir_all(folder);
        made.map_err(|error| ModuleError::failed_to("making the build directory failed", error))?;
        let plus = sources.iter().any(|path| path.extension().is_some_and(|ending| ending != "c"));
        let driver = sources.iter().any(|path| is_harness(path));
        let mut args: Vec<String> = ["-g", "-O1", "-fno-omit-frame-pointer"].map(String::from).to_vec();
        if driver {
            args.push("-fsanitize=fuzzer".into());
        }
        if self.sanitizers.contains(&CSanitizer::Undefined) {
            args.extend(["-fsanitize=undefined", "-fno-sanitize-recover=undefined"].map(String::from));
        }
        args.extend(self.flags.iter().cloned());
        let relative = |path: &PathBuf| path.strip_prefix(root).unwrap_or(path).display().to_string();
        args.extend(sources.iter().map(relative));
        let program = folder.join("target");
        let compiler = if plus { "afl-clang-fast++" } else { "afl-clang-fast" };
        let address = self.sanitizers.contains(&CSanitizer::Address);
        let asan = if address { "AFL_USE_ASAN=1 " } else { "" };
        let command = format!(
            "{asan}{compiler} {} -o /tmp/target && /tmp/target {}",
            args.join(" "),
            if driver { "@@" } else { "< @@" }
        );
        let mut spec = Spec::new(compiler)
            .args(&args)
            .arg("-o")
            .arg(&program)
            .env("AFL_QUIET", "1")
            .env("TMPDIR", folder)
            .directory(root)
            .level(self.sandbox.building())
            .network(Network::None)
            .write(root)
            .write(folder)
            .limits(Limits::new().with_processes(256))
            .deadline(Duration::from_mins(10));
        if address {
            spec = spec.env("AFL_USE_ASAN", "1");
        }
        let exit = spec.run(cx.cancel_token()).await.map_err(module_error)?;
        if exit.status.success() && program.is_file() {
            return Ok(Ok((program, command, driver)));
        }
        let mut said = exit.stderr.text().trim().to_owned();
        said.truncate(said.floor_char_boundary(4000));
        Ok(Err(said))
    }
}

/// The name of the target of a source file, and the file's path in the workspace without its ending.
fn named(root: &Path, source: &Path) -> (String, PathBuf) {
    let relative = source.strip_prefix(root).unwrap_or(source).with_extension("");
    (relative.to_string_lossy().replace('/', "_"), relative)
}

/// The harnesses of the workspace, by the names of their targets.
pub(super) async fn harnesses(cx: &ModuleContext) -> Vec<(String, PathBuf)> {
    let root = session::root(cx);
    let found = cx.blocking(|cx| find(&session::root(cx))).await;
    found.into_iter().map(|path| (named(&root, &path).0, path)).collect()
}

/// Builds targets of one source file each.
pub(super) async fn prepare(
    cx: &ModuleContext,
    sources: Vec<PathBuf>,
    sandbox: Confinement,
    work: &Path,
) -> Result<Vec<Ready>, ModuleError> {
    cargo::require("afl-clang-fast")?;
    let config = AflFuzzerConfig { sandbox, ..AflFuzzerConfig::default() };
    let groups = sources.into_iter().map(|path| vec![path]).collect();
    config.build(cx, &session::root(cx), groups, work).await
}

pub(super) fn inside(root: &Path, name: &str, what: &str) -> Result<PathBuf, ModuleError> {
    let path =
        RelPath::new(name).map_err(|error| ModuleError::Config(format!("{what}: {error}")))?.in_root(root);
    let inside =
        path.canonicalize().is_ok_and(|real| root.canonicalize().is_ok_and(|root| real.starts_with(root)));
    if inside && path.is_file() {
        Ok(path)
    } else {
        let near = session::did_you_mean(name, root, &find(root));
        Err(ModuleError::Config(format!("{what}: there is no file {name:?} in the workspace{near}")))
    }
}

pub(super) fn is_source(name: &str) -> bool {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ["c", "cc", "cpp", "cxx"].contains(&ending))
}

fn is_harness(path: &Path) -> bool {
    let small = fs::symlink_metadata(path).is_ok_and(|data| data.is_file() && data.len() < 4 << 20);
    small && fs::read(path).is_ok_and(|text| memmem::find(&text, b"LLVMFuzzerTestOneInput").is_some())
}

/// C and C++ files that are harnesses, at most four directories deep, sorted.
fn find(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![(root.to_owned(), 0)];
    let mut seen = 0;
    while let Some((directory, depth)) = pending.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            seen += 1;
            if seen > 100_000 {
                break;
            }
            let path = entry.path();
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() && depth < 4 && entry.file_name() != ".git" {
                pending.push((path, depth + 1));
            } else if data.is_file() && is_source(&path.to_string_lossy()) && is_harness(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
