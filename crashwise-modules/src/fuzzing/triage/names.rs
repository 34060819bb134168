//! Functions of runtimes, by name: for frames that have neither a source file nor a module.

const EXACT: &[&str] = &[
    "",
    "(below main)",
    "BaseThreadInitThunk",
    "CrashOnOverwrittenInput",
    "CrashTrampolineAsm",
    "KiUserExceptionDispatcher",
    "RaiseException",
    "RaiseFailFastException",
    "RtlUserThreadStart",
    "WinMainCRTStartup",
    "_CxxThrowException",
    "_Exit",
    "_RtlUserThreadStart",
    "__GI_abort",
    "__GI_raise",
    "__RtlUserThreadStart",
    "__assert",
    "__assert13",
    "__assert2",
    "__assert_fail",
    "__assert_fail_base",
    "__assert_func",
    "__assert_rtn",
    "__bionic_clone",
    "__chk_fail",
    "__clone",
    "__clone3",
    "__cxa_rethrow",
    "__cxa_throw",
    "__fortify_fail",
    "__kernel_vsyscall",
    "__libc_calloc",
    "__libc_fatal",
    "__libc_free",
    "__libc_malloc",
    "__libc_message",
    "__libc_realloc",
    "__libc_start_call_main",
    "__libc_start_main",
    "__libc_start_main_impl",
    "__libc_thread_freeres",
    "__malloc_arena_thread_freeres",
    "__pthread_kill",
    "__pthread_kill_implementation",
    "__pthread_kill_internal",
    "__pthread_start",
    "__restore_rt",
    "__run_exit_handlers",
    "__rust_maybe_catch_panic",
    "__rust_try",
    "__scrt_common_main",
    "__scrt_common_main_seh",
    "__stack_chk_fail",
    "__start_thread",
    "__terminate",
    "__tmainCRTStartup",
    "_assert",
    "_assertionFailure",
    "_int_free",
    "_int_malloc",
    "_int_memalign",
    "_int_realloc",
    "_pthread_body",
    "_pthread_start",
    "_start",
    "_wassert",
    "abort",
    "abort_message",
    "aligned_alloc",
    "arena_for_chunk",
    "asan_thread_start",
    "asprintf",
    "assert_fail",
    "assert_fail_base",
    "bcmp",
    "below main",
    "calloc",
    "chk_fail",
    "clone",
    "demangling_terminate_handler",
    "exit",
    "fclose",
    "fgets",
    "fortify_fail",
    "fprintf",
    "fputs",
    "fread",
    "free",
    "fscanf",
    "fwrite",
    "getdelim",
    "getline",
    "gsignal",
    "int_free",
    "int_malloc",
    "int_realloc",
    "invoke_main",
    "kill",
    "libc_calloc",
    "libc_fatal",
    "libc_free",
    "libc_malloc",
    "libc_message",
    "libc_realloc",
    "libc_thread_freeres",
    "mainCRTStartup",
    "malloc",
    "malloc_arena_thread_freeres",
    "malloc_consolidate",
    "malloc_printerr",
    "memccpy",
    "memchr",
    "memcmp",
    "memcpy",
    "memmove",
    "mempcpy",
    "memrchr",
    "memset",
    "munmap_chunk",
    "objc_exception_throw",
    "operator delete",
    "operator delete[]",
    "operator new",
    "operator new[]",
    "posix_memalign",
    "printf",
    "pthread_create",
    "pthread_join",
    "pthread_kill",
    "pthread_kill_implementation",
    "pthread_kill_internal",
    "pthread_mutex_destroy",
    "pthread_mutex_lock",
    "pthread_mutex_unlock",
    "puts",
    "qsort",
    "raise",
    "realloc",
    "reallocarray",
    "run_exit_handlers",
    "rust_begin_unwind",
    "rust_oom",
    "rust_panic",
    "scanf",
    "snprintf",
    "sprintf",
    "sscanf",
    "stack_chk_fail",
    "start_main",
    "start_thread",
    "start_wqthread",
    "std::__glibcxx_assert_fail",
    "std::__replacement_assert",
    "stpcpy",
    "strcasecmp",
    "strcat",
    "strchr",
    "strcmp",
    "strcpy",
    "strcspn",
    "strdup",
    "strlen",
    "strncasecmp",
    "strncat",
    "strncmp",
    "strncpy",
    "strndup",
    "strnlen",
    "strpbrk",
    "strrchr",
    "strsep",
    "strspn",
    "strstr",
    "strtod",
    "strtok",
    "strtol",
    "strtoul",
    "swift_runtime_on_report",
    "sysmalloc",
    "systrim",
    "tcache_thread_shutdown",
    "tgkill",
    "thread_start",
    "unlink_chunk",
    "valloc",
    "vasprintf",
    "vfprintf",
    "vfscanf",
    "vprintf",
    "vsnprintf",
    "vsprintf",
    "vsscanf",
    "wcscpy",
    "wcslen",
    "wcsncpy",
    "wmainCRTStartup",
    "wmemcpy",
];
const STARTS: &[&str] = &[
    "__asan_",
    "__hwasan_",
    "__interceptor_",
    "__interception",
    "__libfuzzer",
    "__lsan_",
    "__msan_",
    "__rust_",
    "__rustc",
    "__rdl_",
    "__rg_",
    "__sanitizer",
    "__tsan_",
    "__ubsan_",
    "___interceptor_",
    "__GI___",
    "_IO_",
    "_libc_",
    "Swift runtime failure",
    "absl::log_internal::",
    "alloc::",
    "asan_",
    "backtrace::",
    "com.code_intelligence.jazzer.",
    "core::",
    "fuzzer::",
    "google::LogMessage",
    "java.",
    "javax.",
    "jdk.",
    "junit.",
    "kotlin.",
    "node::",
    "libfuzzer_sys::",
    "logging::",
    "base::debug::",
    "V8_Fatal",
    "v8::base::OS::Abort",
    "v8::base::FatalOOM",
    "node:",
    "org.gradle.",
    "org.hamcrest.",
    "org.junit.",
    "org.testng.",
    "pthread_",
    "runtime.",
    "scala.",
    "std::",
    "sun.",
    "System.",
    "testing.",
    "Microsoft.",
    "wrap_",
];

