//! Whose code lies where, by its path.

use super::stdlib::{rust_source, stdlib};

/// Folders of runtimes, anywhere in a path.
const RUNTIME_PARTS: &[&str] = &[
    "/rustc/",
    "/lib/rustlib/",
    "compiler-rt/",
    "/libfuzzer-sys-",
    "/libafl",
    "/honggfuzz-",
    "/afl-",
    "/libFuzzer/src/",
    "/lib/fuzzer/",
    "llvm-project/",
    "libsanitizer/",
    "/sysdeps/",
    "/csu/",
    "/nptl/",
    "/glibc",
    "/libgcc/",
    "/libstdc++-v3/",
    "/c++/v1/",
    "/include/c++/",
    "/libcxx/",
    "/libc++/",
    "/libcxxabi/",
    "/musl-",
    "/usr/include/",
    "/go/src/runtime/",
    "/go/src/testing/",
    "/go/src/internal/",
    "/go/src/sync/",
    "/go/src/reflect/",
    "/go/src/bytes/",
    "/go/src/strings/",
    "/go/src/fmt/",
    "/atheris/",
    "/bionic/",
    "third_party/llvm",
    "third_party/libFuzzer/",
    "base/debug/stack_trace",
    "base/logging",
    "/internal/process/",
    "/@jazzer.js/",
    "rustlib/src/rust/",
    "/src/libstd/",
    "/src/libcore/",
    "/src/liballoc/",
    "/rust/library/",
    "/backtrace-0.",
    "/src/libtest/",
    "googletest/",
    "/gtest/",
    "fuzztest/internal/",
    "third_party/fuzztest/",
    "/centipede/",
    "/honggfuzz/",
    "base/debug/",
    "base/check",
    "base/immediate_crash",
    "absl/log/",
    "absl/debugging/",
    "/lib/zig/",
    "/nim/lib/",
    "/lib/crystal/",
    "/share/crystal/src/",
    "/toolchains/nim-",
    "mm/kasan/",
    "mm/kmsan/",
    "mm/kfence/",
    "kernel/kcsan/",
    "pysecsan/",
    "vctools/crt/",
    "/VC/Tools/MSVC/",
    "/Windows Kits/",
    "/minkernel/",
    "fuzzer/FuzzedDataProvider",
    "third_party/libc++",
    "/musl/src/",
    "eglibc-",
    "/libunwind/",
    "/coregrind/",
    "/memcheck/",
];

/// What paths of runtimes begin with.
const RUNTIME_STARTS: &[&str] = &[
    "../sysdeps/",
    "./sysdeps/",
    "sysdeps/",
    "../csu/",
    "./csu/",
    "csu/",
    "./nptl/",
    "nptl/",
    "./stdlib/",
    "./assert/",
    "./debug/",
    "./malloc/",
    "./string/",
    "./libio/",
    "./signal/",
    "./misc/",
    "./posix/",
    "./elf/",
    "library/std/",
    "library/core/",
    "library/alloc/",
    "libstd/",
    "libcore/",
    "liballoc/",
    "src/libstd/",
    "src/libcore/",
    "src/liballoc/",
    "src/libtest/",
    "node:",
    "<frozen ",
    "<string>",
    "<anonymous>",
    "_asan_rtl_",
    "java.base/",
    "/usr/lib/gcc",
    "/build/glibc",
    "/home/runner/work/rust/",
    "/usr/src/debug/glibc",
];

/// Standard libraries, sanitizers, fuzzers, test frameworks, and what starts a program.
pub(super) fn runtime(path: &str) -> bool {
    RUNTIME_PARTS.iter().any(|part| holds(path, part))
        || RUNTIME_STARTS.iter().any(|start| path.starts_with(start))
        || path == "native"
        || path.starts_with("internal/") && extension(path, "js")
        || path.starts_with("runtime/") && (extension(path, "go") || extension(path, "s"))
        || is_in_process(path)
        || bare_runtime(path)
        || fuzzer_file(path)
        || stdlib(path)
        || instrumented(path)
        || rust_source(path)
}

