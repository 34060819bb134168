//! Projects in the layout of cargo-fuzz, built directly: cargo-fuzz itself is not needed, nor a nightly compiler.

mod library;
mod said;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crashwise_core::process::{Cause, Level, Limits, Network, ProcessError, Spec};
use crashwise_core::{ModuleError, ToolMissing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::libfuzzer::Target;
use super::session::module_error;

/// What watches the target while it runs. `undefined` does not exist for Rust.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Sanitizer {
    /// Memory errors and leaks.
    #[default]
    Address,
    /// Uses of uninitialised memory; needs the `rust-src` component.
    Memory,
    /// Data races; needs the `rust-src` component.
    Thread,
    /// Leaks only.
    Leak,
    /// Nothing: twice to ten times as fast, finds panics only.
    None,
}

impl Sanitizer {
    fn flag(self) -> Option<&'static str> {
        match self {
            Self::Address => Some("address"),
            Self::Memory => Some("memory"),
            Self::Thread => Some("thread"),
            Self::Leak => Some("leak"),
            Self::None => None,
        }
    }

    fn needs_sources(self) -> bool {
        matches!(self, Self::Memory | Self::Thread)
    }
}

/// A fuzzing project: the directory with its manifest, and its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FuzzProject {
    pub(super) directory: PathBuf,
    pub(super) targets: Vec<String>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    bin: Vec<Bin>,
    #[serde(default)]
    package: toml::Table,
    #[serde(default)]
    dependencies: toml::Table,
}

#[derive(Deserialize)]
struct Bin {
    name: String,
}

/// The fuzzing project at `root`: in `fuzz`, in the root itself, or in the `fuzz` of one directory below.
pub(super) fn find(root: &Path) -> Result<FuzzProject, ModuleError> {
    let mut candidates = vec![root.join("fuzz"), root.to_owned()];
    let mut below: Vec<PathBuf> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .take(1000)
        .map(|entry| entry.path().join("fuzz"))
        .collect();
    below.sort();
    candidates.extend(below);
    for directory in candidates {
        let path = directory.join("Cargo.toml");
        let Ok(data) = path.symlink_metadata() else { continue };
        if !data.is_file() || data.len() > 1 << 20 {
            continue;
        }
        let shown = path.strip_prefix(root).unwrap_or(&path).display();
        let failed = || format!("reading {shown} failed");
        let text = std::fs::read_to_string(&path).map_err(|error| ModuleError::failed_to(failed(), error))?;
        let manifest: Manifest =
            toml::from_str(&text).map_err(|error| ModuleError::failed_to(failed(), error))?;
        let marked = manifest
            .package
            .get("metadata")
            .and_then(|metadata| metadata.get("cargo-fuzz"))
            .is_some_and(|value| value.as_bool() == Some(true));
        if marked || manifest.dependencies.contains_key("libfuzzer-sys") {
            let mut targets: Vec<String> = manifest.bin.into_iter().map(|bin| bin.name).collect();
            targets.sort();
            targets.dedup();
            return Ok(FuzzProject { directory, targets });
        }
    }
    Err(ModuleError::Config(
        "the project has no fuzz targets: expected fuzz/Cargo.toml with libfuzzer-sys among its dependencies, as \
         `cargo fuzz init` makes it"
            .into(),
    ))
}

/// Built targets, and those that did not build with what the compiler said.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) programs: Vec<(String, PathBuf)>,
    pub(super) failed: Vec<(String, String)>,
    /// What builds and starts a target again: its name and the input follow.
    pub(super) command: String,
    /// The variable that has cargo start a program through another one.
    pub(super) runner: String,
}

/// How to build.
#[derive(Debug, Clone)]
pub(super) struct Build<'a> {
    pub(super) root: &'a Path,
    pub(super) project: &'a FuzzProject,
    pub(super) sanitizer: Sanitizer,
    /// Counts lines, in place of guiding a fuzzer.
    pub(super) counts: bool,
    pub(super) level: Level,
    pub(super) output: PathBuf,
    /// Where an earlier build without a sanitizer may be, whose libFuzzer is linked.
    pub(super) after: Option<PathBuf>,
}

