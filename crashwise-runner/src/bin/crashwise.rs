//! The program `crashwise`.
fn main() {}
