//! Deaths of the child that no `catch_unwind` sees: faults, aborts, exits and hangs. Each writes the input to a file and
//! says on standard error what happened, in the words that triage reads, and ends the process.
//!
//! What runs here runs after a fault and does more than a handler of signals may: it allocates, prints, and walks the stack.
//! When that goes wrong the process dies of a second signal, and the parent takes the input from the mailbox.
#![allow(unsafe_code, reason = "handlers of signals and the bounds of a stack")]

use super::mailbox::Mailbox;
use std::ffi::{c_int, c_void};
use std::io::Write;
use std::os::unix::thread::{JoinHandleExt, RawPthread};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Exit codes, as libFuzzer has them.
pub(super) const CRASHED: i32 = 77;
pub(super) const TIMED_OUT: i32 = 70;
pub(super) const OUT_OF_MEMORY: i32 = 71;
const INTERRUPTED: i32 = 72;

/// Bytes of the stack that handlers run on.
const HANDLER_STACK: usize = 512 << 10;
/// The most frames that are printed.
const FRAMES: usize = 256;

/// For how long a thread that is interrupted in the C library, and may hold the allocator's lock, is left to go on each time.
const SPARED: Duration = Duration::from_millis(4);

static LAST_WORDS: OnceLock<LastWords> = OnceLock::new();
/// The limit that the running input went beyond.
static EXCEEDED: AtomicPtr<Exceeded> = AtomicPtr::new(std::ptr::null_mut());
/// Where the C library is in memory; it has not been looked for at 0.
static LIBRARY: AtomicUsize = AtomicUsize::new(0);
/// Whether a thread is to end wherever it is.
static NO_MERCY: AtomicBool = AtomicBool::new(false);
static DYING: AtomicBool = AtomicBool::new(false);
/// Below this address the stack of the fuzzing thread has ended, and from the other on it has not begun.
static STACK: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// What a dying child needs to know.
#[derive(Debug)]
pub(super) struct LastWords {
    pub(super) mailbox: Mailbox,
    /// What the names of artifacts begin with.
    pub(super) prefix: String,
}

/// A limit that an input went beyond.
#[derive(Debug)]
pub(super) struct Exceeded {
    /// What is said of it.
    pub(super) words: String,
    /// What the name of the artifact begins with.
    pub(super) kind: &'static str,
    pub(super) code: i32,
    /// How often it is spared; what takes memory takes more meanwhile.
    spared: u32,
}

impl Exceeded {
    pub(super) fn time() -> Self {
        let words = "timeout: an input takes too long".to_owned();
        Self { words, kind: "timeout", code: TIMED_OUT, spared: 40 }
    }

    pub(super) fn memory(used: u64, limit: u64) -> Self {
        let words = format!("out-of-memory (used: {used}Mb; limit: {limit}Mb)");
        Self { words, kind: "oom", code: OUT_OF_MEMORY, spared: 10 }
    }

    fn say(&self) {
        say(&format!("=={}== ERROR: libFuzzer: {}", std::process::id(), self.words));
    }
}

/// Installs the handlers, once.
pub(super) fn install(words: LastWords) {
    if LAST_WORDS.set(words).is_err() {
        return;
    }
    for signal in [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGABRT,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGALRM,
        libc::SIGINT,
    ] {
        // SAFETY: zeroed is a valid `sigaction`; the handler has the type that SA_SIGINFO asks for.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            if signal == libc::SIGALRM {
                action.sa_flags |= libc::SA_RESTART;
            } else {
                // A second fault kills at once.
                action.sa_flags |= libc::SA_RESETHAND;
            }
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
    // SAFETY: the function has the type that is asked for.
    unsafe { libc::atexit(on_exit) };
}