/// What guides a fuzzer.
const GUIDING: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];
/// What counts lines for a report.
const COUNTING: [&str; 1] = ["-Cinstrument-coverage"];
const ALWAYS: [&str; 5] = [
    "--cfg=fuzzing",
    "-Cdebug-assertions",
    "-Ccodegen-units=1",
    "-Cforce-frame-pointers=yes",
    "-Cdebuginfo=1",
];

const PASSED: [&str; 7] =
    ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "CARGO_BUILD_JOBS", "CC", "CXX"];

/// The source of what is linked into targets without a sanitizer.
const GUARD: &str = include_str!("cargo/guard.rs");
/// Its variable with the bytes of address space that a process may have.
const ADDRESS_SPACE: &str = "CRASHWISE_ADDRESS_SPACE";

/// A target without a sanitizer, whose memory has a limit at which an allocation fails: that of all its processes would kill it,
/// and the input would be lost.
pub(super) fn guarded(target: Target) -> Target {
    let bytes = address_space(&target);
    target.with_env(ADDRESS_SPACE, bytes.to_string())
}

/// Bytes of address space that a program without a sanitizer gets.
pub(super) fn address_space(target: &Target) -> u64 {
    (target.memory + 512) << 20
}

impl Build<'_> {
    /// Fetches dependencies, then builds without network in the sandbox, for build scripts are the project's code.
    pub(super) async fn run(
        &self,
        names: &[String],
        cancel: &CancellationToken,
    ) -> Result<Built, ModuleError> {
        let sysroot = self.ask(&["--print", "sysroot"], cancel).await?;
        let sysroot = PathBuf::from(sysroot.trim());
        let version = self.ask(&["-vV"], cancel).await?;
        let host = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .unwrap_or("x86_64-unknown-linux-gnu");
        if self.sanitizer.needs_sources() && !sysroot.join("lib/rustlib/src/rust/library").is_dir() {
            let hint = "this sanitizer needs the standard library's sources: `rustup component add rust-src`";
            return Err(ToolMissing { program: "rust-src".into(), hint: hint.into() }.into());
        }
        let fetch = self.cargo(&sysroot).arg("fetch").level(Level::Limits).deadline(Duration::from_mins(10));
        // Without network a build may still find all it needs, and says what it does not.
        let _ = fetch.run(cancel).await.map_err(module_error)?;

        std::fs::create_dir_all(self.output.join("tmp"))
            .map_err(|error| ModuleError::failed_to("making the build directory failed", error))?;
        let guard = self.guard(host, cancel).await;
        let how = (sysroot.as_path(), host, guard.as_deref());
        let mut failed = Vec::new();
        if let Err(error) = self.build(how, names, cancel).await? {
            for name in names {
                if names.len() == 1 {
                    failed.push((name.clone(), error.clone()));
                } else if let Err(error) = self.build(how, std::slice::from_ref(name), cancel).await? {
                    failed.push((name.clone(), error));
                }
            }
        }
        let programs = names
            .iter()
            .filter(|name| !failed.iter().any(|(other, _)| other == *name))
            .map(|name| (name.clone(), self.output.join(host).join("release").join(name)))
            .collect();
        let manifest = self.project.directory.strip_prefix(self.root).unwrap_or(&self.project.directory);
        let (bootstrap, flag) = match self.sanitizer.flag() {
            Some(flag) => ("RUSTC_BOOTSTRAP=1 ", format!("-Zsanitizer={flag} ")),
            None => ("", String::new()),
        };
        let command = format!(
            "{bootstrap}RUSTFLAGS='{flag}--cfg fuzzing -Cdebug-assertions' cargo run --release --target {host} \
             --manifest-path {} --bin",
            manifest.join("Cargo.toml").display()
        );
        let runner = format!("CARGO_TARGET_{}_RUNNER", host.to_ascii_uppercase().replace(['-', '.'], "_"));
        Ok(Built { programs, failed, command, runner })
    }

    async fn ask(&self, args: &[&str], cancel: &CancellationToken) -> Result<String, ModuleError> {
        let spec = Spec::new("rustc").args(args).pass(PASSED).directory(&self.project.directory);
        let exit = spec.deadline(Duration::from_mins(5)).run(cancel).await.map_err(module_error)?;
        if exit.status.success() {
            Ok(exit.stdout.text())
        } else {
            Err(ModuleError::failed(format!(
                "rustc does not work ({}): {}",
                exit.status,
                exit.stderr.text().trim()
            )))
        }
    }

    fn cargo(&self, sysroot: &Path) -> Spec {
        let own = sysroot.join("bin/cargo");
        let program = if own.is_file() { own } else { PathBuf::from("cargo") };
        let mut search = sysroot.join("bin").into_os_string();
        search.push(":");
        search.push(std::env::var_os("PATH").unwrap_or_default());
        Spec::new(program)
            .pass(PASSED)
            .env("PATH", search)
            .directory(&self.project.directory)
            .output_cap(1 << 20)
    }

    /// The object file that makes up for the handlers of a sanitizer; none where there is one, or where it does not compile.
    async fn guard(&self, host: &str, cancel: &CancellationToken) -> Option<PathBuf> {
        if self.counts || self.sanitizer != Sanitizer::None {
            return None;
        }
        let [source, object] = ["guard.rs", "guard.o"].map(|name| self.output.join(name));
        std::fs::write(&source, GUARD).ok()?;
        let options = ["--edition=2021", "--crate-type=lib", "--emit=obj", "-Copt-level=2", "-Cpanic=abort"];
        let spec = Spec::new("rustc").args(options).args(["--target", host, "-o"]).arg(&object).arg(&source);
        let spec = spec.pass(PASSED).directory(&self.project.directory).deadline(Duration::from_mins(5));
        let exit = spec.run(cancel).await.ok()?;
        exit.status.success().then_some(object)
    }

    /// `Ok(Err(_))` is what the compiler said. `how` are the compiler's folder, the machine and what is linked.
    async fn build(
        &self,
        how: (&Path, &str, Option<&Path>),
        names: &[String],
        cancel: &CancellationToken,
    ) -> Result<Result<(), String>, ModuleError> {
        let (sysroot, host, guard) = how;
        let only: &[&str] = if self.counts { &COUNTING } else { &GUIDING };
        let mut flags: Vec<String> = only.iter().chain(&ALWAYS).map(|flag| (*flag).to_owned()).collect();
        flags.extend(self.sanitizer.flag().map(|flag| format!("-Zsanitizer={flag}")));
        flags.extend(guard.map(|guard| format!("-Clink-arg={}", guard.display())));
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let cargo_home = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
        let mut spec = self
            .cargo(sysroot)
            .args(["build", "--release", "--offline", "--target", host])
            .env("CARGO_TARGET_DIR", &self.output)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            // Without a profile that says otherwise cargo takes out what reports name functions and lines by.
            .env("CARGO_PROFILE_RELEASE_STRIP", "none")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "1")
            .env("TMPDIR", self.output.join("tmp"))
            .read(sysroot)
            .read(cargo_home)
            .write(self.root)
            .write(&self.output)
            .level(self.level)
            .network(Network::None)
            .limits(Limits::new().with_processes(1024))
            .deadline(Duration::from_mins(30));
        for name in names {
            spec = spec.arg("--bin").arg(name);
        }
        if let Some(library) = self.after.as_ref().and_then(|from| library::lend(from, &self.output)) {
            spec = spec.env(library::VARIABLE, library);
        }
        if self.sanitizer.flag().is_some() {
            spec = spec.env("RUSTC_BOOTSTRAP", "1");
        }
        if self.sanitizer.needs_sources() {
            spec = spec.arg("-Zbuild-std");
        }
        let exit = spec.run(cancel).await.map_err(module_error)?;
        if exit.status.success() {
            return Ok(Ok(()));
        }
        let mut said = said::essence(&exit.stderr.text());
        if exit.cause == Cause::Deadline {
            said = format!("the build took too long; {said}");
        }
        Ok(Err(said))
    }
}

