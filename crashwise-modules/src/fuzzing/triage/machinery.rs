//! Functions that are never at fault, wherever their sources lie: what raises an alarm, runs tests, splits an input or allocates.

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

#[cfg(test)]
mod tests {
    use super::{allocates, machinery};

    #[test]
    fn wrappers_are_known_by_their_names() {
        assert!(allocates("xmalloc") && allocates("demo::pool::realloc_array") && allocates("g_strdup"));
        assert!(!allocates("allocation_count") && !allocates("demo::parse"));
        assert!(machinery("testing::internal::AssertHelper::operator=") && !machinery("glob"));
        assert!(machinery("demo_log_assert_failed_realm") && !machinery("demo_assertions"));
    }
}