/// Gives the calling thread, the one that fuzzes, a stack for handlers, and remembers the bounds of its own.
pub(super) fn prepare_thread() {
    let room = Box::leak(vec![0_u8; HANDLER_STACK].into_boxed_slice());
    let stack =
        libc::stack_t { ss_sp: room.as_mut_ptr().cast::<c_void>(), ss_flags: 0, ss_size: HANDLER_STACK };
    // SAFETY: the room is never freed.
    unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
    // SAFETY: zeroed is a valid value to be filled in; the calls only read what the thread is.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        let (mut low, mut size) = (std::ptr::null_mut(), 0);
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) == 0 {
            if libc::pthread_attr_getstack(&raw const attributes, &raw mut low, &raw mut size) == 0 {
                STACK[0].store(low.addr(), Ordering::Relaxed);
                STACK[1].store(low.addr() + size, Ordering::Relaxed);
            }
            libc::pthread_attr_destroy(&raw mut attributes);
        }
    }
}

/// Whether last words are being said.
pub(super) fn is_dying() -> bool {
    DYING.load(Ordering::SeqCst)
}

/// Makes a thread say that its input went beyond a limit, and where it is, and ends the process; unless the input ends before
/// that.
pub(super) fn interrupt<T>(thread: &JoinHandle<T>, exceeded: Exceeded, cpu_time: impl Fn() -> Duration) {
    let Some(words) = LAST_WORDS.get() else { return };
    let executions = words.mailbox.executions();
    let exceeded: &Exceeded = Box::leak(Box::new(exceeded));
    EXCEEDED.store(std::ptr::from_ref(exceeded).cast_mut(), Ordering::SeqCst);
    LIBRARY.store(library_of(libc::malloc as *const () as usize), Ordering::Relaxed);
    let id: RawPthread = thread.as_pthread_t();
    // SAFETY: the handle keeps the thread's id valid.
    let tell = || unsafe { libc::pthread_kill(id, libc::SIGALRM) };
    for _ in 0..exceeded.spared {
        tell();
        std::thread::sleep(SPARED);
        if is_dying() {
            break;
        }
        if words.mailbox.executions() != executions {
            return;
        }
    }
    NO_MERCY.store(true, Ordering::Relaxed);
    tell();
    // To look up the names of a large program takes long on a busy machine; what waits for a lock uses no time.
    let (mut idle, mut last) = (0, cpu_time());
    while idle < 30 {
        std::thread::sleep(Duration::from_millis(100));
        let now = cpu_time();
        idle = if now.saturating_sub(last) < Duration::from_millis(5) { idle + 1 } else { 0 };
        last = now;
    }
    exceeded.say();
    end(exceeded.kind, exceeded.code)
}

/// The address at which the library that an address belongs to begins, 0 if it belongs to none.
fn library_of(address: usize) -> usize {
    // SAFETY: zeroed is a valid value to be filled in, and the call reads nothing at the address.
    unsafe {
        let mut about: libc::Dl_info = std::mem::zeroed();
        let found = libc::dladdr(std::ptr::without_provenance(address), &raw mut about);
        if found == 0 { 0 } else { about.dli_fbase.addr() }
    }
}

/// Whether the thread that a signal came to ran the C library.
fn was_in_library(context: *const c_void) -> bool {
    if context.is_null() {
        return false;
    }
    // SAFETY: the kernel hands over a valid context.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    #[cfg(target_arch = "x86_64")]
    let at = context.uc_mcontext.gregs[libc::REG_RIP as usize];
    #[cfg(target_arch = "aarch64")]
    let at = context.uc_mcontext.pc;
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let at = std::ptr::from_ref(context).addr();
    let library = LIBRARY.load(Ordering::Relaxed);
    library != 0 && usize::try_from(at).is_ok_and(|at| library_of(at) == library)
}

/// Writes the running input to `{kind}-{hash}`, says so, and ends the process.
pub(super) fn end(kind: &str, code: i32) -> ! {
    if let Some(words) = LAST_WORDS.get() {
        if let Some(input) = words.mailbox.running() {
            keep(&words.prefix, kind, input);
        }
        say(&format!("stat::number_of_executed_units: {}", words.mailbox.executions()));
    }
    // SAFETY: ends the process without running anything of it.
    unsafe { libc::_exit(code) }
}

/// Writes an input to `{prefix}{kind}-{hash}` and says so.
pub(super) fn keep(prefix: &str, kind: &str, input: &[u8]) -> PathBuf {
    let hash = blake3::hash(input).to_hex();
    let path = PathBuf::from(format!("{prefix}{kind}-{}", &hash[..40]));
    if std::fs::write(&path, input).is_ok() {
        say(&format!("artifact_prefix='{prefix}'; Test unit written to {}", path.display()));
    }
    path
}

