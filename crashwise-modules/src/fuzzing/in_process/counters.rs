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
    /// Whether blocks of 32 bytes are looked at together.
    wide: bool,
}

// SAFETY: the arrays live as long as the program. They are written by instrumented code on whatever thread, without any
// order; a count that is lost to that is a count, and bytes are read and written whole.
unsafe impl Send for Counters {}

impl Counters {
    /// The counters of all modules loaded so far; none in a program without instrumentation.
    pub(super) fn attach() -> Self {
        let regions = REGIONS.lock().unwrap_or_else(PoisonError::into_inner);
        let arrays = regions.iter().map(|(start, len)| (std::ptr::with_exposed_provenance_mut(*start), *len));
        let len = regions.iter().map(|region| region.1).sum();
        Self { arrays: arrays.collect(), len, wide: is_wide() }
    }

    /// How many counters there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Sets all to zero.
    pub(super) fn clear(&self) {
        self.take(|_, _| {});
    }

    /// Hands each counter that is not zero to `see`, by its number, and sets it to zero.
    pub(super) fn take(&self, mut see: impl FnMut(u32, u8)) {
        let mut number = 0_usize;
        for (start, len) in self.arrays.iter().copied() {
            // SAFETY: an array that may be read and written.
            #[cfg(target_arch = "x86_64")]
            let at = if self.wide { unsafe { wide(start, len, number, &mut see) } } else { 0 };
            #[cfg(not(target_arch = "x86_64"))]
            let at = 0;
            // SAFETY: the rest of it.
            unsafe { plain(start.add(at), len - at, number + at, &mut see) };
            number += len;
        }
    }
}

/// Whether the processor looks at 32 bytes at once.
fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Takes the counters of an array whose first has this number.
///
/// # Safety
/// `len` bytes from `start` on may be read and written.
unsafe fn plain(start: *mut u8, len: usize, number: usize, see: &mut impl FnMut(u32, u8)) {
    let mut at = 0;
    while at < len {
        if at + 8 <= len {
            // SAFETY: eight bytes within the array; it is of bytes, so they need no alignment.
            let word = u64::from_le(unsafe { start.add(at).cast::<u64>().read_unaligned() });
            if word == 0 {
                at += 8;
                continue;
            }
            at += word.trailing_zeros() as usize / 8;
        }
        // SAFETY: within the array.
        let count = unsafe { start.add(at).replace(0) };
        if count != 0 {
            see(small(number + at), count);
        }
        at += 1;
    }
}

/// The same for as many whole blocks as there are, most of which no input reaches; returns how many bytes that are.
///
/// # Safety
/// As of [`plain`], on a processor that has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[allow(clippy::cast_ptr_alignment, reason = "these loads and stores need none")]
unsafe fn wide(start: *mut u8, len: usize, number: usize, see: &mut impl FnMut(u32, u8)) -> usize {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256,
        _mm256_setzero_si256, _mm256_storeu_si256, _mm256_testz_si256,
    };
    const PARTS: usize = 8;
    let zero = _mm256_setzero_si256();
    let mut at = 0;
    while at + PARTS * 32 <= len {
        let mut parts = [zero; PARTS];
        for (which, part) in parts.iter_mut().enumerate() {
            // SAFETY: within the array; the load needs no alignment.
            *part = unsafe { _mm256_loadu_si256(start.add(at + which * 32).cast::<__m256i>()) };
        }
        let all = parts.iter().fold(zero, |all, part| _mm256_or_si256(all, *part));
        if _mm256_testz_si256(all, all) == 0 {
            for (which, part) in parts.into_iter().enumerate() {
                let mut hit = !_mm256_movemask_epi8(_mm256_cmpeq_epi8(part, zero)).cast_unsigned();
                if hit == 0 {
                    continue;
                }
                let mut counts = [0_u8; 32];
                // SAFETY: 32 bytes of an array of our own.
                unsafe { _mm256_storeu_si256(counts.as_mut_ptr().cast::<__m256i>(), part) };
                // SAFETY: within the array, as it was read.
                unsafe { _mm256_storeu_si256(start.add(at + which * 32).cast::<__m256i>(), zero) };
                while hit != 0 {
                    let bit = hit.trailing_zeros() as usize;
                    see(small(number + at + which * 32 + bit), counts[bit % 32]);
                    hit &= hit - 1;
                }
            }
        }
        at += PARTS * 32;
    }
    at
}

#[allow(clippy::cast_possible_truncation, reason = "a program has fewer edges")]
fn small(number: usize) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_that_was_hit_is_taken_once() {
        for len in [1, 7, 8, 255, 256, 257, 1000, 4096] {
            let mut bytes = vec![0_u8; len + 3];
            // Arrays begin anywhere.
            let start = bytes[3..].as_mut_ptr();
            for wide in [false, is_wide()] {
                let counters = Counters { arrays: vec![(start, len), (start, 0)], len, wide };
                let hit: Vec<u32> =
                    (0..len).step_by(13).chain([len - 1]).map(|at| u32::try_from(at).unwrap()).collect();
                for at in &hit {
                    // SAFETY: within the array.
                    unsafe { *start.add(*at as usize) = 7 };
                }
                let mut seen = Vec::new();
                counters.take(|number, count| seen.push((number, count)));
                let mut expect: Vec<(u32, u8)> = hit.into_iter().map(|at| (at, 7)).collect();
                expect.dedup();
                assert_eq!(seen, expect, "{len}");
                counters.take(|number, _| panic!("{number} is left"));
            }
        }
    }
}
