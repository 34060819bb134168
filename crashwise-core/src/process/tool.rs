use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::ProcessError;

const HINTS: &[(&str, &str)] = &[
    ("afl-clang-fast", "install AFL++: `apt-get install afl++`, `brew install afl++`"),
    ("afl-cmin", "install AFL++: `apt-get install afl++`, `brew install afl++`"),
    ("afl-fuzz", "install AFL++: `apt-get install afl++`, `brew install afl++`"),
    ("afl-tmin", "install AFL++: `apt-get install afl++`, `brew install afl++`"),
    ("bandit", "install it with `pip install bandit`"),
    ("cargo", "install Rust from https://rustup.rs"),
    ("cargo-fuzz", "install it with `cargo install cargo-fuzz`"),
    ("clang", "install it with `apt-get install clang` or `brew install llvm`"),
    ("clang++", "install it with `apt-get install clang` or `brew install llvm`"),
    ("docker", "install an engine: https://docs.docker.com/engine/install"),
    ("gcc", "install it with `apt-get install gcc`"),
    ("gdb", "install it with `apt-get install gdb`"),
    ("git", "install it with `apt-get install git` or `brew install git`"),
    ("gitleaks", "install it from https://github.com/gitleaks/gitleaks/releases"),
    ("go", "install it from https://go.dev/dl"),
    ("llvm-cov", "install it with `rustup component add llvm-tools` or `apt-get install llvm`"),
    ("llvm-profdata", "install it with `rustup component add llvm-tools` or `apt-get install llvm`"),
    ("llvm-symbolizer", "install it with `apt-get install llvm` or `brew install llvm`"),
    ("mypy", "install it with `pip install mypy`"),
    ("podman", "install it with `apt-get install podman`"),
    ("python3", "install it with `apt-get install python3` or from https://www.python.org"),
    ("rustc", "install Rust from https://rustup.rs"),
    ("rustup", "install Rust from https://rustup.rs"),
    ("trufflehog", "install it from https://github.com/trufflesecurity/trufflehog/releases"),
];

/// How to get `tool`, in words that fit after "`tool` was not found; ".
pub fn install_hint(tool: &str) -> &'static str {
    HINTS.iter().find(|(name, _)| *name == tool).map_or("install it or give its full path", |(_, hint)| hint)
}

/// The absolute path of `tool`: itself if it contains a slash, else the first executable of that name in `PATH`.
///
/// # Errors
/// [`ProcessError::ToolMissing`] names the tool and how to get it; [`ProcessError::NotExecutable`] if it is a file
/// that may not be executed.
pub fn find_tool(tool: impl AsRef<OsStr>) -> Result<PathBuf, ProcessError> {
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    find_in(tool.as_ref(), &path)
}

pub(super) fn find_in(tool: &OsStr, search: &OsStr) -> Result<PathBuf, ProcessError> {
    let name = tool.to_string_lossy();
    let missing = || ProcessError::ToolMissing {
        tool: name.clone().into_owned(),
        hint: install_hint(Path::new(tool).file_name().and_then(OsStr::to_str).unwrap_or("")).to_owned(),
    };
    if name.contains('/') {
        let path = std::path::absolute(tool)
            .map_err(|source| ProcessError::NotExecutable { path: tool.into(), source })?;
        return match executable(&path) {
            Ok(()) => Ok(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
            Err(source) => Err(ProcessError::NotExecutable { path, source }),
        };
    }
    if name.is_empty() {
        return Err(missing());
    }
    env::split_paths(search)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(tool))
        .find(|path| executable(path).is_ok())
        .ok_or_else(missing)
}

fn executable(path: &Path) -> io::Result<()> {
    let metadata = path.metadata()?;
    if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        Ok(())
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::{ProcessError, find_in, install_hint};

    fn error(tool: &str, path: &str) -> String {
        find_in(OsStr::new(tool), OsStr::new(path)).expect_err("must not be found").to_string()
    }

    #[test]
    fn a_missing_tool_is_named_with_the_way_to_get_it() {
        assert_eq!(
            error("cargo-fuzz", "/nowhere"),
            "`cargo-fuzz` was not found; install it with `cargo install cargo-fuzz`"
        );
        assert_eq!(
            error("/nowhere/frob", "/bin"),
            "`/nowhere/frob` was not found; install it or give its full path"
        );
        assert_eq!(error("", "/bin"), "`` was not found; install it or give its full path");
    }

    #[test]
    fn relative_search_directories_are_not_trusted() {
        assert!(find_in(OsStr::new("sh"), OsStr::new("bin:.:")).is_err());
        assert_eq!(
            find_in(OsStr::new("sh"), OsStr::new(".:/bin")).expect("sh"),
            std::path::Path::new("/bin/sh")
        );
    }

    #[test]
    fn a_file_that_may_not_run_is_not_a_missing_tool() {
        let error = find_in(OsStr::new("/etc/passwd"), OsStr::new("")).expect_err("not executable");
        assert!(matches!(error, ProcessError::NotExecutable { .. }), "{error:?}");
    }

    #[test]
    fn hints_are_sorted_and_known() {
        assert!(super::HINTS.is_sorted());
        assert!(install_hint("clang").contains("clang"));
    }
}
