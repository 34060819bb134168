//! gzip (RFC 1952): any number of members, each checked by CRC and length, and nothing but zeros after the last.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::super::error::{Fault, Rule};
use super::is_at_end;

/// The most bytes a member's header may take; a name and a comment need far less.
const HEADER: usize = 64 << 10;

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0b1110_0000;

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Before the first member's header.
    Start,
    Body,
    /// After a member's trailer.
    Between,
    End,
}

/// A gzip stream. One decompressor serves all members, so that many tiny ones cost little.
pub(super) struct Gzip<R> {
    input: R,
    inflate: Decompress,
    crc: crc32fast::Hasher,
    size: u32,
    state: State,
}

impl<R: BufRead> Gzip<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            inflate: Decompress::new(false),
            crc: crc32fast::Hasher::new(),
            size: 0,
            state: State::Start,
        }
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.exact(&mut byte)?;
        Ok(byte[0])
    }

    fn exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.input.read_exact(buf).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Fault::from(Rule::TruncatedStream).into(),
            _ => error,
        })
    }

    fn header(&mut self) -> io::Result<()> {
        let mut fixed = [0; 10];
        self.exact(&mut fixed)?;
        let flags = fixed[3];
        if fixed[..3] != [0x1f, 0x8b, 8] || flags & FLAGS_RESERVED != 0 {
            return Err(Fault::from(Rule::CorruptStream).into());
        }
        let mut taken = 0;
        if flags & FLAG_EXTRA != 0 {
            let mut length = [0; 2];
            self.exact(&mut length)?;
            for _ in 0..u16::from_le_bytes(length) {
                self.byte()?;
            }
        }
        for flag in [FLAG_NAME, FLAG_COMMENT] {
            if flags & flag != 0 {
                while self.byte()? != 0 {
                    taken += 1;
                    if taken > HEADER {
                        return Err(Fault::from(Rule::CorruptStream).into());
                    }
                }
            }
        }
        if flags & FLAG_HEADER_CRC != 0 {
            self.exact(&mut [0; 2])?;
        }
        Ok(())
    }

    /// Tapes pad with zeros; nothing may come behind them.
    fn padding(&mut self) -> io::Result<()> {
        loop {
            let rest = self.input.fill_buf()?;
            if rest.iter().any(|&b| b != 0) {
                return Err(Fault::from(Rule::TrailingGarbage).into());
            }
            let length = rest.len();
            if length == 0 {
                return Ok(());
            }
            self.input.consume(length);
        }
    }

    fn trailer(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        self.exact(&mut trailer)?;
        let [c0, c1, c2, c3, s0, s1, s2, s3] = trailer;
        let crc = std::mem::take(&mut self.crc).finalize();
        if u32::from_le_bytes([c0, c1, c2, c3]) != crc {
            return Err(Fault::from(Rule::ContentChecksum).into());
        }
        if u32::from_le_bytes([s0, s1, s2, s3]) != self.size {
            return Err(Fault::from(Rule::ContentSize).into());
        }
        Ok(())
    }

    fn body(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.input.fill_buf()?;
            if input.is_empty() {
                return Err(Fault::from(Rule::TruncatedStream).into());
            }
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(input, buf, FlushDecompress::None);
            let taken = usize::try_from(self.inflate.total_in() - before_in).unwrap_or(usize::MAX);
            let made = usize::try_from(self.inflate.total_out() - before_out).unwrap_or(usize::MAX);
            self.input.consume(taken);
            self.crc.update(&buf[..made]);
            #[allow(clippy::cast_possible_truncation, reason = "the trailer holds the length modulo 2^32")]
            {
                self.size = self.size.wrapping_add(made as u32);
            }
            match status {
                Ok(Status::StreamEnd) => {
                    self.trailer()?;
                    self.state = State::Between;
                }
                Ok(_) if made == 0 && taken == 0 => return Err(Fault::from(Rule::CorruptStream).into()),
                Ok(_) => {}
                Err(_) => return Err(Fault::from(Rule::CorruptStream).into()),
            }
            if made > 0 || self.state == State::Between {
                return Ok(made);
            }
        }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match self.state {
                State::Start => {
                    self.header()?;
                    self.state = State::Body;
                }
                State::Body => {
                    let made = self.body(buf)?;
                    if made > 0 {
                        return Ok(made);
                    }
                }
                State::Between => {
                    if is_at_end(&mut self.input)? {
                        self.state = State::End;
                    } else if self.input.fill_buf()?[0] == 0 {
                        self.padding()?;
                        self.state = State::End;
                    } else if self.input.fill_buf()?[0] == 0x1f {
                        self.inflate.reset(false);
                        self.size = 0;
                        self.state = State::Start;
                    } else {
                        return Err(Fault::from(Rule::TrailingGarbage).into());
                    }
                }
                State::End => return Ok(0),
            }
        }
    }
}
