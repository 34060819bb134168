//! The counters that the compiler puts at every edge of instrumented crates.
//!
//! LLVM's `sanitizer-coverage-inline-8bit-counters` gives each module an array of bytes, and each module says at its start
//! where its array is. Nothing else is shared with a sanitizer runtime.
#![allow(unsafe_code, reason = "instrumented code hands over addresses of its counters")]

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
    arrays: Vec<(*mut u8, usize)>,
    len: usize,
}

// SAFETY: the arrays live as long as the program. They are written by instrumented code on whatever thread, without any
// order; a count that is lost to that is a count, and bytes are read and written whole.
unsafe impl Send for Counters {}

/// Counters looked at together.
const BLOCK: usize = 64;

impl Counters {
    /// The counters of all modules loaded so far; none in a program without instrumentation.
    pub(super) fn attach() -> Self {
        let regions = REGIONS.lock().unwrap_or_else(PoisonError::into_inner);
        let arrays = regions.iter().map(|(start, len)| (std::ptr::with_exposed_provenance_mut(*start), *len));
        Self { arrays: arrays.collect(), len: regions.iter().map(|region| region.1).sum() }
    }

    /// How many counters there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Sets all to zero.
    pub(super) fn clear(&self) {
        self.take(|_, _| {});
    }

    /// Hands each counter that is not zero to `see`, by its number, and sets it to zero. Most are zero, so they are looked at
    /// in blocks.
    pub(super) fn take(&self, mut see: impl FnMut(u32, u8)) {
        let mut number = 0_usize;
        for (start, len) in self.arrays.iter().copied() {
            let mut at = 0;
            while at < len {
                let end = (at + BLOCK).min(len);
                // SAFETY: within the array.
                if end - at < BLOCK || unsafe { is_hit(start.add(at)) } {
                    for place in at..end {
                        // SAFETY: within the array.
                        let counter = unsafe { start.add(place) };
                        // SAFETY: as above.
                        let count = unsafe { counter.read() };
                        if count != 0 {
                            // SAFETY: as above.
                            unsafe { counter.write(0) };
                            #[allow(clippy::cast_possible_truncation, reason = "a program has fewer edges")]
                            see((number + place) as u32, count);
                        }
                    }
                }
                at = end;
            }
            number += len;
        }
    }
}

/// Whether any counter of a block is not zero.
///
/// # Safety
/// `start` begins [`BLOCK`] bytes that may be read.
unsafe fn is_hit(start: *const u8) -> bool {
    // SAFETY: the caller's promise; the array is of bytes, so it needs no alignment.
    let words = unsafe { start.cast::<[u64; BLOCK / 8]>().read_unaligned() };
    words.iter().fold(0, |all, word| all | word) != 0
}
