use std::borrow::Cow;

use super::frame::{RawFrame, Role};
use super::machinery::machinery;
use super::names::runtime_name;
use super::paths::{dependency, library, runtime};
use super::stdlib::{glibc, go_stdlib, is_libc_file, is_rust_crate};

/// Whose code is whose, judged by path: names of functions lie (inlined frames lose their crate, and anyone may call a
/// function `read`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    roots: Vec<String>,
}

/// Where a path was found to belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Project,
    Dependency,
    Runtime,
    /// An absolute path outside the roots, which a build on another machine leaves.
    Elsewhere,
    /// There is no path.
    Nowhere,
}

impl Scope {
    /// Relative paths, and absolute ones that are no known library, are the project's.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory of the project, as it was named when it was built. Other absolute paths are then its own only
    /// if no frame is below a root.
    #[must_use]
    pub fn with_root(mut self, root: impl Into<String>) -> Self {
        let mut root = root.into();
        while root.len() > 1 && root.ends_with('/') {
            root.pop();
        }
        self.roots.push(root);
        self
    }

    /// `path` below a root, without it.
    pub(super) fn relative<'p>(&self, path: &'p str) -> Option<&'p str> {
        self.roots.iter().find_map(|root| path.strip_prefix(root.as_str())?.strip_prefix('/'))
    }

    /// `path` with the slash that a stack leaves out when the program went to the root of the file system.
    pub(super) fn rooted<'p>(&self, path: Cow<'p, str>) -> Cow<'p, str> {
        let below = |root: &String| {
            let rest = root.strip_prefix('/').and_then(|root| path.strip_prefix(root));
            root.len() > 1 && rest.is_some_and(|rest| rest.starts_with('/'))
        };
        let compiler = path.strip_prefix("rustc/").and_then(|rest| rest.split_once('/'));
        let built = compiler
            .is_some_and(|(hash, _)| hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if built || self.roots.iter().any(below) { Cow::Owned(format!("/{path}")) } else { path }
    }

    pub(super) fn judge(&self, frame: &RawFrame<'_>, path: Option<&str>) -> Place {
        let Some(path) = path else {
            return match frame.module {
                Some(module) if library(module) => Place::Runtime,
                Some(module) if dependency(module) => Place::Dependency,
                _ => Place::Nowhere,
            };
        };
        let slashed = path.contains('\\').then(|| path.replace('\\', "/"));
        let path = slashed.as_deref().unwrap_or(path);
        if runtime(path)
            || frame.file.is_some_and(glibc)
            || go_stdlib(frame.function, path)
            || is_libc_file(frame.function, path)
            || is_rust_crate(frame.function, path)
        {
            return Place::Runtime;
        }
        if !path.contains('/') && [".java", ".kt", ".scala"].iter().any(|suffix| path.ends_with(suffix)) {
            // A Java frame names a file without its directory, and the package in the function.
            let class = frame.function.rsplit('/').next().unwrap_or(frame.function);
            return if runtime_name(class) { Place::Runtime } else { Place::Project };
        }
        if dependency(path) {
            return Place::Dependency;
        }
        let absolute = path.starts_with('/') || path.contains(":/");
        if self.relative(path).is_some() || !absolute || self.roots.is_empty() {
            Place::Project
        } else {
            Place::Elsewhere
        }
    }
}

impl Place {
    /// The role, where `own` says whether some frame is below a root.
    pub(super) fn role(self, own: bool, function: &str) -> Role {
        match self {
            Self::Runtime => Role::Runtime,
            _ if machinery(function) => Role::Runtime,
            Self::Nowhere if runtime_name(function) => Role::Runtime,
            Self::Dependency => Role::Dependency,
            Self::Elsewhere if own => Role::Dependency,
            Self::Project | Self::Elsewhere | Self::Nowhere => Role::Project,
        }
    }
}

/// Below the harness begins the fuzzer.
pub(super) fn is_entry(function: &str) -> bool {
    let name = function.rsplit(['.', ':']).next().unwrap_or(function);
    matches!(
        name,
        "LLVMFuzzerTestOneInput"
            | "TestOneInput"
            | "rust_fuzzer_test_input"
            | "__libfuzzer_sys_run"
            | "fuzzerTestOneInput"
            | "fuzz_one_input"
            | "LLVMFuzzerRunDriver"
    )
}

