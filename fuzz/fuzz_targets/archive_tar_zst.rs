//! Zstandard around a tar.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crashwise_fuzz::archive(&crashwise_fuzz::with_magic(
    &[0x28, 0xb5, 0x2f, 0xfd],
    bytes
)));
