//! The module: the parent of the processes that fuzz.

use super::child;
use super::engine::{CoverageGuided, Engine, EngineOptions};
use super::flags::{FLAGS, Flags, SEPARATOR, TARGET};
use crate::fuzzing::config::{Options, fuzzer_config};
use crate::fuzzing::libfuzzer::{FlagsBy, Target};
use crate::fuzzing::session::{self, Ready};
use arbitrary::{Arbitrary, Unstructured};
use crashwise_core::store::Store;
use crashwise_core::{Module, ModuleContext, ModuleError, ModuleInfo, ModuleKind, Summary, async_trait};
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is fuzzed.
pub(super) type Closure = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Makes the engine of a child.
pub(super) type EngineFactory = fn(EngineOptions) -> Box<dyn Engine>;

/// Fuzzes a closure of this very program.
///
/// The program starts itself again as the child that runs the closure, over and over, while the parent keeps crashes,
/// corpus and statistics. A child is the same program with the same arguments; it becomes one inside [`FuzzModule::new`],
/// which then does not return. So make the module before anything that should happen once. In a test, the child runs that
/// test alone.
///
/// Coverage guides it where the code of the target was compiled by `crashwise-rustc`; without, the result says so and
/// inputs are made blindly. Panics are survived in the child, everything else by starting it again.
///
/// ```no_run
/// use crashwise_modules::fuzzing::FuzzModule;
///
/// let parse = FuzzModule::new("parse", |data: &[u8]| {
///     let _ = std::str::from_utf8(data).map(str::parse::<f64>);
/// });
/// ```
#[derive(Clone)]
pub struct FuzzModule {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    store: Option<Store>,
    corpus: Option<PathBuf>,
}

fuzzer_config! {
    /// Configuration of [`FuzzModule`]. The seconds of one input are those of CPU time.
    pub struct FuzzConfig, 60 seconds {
        /// Inputs to run; no limit without.
        #[schemars(range(min = 1))]
        pub max_iterations: Option<u64> = None,
        /// Looks for recursion without bound: the target runs on a small stack, and parts of inputs are repeated many
        /// times. What overflows is reported when it does so on the default stack too.
        pub recursion: bool = true,
        /// A directory of inputs to begin with, which grows. Without one and without a store, inputs are forgotten at the
        /// end.
        pub corpus: Option<PathBuf> = None,
        /// A file of words in the format of libFuzzer.
        pub dictionary: Option<PathBuf> = None,
    }
}

impl FuzzModule {
    /// A module that fuzzes `target`, by a name that is unique in the program.
    pub fn new<T: Fn(&[u8]) + Send + Sync + 'static>(name: impl Into<String>, target: T) -> Self {
        Self::with_engine(name, |options| Box::new(CoverageGuided::new(options)), target)
    }

    /// The same with an engine of one's own.
    pub fn with_engine<T: Fn(&[u8]) + Send + Sync + 'static>(
        name: impl Into<String>,
        engine: fn(EngineOptions) -> Box<dyn Engine>,
        target: T,
    ) -> Self {
        Self::make(name.into(), engine, std::any::type_name::<T>(), &(Arc::new(target) as Closure))
    }

    /// The same for a target that takes a value, which is made from the bytes of an input; inputs that are too short for one
    /// are passed over.
    ///
    /// ```no_run
    /// use crashwise_modules::fuzzing::FuzzModule;
    ///
    /// let divide = FuzzModule::typed("divide", |(a, b): (u32, u32)| {
    ///     let _ = a.checked_div(b);
    /// });
    /// ```
    pub fn typed<V, T>(name: impl Into<String>, target: T) -> Self
    where
        V: for<'a> Arbitrary<'a> + 'static,
        T: Fn(V) + Send + Sync + 'static,
    {
        let bytes = move |data: &[u8]| {
            if let Ok(value) = V::arbitrary_take_rest(Unstructured::new(data)) {
                target(value);
            }
        };
        let engine = |options| Box::new(CoverageGuided::new(options)) as Box<dyn Engine>;
        Self::make(name.into(), engine, std::any::type_name::<T>(), &(Arc::new(bytes) as Closure))
    }

    fn make(name: String, engine: EngineFactory, closure: &str, target: &Closure) -> Self {
        if env::var_os(TARGET).is_some_and(|wanted| *wanted == *name) {
            child::run(&flags(), target, engine);
        }
        let program = env::current_exe().unwrap_or_default();
        let args = child_args(&program, closure);
        Self { name, program, args, store: None, corpus: None }
    }

    /// Begins with the inputs of a folder, which grows, unless the configuration names another.
    #[must_use]
    pub fn with_corpus(mut self, folder: impl Into<PathBuf>) -> Self {
        self.corpus = Some(folder.into());
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder of inputs that was set.
    pub(super) fn corpus(&self) -> Option<&Path> {
        self.corpus.as_deref()
    }

    /// Keeps the corpus and known crashes in a store, so that a run begins where the last one ended.
    #[must_use]
    pub fn with_store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }
}

