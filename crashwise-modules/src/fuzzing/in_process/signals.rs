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
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// Exit codes, as libFuzzer has them.
pub(super) const CRASHED: i32 = 77;
pub(super) const TIMED_OUT: i32 = 70;
pub(super) const OUT_OF_MEMORY: i32 = 71;
const INTERRUPTED: i32 = 72;

/// Bytes of the stack that handlers run on.
const HANDLER_STACK: usize = 512 << 10;
/// The most frames that are printed.
const FRAMES: usize = 256;

static LAST_WORDS: OnceLock<LastWords> = OnceLock::new();
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
            // A second fault kills at once.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND;
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

/// Makes a thread say where it is and end the process.
pub(super) fn interrupt<T>(thread: &JoinHandle<T>) {
    let id: RawPthread = thread.as_pthread_t();
    // SAFETY: the handle keeps the thread's id valid.
    unsafe { libc::pthread_kill(id, libc::SIGALRM) };
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
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
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
        say(&format!("=={process}== ERROR: libFuzzer: timeout: an input takes too long"));
        print_stack();
        end("timeout", TIMED_OUT);
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
