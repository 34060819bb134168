/// Slices in the middle of a character.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = csscolorparser::parse(text);
    }
}