/// The sources of libFuzzer, wherever they are: `.../fuzzer/FuzzerLoop.cpp`.
fn fuzzer_file(path: &str) -> bool {
    const BARE: &[&str] = &[
        "FuzzerDriver.cpp",
        "FuzzerExtFunctionsDlsym.cpp",
        "FuzzerExtFunctionsWeak.cpp",
        "FuzzerFork.cpp",
        "FuzzerLoop.cpp",
        "FuzzerMain.cpp",
        "FuzzerMerge.cpp",
        "FuzzerMutate.cpp",
        "FuzzerTracePC.cpp",
        "FuzzerUtil.cpp",
        "FuzzerUtilDarwin.cpp",
        "FuzzerUtilLinux.cpp",
        "FuzzerUtilPosix.cpp",
        "FuzzerUtilWindows.cpp",
    ];
    // macOS leaves the folders out.
    let Some((folder, name)) = path.rsplit_once('/') else { return BARE.binary_search(&path).is_ok() };
    folder.to_ascii_lowercase().ends_with("fuzzer")
        && name.strip_prefix("Fuzzer").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// Headers of libstdc++ and files of old versions of Node, which are known without their folders: `(stl_vector.h:1123)`, `module.js:456`.
fn bare_runtime(path: &str) -> bool {
    const FILES: &[&str] = &[
        "_http_client.js",
        "_http_common.js",
        "_http_server.js",
        "_stream_readable.js",
        "_stream_writable.js",
        "_tls_wrap.js",
        "alloc_traits.h",
        "basic_string.h",
        "bootstrap_node.js",
        "char_traits.h",
        "child_process.js",
        "domain.js",
        "events.js",
        "hashtable.h",
        "hashtable_policy.h",
        "invoke.h",
        "module.js",
        "move.h",
        "net.js",
        "new_allocator.h",
        "node.js",
        "shared_ptr.h",
        "shared_ptr_base.h",
        "std_function.h",
        "timers.js",
        "unique_ptr.h",
        "vm.js",
    ];
    !path.contains(['/', '\\'])
        && (FILES.binary_search(&path).is_ok() || extension(path, "tcc") || path.starts_with("stl_"))
}

/// Whether the folders `part` are in `path`: `base/check` is not in `database/check.c`.
fn holds(path: &str, part: &str) -> bool {
    path.match_indices(part)
        .any(|(at, _)| part.starts_with('/') || at == 0 || path.as_bytes()[at - 1] == b'/')
}

/// The sources of sanitizers and of Valgrind, of which some tools print the name without its folders.
fn instrumented(path: &str) -> bool {
    const STARTS: &[&str] =
        &["asan_", "hwasan_", "lsan_", "msan_", "tsan_", "ubsan_", "sanitizer_", "vg_replace_", "vg_preload"];
    let name = path.rsplit('/').next().unwrap_or(path);
    STARTS.iter().any(|start| name.starts_with(start))
}

/// The fuzzer that a program has in itself.
pub(super) fn is_in_process(path: &str) -> bool {
    path.contains("/fuzzing/in_process/")
}

/// Libraries that the project uses.
pub(super) fn dependency(path: &str) -> bool {
    const PARTS: &[&str] = &[
        "/.cargo/registry/src/",
        "/.cargo/git/checkouts/",
        "/registry/src/index.",
        "/pkg/mod/",
        "/site-packages/",
        "/dist-packages/",
        "/node_modules/",
        "/usr/lib/",
        "/usr/lib64/",
        "/usr/share/",
        "/nix/store/",
        "/gnu/store/",
        "/.m2/",
        "/share/lua/",
        "/absl/",
        "abseil-cpp/",
    ];
    PARTS.iter().any(|part| path.contains(part))
        || path.starts_with("node_modules/")
        || ["/lib/", "/lib32/", "/lib64/"].iter().any(|folder| path.starts_with(folder))
}

/// A system library, by the name of its file.
pub(super) fn library(module: &str) -> bool {
    const NAMES: &[&str] = &[
        "libc.so",
        "libc-",
        "libc.musl",
        "libpthread",
        "libm.so",
        "libm-",
        "ld-linux",
        "ld-2.",
        "ld-musl",
        "libstdc++",
        "libc++",
        "libgcc_s",
        "libdl",
        "librt",
        "libasan",
        "libubsan",
        "libtsan",
        "liblsan",
        "libclang_rt",
        "libart.so",
        "libutils.so",
        "linux-gate.so",
        "linux-vdso.so",
        "[vdso]",
        "[C]",
        "libpython",
        "libcamlrun",
        "libdruntime",
        "libjulia",
        "libR.so",
        "libruby",
        "libSystem",
        "libsystem_",
        "libdyld",
        "libjvm.",
        "libobjc",
        "libdispatch",
        "libswift",
        "com.apple.",
        "CoreFoundation",
        "AppKit",
        "UIKit",
        "SwiftUI",
        "Foundation",
        "GraphicsServices",
        "QuartzCore",
        "dyld",
    ];
    const WINDOWS: &[&str] =
        &["ntdll", "kernel32", "kernelbase", "ucrtbase", "msvcr", "msvcp", "vcruntime", "clang_rt."];
    let name = module.rsplit(['/', '\\']).next().unwrap_or(module);
    let start = |known: &&str| name.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known));
    NAMES.iter().any(|known| name.starts_with(known))
        || WINDOWS.iter().any(start)
        || module.to_ascii_lowercase().contains(":\\windows\\")
        || name.starts_with("python3")
        || matches!(name, "python" | "node")
}

/// Whether the name of a file ends with `extension`.
pub(super) fn extension(path: &str, extension: &str) -> bool {
    path.strip_suffix(extension).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::{dependency, library, runtime};

    #[test]
    fn folders_are_whole() {
        for (path, expect) in [
            ("../../base/check.cc", true),
            ("src/database/check.c", false),
            ("third_party/googletest/src/gtest.cc", true),
            ("C:/work/vctools/crt/vcstartup/exe.inl", true),
            ("internal/loader.js", true),
            ("internal/loader.c", false),
            ("/builds/asan_malloc_linux.cc", true),
            ("vg_replace_strmem.c", true),
            ("native", true),
            ("native/demo.c", false),
        ] {
            assert_eq!(runtime(path), expect, "{path}");
        }
        assert!(dependency("third_party/abseil-cpp/absl/types/span.h") && !dependency("src/absl.cc"));
        assert!(library(r"C:\Windows\System32\KERNEL32.DLL") && library("ntdll") && !library("demo.dll"));
    }
}