/// The flags of a child. Without the variable a person replays an input, the last argument.
fn flags() -> Flags {
    let text =
        env::var(FLAGS).ok().or_else(|| Some(format!("-runs=1{SEPARATOR}{}", env::args().next_back()?)));
    let mut flags = Flags::parse(&text.unwrap_or_default());
    if env::var_os(FLAGS).is_none() {
        flags.prefix =
            env::temp_dir().join(format!("crashwise-{}-", std::process::id())).display().to_string();
    }
    flags
}

/// What the program is started with: its own arguments, and in a test the name of the test.
fn child_args(program: &Path, closure: &str) -> Vec<OsString> {
    let is_test = program.parent().is_some_and(|folder| folder.ends_with("deps"));
    let thread = std::thread::current();
    let name = match thread.name() {
        Some(name) if name != "main" => Some(name.to_owned()),
        // `crate::room::test::{{closure}}`
        _ => closure
            .contains("{{closure}}")
            .then(|| closure.replace("::{{closure}}", ""))
            .and_then(|path| Some(path.split_once("::")?.1.to_owned())),
    };
    match name {
        Some(name) if is_test => {
            [&name, "--exact", "--nocapture", "--test-threads=1"].map(OsString::from).to_vec()
        }
        _ => env::args_os().skip(1).collect(),
    }
}

#[async_trait]
impl Module for FuzzModule {
    type Config = FuzzConfig;

    fn info(&self) -> ModuleInfo {
        ModuleInfo::new(
            format!("fuzz_{}", self.name),
            env!("CARGO_PKG_VERSION"),
            ModuleKind::Fuzzer,
            format!("Fuzzes {} in this program", self.name),
        )
        .with_tags(["fuzzing", "rust", "in-process", "coverage-guided"])
        .without_workspace()
    }

    async fn run(&self, cx: &ModuleContext, config: FuzzConfig) -> Result<Summary, ModuleError> {
        let work = session::work()?;
        let mut target = config
            .confine(Target::new(&self.name, &self.program))
            .with_env(TARGET, &self.name)
            .with_flags(FlagsBy::Variable { name: FLAGS, separator: SEPARATOR });
        target.args = self.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let program = self.program.file_name().unwrap_or_default().to_string_lossy();
        let words: Vec<String> = target.args.iter().map(|arg| format!(" {arg}")).collect();
        let command = format!("{TARGET}={} {program}{}", self.name, words.concat());
        let options = Options {
            executions: config.max_iterations,
            project: Some(config.project.clone().unwrap_or_else(|| project(&program).to_owned())),
            sources: env::current_dir().into_iter().collect(),
            ..config.options(self.store.as_ref())
        };
        let ready = Ready {
            corpus: config.corpus.or_else(|| self.corpus.clone()),
            dictionary: config.dictionary,
            recursion: config.recursion,
            ..Ready::new(target, "crashwise", command)
        };
        session::fuzz(cx, vec![ready], options, work.path().to_owned()).await
    }
}

/// The name of a program without the hash that cargo gives to tests.
fn project(program: &str) -> &str {
    match program.rsplit_once('-') {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => program,
    }
}

impl fmt::Debug for FuzzModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FuzzModule")
            .field("name", &self.name)
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}
