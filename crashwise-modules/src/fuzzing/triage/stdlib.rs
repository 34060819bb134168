//! The sources of standard libraries, wherever a toolchain or a distribution has put them.

use super::names::{libc_name, system_call};

/// Rust's standard library as a distribution builds it: `/ports/rustc-1.79.0-src/library/core/src/ub_checks.rs`, or without
/// what stands before its crate.
pub(super) fn rust_source(path: &str) -> bool {
    const BARE: &[&str] = &[
        "alloc/src/alloc.rs",
        "alloc/src/raw_vec.rs",
        "alloc/src/raw_vec/mod.rs",
        "core/src/panicking.rs",
        "core/src/ub_checks.rs",
        "std/src/alloc.rs",
        "std/src/io/stdio.rs",
        "std/src/panicking.rs",
        "std/src/thread/local.rs",
    ];
    let unpacked = path.split_once("/rustc-").and_then(|(_, rest)| rest.split_once('/'));
    BARE.binary_search(&path).is_ok() || unpacked.is_some_and(|(_, rest)| rest.starts_with("library/"))
}

/// Whether a path that begins with a crate of Rust's standard library is of a function of that crate: `core/src/option.rs`.
pub(super) fn is_rust_crate(function: &str, path: &str) -> bool {
    ["core", "alloc", "std"].iter().any(|name| {
        let within =
            |text: &str, next: &str| text.strip_prefix(name).is_some_and(|rest| rest.starts_with(next));
        within(path, "/src/") && within(function.trim_start_matches('<'), "::")
    })
}

/// Go's standard library, wherever its sources are: `math/rand.Int` in `.../src/math/rand/rand.go`.
pub(super) fn go_stdlib(function: &str, path: &str) -> bool {
    const PACKAGES: &[&str] = &[
        "archive",
        "bufio",
        "bytes",
        "cmp",
        "compress",
        "container",
        "context",
        "crypto",
        "database",
        "debug",
        "encoding",
        "errors",
        "expvar",
        "flag",
        "fmt",
        "go",
        "hash",
        "html",
        "image",
        "index",
        "internal",
        "io",
        "iter",
        "log",
        "maps",
        "math",
        "mime",
        "net",
        "os",
        "path",
        "plugin",
        "reflect",
        "regexp",
        "runtime",
        "slices",
        "sort",
        "strconv",
        "strings",
        "structs",
        "sync",
        "syscall",
        "testing",
        "text",
        "time",
        "unicode",
        "unique",
        "unsafe",
        "weak",
    ];
    let folder = function.rfind('/').map_or(0, |slash| slash + 1);
    let Some(dot) = function[folder..].find('.') else { return false };
    let package = &function[..folder + dot];
    let first = package.split('/').next().unwrap_or(package);
    // Functions of the runtime lie in files of one another's packages.
    let inner = ["/src/runtime/", "/src/internal/"].iter().any(|folder| path.contains(folder));
    if inner && matches!(first, "runtime" | "internal") {
        return true;
    }
    PACKAGES.contains(&first)
        && path.rsplit_once('/').is_some_and(|(folder, _)| {
            folder
                .strip_suffix(package)
                .is_some_and(|sources| sources.is_empty() || sources.ends_with("/src/"))
        })
}

/// The standard library of Python or Go, which is not the project's and not what it chose either.
pub(super) fn stdlib(path: &str) -> bool {
    if let Some(at) = path.find("/lib/python") {
        let rest = &path[at + "/lib/python".len()..];
        return !rest.contains("site-packages/") && !rest.contains("dist-packages/");
    }
    path.contains("/usr/local/go/src/") || path.contains("/usr/lib/go") || path.contains("/go/src/vendor/")
}

/// glibc's sources are named relative to its own build: `stdlib/./stdlib/abort.c`, `signal/../sysdeps/posix/raise.c`.
pub(super) fn glibc(path: &str) -> bool {
    const FILES: &[&str] = &[
        "assert/assert.c",
        "debug/fortify_fail.c",
        "nptl/pthread_kill.c",
        "nptl/pthread_create.c",
        "stdlib/abort.c",
        "posix/raise.c",
        "linux/raise.c",
        "csu/libc-start.c",
        "malloc/malloc.c",
    ];
    if path.starts_with('/') {
        return false;
    }
    // Folders that only it has.
    if path.starts_with("libio/") || path.starts_with("stdio-common/") {
        return true;
    }
    let twice =
        path.split_once("/./").is_some_and(|(first, rest)| rest.starts_with(first) && !first.contains('/'));
    twice || path.contains("/../sysdeps/") || FILES.iter().any(|file| path.ends_with(file))
}

/// Folders of glibc's sources, as its own build names them.
const LIBC_FOLDERS: &[&str] = &[
    "assert", "ctype", "debug", "elf", "iconv", "inet", "io", "locale", "malloc", "math", "misc", "nptl",
    "posix", "resolv", "setjmp", "signal", "socket", "stdlib", "string", "termios", "time", "wcsmbs",
];

/// Whether a file without its folders is the C library's own for the function: `connect.c` of `connect`, as Valgrind names it.
pub(super) fn is_libc_file(function: &str, path: &str) -> bool {
    let Some(stem) = path.strip_suffix(".c").or_else(|| path.strip_suffix(".S")) else { return false };
    let name = function.split(" (").next().unwrap_or(function);
    let name = name.strip_prefix("__GI_").unwrap_or(name);
    let bare = name.trim_start_matches('_');
    let stem = match stem.rsplit_once('/') {
        Some((folder, stem))
            if LIBC_FOLDERS.binary_search(&folder).is_ok() && (bare != name || stem == bare) =>
        {
            stem
        }
        Some(_) => return false,
        None => stem,
    };
    libc_name(name) || libc_name(bare) || (stem == bare && system_call(bare))
}
