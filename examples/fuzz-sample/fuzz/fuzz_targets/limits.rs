#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz_sample::depth(data);
    fuzz_sample::chain(data);
    fuzz_sample::reserve(data);
});
