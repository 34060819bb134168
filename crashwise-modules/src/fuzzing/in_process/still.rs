//! A program that lies at the same addresses whenever it is started. Targets compare addresses, and how far one is from
//! another; what they compare is put into inputs, and the inputs of a seed would be others in each process.
#![allow(unsafe_code, reason = "a call of the system, and the program in its own place")]

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;

/// Says that the program has been started again.
const STILL: &str = "CRASHWISE_FUZZ_STILL";
/// The personality as it is, when asked for.
const ASK: libc::c_ulong = 0xffff_ffff;

/// Starts the program again, in its own place and with its own arguments, where addresses are drawn by lot. Where the system does not
/// allow it, as in containers, things stay as they are.
pub(super) fn stay() {
    let fixed = |now: libc::c_int| libc::c_ulong::from((now | libc::ADDR_NO_RANDOMIZE).unsigned_abs());
    // SAFETY: changes what the next start of a program does, and nothing else.
    let moves = unsafe {
        let now = libc::personality(ASK);
        now >= 0
            && now & libc::ADDR_NO_RANDOMIZE == 0
            && std::env::var_os(STILL).is_none()
            && libc::personality(fixed(now)) >= 0
    };
    if !moves {
        return;
    }
    let words = |words: Vec<OsString>| -> Option<Vec<CString>> {
        words.into_iter().map(|word| CString::new(word.into_vec()).ok()).collect()
    };
    let mut variables: Vec<OsString> = std::env::vars_os()
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        })
        .collect();
    variables.push(format!("{STILL}=1").into());
    let program =
        std::env::current_exe().ok().and_then(|path| CString::new(path.into_os_string().into_vec()).ok());
    let (Some(program), Some(args), Some(variables)) =
        (program, words(std::env::args_os().collect()), words(variables))
    else {
        return;
    };
    let pointers = |words: &[CString]| -> Vec<*const libc::c_char> {
        words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect()
    };
    // SAFETY: lists of C strings, which end with null. It returns only if it fails, and then nothing has changed.
    unsafe { libc::execve(program.as_ptr(), pointers(&args).as_ptr(), pointers(&variables).as_ptr()) };
}
