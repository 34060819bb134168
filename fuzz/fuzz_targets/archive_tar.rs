//! tar: headers, extensions, sparse maps, links.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crashwise_fuzz::archive(&crashwise_fuzz::seal(bytes)));
