//! Base64 as it is found in the wild: either alphabet, with or without padding.

/// Decodes the standard and the URL alphabet, padded or not; `None` for any other byte or an impossible length.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|&&byte| byte == b'=').count();
    let text = &text[..text.len() - padding];
    if padding > 2 || text.len() % 4 == 1 {
        return None;
    }
    let mut decoded = Vec::with_capacity(text.len() * 3 / 4);
    for chunk in text.chunks(4) {
        let mut bits = 0_u32;
        for &byte in chunk {
            bits = bits << 6 | u32::from(value(byte)?);
        }
        bits <<= 6 * (4 - chunk.len());
        decoded.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    Some(decoded)
}

fn value(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_and_any_padding() {
        for (text, expect) in [
            ("", Some(b"".as_slice())),
            ("Zg==", Some(b"f")),
            ("Zg", Some(b"f")),
            ("Zm8=", Some(b"fo")),
            ("Zm9v", Some(b"foo")),
            ("Zm9vYg", Some(b"foob")),
            ("-_-_", Some(&[0xfb, 0xff, 0xbf])),
            ("+/+/", Some(&[0xfb, 0xff, 0xbf])),
            ("Zm9vY", None),
            ("Zm 9v", None),
            ("====", None),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), expect, "{text}");
        }
    }
}