/// What raises an alarm, runs tests or splits an input, wherever its source lies: a project compiles a copy of its own.
const MACHINERY: &[&str] = &[
    "FuzzedDataProvider::",
    "MOZ_Crash",
    "QMessageLogger::fatal",
    "SbSystemBreakIntoDebugger",
    "V8_Dcheck",
    "V8_Fatal",
    "WTFCrash",
    "__asan::",
    "__hwasan::",
    "__interceptor_",
    "__lsan::",
    "__msan::",
    "__sanitizer::",
    "__sanitizer_",
    "__tsan::",
    "__ubsan::",
    "absl::log_internal::",
    "asan_thread_start",
    "base::debug::",
    "fuzztest::internal::",
    "g_assertion_message",
    "google::LogMessage",
    "google::logging_fail",
    "logging::CheckError",
    "logging::LogMessage",
    "mozalloc_abort",
    "mozalloc_handle_oom",
    "operator delete",
    "operator new",
    "qt_assert",
    "qt_message_fatal",
    "testing::Test::",
    "testing::TestCase::",
    "testing::TestInfo::",
    "testing::TestSuite::",
    "testing::UnitTest::",
    "testing::internal::",
];

/// Whether it is the runtime's whatever its path.
pub(super) fn machinery(function: &str) -> bool {
    MACHINERY.iter().any(|start| function.starts_with(start)) || fails_assertion(function)
}

/// What a program calls when an assertion of its own does not hold: `Assert_failure`, `demo_assert_failed`.
fn fails_assertion(function: &str) -> bool {
    let name = function.rsplit([':', '.']).next().unwrap_or(function);
    let bare: String = name.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect();
    bare.split_once("assert").is_some_and(|(_, rest)| {
        let rest = rest.strip_prefix("ion").unwrap_or(rest);
        matches!(rest, "fail" | "failure" | "failurehandler") || rest.starts_with("failed")
    })
}

