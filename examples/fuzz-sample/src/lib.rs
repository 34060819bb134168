//! A small parser with one bug of each kind, for fuzzers to find. Nothing here is to be copied.
//!
//! A document is a list of records, each of a tag and what the tag asks for. The bugs are named where they are, nine in all; two
//! cores find them with `timeout_seconds=300`, and with 80 all but the last in order, which lies behind a hang.

/// Reads records until the input ends or a record is not known.
pub fn parse(input: &[u8]) -> usize {
    let mut rest = input;
    let mut seen = 0;
    while let [tag, tail @ ..] = rest {
        let Some(used) = record(*tag, tail) else { break };
        rest = &tail[used.min(tail.len())..];
        seen += 1;
    }
    seen
}

fn record(tag: u8, body: &[u8]) -> Option<usize> {
    match tag {
        b'n' => name(body),
        b't' => table(body),
        b's' => sum(body),
        _ => None,
    }
}

/// Bug: `unwrap` of nothing, when a name has no end.
#[inline(never)]
fn name(body: &[u8]) -> Option<usize> {
    let end = body.iter().position(|byte| *byte == 0).unwrap();
    Some(end + 1)
}

/// Bug: an index that is not checked.
#[inline(never)]
fn table(body: &[u8]) -> Option<usize> {
    const COLUMNS: [usize; 8] = [1, 1, 2, 2, 4, 4, 8, 8];
    let index = usize::from(*body.first()? & 15);
    Some(COLUMNS[index])
}

/// Bug: a subtraction that overflows.
#[inline(never)]
fn sum(body: &[u8]) -> Option<usize> {
    let [low, high, ..] = body else { return None };
    let span = *high - *low;
    Some(usize::from(span % 2) + 2)
}

/// Bug: a panic behind eight bytes that no chance finds.
#[inline(never)]
pub fn magic(input: &[u8]) {
    if let Some(word) = input.first_chunk() {
        assert!(u64::from_le_bytes(*word) != 0x4d41_4749_4321_0a1a, "the magic word");
    }
}

/// Reads a byte beside the buffer. Bug: out of bounds, in unsafe code, for a length that the input chooses.
#[inline(never)]
pub fn checksum(input: &[u8]) -> u8 {
    let [b'c', length, data @ ..] = input else { return 0 };
    let data = [&[0; 4], data].concat();
    // SAFETY: there is none; that is the bug.
    (0..usize::from(*length)).fold(0, |sum, at| sum ^ unsafe { *data.as_ptr().add(at) })
}

/// Forgets a buffer. Bug: a leak.
#[inline(never)]
pub fn forget(input: &[u8]) {
    if input.starts_with(b"lk") {
        std::mem::forget(std::hint::black_box(input.to_vec()));
    }
}

/// How deep brackets nest. Bug: the stack is the limit.
#[inline(never)]
pub fn depth(input: &[u8]) -> usize {
    match input {
        [b'(', rest @ ..] => 1 + std::hint::black_box(depth(rest)),
        [b'*', count, rest @ ..] if *count > 200 => {
            let many = vec![b'('; usize::from(*count) * 4096];
            depth(&many) + depth(rest)
        }
        _ => 0,
    }
}

/// Walks a chain of offsets. Bug: a chain that ends in itself.
#[inline(never)]
pub fn chain(input: &[u8]) -> usize {
    if !input.starts_with(b"ch") {
        return 0;
    }
    let mut at = 2;
    let mut steps = 0_usize;
    while let Some(next) = input.get(at) {
        at = if *next == b'!' { at } else { at + 1 + usize::from(*next) };
        steps = std::hint::black_box(steps.wrapping_add(1));
    }
    steps
}

/// Reserves what the input asks for. Bug: it asks for gigabytes.
#[inline(never)]
pub fn reserve(input: &[u8]) -> usize {
    let [b'r', b'v', size, ..] = input else { return 0 };
    let bytes = (usize::from(*size) + 1) << 24;
    std::hint::black_box(vec![1_u8; bytes]).len()
}
