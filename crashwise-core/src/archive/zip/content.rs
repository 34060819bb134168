//! The content of one entry, decoded to its end and checked.

use std::io::{self, BufReader, Read, Write};

use flate2::bufread::DeflateDecoder;

use super::super::error::{Bound, Fault, Rule};
use super::super::limits::Limits;
use super::records::Central;

type Packed<'f, F> = BufReader<io::Take<&'f mut F>>;

enum Decoder<'f, F> {
    Stored(Packed<'f, F>),
    Deflate(DeflateDecoder<Packed<'f, F>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Packed<'f, F>>>),
}

/// Content of an entry, to be read exactly once.
pub(super) struct Content<'f, F> {
    decoder: Decoder<'f, F>,
    limits: Limits,
    packed: u64,
    size: u64,
    crc: u32,
}

/// The most that is read from or decoded at a time.
const BUFFER: usize = 64 << 10;

impl<'f, F: Read> Content<'f, F> {
    /// Begins at the file's position.
    pub(super) fn new(file: &'f mut F, central: &Central<'_>, limits: &Limits) -> Result<Self, Fault> {
        #[allow(clippy::cast_possible_truncation, reason = "at most BUFFER")]
        let capacity = central.packed.clamp(64, BUFFER as u64) as usize;
        let packed = BufReader::with_capacity(capacity, file.take(central.packed));
        let decoder = match central.method {
            0 => Decoder::Stored(packed),
            8 => Decoder::Deflate(DeflateDecoder::new(packed)),
            _ => {
                let mut zstd = zstd::stream::read::Decoder::with_buffer(packed)?;
                zstd.window_log_max((limits.decoder_memory() / 2).max(1 << 10).ilog2())?;
                Decoder::Zstd(Box::new(zstd))
            }
        };
        Ok(Self {
            decoder,
            limits: limits.clone(),
            packed: central.packed,
            size: central.size,
            crc: central.crc,
        })
    }

    /// Writes the content out; `wrote` hears of each piece.
    pub(super) fn copy(
        mut self,
        out: &mut impl Write,
        mut wrote: impl FnMut(u64) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.limits.check_ratio(self.packed, self.size)?;
        #[allow(clippy::cast_possible_truncation, reason = "at most BUFFER")]
        let mut buffer = vec![0; self.size.clamp(1, BUFFER as u64) as usize];
        let mut crc = crc32fast::Hasher::new();
        let mut size = 0;
        loop {
            let n = self.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            size += n as u64;
            if size > self.size {
                return Err(Rule::ContentSize.into());
            }
            crc.update(&buffer[..n]);
            out.write_all(&buffer[..n])?;
            wrote(n as u64)?;
        }
        if size != self.size || !self.is_used_up()? {
            return Err(Rule::ContentSize.into());
        }
        if crc.finalize() == self.crc { Ok(()) } else { Err(Rule::ContentChecksum.into()) }
    }

    /// The content in memory, at most this much.
    pub(super) fn small(self, most: usize) -> Result<Vec<u8>, Fault> {
        if self.size > most as u64 {
            return Err(Fault::Limit(Bound::PathBytes, most as u64));
        }
        let mut bytes = Vec::new();
        self.copy(&mut bytes, |_| Ok(()))?;
        Ok(bytes)
    }

    /// Reads content that must be empty.
    pub(super) fn finish(self) -> Result<(), Fault> {
        self.copy(&mut io::sink(), |_| Ok(()))
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        let read = match &mut self.decoder {
            Decoder::Stored(stored) => stored.read(buffer),
            Decoder::Deflate(deflate) => deflate.read(buffer),
            Decoder::Zstd(zstd) => zstd.read(buffer),
        };
        read.map_err(|error| match (&self.decoder, error.kind(), error.raw_os_error()) {
            (Decoder::Stored(_), ..) | (.., Some(_)) => error.into(),
            (_, io::ErrorKind::UnexpectedEof, _) => Rule::TruncatedStream.into(),
            _ => Rule::CorruptStream.into(),
        })
    }

    /// Whether the decoder took all packed bytes.
    fn is_used_up(&mut self) -> Result<bool, Fault> {
        let packed = match &mut self.decoder {
            Decoder::Stored(packed) => packed,
            Decoder::Deflate(deflate) => deflate.get_mut(),
            Decoder::Zstd(zstd) => zstd.get_mut(),
        };
        // A file that ends inside the entry leaves the limit open.
        let mut rest = [0];
        Ok(packed.read(&mut rest)? == 0 && packed.get_ref().limit() == 0)
    }
}