/// The error that a target's name is unknown, with the nearest.
pub(super) fn unknown(name: &str, targets: &[String]) -> ModuleError {
    let near = crashwise_core::nearest(name, targets.iter().map(String::as_str));
    let near = near.map_or(String::new(), |near| format!(", did you mean {near:?}?"));
    ModuleError::Config(format!(
        "target_name: there is no fuzz target {name:?}{near} (targets: {})",
        targets.join(", ")
    ))
}

/// The name of a missing program, for those that cannot run without.
pub(super) fn require(program: &str) -> Result<PathBuf, ModuleError> {
    crashwise_core::process::find_tool(program).map_err(|error: ProcessError| module_error(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crashwise_core::process::Status;

    /// Marks its action as libFuzzer does, overflows its stack, and says where; with an argument says whether it gets a GiB.
    const OVERFLOWS: &str = "#define _GNU_SOURCE\n#include <signal.h>\n#include <stdlib.h>\n#include <unistd.h>\n\
        void __sanitizer_print_stack_trace(void);\n\
        static void handler(int s) { __sanitizer_print_stack_trace(); _exit(77); }\n\
        __attribute__((noinline)) int deeper(volatile char *last) {\n  \
        volatile char here[4096]; here[0] = *last + 1; return deeper(here) + here[0];\n}\n\
        int main(int count, char **words) {\n  \
        if (count > 1) { void *volatile some = malloc(1 << 30); return some ? 1 : 2; }\n  struct sigaction old, new = {0};\n  sigaction(SIGSEGV, 0, &old);\n  \
        new.sa_handler = handler; new.sa_flags = old.sa_flags & SA_ONSTACK;\n  \
        sigaction(SIGSEGV, &new, 0);\n  char none = 0; return deeper(&none);\n}\n";

    #[tokio::test]
    async fn an_overflow_without_a_sanitizer_is_told_of() {
        let place = tempfile::tempdir().expect("a folder");
        let cancel = CancellationToken::new();
        let project = FuzzProject { directory: place.path().to_owned(), targets: Vec::new() };
        let mut build = Build {
            root: place.path(),
            project: &project,
            sanitizer: Sanitizer::Address,
            counts: false,
            level: Level::None,
            output: place.path().to_owned(),
            after: None,
        };
        let version = build.ask(&["-vV"], &cancel).await.expect("a compiler");
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
        assert_eq!(build.guard(host, &cancel).await, None);
        build.sanitizer = Sanitizer::None;
        let guard = build.guard(host, &cancel).await.expect("it compiles");

        let (source, program) = (place.path().join("overflows.c"), place.path().join("overflows"));
        std::fs::write(&source, OVERFLOWS).expect("written");
        let compiler = Spec::new("cc").args(["-O1", "-g", "-o"]).args([&program, &source, &guard]);
        let linked = compiler.arg("-lgcc_s").run(&cancel).await.expect("a compiler");
        assert!(linked.status.success(), "{}", linked.stderr.text());
        for (limit, code) in [(None, 1), (Some("600000000"), 2)] {
            let spec = Spec::new(&program).arg("allocate");
            let spec = limit.into_iter().fold(spec, |spec, limit| spec.env(ADDRESS_SPACE, limit));
            let exit = spec.run(&cancel).await.expect("starts");
            assert_eq!(exit.status, Status::Code(code), "{limit:?}");
        }
        let exit = Spec::new(&program).run(&cancel).await.expect("starts");
        let said = exit.stderr.text();
        assert_eq!(exit.status, Status::Code(77), "{said}");
        let frames: Vec<&str> = said.lines().collect();
        assert!(frames.len() > 100 && frames[0].starts_with("    #0 0x"), "{said}");
        assert!(frames.iter().all(|frame| frame.contains(" (/") && frame.contains("+0x")), "{said}");
        let place = |frame: &str| frame.split_once("+0x").map(|(_, offset)| offset.to_owned());
        assert_eq!(place(frames[20]), place(frames[60]), "one function recurs");
    }
}
