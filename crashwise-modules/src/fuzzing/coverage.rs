//! Which lines a corpus reaches: a build that counts them runs it once, and LLVM's tools make lcov and HTML of the counts.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crashwise_core::process::{Spec, find_tool};
use crashwise_core::{CancellationToken, ModuleContext, ModuleError, ToolMissing, error_chain};

use super::libfuzzer::{Target, tail};

/// The most bytes of one report.
const LONGEST: usize = 64 << 20;

/// `llvm-profdata` and `llvm-cov` of one LLVM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CoverageTools {
    profdata: PathBuf,
    cov: PathBuf,
    /// Its major version; 0 if it does not say.
    major: u32,
}

/// A build of a target that counts.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub(super) target: Target,
    pub(super) tools: CoverageTools,
}

/// What a corpus reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) lines: u64,
    pub(super) lines_total: u64,
    pub(super) functions: u64,
    pub(super) functions_total: u64,
}

impl Reached {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            lines: self.lines + other.lines,
            lines_total: self.lines_total + other.lines_total,
            functions: self.functions + other.functions,
            functions_total: self.functions_total + other.functions_total,
        }
    }

    /// Of a report in the format of lcov.
    fn of(lcov: &str) -> Self {
        let sum = |name: &str| -> u64 {
            lcov.lines().filter_map(|line| line.strip_prefix(name)?.parse::<u64>().ok()).sum()
        };
        Self {
            lines: sum("LH:"),
            lines_total: sum("LF:"),
            functions: sum("FNH:"),
            functions_total: sum("FNF:"),
        }
    }
}

impl fmt::Display for CoverageTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (LLVM {})", self.cov.display(), self.major)
    }
}

/// The tools that read what `rustc`, by its directory of libraries if that is known, writes.
pub(super) async fn rust_tools(
    directory: Option<&Path>,
    cancel: &CancellationToken,
) -> Result<CoverageTools, ModuleError> {
    let passed = ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
    let ask = async |args: &[&str]| {
        let spec = Spec::new("rustc").args(args).pass(passed);
        let spec = directory.into_iter().fold(spec, Spec::directory);
        let exit = spec.deadline(Duration::from_mins(5)).run(cancel).await;
        exit.ok().map(|exit| exit.stdout.text()).unwrap_or_default()
    };
    let version = ask(&["-vV"]).await;
    let wanted = version.lines().find_map(|line| major(line.strip_prefix("LLVM version: ")?)).unwrap_or(0);
    let host =
        version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("x86_64-unknown-linux-gnu");
    let sysroot = ask(&["--print", "sysroot"]).await;
    let own = Path::new(sysroot.trim()).join("lib/rustlib").join(host).join("bin");
    let hint = "install those of the compiler by `rustup component add llvm-tools`";
    choose(Some(&own), wanted, ("rustc", hint), cancel).await
}

/// The tools that read what `clang` writes.
pub(super) async fn clang_tools(cancel: &CancellationToken) -> Result<CoverageTools, ModuleError> {
    let exit = Spec::new("clang").arg("--version").deadline(Duration::from_mins(1)).run(cancel).await;
    let text = exit.map(|exit| exit.stdout.text()).unwrap_or_default();
    let wanted = text.split_once("version ").and_then(|(_, rest)| major(rest)).unwrap_or(0);
    choose(None, wanted, ("clang", "install LLVM by `apt-get install llvm`"), cancel).await
}

/// Tools read what their own version and earlier ones write, not what later ones do.
async fn choose(
    own: Option<&Path>,
    wanted: u32,
    (compiler, hint): (&str, &str),
    cancel: &CancellationToken,
) -> Result<CoverageTools, ModuleError> {
    let mut pairs: Vec<(PathBuf, PathBuf)> = Vec::new();
    if let Some(own) = own {
        pairs.push((own.join("llvm-profdata"), own.join("llvm-cov")));
    }
    let versions = (wanted.max(11)..wanted.max(11) + 6).map(|version| format!("-{version}"));
    for suffix in std::iter::once(String::new()).chain(versions) {
        let names = ["llvm-profdata", "llvm-cov"].map(|name| find_tool(format!("{name}{suffix}")));
        if let [Ok(profdata), Ok(cov)] = names {
            pairs.push((profdata, cov));
        }
    }
    let mut seen = Vec::new();
    for (profdata, cov) in pairs.into_iter().filter(|(profdata, cov)| profdata.is_file() && cov.is_file()) {
        let exit = Spec::new(&cov).arg("--version").deadline(Duration::from_mins(1)).run(cancel).await;
        let text = exit.map(|exit| exit.stdout.text()).unwrap_or_default();
        let found = text.split_once("LLVM version ").and_then(|(_, rest)| major(rest)).unwrap_or(0);
        if found >= wanted && found > 0 {
            return Ok(CoverageTools { profdata, cov, major: found });
        }
        seen.push(format!("{} is of LLVM {found}", cov.display()));
    }
    let seen = if seen.is_empty() { String::new() } else { format!("{}, too old; ", seen.join(", ")) };
    let hint = format!("{seen}{compiler} needs those of LLVM {wanted} or newer: {hint}");
    Err(ToolMissing { program: "llvm-cov and llvm-profdata".into(), hint }.into())
}

