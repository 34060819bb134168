use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::secrets::{Decoding, ScanOptions, SecretScanner};

/// A token of a format whose body is any text, so that the tests need no real one.
const TOKEN: &str = "dapi0f3a9c1b7d5e2468ace013579bdf2468";

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn check(text: &str, expect: &[Decoding]) {
    let scanner = SecretScanner::new(ScanOptions::new().with_generic(false));
    let found = scanner.scan_bytes("x.txt", text.as_bytes());
    let forms: Vec<&[Decoding]> = found
        .iter()
        .filter(|one| one.secret.reveal() == TOKEN.as_bytes())
        .map(|one| one.decoded.as_slice())
        .collect();
    assert_eq!(forms, [expect], "{text}");
    assert!(found.iter().all(|one| one.span.end <= text.len()));
}

#[test]
fn every_form_is_read() {
    use Decoding::{Base64, Characters, Concatenation, Escapes, Gzip, Hex, Percent, Reversed, Rot13, Xor};
    let line = format!("token: {TOKEN}\n");
    check(&line, &[]);
    check(&format!("blob = \"{}\"", base64(line.as_bytes())), &[Base64]);
    check(
        &format!("blob = {}", base64(line.as_bytes()).replace('=', "").replace('+', "-").replace('/', "_")),
        &[Base64],
    );
    check(&format!("blob = {}", hex(line.as_bytes())), &[Hex]);
    check(&format!("blob = {}", base64(base64(line.as_bytes()).as_bytes())), &[Base64, Base64]);
    let percent: String = TOKEN.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
    check(&format!("GET /?q=%3D%3A{percent} "), &[Percent]);
    for escape in
        [|byte| format!("\\x{byte:02x}"), |byte| format!("\\u00{byte:02x}"), |byte| format!("\\{byte:03o}")]
    {
        check(&format!("s = \"{}\"", TOKEN.bytes().map(escape).collect::<Vec<_>>().concat()), &[Escapes]);
    }
    let codes: Vec<String> = TOKEN.bytes().map(|byte| byte.to_string()).collect();
    check(&format!("bytes([{}])", codes.join(", ")), &[Characters]);
    let codes: Vec<String> = TOKEN.bytes().map(|byte| format!("0x{byte:02x}")).collect();
    check(&format!("char t[] = {{{}}};", codes.join(",")), &[Characters]);
    let codes: Vec<String> = TOKEN.chars().map(|symbol| format!("'{symbol}'")).collect();
    check(&format!("[{}].join('')", codes.join(", ")), &[Characters]);
    let (head, tail) = TOKEN.split_at(9);
    check(&format!("t = \"{head}\" + \"{tail}\""), &[Concatenation]);
    check(&format!("t = '{head}' .\n  '{tail}';").replace(" .\n", " . "), &[Concatenation]);
    check(&format!("HEAD = \"{head}\"\nB = \"x\"\nt = HEAD + \"{tail}\""), &[Concatenation]);
    check(&format!("t = \"{}\"[::-1]", TOKEN.chars().rev().collect::<String>()), &[Reversed]);
    let rotated: String = TOKEN.bytes().map(|byte| char::from(super::strings::rot13(byte))).collect();
    check(&format!("codecs.decode('{rotated}', 'rot13')"), &[Rot13]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(line.as_bytes()).expect("memory");
    let packed = encoder.finish().expect("memory");
    check(&format!("data: {}", base64(&packed)), &[Gzip]);
    let combined: Vec<u8> =
        TOKEN.bytes().zip(b"k3y\xf1!".iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    let key = "k3y\u{f1}!";
    // The key of the file is its bytes, which for a letter beyond ASCII are two.
    let by_file: Vec<u8> = TOKEN.bytes().zip(key.bytes().cycle()).map(|(byte, key)| byte ^ key).collect();
    assert_ne!(combined, by_file);
    check(&format!("xor(unhex('{}'), '{key}')", hex(&by_file)), &[Xor]);
}

#[test]
fn decoding_can_be_switched_off_and_is_bounded() {
    let mut text = format!("token: {TOKEN}\n");
    for _ in 0..4 {
        text = base64(text.as_bytes());
    }
    let scan = |depth| {
        let scanner = SecretScanner::new(ScanOptions::new().with_generic(false).with_decode_depth(depth));
        scanner.scan_bytes("", text.as_bytes()).len()
    };
    assert_eq!((scan(0), scan(3), scan(4)), (0, 0, 1));
}

#[test]
fn a_bomb_unfolds_to_the_limit_only() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..64 {
        encoder.write_all(&vec![b' '; 1 << 20]).expect("memory");
    }
    let text = base64(&encoder.finish().expect("memory"));
    let scanner = SecretScanner::new(ScanOptions::new());
    assert!(scanner.scan_bytes("", text.as_bytes()).is_empty());
}
