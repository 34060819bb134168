//! How common a byte is in source text.

/// Sixteen times the binary logarithm of a byte's share, shifted so that one in 2^20 is zero. Counted over 50 MB of C
/// headers, Rust, Python, TOML, JSON and Markdown. Bytes from 0x80 on are rare in all of them and count as 24.
const ASCII: [u8; 128] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 175, 238, 0, 0, 125, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    255, 158, 207, 185, 136, 126, 169, 200, 212, 213, 185, 146, 221, 184, 203, 206, 194, 204, 210, 202, 185,
    173, 185, 170, 185, 167, 226, 205, 171, 209, 180, 136, 136, 211, 181, 205, 196, 213, 199, 181, 174, 210,
    116, 164, 204, 193, 206, 202, 202, 139, 208, 208, 214, 186, 178, 161, 174, 163, 138, 186, 161, 186, 113,
    248, 168, 238, 220, 229, 224, 253, 218, 209, 210, 238, 152, 189, 228, 216, 242, 237, 230, 165, 240, 240,
    249, 233, 194, 189, 189, 209, 163, 187, 152, 187, 118, 0,
];

/// How common `byte` is, in sixteenths of a binary logarithm: the sum over a window estimates how often it occurs.
pub(super) fn byte_cost(byte: u8) -> u32 {
    ASCII.get(usize::from(byte)).map_or(24, |&cost| u32::from(cost))
}

/// As [`byte_cost`] for a letter in either case: the more common case decides.
pub(super) fn folded_cost(byte: u8) -> u32 {
    byte_cost(byte.to_ascii_lowercase()).max(byte_cost(byte.to_ascii_uppercase()))
}

/// The cheapest window of up to `size` bytes: its offset and its cost. Absent bytes of short literals cost the most.
pub(super) fn rarest_window(literal: &[u8], size: usize) -> (usize, u32) {
    let size = size.max(1);
    if literal.len() < size {
        let absent = u32::try_from(size - literal.len()).unwrap_or(u32::MAX).saturating_mul(256);
        return (0, literal.iter().map(|&byte| folded_cost(byte)).sum::<u32>().saturating_add(absent));
    }
    literal
        .windows(size)
        .map(|window| window.iter().map(|&byte| folded_cost(byte)).sum())
        .enumerate()
        .min_by_key(|&(_, cost)| cost)
        .unwrap_or((0, u32::MAX))
}
