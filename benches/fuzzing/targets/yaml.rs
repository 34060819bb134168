/// RUSTSEC-2018-0006: recursion without bound.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = yaml_rust::YamlLoader::load_from_str(text);
    }
}
