//! What the target compares: the values that its comparisons saw last, so that mutation can put them into the input.
//!
//! LLVM's `sanitizer-coverage-trace-compares` calls a function before each comparison of integers. Comparisons of byte
//! strings go through `memcmp` and `bcmp`, which this room defines in front of the C library's.
#![allow(unsafe_code, reason = "callbacks of instrumented code and functions of the C library")]

use std::cell::{Cell, UnsafeCell};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// Integers kept, as many as a byte can number.
const WORDS: usize = 256;
/// Byte strings kept; a power of two.
const STRINGS: usize = 32;
/// The longest part of a byte string that is kept.
const LONGEST: usize = 32;

/// Two integers that were compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    /// Their width in bytes: 1, 2, 4 or 8.
    pub(super) width: u8,
    /// Whether `a` is a constant of the program, which the input is to be made like.
    pub(super) constant: bool,
    pub(super) a: u64,
    pub(super) b: u64,
}

/// Two byte strings that were compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strings {
    pub(super) len: u8,
    pub(super) a: [u8; LONGEST],
    pub(super) b: [u8; LONGEST],
}

thread_local! {
    /// Whether this thread runs the target and its comparisons are kept.
    static LISTENING: Cell<bool> = const { Cell::new(false) };
}

/// What the last run of the target compared; when there was more than fits, some of it. Integers are kept once, however often
/// they were compared: a loop would drown all else.
struct Seen {
    /// The runs so far.
    run: u32,
    words: [Words; WORDS],
    /// The run that each of the integers is of.
    runs: [u32; WORDS],
    /// The places of those of this run.
    places: [u8; WORDS],
    strings: [Strings; STRINGS],
    word_count: usize,
    string_count: usize,
}

struct Table(UnsafeCell<Seen>);

// SAFETY: only the one thread that listens touches the table: it is written by callbacks on that thread while it runs the
// target, and read by the same thread between two runs.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new(Seen::new()));

impl Seen {
    const fn new() -> Self {
        Self {
            run: 0,
            words: [Words { width: 0, constant: false, a: 0, b: 0 }; WORDS],
            runs: [0; WORDS],
            places: [0; WORDS],
            strings: [Strings { len: 0, a: [0; LONGEST], b: [0; LONGEST] }; STRINGS],
            word_count: 0,
            string_count: 0,
        }
    }

    fn forget(&mut self) {
        (self.word_count, self.string_count) = (0, 0);
        self.run = self.run.wrapping_add(1);
    }

    #[inline]
    fn keep(&mut self, pair: Words) {
        let mixed = (pair.a ^ pair.b.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let [place, ..] = mixed.to_be_bytes();
        let at = usize::from(place);
        if self.runs[at] != self.run {
            self.runs[at] = self.run;
            self.places[self.word_count] = place;
            self.word_count += 1;
        }
        self.words[at] = pair;
    }

    fn word(&self, number: usize) -> Option<Words> {
        let place = self.places[number.checked_rem(self.word_count)?];
        Some(self.words[usize::from(place)])
    }
}

/// Forgets what was compared and keeps what this thread compares from now on, or keeps no more. One thread of the program
/// may listen.
pub(super) fn listen(on: bool) {
    if on {
        // SAFETY: see `Table`.
        unsafe { &mut *TABLE.0.get() }.forget();
    }
    LISTENING.set(on);
}

/// One of the pairs of integers, chosen by a number.
pub(super) fn words(number: usize) -> Option<Words> {
    // SAFETY: see `Table`.
    unsafe { &*TABLE.0.get() }.word(number)
}

/// One of the pairs of byte strings, chosen by a number.
pub(super) fn strings(number: usize) -> Option<Strings> {
    // SAFETY: see `Table`.
    let seen = unsafe { &*TABLE.0.get() };
    seen.strings.get(number.checked_rem(seen.string_count.min(STRINGS))?).copied()
}

/// Where programs, stacks and what is allocated lie in memory, on processors of 64 bits.
const ADDRESSES: std::ops::Range<u64> = 1 << 46..1 << 48;
/// Below it lies nothing: an address is compared with what stands for none.
const NOWHERE: u64 = 4096;

/// Whether two integers are addresses, as of an iterator that compares one with the end at each step. They are nothing of the
/// input, they fill the table, and they are others in each process, which would make a seed give other inputs.
fn are_addresses(a: u64, b: u64) -> bool {
    let (low, high) = (a.min(b), a.max(b));
    ADDRESSES.contains(&high) && (low < NOWHERE || ADDRESSES.contains(&low))
}

#[inline]
fn keep(width: u8, constant: bool, a: u64, b: u64) {
    if a != b && LISTENING.get() && (width < 8 || !are_addresses(a, b)) {
        // SAFETY: see `Table`.
        unsafe { &mut *TABLE.0.get() }.keep(Words { width, constant, a, b });
    }
}

macro_rules! compares {
    ($($name:ident $constant:ident $type:ty, $width:literal;)*) => {$(
        /// Called before two integers are compared.
        #[unsafe(no_mangle)]
        pub(super) extern "C" fn $name(a: $type, b: $type) {
            keep($width, false, a.into(), b.into());
        }

        /// Called before an integer is compared with a constant, which comes first.
        #[unsafe(no_mangle)]
        pub(super) extern "C" fn $constant(a: $type, b: $type) {
            keep($width, true, a.into(), b.into());
        }
    )*};
}

compares! {
    __sanitizer_cov_trace_cmp1 __sanitizer_cov_trace_const_cmp1 u8, 1;
    __sanitizer_cov_trace_cmp2 __sanitizer_cov_trace_const_cmp2 u16, 2;
    __sanitizer_cov_trace_cmp4 __sanitizer_cov_trace_const_cmp4 u32, 4;
    __sanitizer_cov_trace_cmp8 __sanitizer_cov_trace_const_cmp8 u64, 8;
}

/// Called before a switch; one over bytes tells nothing. `cases` holds the number of cases, the width of the value in bits, and the cases.
///
/// # Safety
/// `cases` points to as many integers as it says.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __sanitizer_cov_trace_switch(value: u64, cases: *const u64) {
    if !LISTENING.get() {
        return;
    }
    // SAFETY: the caller promises the header and as many cases as it says.
    let (count, bits) = unsafe { (*cases, *cases.add(1)) };
    let width = match bits {
        // Which byte a parser looks for is found soon enough, and there would be no room for anything else.
        8 => return,
        16 => 2,
        32 => 4,
        _ => 8,
    };
    for number in 0..usize::try_from(count).unwrap_or(0).min(32) {
        // SAFETY: as above.
        keep(width, true, unsafe { *cases.add(2 + number) }, value);
    }
}

