/// RUSTSEC-2021-0125: a slice beyond the end.
pub fn run(data: &[u8]) {
    let _ = simple_asn1::from_der(data);
}
