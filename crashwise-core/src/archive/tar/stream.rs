//! The tar stream in blocks.

use std::io::{self, Read};

use super::super::decode::read_full;
use super::super::error::{Fault, Rule};
use super::header::BLOCK;

/// Bytes read at a time; also the largest piece handed out.
const BUFFER: usize = 256 << 10;

/// A buffered reader that hands out blocks and pieces of content and knows where it is.
pub(super) struct Blocks<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Offset in the stream of `buffer[start]`.
    offset: u64,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, buffer: vec![0; BUFFER].into_boxed_slice(), start: 0, end: 0, offset: 0 }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Makes at least `wanted` bytes available if the stream has them, `wanted` being at most a block.
    fn fill(&mut self, wanted: usize) -> io::Result<usize> {
        if self.end - self.start < wanted {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            while self.end < wanted {
                match self.inner.read(&mut self.buffer[self.end..]) {
                    Ok(0) => break,
                    Ok(n) => self.end += n,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(self.end - self.start)
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// The next header block, `None` at the end of the stream.
    pub(super) fn header(&mut self) -> Result<Option<[u8; BLOCK]>, Fault> {
        match self.fill(BLOCK)? {
            0 => Ok(None),
            n if n < BLOCK => Err(Rule::TruncatedHeader.into()),
            _ => Ok(Some(self.take_block())),
        }
    }

    /// The next block of content.
    pub(super) fn block(&mut self) -> Result<[u8; BLOCK], Fault> {
        if self.fill(BLOCK)? < BLOCK { Err(Rule::TruncatedBody.into()) } else { Ok(self.take_block()) }
    }

    fn take_block(&mut self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block.copy_from_slice(&self.buffer[self.start..self.start + BLOCK]);
        self.consume(BLOCK);
        block
    }

    /// Hands `size` bytes of content out in pieces.
    pub(super) fn content(
        &mut self,
        size: u64,
        mut piece: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut left = size;
        while left > 0 {
            let there = self.fill(1)?;
            if there == 0 {
                return Err(Rule::TruncatedBody.into());
            }
            let take = usize::try_from(left).map_or(there, |left| left.min(there));
            piece(&self.buffer[self.start..self.start + take])?;
            self.consume(take);
            left -= take as u64;
        }
        Ok(())
    }

    /// Skips what fills the last block of content of this size.
    pub(super) fn padding(&mut self, size: u64) -> Result<(), Fault> {
        #[allow(clippy::cast_possible_truncation, reason = "less than a block")]
        let rest = (size % BLOCK as u64) as usize;
        if rest > 0 {
            let skip = BLOCK - rest;
            if self.fill(skip)? < skip {
                return Err(Rule::TruncatedBody.into());
            }
            self.consume(skip);
        }
        Ok(())
    }

    /// Whole small content in memory.
    pub(super) fn small(&mut self, size: u64) -> Result<Vec<u8>, Fault> {
        let mut data = Vec::new();
        self.content(size, |piece| {
            data.extend_from_slice(piece);
            Ok(())
        })?;
        self.padding(size)?;
        Ok(data)
    }

    /// Reads to the end of the stream, where only zeros may be.
    pub(super) fn drain(&mut self) -> Result<(), Fault> {
        loop {
            if self.buffer[self.start..self.end].iter().any(|&b| b != 0) {
                return Err(Rule::DataAfterEnd.into());
            }
            self.consume(self.end - self.start);
            self.start = 0;
            self.end = read_full(&mut self.inner, &mut self.buffer)?;
            if self.end == 0 {
                return Ok(());
            }
        }
    }
}
