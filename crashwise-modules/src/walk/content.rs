//! Whether the bytes of a file are text, and in which encoding.

use std::borrow::Cow;

/// What the bytes of a file are, told by the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContentKind {
    /// Nothing was read.
    Unread,
    /// Text.
    Text(Encoding),
    /// Not text: there is a NUL among the first bytes that no encoding explains.
    Binary,
}

/// The encoding of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// UTF-8, ASCII, or an eight-bit encoding that extends ASCII: visitors see the bytes as they are.
    Bytes,
    /// UTF-16, little-endian, told by its mark or its first characters; visitors see UTF-8.
    Utf16Le,
    /// UTF-16, big-endian, told by its mark or its first characters; visitors see UTF-8.
    Utf16Be,
    /// UTF-32, little-endian, told by its mark and its first characters; visitors see UTF-8.
    Utf32Le,
    /// UTF-32, big-endian, told by its mark and its first characters; visitors see UTF-8.
    Utf32Be,
}

const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";
const UTF16_MARK: u16 = 0xFEFF;

/// Length of the part in which a NUL makes a file binary; the same as that of other programs of the field.
pub(super) const HEAD: usize = 8 << 10;

impl ContentKind {
    /// Tells what `bytes`, the start of a file or all of it, are.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            // The mark of UTF-32 starts with that of UTF-16.
            [0xFF, 0xFE, 0, 0, ..] if are_characters(bytes, u32::from_le_bytes) => {
                Self::Text(Encoding::Utf32Le)
            }
            [0xFF, 0xFE, 0, 0, ..] => Self::Binary,
            [0, 0, 0xFE, 0xFF, ..] if are_characters(bytes, u32::from_be_bytes) => {
                Self::Text(Encoding::Utf32Be)
            }
            [0xFF, 0xFE, ..] => Self::Text(Encoding::Utf16Le),
            [0xFE, 0xFF, ..] => Self::Text(Encoding::Utf16Be),
            _ if memchr::memchr(0, &bytes[..bytes.len().min(HEAD)]).is_none() => Self::Text(Encoding::Bytes),
            _ if are_mostly_latin(bytes, u16::from_le_bytes) => Self::Text(Encoding::Utf16Le),
            _ if are_mostly_latin(bytes, u16::from_be_bytes) => Self::Text(Encoding::Utf16Be),
            _ => Self::Binary,
        }
    }

    /// Whether it is text.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Text(_))
    }
}

/// Whether the first units of four bytes, the mark among them, are characters, and more than the mark.
fn are_characters(bytes: &[u8], unit: fn([u8; 4]) -> u32) -> bool {
    let (units, _) = bytes[..bytes.len().min(256)].as_chunks::<4>();
    units.len() > 1 && units.iter().all(|bytes| !matches!(char::from_u32(unit(*bytes)), None | Some('\0')))
}

