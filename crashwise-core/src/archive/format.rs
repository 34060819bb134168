//! Which format a file has, by its first bytes.

use super::tar::is_header;

/// The formats that can be extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Plain tar: ustar, PAX, GNU or v7.
    Tar,
    /// tar in gzip, also of several members.
    TarGz,
    /// tar in Zstandard, also of several frames.
    TarZst,
    /// tar in xz, also of several streams.
    TarXz,
    /// ZIP with stored, deflate and Zstandard entries.
    Zip,
}

impl Format {
    /// How many bytes [`detect`](Self::detect) wants to see.
    pub const PROBE: usize = 512;

    /// The format by content; names and extensions play no part. `None` if it is none of them.
    ///
    /// What is inside a compressed stream is only known when it is read.
    #[must_use]
    pub fn detect(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::TarGz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::TarZst),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::TarXz),
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Self::Zip),
            // A tar without entries is zeros and nothing else.
            _ if head.len() >= Self::PROBE && head[..Self::PROBE].iter().all(|&b| b == 0) => Some(Self::Tar),
            _ if is_header(head) => Some(Self::Tar),
            _ => None,
        }
    }
}
