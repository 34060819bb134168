use std::borrow::Cow;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::frame::RawFrame;
use super::lines::Lines;
use super::report::Access;
use super::severity::NEAR_NULL;
use super::{
    apple, asan, assertion, beam, c_runtime, clusterfuzz, compiled, debugger, detected, dotnet, drmemory,
    engine, go, gwp, handler, haskell, interpreted, ips, java, julia, jvm, kernel, leak, libfuzzer, lua,
    memory, minidump, miri, native, ocaml, php, python, rlang, ruby, rubyvm, rust, script, signal, summary,
    swift, thread, undefined, v8, valgrind, violation, wasm, windbg, zig,
};

/// How much a clue says. A log's strongest clue is its crash; of equal ones the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// A shell or a debugger says that a signal came.
    Signal,
    /// A handler says that the process aborted or exited: the consequence of something said before.
    Consequence,
    /// Memory was left behind at the end.
    Leak,
    /// Undefined behaviour, after which the program may have gone on.
    Undefined,
    /// The program itself gave up: panic, exception, assertion.
    Program,
    /// The fuzzer stopped it: timeout, memory limit.
    Limit,
    /// A memory fault.
    Fault,
    /// A sanitizer describes a wrong access.
    Sanitizer,
}

/// The line that opens a report, and what it says.
#[derive(Debug, Clone)]
pub(super) struct Clue<'a> {
    pub(super) weight: Weight,
    pub(super) line: usize,
    pub(super) kind: Cow<'static, str>,
    pub(super) cause: Option<Cow<'a, str>>,
    pub(super) access: Option<Access>,
    pub(super) address: Option<u64>,
    pub(super) message: Cow<'a, str>,
    /// Where the report's own text says it happened.
    pub(super) place: Option<RawFrame<'a>>,
    /// Reads the stack, from the line after the clue.
    pub(super) stack: Stack<'a>,
    /// Reads the stack of the other access of a race: which of the two is told first is chance.
    pub(super) other: Option<Stack<'a>>,
}

/// Reads a stack from a line on.
pub(super) type Stack<'a> = fn(&Lines<'a>, usize) -> Vec<RawFrame<'a>>;

impl<'a> Clue<'a> {
    pub(super) fn new(
        weight: Weight,
        line: usize,
        kind: impl Into<Cow<'static, str>>,
        message: &'a str,
    ) -> Self {
        Self {
            weight,
            line,
            kind: kind.into(),
            cause: None,
            access: None,
            address: None,
            message: message.trim().into(),
            place: None,
            stack: native::stack,
            other: None,
        }
    }

    /// Names the cause of a fault at an address that is a null pointer with an offset.
    pub(super) fn near_null(mut self) -> Self {
        if self.kind == "segv" && self.address.is_some_and(|address| address < NEAR_NULL) {
            self.cause = Some("null-dereference".into());
        }
        self
    }
}

type Family = for<'a> fn(&Lines<'a>, usize) -> Option<Clue<'a>>;

