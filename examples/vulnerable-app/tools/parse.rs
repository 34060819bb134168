//! Reads a header, badly on purpose.

/// The length field of a header.
pub fn length(header: &[u8]) -> u32 {
    let pointer = header.as_ptr().cast::<u32>();
    unsafe { *pointer }
}

/// The same, without luck.
pub fn length_safely(header: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(header.get(..4)?.try_into().ok()?))
}