type Compare = unsafe extern "C" fn(*const c_void, *const c_void, usize) -> c_int;

/// Defines a function of the C library that keeps what it compares and then calls the library's own.
macro_rules! in_front_of {
    ($name:ident, $symbol:literal) => {
        /// Compares two byte strings, as the C library does.
        ///
        /// # Safety
        /// Both are `len` bytes long.
        #[unsafe(no_mangle)]
        pub(super) unsafe extern "C" fn $name(a: *const c_void, b: *const c_void, len: usize) -> c_int {
            static REAL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
            if LISTENING.get() && len > 1 {
                // SAFETY: the caller's promise.
                unsafe { keep_strings(a.cast(), b.cast(), len) };
            }
            let mut real = REAL.load(Ordering::Relaxed);
            if real.is_null() {
                // SAFETY: the name is a C string; the library is loaded for good.
                real = unsafe { libc::dlsym(libc::RTLD_NEXT, $symbol.as_ptr()) };
                REAL.store(real, Ordering::Relaxed);
            }
            // SAFETY: the C library's function of this name has this type, and null when there is none.
            match unsafe { std::mem::transmute::<*mut c_void, Option<Compare>>(real) } {
                // SAFETY: the caller's promise.
                Some(real) => unsafe { real(a, b, len) },
                // SAFETY: the caller's promise.
                None => unsafe { plain(a.cast(), b.cast(), len) },
            }
        }
    };
}

in_front_of!(memcmp, c"memcmp");
in_front_of!(bcmp, c"bcmp");

/// # Safety
/// Both are `len` bytes long.
unsafe fn plain(a: *const u8, b: *const u8, len: usize) -> c_int {
    for at in 0..len {
        // SAFETY: within both.
        let (a, b) = unsafe { (a.add(at).read_volatile(), b.add(at).read_volatile()) };
        if a != b {
            return c_int::from(a) - c_int::from(b);
        }
    }
    0
}

/// # Safety
/// Both are `len` bytes long.
unsafe fn keep_strings(a: *const u8, b: *const u8, len: usize) {
    let len = len.min(LONGEST);
    let mut kept = Strings { len: 0, a: [0; LONGEST], b: [0; LONGEST] };
    let mut mixed = len as u64;
    let mut same = true;
    for at in 0..len {
        // SAFETY: within both. Volatile, or the loop would become the function that it stands in.
        let (a, b) = unsafe { (a.add(at).read_volatile(), b.add(at).read_volatile()) };
        (kept.a[at], kept.b[at]) = (a, b);
        same &= a == b;
        mixed = (mixed ^ u64::from(a) ^ (u64::from(b) << 8)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    if !same {
        kept.len = u8::try_from(len).unwrap_or(0);
        // SAFETY: see `Table`.
        let seen = unsafe { &mut *TABLE.0.get() };
        // Beyond the others, and over any of them when there is no more room.
        #[allow(clippy::cast_possible_truncation, reason = "the upper bits are an index")]
        let over = (mixed >> 48) as usize % STRINGS;
        let at = if seen.string_count < STRINGS { seen.string_count } else { over };
        seen.strings[at] = kept;
        seen.string_count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_nothing_of_an_input() {
        for (a, b, expect) in [
            (0x7f12_3456_7890, 0x7f12_3456_7898, true),
            (0x5581_0000_1000, 0x7ffd_0000_0010, true),
            (0, 0x7f12_3456_7890, true),
            (0xaaaa_0000_1000, 0xffff_8000_0000, true),
            (0x4d41_4749_4321_0a1a, 0x7f12_3456_7890, false),
            (0x7f12_3456_7890, 70_000, false),
            (1_700_000_000_000, 1_700_000_000_001, false),
            (3, 13, false),
        ] {
            assert_eq!((are_addresses(a, b), are_addresses(b, a)), (expect, expect), "{a:x} {b:x}");
        }
    }

    #[test]
    fn integers_of_a_run_are_kept_once() {
        let mut seen = Seen::new();
        let pair = |a, b| Words { width: 8, constant: true, a, b };
        let kept = |seen: &Seen| {
            let mut kept: Vec<(u64, u64)> =
                (0..seen.word_count).filter_map(|at| seen.word(at)).map(|pair| (pair.a, pair.b)).collect();
            kept.sort_unstable();
            kept
        };
        assert!(seen.word(7).is_none());
        seen.forget();
        for _ in 0..1000 {
            seen.keep(pair(0, 1));
        }
        seen.keep(pair(13, 3));
        assert_eq!(kept(&seen), [(0, 1), (13, 3)]);
        seen.forget();
        assert_eq!(kept(&seen), []);
        for a in 0..10_000 {
            seen.keep(pair(a, a + 1));
        }
        assert!(kept(&seen).len() > 200 && seen.word_count <= WORDS, "{}", seen.word_count);
    }
}
