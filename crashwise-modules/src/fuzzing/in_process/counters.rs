//! The counters that the compiler puts at every edge of instrumented crates.
//!
//! LLVM's `sanitizer-coverage-inline-8bit-counters` gives each module an array of bytes, and each module says at its start
//! where its array is. Nothing else is shared with a sanitizer runtime.
#![allow(unsafe_code, reason = "instrumented code hands over addresses of its counters")]

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Start and length of each array.
static REGIONS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Called by each instrumented module before `main`.
///
/// # Safety
/// `start` to `stop` is an array that lives as long as the program.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    let region = (start.addr(), stop.addr().saturating_sub(start.addr()));
    let mut regions = REGIONS.lock().unwrap_or_else(PoisonError::into_inner);
    // Modules that were linked into one array each say where it is.
    if region.1 > 0 && !regions.contains(&region) {
        regions.push(region);
        // The provenance of the array, for `Counters::attach`.
        start.expose_provenance();
    }
}

/// Called with the addresses of the edges, which are not used.
#[unsafe(no_mangle)]
pub(super) extern "C" fn __sanitizer_cov_pcs_init(_: *const usize, _: *const usize) {}

/// All counters of the program.
#[derive(Debug)]
pub(super) struct Counters {
    words: Vec<&'static [AtomicU64]>,
    /// Bytes before and after the words of each array.
    bytes: Vec<&'static [AtomicU8]>,
    len: usize,
}

impl Counters {
    /// The counters of all modules loaded so far; none in a program without instrumentation.
    pub(super) fn attach() -> Self {
        let regions = REGIONS.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut words, mut bytes) = (Vec::new(), Vec::new());
        for (start, len) in regions.iter().copied() {
            let pointer = std::ptr::with_exposed_provenance::<AtomicU8>(start);
            // SAFETY: the module promised the array for the life of the program, and bytes that instrumented code changes
            // may be read and written as relaxed atomics on every machine that has such instrumentation.
            let all: &'static [AtomicU8] = unsafe { std::slice::from_raw_parts(pointer, len) };
            // SAFETY: eight relaxed bytes may be looked at as one word; a torn count is a count.
            let (head, middle, tail) = unsafe { all.align_to::<AtomicU64>() };
            bytes.extend([head, tail].into_iter().filter(|part| !part.is_empty()));
            words.push(middle);
        }
        let len = regions.iter().map(|region| region.1).sum();
        Self { words, bytes, len }
    }

    /// How many counters there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Sets all to zero.
    pub(super) fn clear(&self) {
        for word in self.words.iter().copied().flatten() {
            if word.load(Ordering::Relaxed) != 0 {
                word.store(0, Ordering::Relaxed);
            }
        }
        for byte in self.bytes.iter().copied().flatten() {
            byte.store(0, Ordering::Relaxed);
        }
    }

    /// Hands each counter that is not zero to `see`, by its number, and sets it to zero.
    pub(super) fn take(&self, mut see: impl FnMut(u32, u8)) {
        let mut number = 0_u32;
        for word in self.words.iter().copied().flatten() {
            let value = word.load(Ordering::Relaxed);
            if value != 0 {
                word.store(0, Ordering::Relaxed);
                for (at, count) in (0..).zip(value.to_ne_bytes()) {
                    if count != 0 {
                        see(number + at, count);
                    }
                }
            }
            number += 8;
        }
        for byte in self.bytes.iter().copied().flatten() {
            let count = byte.load(Ordering::Relaxed);
            if count != 0 {
                byte.store(0, Ordering::Relaxed);
                see(number, count);
            }
            number += 1;
        }
    }
}