fn major(text: &str) -> Option<u32> {
    text.trim().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

impl Counted {
    /// Runs the inputs of `corpus` once and stores `coverage/NAME.lcov` and `coverage/NAME.html`.
    ///
    /// # Errors
    /// Why there is no report, for people.
    pub(super) async fn report(
        &self,
        cx: &ModuleContext,
        corpus: &Path,
        work: &Path,
        root: &Path,
    ) -> Result<Reached, String> {
        let cancel = cx.cancel_token();
        fs::create_dir_all(work).map_err(|error| error.to_string())?;
        let flags = ["-runs=0".into(), corpus.into()];
        let raw = work.join("counts.profraw");
        let spec = self.target.spec(work, false, &flags).read(corpus).env("LLVM_PROFILE_FILE", &raw);
        let exit =
            spec.deadline(Duration::from_mins(10)).run(cancel).await.map_err(|error| error.to_string())?;
        if !exit.status.success() || !raw.is_file() {
            let said = tail(&exit.stderr.text());
            return Err(format!(
                "the build that counts lines did not run the corpus ({}): {said}",
                exit.status
            ));
        }
        let data = work.join("counts.profdata");
        let spec = Spec::new(&self.tools.profdata).args(["merge", "-sparse", "-o"]).args([&data, &raw]);
        run(spec, cancel).await?;
        let page = |args: &[&str]| {
            let spec = Spec::new(&self.tools.cov).args(args).arg("-instr-profile").arg(&data);
            let foreign = r"-ignore-filename-regex=(/rustc/|/registry/src/|^/usr/|/\.rustup/)";
            spec.arg(foreign).arg(&self.target.program).output_cap(LONGEST)
        };
        let name = &self.target.name;
        // Places of this machine mean nothing elsewhere.
        let here = format!("{}/", root.display());
        let lcov = run(page(&["export", "-format=lcov"]), cancel).await?.replace(&here, "");
        let html = run(page(&["show", "-format=html"]), cancel).await?.replace(&here, "");
        let reached = Reached::of(&lcov);
        for (ending, text) in [("lcov", lcov), ("html", html)] {
            let stored = cx.store(&format!("coverage/{name}.{ending}"), text.as_bytes());
            stored.map_err(|error| error_chain(&error))?;
        }
        Ok(reached)
    }
}

/// What a tool printed.
async fn run(spec: Spec, cancel: &CancellationToken) -> Result<String, String> {
    let command = spec.command_line();
    let program = command.split(' ').next().unwrap_or_default().to_owned();
    let exit = spec.deadline(Duration::from_mins(5)).run(cancel).await.map_err(|error| error.to_string())?;
    if !exit.status.success() {
        return Err(format!("{program} failed ({}): {}", exit.status, tail(&exit.stderr.text())));
    }
    if exit.stdout.cut() > 0 {
        return Err(format!("{program} printed more than {} MiB", LONGEST >> 20));
    }
    Ok(exit.stdout.text())
}

/// Whether a program counts the lines that it runs.
pub(super) fn counts(program: &Path) -> bool {
    let Ok(data) = fs::symlink_metadata(program) else { return false };
    data.is_file()
        && data.len() < 1 << 28
        && fs::read(program).is_ok_and(|bytes| memchr::memmem::find(&bytes, b"__llvm_covmap").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_over_files() {
        let lcov =
            "SF:a.c\nFNF:4\nFNH:2\nDA:1,1\nLF:10\nLH:7\nend_of_record\nSF:b.c\nFNF:1\nFNH:1\nLF:5\nLH:x\n";
        let reached = Reached { lines: 7, lines_total: 15, functions: 3, functions_total: 5 };
        assert_eq!(Reached::of(lcov), reached);
        assert_eq!(reached.and(reached).lines, 14);
        for (text, expect) in
            [("22.1.2", Some(22)), ("14.0.6\n  Optimized", Some(14)), ("", None), ("x", None)]
        {
            assert_eq!(major(text), expect, "{text}");
        }
    }

    #[tokio::test]
    async fn tools_that_are_too_old_are_named() {
        let error = choose(None, 9999, ("rustc", "do this"), &CancellationToken::new()).await.unwrap_err();
        let text = error_chain(&error);
        assert!(text.contains("LLVM 9999 or newer: do this"), "{text}");
    }
}