/// A wrapper of an allocator, of which no allocation that fails or leaks is the fault: `xmalloc`, `g_strdup`, `checked_realloc`.
pub(super) fn allocates(function: &str) -> bool {
    let name = function.rsplit([':', '.']).next().unwrap_or(function).to_ascii_lowercase();
    ["malloc", "calloc", "realloc", "memalign", "strdup", "strndup"].iter().any(|part| name.contains(part))
        || (name.ends_with("alloc") && !name.ends_with("dealloc"))
}

/// A function of the C library, where only the name of its file says otherwise: `puts (ioputs.c:35)`.
pub(super) fn libc_name(function: &str) -> bool {
    !matches!(function, "" | "main") && (EXACT.binary_search(&function).is_ok() || is_variant(function))
}

/// Functions of the C library that ask the kernel for something, sorted.
const SYSTEM_CALLS: &[&str] = &[
    "accept",
    "accept4",
    "bind",
    "close",
    "connect",
    "epoll_wait",
    "fcntl",
    "fcntl64",
    "fstat64",
    "fsync",
    "ftruncate64",
    "getsockname",
    "getsockopt",
    "ioctl",
    "listen",
    "lseek64",
    "mmap",
    "mmap64",
    "mq_send",
    "mq_timedsend",
    "msgrcv",
    "msgsnd",
    "munmap",
    "nanosleep",
    "open",
    "open64",
    "openat",
    "openat64",
    "pause",
    "poll",
    "ppoll",
    "pread64",
    "pselect",
    "pwrite64",
    "pwritev64",
    "read",
    "readlink",
    "readv",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "select",
    "semctl",
    "semop",
    "send",
    "sendfile64",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shmctl",
    "sigsuspend",
    "sleep",
    "socket",
    "stat64",
    "syscall",
    "timer_create",
    "timer_settime",
    "usleep",
    "wait4",
    "waitpid",
    "write",
    "writev",
];

/// Whether the C library has a function of this name around a system call. Anyone may call one so: the file must fit too.
pub(super) fn system_call(function: &str) -> bool {
    SYSTEM_CALLS.binary_search(&function).is_ok()
}

/// Judged by name only because there is no path at all.
pub(super) fn runtime_name(function: &str) -> bool {
    EXACT.binary_search(&function).is_ok()
        || STARTS.iter().any(|start| function.starts_with(start))
        || is_variant(function)
}

/// What the C library puts behind the name of a function: for whom it is, and for which processor.
const VARIANTS: &[&str] = &[
    "avx",
    "avx2",
    "avx512",
    "chk",
    "erms",
    "evex",
    "evex512",
    "generic",
    "impl",
    "internal",
    "l",
    "movbe",
    "rtm",
    "sse2",
    "sse4",
    "ssse3",
    "unaligned",
];

/// `____strtol_l_internal` of the C library, `_rust_begin_unwind` of macOS.
fn is_variant(function: &str) -> bool {
    let Some(name) = function.strip_prefix('_') else { return false };
    let mut name = name.trim_start_matches('_');
    loop {
        if !name.is_empty() && EXACT.binary_search(&name).is_ok() {
            return true;
        }
        match name.rsplit_once('_') {
            Some((rest, variant)) if VARIANTS.contains(&variant) => name = rest,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EXACT, allocates, machinery, runtime_name};

    #[test]
    fn names_judge_only_what_is_listed() {
        assert!(EXACT.is_sorted());
        assert!(runtime_name("abort") && runtime_name("std::panicking::begin_panic") && runtime_name(""));
        assert!(
            ["____strtol_l_internal", "_rust_begin_unwind", "__memmove_avx_unaligned_erms", "___free"]
                .into_iter()
                .all(runtime_name)
        );
        assert!(!["__free_list", "_parse", "memmove_avx_of_mine", "_", "__l"].into_iter().any(runtime_name));
        assert!(
            !runtime_name("parse") && !runtime_name("stdlib_parse") && !runtime_name("abort_transaction")
        );
    }

    #[test]
    fn wrappers_are_known_by_their_names() {
        assert!(allocates("xmalloc") && allocates("demo::pool::realloc_array") && allocates("g_strdup"));
        assert!(!allocates("allocation_count") && !allocates("demo::parse"));
        assert!(machinery("testing::internal::AssertHelper::operator=") && !machinery("glob"));
    }
}
