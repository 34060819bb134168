/// Nothing: what is measured is the fuzzer.
pub fn run(data: &[u8]) {
    std::hint::black_box(data);
}
