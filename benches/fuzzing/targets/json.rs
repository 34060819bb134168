/// A parser of everyday size.
pub fn run(data: &[u8]) {
    let _ = std::hint::black_box(serde_json::from_slice::<serde_json::Value>(data));
}