/// `path` with `//`, `/./` and `x/..` resolved, and a leading `./` or `/proc/self/cwd/` dropped.
pub(super) fn normal_path(path: &str) -> Cow<'_, str> {
    let path = path.strip_prefix("/proc/self/cwd/").unwrap_or(path);
    let inner = path.strip_prefix("./").unwrap_or(path);
    if let Some(rest) = inner.strip_prefix("/rustc/")
        && let Some((commit, rest)) = rest.split_once('/')
        && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        // Which build of the compiler a program is of says nothing of its crash.
        return Cow::Owned(format!("/rustc/{rest}"));
    }
    if !(inner.contains("/.") || inner.contains("//")) || inner.starts_with("csu/") {
        return Cow::Borrowed(inner);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in inner.split('/') {
        match part {
            "." => {}
            // The slashes of `file://` stay.
            "" if parts.last().is_some_and(|last| !last.is_empty() && !last.ends_with(':')) => {}
            ".." if parts.last().is_some_and(|last| !last.is_empty() && *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Cow::Owned(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::{Place, RawFrame, Scope, normal_path};

    #[test]
    fn paths_tell_whose_code_it_is() {
        let scope = Scope::new().with_root("/home/u/demo/");
        for (path, expect) in [
            ("/home/u/demo/src/lib.rs", Place::Project),
            ("src/lib.rs", Place::Project),
            ("fuzz_targets/parse.rs", Place::Project),
            ("/home/u/demo-other/src/lib.rs", Place::Elsewhere),
            ("/home/u/.cargo/registry/src/index.example.org-1949/ron-0.6.4/src/de.rs", Place::Dependency),
            (
                "/home/u/.cargo/registry/src/index.example.org-1949/libfuzzer-sys-0.4.9/src/lib.rs",
                Place::Runtime,
            ),
            ("/rustc/5980/library/core/src/panicking.rs", Place::Runtime),
            ("csu/../csu/libc-start.c", Place::Runtime),
            ("./csu/../sysdeps/nptl/libc_start_call_main.h", Place::Runtime),
            ("../../../../src/libsanitizer/asan/asan_malloc_linux.cpp", Place::Runtime),
            ("/usr/lib/llvm-14/include/c++/v1/vector", Place::Runtime),
            ("/usr/lib/python3.11/json/decoder.py", Place::Runtime),
            ("/x/lib/python3.11/site-packages/yaml/x.py", Place::Dependency),
            ("/usr/local/go/src/runtime/panic.go", Place::Runtime),
            ("/root/go/pkg/mod/github.com/x/y@v1.0.0/z.go", Place::Dependency),
        ] {
            assert_eq!(scope.judge(&RawFrame::at("f", path), Some(path)), expect, "{path}");
        }
        for (function, path, expect) in [
            ("math/rand.(*Rand).Int63", "/opt/tools/go/src/math/rand/rand.go", Place::Runtime),
            ("testing.tRunner", "C:/tools/1.22/src/testing/testing.go", Place::Runtime),
            ("runtime.goexit", "/opt/tools/go/src/runtime/asm_amd64.s", Place::Runtime),
            ("math/rand.Own", "/home/u/demo/math/rand/own.go", Place::Project),
            ("example.org/log.Print", "/home/u/demo/src/example.org/log/log.go", Place::Project),
        ] {
            assert_eq!(scope.judge(&RawFrame::at(function, path), Some(path)), expect, "{function}");
        }
        assert_eq!(Scope::new().judge(&RawFrame::default(), Some("/src/x.c")), Place::Project);
        let frame = RawFrame { module: Some("/lib/x86_64-linux-gnu/libc.so.6"), ..RawFrame::default() };
        assert_eq!(scope.judge(&frame, None), Place::Runtime);
    }

    #[test]
    fn paths_seen_from_the_root_of_the_file_system_get_their_slash() {
        let scope = Scope::new().with_root("/home/u/demo").with_root("/");
        let library = "rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/core/src/panicking.rs";
        for (path, slash) in [
            ("home/u/demo/src/lib.rs", true),
            (library, true),
            ("home/u/demolition.rs", false),
            ("rustc/src/lib.rs", false),
            ("src/lib.rs", false),
            ("/home/u/demo/src/lib.rs", false),
        ] {
            let expect = if slash { format!("/{path}") } else { path.to_owned() };
            assert_eq!(scope.rooted(path.into()), expect);
        }
    }

    #[test]
    fn paths_are_resolved() {
        for (path, expect) in [
            ("./src/x.rs", "src/x.rs"),
            ("/a/b/../c/./d.c", "/a/c/d.c"),
            ("/a/b/..//c//d.c", "/a/c/d.c"),
            ("file:///a/b.js", "file:///a/b.js"),
            ("../../base/x.cc", "../../base/x.cc"),
            ("/..", "/.."),
            ("/proc/self/cwd/src/x.cc", "src/x.cc"),
            ("../../a/./b/../c.cc", "../../a/c.cc"),
            (
                "/rustc/0123456789abcdef0123456789abcdef01234567/library/core/src/a.rs",
                "/rustc/library/core/src/a.rs",
            ),
            ("a", "a"),
        ] {
            assert_eq!(normal_path(path), expect, "{path}");
        }
    }
}
