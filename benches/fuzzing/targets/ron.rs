/// Recursion without bound.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = ron::from_str::<ron::Value>(text);
    }
}
