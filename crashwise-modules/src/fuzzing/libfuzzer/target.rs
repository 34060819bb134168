use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crashwise_core::process::{Level, Limits, Spec, find_tool};

/// A program that libFuzzer is linked into, and how to start it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// Its name, for people and for file names.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// What stands before libFuzzer's arguments: the script of an interpreter.
    pub args: Vec<String>,
    /// Variables of its environment.
    pub env: Vec<(String, String)>,
    /// What it may read and execute beside the system and its own file.
    pub readable: Vec<PathBuf>,
    /// How far it is confined.
    pub level: Level,
    /// The image of its containers, at the level [`Level::Container`].
    pub image: Option<String>,
    /// Memory of one input in MiB; the process tree gets half a GiB more.
    pub memory: u64,
    /// Seconds that one input may take.
    pub patience: u64,
    /// Whether leaks are looked for, where it can do that.
    pub leaks: bool,
    /// Whether it looks at its own tree of processes, as [`Spec::traced`] says.
    pub traced: bool,
    /// How it takes its flags.
    pub flags: FlagsBy,
}

/// How a target takes libFuzzer's flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlagsBy {
    /// As arguments after its own.
    #[default]
    Arguments,
    /// In a variable of its environment, because it is a program that reads its own arguments.
    Variable {
        /// The variable.
        name: &'static str,
        /// What stands between two flags.
        separator: char,
    },
    /// Not at all: it reads one input from the file whose path stands for `@@` in its arguments, else from standard input.
    Input,
}

impl FlagsBy {
    /// Whether it is a program of the user that fuzzes itself.
    pub fn is_variable(self) -> bool {
        matches!(self, Self::Variable { .. })
    }

    /// An argument of the target's own, with the input in its place.
    fn argument(self, arg: &str, flags: &[OsString]) -> OsString {
        match flags.last() {
            Some(path) if self == Self::Input => arg.replace("@@", &path.to_string_lossy()).into(),
            _ => arg.into(),
        }
    }

    fn give(self, spec: Spec, flags: &[OsString]) -> Spec {
        match self {
            Self::Arguments | Self::Input => spec.args(flags),
            Self::Variable { name, separator } => {
                spec.env(name, flags.join(OsStr::new(separator.encode_utf8(&mut [0; 4]))))
            }
        }
    }
}

impl Target {
    /// A target in the sandbox, with 2 GiB and 10 seconds for each input.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            readable: Vec::new(),
            level: Level::Sandbox,
            image: None,
            memory: 2048,
            patience: 10,
            leaks: true,
            traced: false,
            flags: FlagsBy::Arguments,
        }
    }

    /// Adds an argument before libFuzzer's.
    #[must_use]
    pub fn with_arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Lets it read what is at and below `path`.
    #[must_use]
    pub fn with_readable(mut self, path: impl Into<PathBuf>) -> Self {
        self.readable.push(path.into());
        self
    }

    /// Sets how far it is confined.
    #[must_use]
    pub fn with_level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Sets the image of its containers; without one it sees the system of the host.
    #[must_use]
    pub fn with_image(mut self, name: Option<String>) -> Self {
        self.image = name;
        self
    }

    /// Sets the memory of one input in MiB.
    #[must_use]
    pub fn with_memory(mut self, mebibytes: u64) -> Self {
        self.memory = mebibytes;
        self
    }

    /// Sets the seconds that one input may take.
    #[must_use]
    pub fn with_patience(mut self, seconds: u64) -> Self {
        self.patience = seconds;
        self
    }

    /// Sets how it takes its flags.
    #[must_use]
    pub fn with_flags(mut self, flags: FlagsBy) -> Self {
        self.flags = flags;
        self
    }

    /// What all its processes may use.
    pub(super) fn limits(&self) -> Limits {
        Limits::new()
            .with_memory((self.memory + 512) << 20)
            .with_sparse_memory()
            .with_processes(256)
            .with_file_size(1 << 30)
            .with_disk(4 << 30)
    }

    /// The process, in `directory`, which it may write, with `flags` after those for the limits of one input. With `names` its reports
    /// name functions and lines, which takes a second for each; without, triage's signature still tells them apart.
    pub(in crate::fuzzing) fn spec(&self, directory: &Path, names: bool, flags: &[OsString]) -> Spec {
        let symbolizer = symbolizer().filter(|_| names).map(|path| path.to_string_lossy().into_owned());
        let symbolize = format!("symbolize={}", u8::from(names));
        let leaks = if self.leaks { "" } else { ":detect_leaks=0" };
        let asan = format!("detect_odr_violation=0:{symbolize}{leaks}");
        let undefined = format!("print_stacktrace=1:halt_on_error=1:{symbolize}");
        let mut spec = Spec::new(&self.program)
            .args(self.args.iter().map(|arg| self.flags.argument(arg, flags)))
            .directory(directory)
            .level(self.level)
            .env("TMPDIR", directory)
            .env("ASAN_OPTIONS", asan)
            .env("UBSAN_OPTIONS", undefined)
            .env("MSAN_OPTIONS", &symbolize)
            .env("TSAN_OPTIONS", &symbolize)
            .env("RUST_BACKTRACE", if names { "1" } else { "0" })
            .output_cap(2 << 20)
            .limits(self.limits());
        if self.traced {
            spec = spec.traced();
        }
        spec = self.image.iter().fold(spec, Spec::image);
        if let Some(symbolizer) = symbolizer {
            for tool in ["ASAN", "MSAN", "TSAN", "LSAN", "UBSAN"] {
                spec = spec.env(format!("{tool}_SYMBOLIZER_PATH"), &symbolizer);
            }
        }
        for path in &self.readable {
            spec = spec.read(path);
        }
        for (name, value) in &self.env {
            spec = spec.env(name, value);
        }
        if self.flags == FlagsBy::Input {
            return spec;
        }
        let limits = [format!("-rss_limit_mb={}", self.memory), format!("-timeout={}", self.patience)];
        let flags: Vec<OsString> = limits.into_iter().map(Into::into).chain(flags.iter().cloned()).collect();
        self.flags.give(spec, &flags)
    }
}

/// The program by which sanitizers turn addresses into names, if one is installed.
pub fn symbolizer() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let versioned = (11..=24).rev().map(|version| format!("llvm-symbolizer-{version}"));
            std::iter::once("llvm-symbolizer".to_owned())
                .chain(versioned)
                .chain(std::iter::once("addr2line".to_owned()))
                .find_map(|name| find_tool(name).ok())
        })
        .as_deref()
}
