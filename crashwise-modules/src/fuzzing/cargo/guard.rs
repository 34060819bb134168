//! Linked into targets without a sanitizer, where libFuzzer would lose what overflows the stack, because its handler has no other
//! stack to run on, would lose what takes too much memory at once, and would tell of a fault or a hang without saying where.
#![no_std]

use core::ffi::{c_char, c_int, c_void};
use core::ptr::{null, null_mut};

/// The variable with the bytes of address space that the process may have.
const LIMIT: &[u8] = b"CRASHWISE_ADDRESS_SPACE\0";
const RLIMIT_AS: c_int = 9;
const SIGBUS: c_int = 7;
const SIGSEGV: c_int = 11;
const SA_ONSTACK: c_int = 0x0800_0000;
const READ_WRITE: c_int = 3;
const PRIVATE_ANONYMOUS: c_int = 0x22;
/// Bytes of the handlers' stack.
const SIZE: usize = 256 << 10;
/// Frames that are told at most.
const FRAMES: c_int = 256;
/// As sanitizers write a frame: number, address, and module with offset.
const WITH_MODULE: &[u8] = b"    #%d 0x%zx  (%s+0x%zx)\n\0";
const WITHOUT_MODULE: &[u8] = b"    #%d 0x%zx\n\0";

#[repr(C)]
struct Stack {
    base: *mut c_void,
    flags: c_int,
    size: usize,
}

#[repr(C)]
struct Action {
    handler: usize,
    mask: [u64; 16],
    flags: c_int,
    restorer: usize,
}

#[repr(C)]
struct Symbol {
    file: *const c_char,
    base: *mut c_void,
    name: *const c_char,
    address: *mut c_void,
}

extern "C" {
    fn getenv(name: *const c_char) -> *const c_char;
    fn strtoull(text: *const c_char, end: *mut *mut c_char, base: c_int) -> u64;
    fn setrlimit(resource: c_int, limits: *const [u64; 2]) -> c_int;
    fn mmap(at: *mut c_void, size: usize, access: c_int, flags: c_int, file: c_int, offset: i64) -> *mut c_void;
    fn sigaltstack(new: *const Stack, old: *mut Stack) -> c_int;
    fn sigaction(signal: c_int, new: *const Action, old: *mut Action) -> c_int;
    fn dladdr(address: *const c_void, symbol: *mut Symbol) -> c_int;
    fn dprintf(file: c_int, format: *const c_char, ...) -> c_int;
    fn _Unwind_Backtrace(each: extern "C" fn(*mut c_void, *mut c_void) -> c_int, state: *mut c_void) -> c_int;
    fn _Unwind_GetIPInfo(context: *mut c_void, exact: *mut c_int) -> usize;
}

#[used]
#[link_section = ".init_array"]
static START: extern "C" fn() = start;

/// Makes an allocation beyond the limit fail, which aborts the program while its input is known, gives the main thread a stack for handlers, and marks the actions so that libFuzzer keeps to it.
extern "C" fn start() {
    unsafe {
        let limit = getenv(LIMIT.as_ptr().cast());
        if !limit.is_null() {
            let bytes = strtoull(limit, null_mut(), 10);
            setrlimit(RLIMIT_AS, &[bytes; 2]);
        }
        let base = mmap(null_mut(), SIZE, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0);
        if base as isize == -1 || sigaltstack(&Stack { base, flags: 0, size: SIZE }, null_mut()) != 0 {
            return;
        }
        let action = Action { handler: 0, mask: [0; 16], flags: SA_ONSTACK, restorer: 0 };
        sigaction(SIGSEGV, &action, null_mut());
        sigaction(SIGBUS, &action, null_mut());
    }
}

/// What libFuzzer calls to say where a program died.
#[no_mangle]
pub extern "C" fn __sanitizer_print_stack_trace() {
    let mut number: c_int = 0;
    unsafe {
        _Unwind_Backtrace(tell, (&mut number as *mut c_int).cast());
    }
}

extern "C" fn tell(context: *mut c_void, state: *mut c_void) -> c_int {
    unsafe {
        let number = state.cast::<c_int>();
        let mut exact: c_int = 0;
        let mut at = _Unwind_GetIPInfo(context, &mut exact);
        // The call, and not what it returns to.
        if exact == 0 {
            at = at.wrapping_sub(1);
        }
        let mut symbol = Symbol { file: null(), base: null_mut(), name: null(), address: null_mut() };
        if dladdr(at as *const c_void, &mut symbol) != 0 && !symbol.file.is_null() {
            let offset = at.wrapping_sub(symbol.base as usize);
            dprintf(2, WITH_MODULE.as_ptr().cast(), *number, at, symbol.file, offset);
        } else {
            dprintf(2, WITHOUT_MODULE.as_ptr().cast(), *number, at);
        }
        *number += 1;
        // Anything but zero ends the walk.
        c_int::from(*number >= FRAMES)
    }
}
