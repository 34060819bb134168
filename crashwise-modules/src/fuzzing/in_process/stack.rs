//! Stacks as addresses, printed by a thread that may have died anywhere. What they are called is looked up by a process that
//! has not died, see `names`: that allocates, locks, and takes seconds of a stack of thousands of frames in a large program.
#![allow(unsafe_code, reason = "the unwinder, and what is loaded where")]

use super::words::say;
use std::ffi::{CStr, c_int, c_void};
use std::sync::OnceLock;

/// The most frames that are printed.
const FRAMES: usize = 256;
/// The most between a fault and the walk over the stack.
const HANDLERS: usize = 16;

/// A program or library in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) name: String,
    /// What is added to addresses of its file.
    pub(super) base: usize,
    start: usize,
    end: usize,
}

static MODULES: OnceLock<Vec<Module>> = OnceLock::new();

/// Finds out what can be found out before anything dies.
pub(super) fn prepare() {
    let _ = MODULES.get_or_init(modules);
    // What the unwinder binds or loads when it is first used, it has from now on.
    Walk::here();
}

/// The program, under the path of its file, and the libraries that it has loaded.
pub(super) fn modules() -> Vec<Module> {
    unsafe extern "C" fn see(info: *mut libc::dl_phdr_info, _: usize, all: *mut c_void) -> c_int {
        // SAFETY: the call below hands over what it was given, and a valid description.
        let (all, info) = unsafe { (&mut *all.cast::<Vec<Module>>(), &*info) };
        let base = usize::try_from(info.dlpi_addr).unwrap_or(0);
        // SAFETY: as many headers as are said.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        let parts = headers.iter().filter(|header| header.p_type == libc::PT_LOAD).map(|header| {
            let start = base.wrapping_add(usize::try_from(header.p_vaddr).unwrap_or(0));
            (start, start.wrapping_add(usize::try_from(header.p_memsz).unwrap_or(0)))
        });
        let (start, end) =
            parts.fold((usize::MAX, 0), |(low, high), (start, end)| (low.min(start), high.max(end)));
        // SAFETY: null or a C string.
        let name = if info.dlpi_name.is_null() { c"" } else { unsafe { CStr::from_ptr(info.dlpi_name) } };
        let name = match name.to_string_lossy() {
            // The first is the program.
            name if name.is_empty() && all.is_empty() => {
                std::env::current_exe().unwrap_or_default().to_string_lossy().into_owned()
            }
            name => name.into_owned(),
        };
        all.push(Module { name, base, start, end });
        0
    }
    let mut all = Vec::new();
    // SAFETY: the function takes what is handed to it here, and does not keep it.
    unsafe { libc::dl_iterate_phdr(Some(see), (&raw mut all).cast()) };
    all
}

/// Prints the stack of the calling thread, which was interrupted at an address, in the way of sanitizers; all of it at 0.
pub(super) fn print(at: usize) {
    let walk = Walk::here();
    let frames = &walk.frames[..walk.len];
    let first = frames.iter().position(|frame| frame.address == at && frame.interrupted);
    let mut number = 0;
    if at != 0 && first.is_none() {
        // Where there is no code, nothing tells who called.
        print_frame(&mut number, at);
    }
    let frames = match first {
        Some(first) => &frames[first..],
        None if at == 0 => frames,
        None => &[],
    };
    for frame in frames.iter().take(FRAMES) {
        // A call returns to what follows it, which may be of another line.
        print_frame(&mut number, frame.address - usize::from(!frame.interrupted));
    }
    say!("");
}

fn print_frame(number: &mut usize, address: usize) {
    let modules = MODULES.get().map_or(&[][..], Vec::as_slice);
    match modules.iter().find(|module| (module.start..module.end).contains(&address)) {
        Some(Module { name, base, .. }) => {
            say!("    #{number} 0x{address:x}  ({name}+0x{:x})", address.wrapping_sub(*base));
        }
        None => say!("    #{number} 0x{address:x}  (<unknown module>)"),
    }
    *number += 1;
}

#[derive(Debug, Clone, Copy)]
struct Step {
    address: usize,
    /// Whether it was interrupted there, and has not called.
    interrupted: bool,
}

/// The innermost frames of a stack.
struct Walk {
    frames: [Step; FRAMES + HANDLERS],
    len: usize,
}

impl Walk {
    /// Those of the calling thread.
    #[inline(never)]
    fn here() -> Self {
        let mut walk = Self { frames: [Step { address: 0, interrupted: false }; FRAMES + HANDLERS], len: 0 };
        #[cfg(not(target_arch = "arm"))]
        // SAFETY: the function takes what is handed to it here; the unwinder reads the stack of this thread.
        unsafe {
            _Unwind_Backtrace(step, (&raw mut walk).cast());
        }
        walk
    }
}

// The unwinder that panics use, so every program has it.
#[cfg(not(target_arch = "arm"))]
unsafe extern "C" {
    fn _Unwind_Backtrace(
        step: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        walk: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIPInfo(context: *mut c_void, interrupted: *mut c_int) -> usize;
}

/// # Safety
/// A context of the unwinder and a [`Walk`].
#[cfg(not(target_arch = "arm"))]
unsafe extern "C" fn step(context: *mut c_void, walk: *mut c_void) -> c_int {
    const END: c_int = 5;
    // SAFETY: the promise of the caller.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    let mut interrupted = 0;
    // SAFETY: the promise of the caller.
    let address = unsafe { _Unwind_GetIPInfo(context, &raw mut interrupted) };
    let Some(frame) = walk.frames.get_mut(walk.len).filter(|_| address != 0) else { return END };
    *frame = Step { address, interrupted: interrupted != 0 };
    walk.len += 1;
    0
}