/// Each family with the words of which one stands on every line that it recognises.
const FAMILIES: [(Family, &[&str]); 47] = [
    (asan::clue, &["AddressSanitizer: ", "AddressSanitizer "]),
    (memory::clue, &["MemorySanitizer: "]),
    (thread::clue, &["ThreadSanitizer: ", "WARNING: DATA RACE"]),
    (leak::clue, &["LeakSanitizer: ", "Direct leak of "]),
    (undefined::clue, &["UndefinedBehaviorSanitizer: ", ": runtime error: "]),
    (
        rust::clue,
        &[
            "panicked at ",
            "' panicked: ",
            "called `Option::",
            "called `Result::",
            "application panicked (",
            "has overflowed its stack",
            "memory allocation of ",
            " (thread ",
            "stack backtrace:",
        ],
    ),
    (go::clue, &["panic: ", "fatal error: ", "runtime: goroutine stack exceeds ", "[signal SIG"]),
    (java::clue, &["Exception", "Error", "Throwable", "FuzzerSecurityIssue"]),
    (
        python::clue,
        &[
            "Uncaught Python exception",
            "Traceback (most recent call last)",
            "Fatal Python error: ",
            "Exception Type: ",
            "Error",
            "Exception: ",
        ],
    ),
    (debugger::clue, &["stop reason = ", "SIGNAL: SIG", "#0  "]),
    (
        valgrind::clue,
        &[
            "== Invalid ",
            "Invalid read of size ",
            "Invalid write of size ",
            "== Possible data race during ",
            "== Mismatched free",
            "== Jump to ",
            "uninitialised value",
            "== Source and destination overlap",
            " lost in loss record ",
            "== Syscall param ",
            "has a fishy ",
            "== Process terminating with ",
        ],
    ),
    (script::clue, &["Uncaught ", "Error"]),
    (dotnet::clue, &["Unhandled ", "Fatal error. ", "Exception"]),
    (php::clue, &["Fatal error:", "Fatal error</b>:", "Parse error:", "Parse error</b>:", "[object] ("]),
    (ruby::clue, &[":in `", ":in '", "Error (", "ine #"]),
    (lua::clue, &["stack traceback:"]),
    (
        kernel::clue,
        &[
            "BUG: ",
            "UBSAN: ",
            "WARNING: CPU: ",
            "Unable to handle kernel ",
            "kernel BUG at ",
            "Kernel panic",
            "general protection fault",
            "detected stall",
            "locking dependency detected",
            "recursive locking detected",
        ],
    ),
    (libfuzzer::clue, &["ERROR: libFuzzer: ", "ALARM: working", "exceeded: "]),
    (detected::clue, &["BUG DETECTED: "]),
    (gwp::clue, &["[GWP-ASan]: ", "detected a memory error"]),
    (
        miri::clue,
        &["error: Undefined Behavior", "error: memory leaked", "error: abnormal ter", "error: deadlock: "],
    ),
    (zig::clue, &[" panic: ", "Segmentation fault at address "]),
    (swift::clue, &["Fatal error: ", "fatal error: ", "Program crashed: "]),
    (v8::clue, &["# Fatal error in ", "FATAL ERROR: "]),
    (wasm::clue, &["at wasm backtrace:"]),
    (jvm::clue, &["detected by the Java Runtime"]),
    (apple::clue, &["Exception Type:", "EXC_"]),
    (ips::clue, &["\"exception\""]),
    (rubyvm::clue, &["[BUG] "]),
    (ocaml::clue, &["Fatal error: exception "]),
    (haskell::clue, &["CallStack (from ", ": Non-exhaustive "]),
    (beam::clue, &["** (", "** exception error: ", "** Reason for termination"]),
    (julia::clue, &["n expression starting ", "ERROR: "]),
    (rlang::clue, &["*** caught ", "Error in "]),
    (
        compiled::clue,
        &[
            "raised ",
            "Unhandled exception: ",
            "Error@",
            "Exception@",
            "Fortran runtime error: ",
            "Error: unhandled exception: ",
            "Runtime error ",
            "An unhandled exception occurred at ",
        ],
    ),
    (interpreted::clue, &["Unhandled exception:", "] Unhandled Exception: ", " line ", "E   "]),
    (drmemory::clue, &["Error #", "========= "]),
    (engine::clue, &["[File:", "TRAP: "]),
    (
        handler::clue,
        &[
            "*** SIG",
            "*** Process received signal ***",
            " dumped core.",
            "Stack trace (most recent call last):",
            "Stack dump:",
            "internal compiler error: ",
            " crashed by signal: ",
            " got signal ",
            " crashed with signal ",
            "Error: signal ",
            "aught signal ",
        ],
    ),
    (summary::clue, &["SUMMARY: "]),
    (clusterfuzz::clue, &["Crash Type:", "Crash type:"]),
    (minidump::clue, &["Crash|", "Crash reason:"]),
    (
        violation::clue,
        &[
            "ccess violation",
            "ccess Violation",
            "_VIOLATION",
            "_STACK_OVERFLOW",
            "DIVIDE_BY_ZERO",
            "HEAP_CORRUPTION",
            "BUFFER_OVERRUN",
            "0xC0000",
            "0xc0000",
            "exit code",
        ],
    ),
    (windbg::clue, &["ExceptionCode: ", " - code "]),
    (
        assertion::clue,
        &[
            "Assert",
            "assertion failed",
            "ASSERTION",
            "code should not be reached",
            ": assertion ",
            "assertion \"",
            "assert failure: ",
            ": assert failed on line ",
            "ASSERT",
            " CHECK",
            "MOZ_CRASH",
            "FATAL:",
            "] ",
        ],
    ),
    (
        c_runtime::clue,
        &[
            "after throwing an instance",
            "uncaught exception of type",
            "terminate called",
            "virtual method called",
            "virtual function called",
            "***",
            "buffer overlap",
            "free",
            "munmap_chunk()",
            "malloc",
            "realloc()",
            "corrupted ",
            "pointer being freed",
            "incorrect checksum",
            "Scudo ERROR: ",
            "FORTIFY: ",
        ],
    ),
    (
        signal::clue,
        &[
            "signal",
            " (SIG",
            "terminated by ",
            "crashed with ",
            "Segmentation fault",
            "Bus error",
            "Illegal instruction",
            "Floating point exception",
            "Trace/breakpoint trap",
            "Aborted",
            "Bad system call",
        ],
    ),
];

/// All the words in one automaton, so that a log is searched once and not once per family and line; and the family of
/// each word.
fn words() -> &'static (AhoCorasick, Vec<usize>) {
    static WORDS: OnceLock<(AhoCorasick, Vec<usize>)> = OnceLock::new();
    WORDS.get_or_init(|| {
        let all = || {
            FAMILIES
                .iter()
                .enumerate()
                .flat_map(|(family, (_, words))| words.iter().map(move |word| (word, family)))
        };
        let automaton =
            AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(all().map(|(word, _)| word));
        #[allow(clippy::expect_used, reason = "a few hundred constant bytes always build")]
        let automaton = automaton.expect("constant words build");
        (automaton, all().map(|(_, family)| family).collect())
    })
}

/// The strongest clue of the log.
pub(super) fn best<'a>(lines: &Lines<'a>) -> Option<Clue<'a>> {
    let (automaton, owners) = words();
    let mut best: Option<Clue<'a>> = None;
    for index in 0..lines.len() {
        let mut asked = 0_u64;
        for found in automaton.find_overlapping_iter(lines.at(index)) {
            let family = owners[found.pattern().as_usize()];
            if asked & (1 << family) != 0 {
                continue;
            }
            asked |= 1 << family;
            if let Some(clue) = FAMILIES[family].0(lines, index)
                && best.as_ref().is_none_or(|best| clue.weight > best.weight)
            {
                best = Some(clue);
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::FAMILIES;

    #[test]
    fn families_fit_the_mask() {
        assert!(FAMILIES.len() <= 64);
        assert!(FAMILIES.iter().all(|(_, words)| words.iter().all(|word| word.len() > 1)));
    }
}
