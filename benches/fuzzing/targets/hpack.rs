/// RUSTSEC-2023-0085: panics on malformed integers and indices.
pub fn run(data: &[u8]) {
    let _ = hpack::Decoder::new().decode(data);
}
