//! `atheris_fuzzer`: Python fuzz targets.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crashwise_core::process::Spec;
use crashwise_core::{
    Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, RelPath, Summary, ToolMissing, async_trait,
    nearest,
};

use super::config::{Options, fuzzer_config, fuzzer_module};
use super::libfuzzer::Target;
use super::session::{self, Ready, module_error};

fuzzer_module! {
    /// Fuzzes Python scripts with a `TestOneInput`, by atheris.
    AtherisFuzzer
}

fuzzer_config! {
    /// Configuration of [`AtherisFuzzer`].
    pub struct AtherisFuzzerConfig, 1800 seconds {
        /// The only script to fuzz, relative to the workspace; all that are found if none is named.
        pub target_file: Option<String> = None,
        /// Inputs to execute for each script; as many as the time allows without.
        #[schemars(range(min = 1))]
        pub max_iterations: Option<u64> = None,
    }
}

#[async_trait]
impl Module for AtherisFuzzer {
    type Config = AtherisFuzzerConfig;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new(
            "atheris_fuzzer",
            "1.0.0",
            ModuleKind::Fuzzer,
            "Fuzzes Python scripts with a TestOneInput",
        )
        .with_tags(["fuzzing", "python", "atheris", "coverage-guided"])
        .with_tool("python3")
    }

    async fn run(&self, cx: &ModuleContext, config: AtherisFuzzerConfig) -> Result<Summary, ModuleError> {
        let names: Vec<String> = config.target_file.iter().cloned().collect();
        let ready = prepare(cx, &names).await?;
        let ready =
            ready.into_iter().map(|ready| Ready { target: config.confine(ready.target), ..ready }).collect();
        let options = Options { executions: config.max_iterations, ..config.options(self.store.as_ref()) };
        let work = session::work()?;
        session::fuzz(cx, ready, options, work.path().to_owned()).await
    }
}

/// The scripts in the workspace that are fuzz targets, or those that are named.
pub(super) async fn prepare(cx: &ModuleContext, names: &[String]) -> Result<Vec<Ready>, ModuleError> {
    let root = &session::root(cx);
    let found = find(root);
    let mut scripts = Vec::new();
    for name in names {
        let path =
            RelPath::new(name).map_err(|error| ModuleError::Config(format!("target_file: {error}")))?;
        if !path.in_root(root).is_file() {
            let near = nearest(name, found.iter().map(RelPath::as_str));
            let near = near.map_or(String::new(), |near| format!(", did you mean {near:?}?"));
            return Err(ModuleError::Config(format!("target_file: there is no file {name:?}{near}")));
        }
        scripts.push(path);
    }
    if names.is_empty() {
        scripts = found;
    }
    if scripts.is_empty() {
        return Err(ModuleError::Config(
            "the workspace has no Python fuzz targets: expected fuzz_*.py, *_fuzz.py or fuzz_target.py with \
             a TestOneInput"
                .into(),
        ));
    }
    let python = python(cx).await?;
    let ready = scripts.into_iter().map(|script| {
        let path = script.in_root(root);
        let name = script.as_str().trim_end_matches(".py").replace('/', "_");
        let beside = path.parent().unwrap_or(root);
        let dictionaries = ["fuzz.dict", "fuzzing.dict", "dict.txt"].map(|name| beside.join(name));
        let target = Target::new(name, &python.program)
            .with_arg(path.to_string_lossy())
            .with_env("PYTHONDONTWRITEBYTECODE", "1")
            .with_env("PYTHONPATH", root.to_string_lossy())
            .with_readable(root);
        Ready {
            base: script.parent().map(|parent| parent.to_string()).unwrap_or_default(),
            seeds: vec![beside.join("corpus"), beside.join("seeds")],
            place: Some(script.clone()),
            dictionary: dictionaries.into_iter().find(|path| path.is_file()),
            ..Ready::new(
                python.readable.iter().fold(target, Target::with_readable),
                "libFuzzer (atheris)",
                format!("python3 {script}"),
            )
        }
    });
    Ok(ready.collect())
}

/// An interpreter that has atheris, and what it reads.
struct Python {
    program: PathBuf,
    readable: Vec<PathBuf>,
}

async fn python(cx: &ModuleContext) -> Result<Python, ModuleError> {
    let code = "import sys\nprint(sys.executable)\nimport atheris\nfor p in [sys.prefix, sys.base_prefix] + sys.path: print(p)";
    let exit = Spec::new("python3")
        .args(["-c", code])
        .pass(["HOME", "PYENV_VERSION", "VIRTUAL_ENV"])
        .deadline(Duration::from_mins(1))
        .run(cx.cancel_token())
        .await
        .map_err(module_error)?;
    let text = exit.stdout.text();
    let mut lines = text.lines();
    let program = lines.next().map(PathBuf::from).filter(|path| path.is_absolute());
    let readable: Vec<PathBuf> = lines
        .map(PathBuf::from)
        .filter(|path| path.is_absolute() && path != Path::new("/") && path.exists())
        .collect();
    match program {
        Some(program) if exit.status.success() => Ok(Python { program, readable }),
        _ => {
            let hint = "install it with `pip install atheris`".to_owned();
            Err(ToolMissing { program: "atheris".into(), hint }.into())
        }
    }
}

/// Scripts that are named like fuzz targets and have a `TestOneInput`, at most six directories deep, sorted.
fn find(root: &Path) -> Vec<RelPath> {
    let mut found = Vec::new();
    let mut pending = vec![(root.to_owned(), 0)];
    let mut seen = 0;
    while let Some((directory, depth)) = pending.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            seen += 1;
            if seen > 100_000 {
                break;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() && depth < 6 && !name.starts_with('.') && name != "node_modules" {
                pending.push((entry.path(), depth + 1));
            }
            let target = name.strip_suffix(".py").is_some_and(|stem| {
                stem.starts_with("fuzz_") || stem.ends_with("_fuzz") || stem == "fuzz_target"
            });
            if data.is_file()
                && target
                && data.len() < 1 << 20
                && fs::read(entry.path())
                    .is_ok_and(|text| memchr::memmem::find(&text, b"TestOneInput").is_some())
                && let Ok(path) = RelPath::below(root, &entry.path())
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
