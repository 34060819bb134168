//! Deaths of the child that no `catch_unwind` sees: faults, aborts, exits and hangs. Each writes the input to a file and
//! says on standard error what happened, in the words that triage reads, and ends the process.
//!
//! What runs here runs after a fault, while the thread that died may hold any lock, that of the allocator too: so it takes none.
//! When it goes wrong all the same, the process dies of a second signal, and the parent takes the input from the mailbox.
#![allow(unsafe_code, reason = "handlers of signals and the bounds of a stack")]

use super::stack;
use super::words::{LastWords, end, say};
use std::ffi::{c_int, c_void};
use std::os::unix::thread::{JoinHandleExt, RawPthread};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Exit codes, as libFuzzer has them.
pub(super) const CRASHED: i32 = 77;
const TIMED_OUT: i32 = 70;
const OUT_OF_MEMORY: i32 = 71;
const INTERRUPTED: i32 = 72;

/// Bytes of the stack that handlers run on.
const HANDLER_STACK: usize = 512 << 10;

static DYING: AtomicBool = AtomicBool::new(false);
/// Below this address the stack of the fuzzing thread has ended, and from the other on it has not begun.
static STACK: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
/// The memory that is used and its limit, in MiB, once it was gone beyond.
static MEMORY: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
/// The number of the run that takes too long; none does at the greatest.
static TOO_LONG: AtomicU64 = AtomicU64::new(u64::MAX);

/// A limit that an input went beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exceeded {
    /// By the run that has this number.
    Time(u64),
    /// In MiB.
    Memory { used: u64, limit: u64 },
}

impl Exceeded {
    /// Makes it known to the handler.
    fn set(self) {
        match self {
            Self::Time(run) => TOO_LONG.store(run, Ordering::SeqCst),
            Self::Memory { used, limit } => {
                MEMORY[1].store(limit, Ordering::SeqCst);
                MEMORY[0].store(used, Ordering::SeqCst);
            }
        }
    }

    /// The one that was made known; that of time stands for an alarm of the target's own too.
    fn get() -> Self {
        match MEMORY[0].load(Ordering::SeqCst) {
            0 => Self::Time(TOO_LONG.load(Ordering::SeqCst)),
            used => Self::Memory { used, limit: MEMORY[1].load(Ordering::SeqCst) },
        }
    }

    /// Whether the input has ended meanwhile. Memory that earlier ones took is not given back.
    fn is_over(self) -> bool {
        let Self::Time(run) = self else { return false };
        run != u64::MAX && LastWords::get().is_some_and(|words| words.mailbox.executions() != run)
    }

    fn say(self) {
        let process = std::process::id();
        match self {
            Self::Time(_) => say!("=={process}== ERROR: libFuzzer: timeout: an input takes too long"),
            Self::Memory { used, limit } => {
                say!("=={process}== ERROR: libFuzzer: out-of-memory (used: {used}Mb; limit: {limit}Mb)");
            }
        }
    }

    fn end(self) -> ! {
        match self {
            Self::Time(_) => end("timeout", TIMED_OUT),
            Self::Memory { .. } => end("oom", OUT_OF_MEMORY),
        }
    }
}

/// Installs the handlers, once.
pub(super) fn install(words: LastWords) {
    if !words.set() {
        return;
    }
    stack::prepare();
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
    exceeded.set();
    let id: RawPthread = thread.as_pthread_t();
    // SAFETY: the handle keeps the thread's id valid.
    unsafe { libc::pthread_kill(id, libc::SIGALRM) };
    // On a busy machine it takes a while to say; a thread that listens to no signal says nothing.
    let (mut idle, mut last) = (0, cpu_time());
    while idle < 30 {
        std::thread::sleep(Duration::from_millis(100));
        if !is_dying() && exceeded.is_over() {
            return;
        }
        let now = cpu_time();
        let waits = now.saturating_sub(last) < Duration::from_millis(5);
        idle = if waits || !is_dying() { idle + 1 } else { 0 };
        last = now;
    }
    exceeded.say();
    exceeded.end()
}

/// Where the thread was that a signal came to, 0 if that is not known.
fn interrupted_at(context: *const c_void) -> usize {
    if context.is_null() {
        return 0;
    }
    // SAFETY: the kernel hands over a valid context.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    #[cfg(target_arch = "x86_64")]
    let at = context.uc_mcontext.gregs[libc::REG_RIP as usize];
    #[cfg(target_arch = "aarch64")]
    let at = context.uc_mcontext.pc;
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let at = 0 & context.uc_flags;
    usize::try_from(at).unwrap_or(0)
}

extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let exceeded = Exceeded::get();
    if (signal == libc::SIGALRM && exceeded.is_over()) || DYING.swap(true, Ordering::SeqCst) {
        return;
    }
    if signal == libc::SIGINT {
        // The parent wants no more; the input that runs is innocent.
        if let Some(words) = LastWords::get() {
            words.mailbox.end();
        }
        end("", INTERRUPTED);
    }
    let at = interrupted_at(context);
    if signal == libc::SIGALRM {
        exceeded.say();
        stack::print(at);
        exceeded.end();
    }
    // SAFETY: the kernel hands over a valid structure; for these signals it holds an address.
    let address = if info.is_null() { 0 } else { unsafe { (*info).si_addr() }.addr() };
    let [low, high] = [0, 1].map(|end: usize| STACK[end].load(Ordering::Relaxed));
    // The guard page lies below the stack, and large frames may jump over some of it.
    let overflow =
        signal == libc::SIGSEGV && low > 0 && address < (low + 4096).min(high) && address + (1 << 20) > low;
    let process = std::process::id();
    if overflow {
        say!("\nthread 'fuzz' has overflowed its stack\nfatal runtime error: stack overflow, aborting");
    } else if signal == libc::SIGABRT {
        say!("=={process}== ERROR: libFuzzer: deadly signal");
    } else {
        let name = match signal {
            libc::SIGSEGV => "SEGV",
            libc::SIGBUS => "BUS",
            libc::SIGFPE => "FPE",
            libc::SIGILL => "ILL",
            _ => "TRAP",
        };
        say!(
            "=={process}==ERROR: AddressSanitizer: {name} on unknown address 0x{address:012x} (no sanitizer)"
        );
    }
    stack::print(at);
    end("crash", CRASHED);
}

extern "C" fn on_exit() {
    if LastWords::get().is_some_and(|words| words.mailbox.running().is_some())
        && !DYING.swap(true, Ordering::SeqCst)
    {
        say!("=={}== ERROR: libFuzzer: fuzz target exited", std::process::id());
        stack::print(0);
        end("crash", CRASHED);
    }
}
