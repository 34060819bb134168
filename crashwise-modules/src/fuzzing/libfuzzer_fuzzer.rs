//! `libfuzzer_fuzzer`: programs that libFuzzer is linked into.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crashwise_core::{
    Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, RelPath, Summary, async_trait,
};
use memchr::memmem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cargo_fuzzer::Confinement;
use super::libfuzzer::Target;
use super::session::{self, Options, Ready};

/// Fuzzes programs that libFuzzer is linked into, as `clang -fsanitize=fuzzer` makes them, with the seed corpora and
/// dictionaries that stand beside them (`parse_seed_corpus/`, `parse.dict`).
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct LibfuzzerFuzzer;

impl LibfuzzerFuzzer {
    /// The module.
    pub fn new() -> Self {
        Self
    }
}

/// Configuration of [`LibfuzzerFuzzer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LibfuzzerFuzzerConfig {
    /// Programs to fuzz, relative to the workspace; all that are found if none is named.
    pub targets: Vec<String>,
    /// Inputs to execute for each target.
    #[schemars(range(min = 1))]
    pub max_iterations: u64,
    /// Seconds to fuzz, all targets together.
    #[schemars(range(min = 1, max = 604_800))]
    pub timeout_seconds: u64,
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
    /// How far the targets are confined.
    pub sandbox: Confinement,
}

impl Default for LibfuzzerFuzzerConfig {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            max_iterations: 1_000_000,
            timeout_seconds: 1800,
            jobs: 1,
            input_timeout_seconds: 10,
            memory_mib: 2048,
            minimise_seconds: 10,
            seed: 0,
            sandbox: Confinement::Sandbox,
        }
    }
}

#[async_trait]
impl Module for LibfuzzerFuzzer {
    type Config = LibfuzzerFuzzerConfig;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new(
            "libfuzzer_fuzzer",
            "1.0.0",
            ModuleKind::Fuzzer,
            "Fuzzes programs that libFuzzer is linked into",
        )
        .with_tags(["fuzzing", "c", "c++", "libfuzzer", "coverage-guided"])
    }

    async fn run(&self, cx: &ModuleContext, config: LibfuzzerFuzzerConfig) -> Result<Summary, ModuleError> {
        let root = session::root(cx);
        let programs = if config.targets.is_empty() {
            cx.blocking(move |cx| find(&session::root(cx))).await
        } else {
            let named = config.targets.iter().map(|name| named(&root, name));
            named.collect::<Result<Vec<_>, _>>()?
        };
        if programs.is_empty() {
            return Err(ModuleError::Config(
                "the workspace has no libFuzzer targets: expected executables built with -fsanitize=fuzzer"
                    .into(),
            ));
        }
        let root = &session::root(cx);
        let ready = programs
            .into_iter()
            .map(|program| {
                let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let beside = program.parent().unwrap_or(root);
                let relative = program.strip_prefix(root).unwrap_or(&program);
                Ready {
                    command: format!("./{}", relative.display()),
                    base: relative.parent().unwrap_or(Path::new("")).to_string_lossy().into_owned(),
                    seeds: vec![beside.join(format!("{name}_seed_corpus"))],
                    corpus: None,
                    recursion: false,
                    dictionary: Some(beside.join(format!("{name}.dict"))).filter(|path| path.is_file()),
                    target: Target::new(name, &program)
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
            engine: "libFuzzer",
            sources: Vec::new(),
        };
        let work = tempfile::Builder::new()
            .prefix("crashwise-fuzz-")
            .tempdir()
            .map_err(|error| ModuleError::failed_to("making a working directory failed", error))?;
        session::fuzz(cx, ready, options, work.path().to_owned()).await
    }
}

fn named(root: &Path, name: &str) -> Result<PathBuf, ModuleError> {
    let path =
        RelPath::new(name).map_err(|error| ModuleError::Config(format!("targets: {error}")))?.in_root(root);
    let inside =
        path.canonicalize().is_ok_and(|real| root.canonicalize().is_ok_and(|root| real.starts_with(root)));
    if inside && path.is_file() {
        Ok(path)
    } else {
        Err(ModuleError::Config(format!("targets: there is no program {name:?} in the workspace")))
    }
}

/// Executables that carry libFuzzer, at most four directories deep, sorted.
fn find(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![(root.to_owned(), 0)];
    let mut seen = 0;
    while let Some((directory, depth)) = pending.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            seen += 1;
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() && depth < 4 && entry.file_name() != ".git" {
                pending.push((entry.path(), depth + 1));
            } else if data.is_file()
                && data.permissions().mode() & 0o111 != 0
                && data.len() < 1 << 30
                && carries_libfuzzer(&entry.path())
            {
                found.push(entry.path());
            }
            if seen > 100_000 {
                return found;
            }
        }
    }
    found.sort();
    found
}

fn carries_libfuzzer(path: &Path) -> bool {
    let Ok(mut file) = fs::File::open(path) else { return false };
    let mut head = [0; 4];
    if file.read_exact(&mut head).is_err() || head != *b"\x7fELF" {
        return false;
    }
    let needle = memmem::Finder::new(b"ERROR: libFuzzer: ");
    let mut buffer = vec![0; 1 << 20];
    let mut kept = 0;
    while let Ok(read @ 1..) = file.read(&mut buffer[kept..]) {
        let filled = kept + read;
        if needle.find(&buffer[..filled]).is_some() {
            return true;
        }
        kept = filled.min(32);
        buffer.copy_within(filled - kept..filled, 0);
    }
    false
}
