//! `libfuzzer_fuzzer`: programs that libFuzzer is linked into.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crashwise_core::{
    Gap, GapReason, Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, RelPath, Summary, async_trait,
};
use memchr::memmem;

use super::config::{Options, fuzzer_config, fuzzer_module};
use super::coverage::{self, Counted, CoverageTools};
use super::libfuzzer::Target;
use super::session::{self, Ready};

fuzzer_module! {
    /// Fuzzes programs that libFuzzer is linked into, as `clang -fsanitize=fuzzer` makes them, with the seed corpora and
    /// dictionaries that stand beside them (`parse_seed_corpus/`, `parse.dict`).
    LibfuzzerFuzzer
}

fuzzer_config! {
    /// Configuration of [`LibfuzzerFuzzer`].
    pub struct LibfuzzerFuzzerConfig, 1800 seconds {
        /// Programs to fuzz, relative to the workspace; all that are found if none is named.
        pub targets: Vec<String> = Vec::new(),
        /// Inputs to execute for each target; as many as the time allows without.
        #[schemars(range(min = 1))]
        pub max_iterations: Option<u64> = None,
        /// Makes a report of the lines that the corpus reaches at the end. The program itself, or one beside it named
        /// `NAME_coverage`, must be built with `-fprofile-instr-generate -fcoverage-mapping`.
        pub coverage: bool = false,
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
        let mut ready = prepare(cx, &config.targets).await?;
        for one in &mut ready {
            one.target = config.confine(one.target.clone());
        }
        if config.coverage {
            // A program that counts is no target of its own.
            let counting: Vec<String> =
                ready.iter().map(|one| format!("{}_coverage", one.target.name)).collect();
            if config.targets.is_empty() {
                ready.retain(|one| !counting.contains(&one.target.name));
            }
            let tools = coverage::clang_tools(cx.cancel_token()).await?;
            for one in &mut ready {
                count(cx, one, &tools);
            }
        }
        let options = Options { executions: config.max_iterations, ..config.options(self.store.as_ref()) };
        let work = session::work()?;
        session::fuzz(cx, ready, options, work.path().to_owned()).await
    }
}

/// The programs in the workspace that carry libFuzzer, or those that are named.
pub(super) async fn prepare(cx: &ModuleContext, names: &[String]) -> Result<Vec<Ready>, ModuleError> {
    let root = &session::root(cx);
    let programs = if names.is_empty() {
        cx.blocking(move |cx| find(&session::root(cx))).await
    } else {
        names.iter().map(|name| named(root, name)).collect::<Result<Vec<_>, _>>()?
    };
    if programs.is_empty() {
        return Err(ModuleError::Config(
            "the workspace has no libFuzzer targets: expected executables built with -fsanitize=fuzzer"
                .into(),
        ));
    }
    let ready = programs.into_iter().map(|program| {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let beside = program.parent().unwrap_or(root);
        let relative = program.strip_prefix(root).unwrap_or(&program);
        let target = Target::new(&name, &program).with_readable(root);
        Ready {
            base: relative.parent().unwrap_or(Path::new("")).to_string_lossy().into_owned(),
            seeds: vec![beside.join(format!("{name}_seed_corpus"))],
            dictionary: Some(beside.join(format!("{name}.dict"))).filter(|path| path.is_file()),
            place: session::place(cx, &program),
            recursion: true,
            ..Ready::new(target, "libFuzzer", format!("./{}", relative.display()))
        }
    });
    Ok(ready.collect())
}

/// Finds the build of a target that counts lines.
fn count(cx: &ModuleContext, ready: &mut Ready, tools: &CoverageTools) {
    let target = &ready.target;
    let beside = target.program.with_file_name(format!("{}_coverage", target.name));
    let found = [&target.program, &beside].into_iter().find(|program| coverage::counts(program));
    if let Some(program) = found {
        let target = Target { program: program.clone(), ..target.clone() };
        ready.counted = Some(Counted { target, tools: tools.clone() });
    } else {
        let name = &target.name;
        let why = format!(
            "neither it nor {name}_coverage beside it counts lines: build one with `clang -fsanitize=fuzzer \
             -fprofile-instr-generate -fcoverage-mapping -o {name}_coverage`"
        );
        cx.not_covered(Gap::new(format!("coverage of {name}"), GapReason::Failed, why));
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
        let near = session::did_you_mean(name, root, &find(root));
        Err(ModuleError::Config(format!("targets: there is no program {name:?} in the workspace{near}")))
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