/// Prints a line to standard error, whatever is captured.
pub(super) fn say(line: &str) {
    // Made before the lock is taken: a thread that waits for the allocator for ever must not keep others from speaking.
    let line = format!("{line}\n");
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    if signal == libc::SIGALRM && !NO_MERCY.load(Ordering::Relaxed) && was_in_library(context) {
        return;
    }
    if DYING.swap(true, Ordering::SeqCst) {
        return;
    }
    let process = std::process::id();
    if signal == libc::SIGINT {
        // The parent wants no more; the input that runs is innocent.
        if let Some(words) = LAST_WORDS.get() {
            words.mailbox.end();
        }
        end("", INTERRUPTED);
    }
    if signal == libc::SIGALRM {
        // SAFETY: null, which an alarm of the target's own finds, or leaked.
        let exceeded = unsafe { EXCEEDED.load(Ordering::SeqCst).as_ref() };
        let own = Exceeded::time();
        let exceeded = exceeded.unwrap_or(&own);
        exceeded.say();
        print_stack();
        end(exceeded.kind, exceeded.code);
    }
    // SAFETY: the kernel hands over a valid structure; for these signals it holds an address.
    let address = if info.is_null() { 0 } else { unsafe { (*info).si_addr() }.addr() };
    let [low, high] = [0, 1].map(|end: usize| STACK[end].load(Ordering::Relaxed));
    // The guard page lies below the stack, and large frames may jump over some of it.
    let overflow =
        signal == libc::SIGSEGV && low > 0 && address < (low + 4096).min(high) && address + (1 << 20) > low;
    if overflow {
        say("\nthread 'fuzz' has overflowed its stack\nfatal runtime error: stack overflow, aborting");
    } else if signal == libc::SIGABRT {
        say(&format!("=={process}== ERROR: libFuzzer: deadly signal"));
    } else {
        let name = match signal {
            libc::SIGSEGV => "SEGV",
            libc::SIGBUS => "BUS",
            libc::SIGFPE => "FPE",
            libc::SIGILL => "ILL",
            _ => "TRAP",
        };
        say(&format!(
            "=={process}==ERROR: AddressSanitizer: {name} on unknown address 0x{address:012x} (no sanitizer)"
        ));
    }
    print_stack();
    end("crash", CRASHED);
}

extern "C" fn on_exit() {
    if LAST_WORDS.get().is_some_and(|words| words.mailbox.running().is_some())
        && !DYING.swap(true, Ordering::SeqCst)
    {
        say(&format!("=={}== ERROR: libFuzzer: fuzz target exited", std::process::id()));
        print_stack();
        end("crash", CRASHED);
    }
}

/// Prints the stack of the calling thread, as sanitizers do.
fn print_stack() {
    let trace = std::backtrace::Backtrace::force_capture().to_string();
    let mut lines = trace.lines().map(str::trim).peekable();
    let mut number = 0;
    while let Some(line) = lines.next() {
        let Some((_, name)) =
            line.split_once(": ").filter(|(at, _)| at.bytes().all(|byte| byte.is_ascii_digit()))
        else {
            continue;
        };
        let place = lines.next_if(|line| line.starts_with("at ")).map_or("", |line| &line[3..]);
        // What prints is not what crashed, and what calls the target is not either.
        if place.contains("in_process/child.rs") {
            break;
        }
        if number == 0 && (place.contains("in_process/signals.rs") || is_of_handlers(name)) {
            continue;
        }
        say(&format!("    #{number} 0x{:x} in {name} {place}", 4096 + number));
        number += 1;
        if number == FRAMES {
            break;
        }
    }
    say("");
}

/// Whether a frame stands between the fault and the handler that looks at it.
fn is_of_handlers(name: &str) -> bool {
    ["std::backtrace", "crashwise_modules::fuzzing::in_process::signals", "<unknown>", "__restore_rt"]
        .iter()
        .any(|start| name.starts_with(start))
}