/// Whether the first units of two bytes are text without a mark: nine of ten of ASCII, and none that no text has.
fn are_mostly_latin(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> bool {
    let (units, _) = bytes[..bytes.len().min(512)].as_chunks::<2>();
    let is_space = |unit: u16| (0x09..=0x0D).contains(&unit);
    let latin = units.iter().filter(|bytes| (0x20..0x7F).contains(&unit(**bytes)) || is_space(unit(**bytes)));
    let none = |unit: u16| unit < 0x20 && !is_space(unit) || unit >= 0xFFFE;
    units.len() >= 8 && 10 * latin.count() >= 9 * units.len() && !units.iter().any(|bytes| none(unit(*bytes)))
}

/// The text of `bytes` without its mark, and how many bytes of the file stand before it. What is no character becomes U+FFFD.
pub(crate) fn text_of(bytes: &[u8], kind: ContentKind) -> (Cow<'_, [u8]>, u64) {
    let decode = |unit: fn([u8; 2]) -> u16| {
        let units = bytes.as_chunks::<2>().0.iter().map(|bytes| unit(*bytes));
        let units = units.enumerate().filter(|&(n, unit)| n > 0 || unit != UTF16_MARK).map(|(_, unit)| unit);
        let text: String =
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        Cow::Owned(text.into_bytes())
    };
    let decode_wide = |unit: fn([u8; 4]) -> u32| {
        let units = bytes[4..].as_chunks::<4>().0.iter().map(|bytes| unit(*bytes));
        let text: String =
            units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        Cow::Owned(text.into_bytes())
    };
    match kind {
        ContentKind::Text(Encoding::Utf32Le) => (decode_wide(u32::from_le_bytes), 0),
        ContentKind::Text(Encoding::Utf32Be) => (decode_wide(u32::from_be_bytes), 0),
        ContentKind::Text(Encoding::Utf16Le) => (decode(u16::from_le_bytes), 0),
        ContentKind::Text(Encoding::Utf16Be) => (decode(u16::from_be_bytes), 0),
        ContentKind::Text(Encoding::Bytes) if bytes.starts_with(UTF8_MARK) => {
            (Cow::Borrowed(&bytes[UTF8_MARK.len()..]), UTF8_MARK.len() as u64)
        }
        _ => (Cow::Borrowed(bytes), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_texts() {
        let utf16 = |mark: [u8; 2], unit: fn(u16) -> [u8; 2]| {
            mark.into_iter().chain("aü\u{1F980}".encode_utf16().flat_map(unit)).collect::<Vec<u8>>()
        };
        let crab = "aü\u{1F980}".as_bytes();
        let plain = "key = 'q8Xn!41kz'\r\n# ü";
        let unmarked = |unit: fn(u16) -> [u8; 2]| plain.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
        for (bytes, kind, text, before) in [
            (b"plain".to_vec(), ContentKind::Text(Encoding::Bytes), &b"plain"[..], 0),
            (Vec::new(), ContentKind::Text(Encoding::Bytes), b"", 0),
            (b"lat\xEDn".to_vec(), ContentKind::Text(Encoding::Bytes), b"lat\xEDn", 0),
            (b"\xEF\xBB\xBFx".to_vec(), ContentKind::Text(Encoding::Bytes), b"x", 3),
            (b"ELF\0".to_vec(), ContentKind::Binary, b"ELF\0", 0),
            (b"\xFF\xFE\0\0".to_vec(), ContentKind::Binary, b"\xFF\xFE\0\0", 0),
            (b"\xFF\xFE\0\0x\0\0\x7F".to_vec(), ContentKind::Binary, b"\xFF\xFE\0\0x\0\0\x7F", 0),
            (b"\xFF\xFE\0\0x\0\0\0y\0".to_vec(), ContentKind::Text(Encoding::Utf32Le), b"x", 0),
            (b"\0\0\xFE\xFF\0\0\0x".to_vec(), ContentKind::Text(Encoding::Utf32Be), b"x", 0),
            (utf16([0xFF, 0xFE], u16::to_le_bytes), ContentKind::Text(Encoding::Utf16Le), crab, 0),
            (utf16([0xFE, 0xFF], u16::to_be_bytes), ContentKind::Text(Encoding::Utf16Be), crab, 0),
            (unmarked(u16::to_le_bytes), ContentKind::Text(Encoding::Utf16Le), plain.as_bytes(), 0),
            (unmarked(u16::to_be_bytes), ContentKind::Text(Encoding::Utf16Be), plain.as_bytes(), 0),
            (
                b"a\0b\0c\0\0\0d\0e\0f\0g\0h\0i\0".to_vec(),
                ContentKind::Binary,
                b"a\0b\0c\0\0\0d\0e\0f\0g\0h\0i\0",
                0,
            ),
            (b"a\0b\0".to_vec(), ContentKind::Binary, b"a\0b\0", 0),
        ] {
            assert_eq!(ContentKind::of(&bytes), kind, "{bytes:?}");
            let (found, offset) = text_of(&bytes, kind);
            assert_eq!((&*found, offset), (text, before), "{bytes:?}");
        }
    }
}
