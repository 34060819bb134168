//! Records in zstd frames, and the index by which a frame is found.
//!
//! The index is a checksum, and per frame: the first key in it, its place among the frames, and its length when
//! unpacked, each as `u32`. A record begins with its length.

use super::error::DatabaseError;
use super::layout::{self, Place, Reader};

const ENTRY: usize = 12;
/// Most bytes of one frame when unpacked; the largest real ones have some ten thousand.
const MAX_FRAME: u32 = 64 << 20;

/// The index of a section of frames.
#[derive(Debug, Default)]
pub(super) struct Frames(Vec<Frame>);

/// One frame of a section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// The key of its first record.
    pub(super) first: u32,
    /// Where it stands in its section.
    pub(super) place: Place,
    /// Its length when unpacked.
    pub(super) length: usize,
}

impl Frames {
    /// Reads the index of a section of `length` bytes.
    pub(super) fn decode(bytes: &[u8], length: u64) -> Result<Self, DatabaseError> {
        let corrupt = || DatabaseError::corrupt("an index");
        let entries = layout::checked(bytes, "an index")?;
        if entries.len() % ENTRY != 0 {
            return Err(corrupt());
        }
        let mut reader = Reader::new(entries);
        let mut frames: Vec<Frame> = Vec::with_capacity(entries.len() / ENTRY);
        while !reader.is_empty() {
            let (first, start, unpacked) = (reader.u32()?, u64::from(reader.u32()?), reader.u32()?);
            if unpacked > MAX_FRAME || start > length {
                return Err(corrupt());
            }
            if let Some(before) = frames.last_mut() {
                before.place.length = start.checked_sub(before.place.start).ok_or_else(corrupt)?;
            }
            let place = Place { start, length: length - start };
            frames.push(Frame { first, place, length: usize::try_from(unpacked).map_err(|_| corrupt())? });
        }
        Ok(Self(frames))
    }

    /// The frame that holds a key if any does.
    pub(super) fn find(&self, key: u32) -> Option<Frame> {
        let after = self.0.partition_point(|frame| frame.first <= key);
        self.0.get(after.checked_sub(1)?).copied()
    }
}

/// Fills frames with records whose keys do not fall.
#[derive(Debug)]
pub(super) struct FrameWriter {
    size: usize,
    firsts: Vec<u32>,
    raw: Vec<Vec<u8>>,
    last: u32,
}

impl FrameWriter {
    /// For frames of about `size` bytes.
    pub(super) fn new(size: usize) -> Self {
        Self { size, firsts: Vec::new(), raw: Vec::new(), last: 0 }
    }

    /// Adds a record; records of one key stay in one frame.
    pub(super) fn add(&mut self, key: u32, record: &[u8]) {
        match self.raw.last_mut() {
            Some(frame) if key == self.last || frame.len() + record.len() <= self.size => {
                frame.extend_from_slice(record);
            }
            _ => {
                self.firsts.push(key);
                self.raw.push(record.to_vec());
            }
        }
        self.last = key;
    }

    /// The index and the frames, as `pack` packs them.
    pub(super) fn finish(
        self,
        pack: impl FnOnce(&[Vec<u8>]) -> Vec<Vec<u8>>,
    ) -> Result<(Vec<u8>, Vec<u8>), DatabaseError> {
        let packed = pack(&self.raw);
        if packed.len() != self.raw.len() {
            return Err(DatabaseError::TooLarge);
        }
        let mut index = Vec::with_capacity(packed.len() * ENTRY);
        let mut frames = Vec::with_capacity(packed.iter().map(Vec::len).sum());
        for ((first, raw), packed) in self.firsts.iter().zip(&self.raw).zip(&packed) {
            let start = u32::try_from(frames.len()).map_err(|_| DatabaseError::TooLarge)?;
            let length = u32::try_from(raw.len()).ok().filter(|length| *length <= MAX_FRAME);
            for number in [*first, start, length.ok_or(DatabaseError::TooLarge)?] {
                index.extend_from_slice(&number.to_le_bytes());
            }
            frames.extend_from_slice(packed);
        }
        Ok(([&layout::checksum(&index).to_le_bytes(), index.as_slice()].concat(), frames))
    }
}
