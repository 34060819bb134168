/// A template that panics when it is compiled.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = tinytemplate::TinyTemplate::new().add_template("template", text);
    }
}
