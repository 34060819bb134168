//! Compressed streams, read to their very end with every checksum checked and the ratio bounded.

mod ahead;
mod gzip;

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Error as XzError, Stream};

pub(super) use self::ahead::ahead;
use self::gzip::Gzip;
use super::error::{Bound, Fault, Rule};
use super::format::Format;
use super::limits::Limits;

/// Bytes read from the archive at a time.
const INPUT: usize = 128 << 10;

/// Counts what was taken from the archive.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.count.set(self.count.get() + n as u64);
        Ok(n)
    }
}

type Input<R> = BufReader<Counted<R>>;

enum Decoder<R: Read> {
    Plain(Counted<R>),
    Gzip(Box<Gzip<Input<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Input<R>>>),
    Xz(Box<XzDecoder<Input<R>>>),
}

/// The tar stream inside an archive.
///
/// Errors of the compressed stream come out as [`Fault`]s inside the [`io::Error`].
pub(super) struct Decoded<R: Read> {
    decoder: Decoder<R>,
    limits: Limits,
    bytes_in: Rc<Cell<u64>>,
    bytes_out: u64,
}

impl<R: Read> Decoded<R> {
    /// Begins to decode.
    pub(super) fn new(inner: R, format: Format, limits: &Limits) -> Result<Self, Fault> {
        let bytes_in = Rc::new(Cell::new(0));
        let counted = Counted { inner, count: Rc::clone(&bytes_in) };
        let input = |counted| BufReader::with_capacity(INPUT, counted);
        let decoder = match format {
            Format::TarGz => Decoder::Gzip(Box::new(Gzip::new(input(counted)))),
            Format::TarZst => {
                let mut zstd = zstd::stream::read::Decoder::with_buffer(input(counted))?;
                // The decoder's memory is its window; half goes to buffers at most.
                zstd.window_log_max((limits.decoder_memory / 2).max(1 << 10).ilog2())?;
                Decoder::Zstd(Box::new(zstd))
            }
            Format::TarXz => {
                let stream = Stream::new_stream_decoder(limits.decoder_memory, CONCATENATED)
                    .map_err(|error| Fault::Io(error.into()))?;
                Decoder::Xz(Box::new(XzDecoder::new_stream(input(counted), stream)))
            }
            Format::Tar | Format::Zip => Decoder::Plain(counted),
        };
        Ok(Self { decoder, limits: limits.clone(), bytes_in, bytes_out: 0 })
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.decoder {
            Decoder::Plain(plain) => return plain.read(buf),
            Decoder::Gzip(gzip) => gzip.read(buf)?,
            Decoder::Zstd(zstd) => match zstd.read(buf) {
                Ok(n) => n,
                Err(error) => return Err(zstd_fault(error, self.bytes_out, &self.limits)),
            },
            Decoder::Xz(xz) => match xz.read(buf) {
                Ok(n) => n,
                Err(error) => return Err(xz_fault(error, &self.limits)),
            },
        };
        self.bytes_out += n as u64;
        self.limits.check_ratio(self.bytes_in.get(), self.bytes_out)?;
        Ok(n)
    }
}

/// What a zstd error means; the library says it in words only.
fn zstd_fault(error: io::Error, bytes_out: u64, limits: &Limits) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Fault::from(Rule::TruncatedStream).into();
    }
    if error.raw_os_error().is_some() {
        return error;
    }
    let text = error.to_string();
    let fault = if text.contains("checksum") {
        Rule::ContentChecksum.into()
    } else if text.contains("memory") {
        Fault::Limit(Bound::DecoderMemory, limits.decoder_memory)
    } else if text.contains("Unknown frame") && bytes_out > 0 {
        Rule::TrailingGarbage.into()
    } else {
        Rule::CorruptStream.into()
    };
    fault.into()
}

/// What an xz error means. Garbage behind a stream is told as a corrupt stream.
fn xz_fault(error: io::Error, limits: &Limits) -> io::Error {
    let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<XzError>()) else {
        return if error.kind() == io::ErrorKind::UnexpectedEof {
            Fault::from(Rule::TruncatedStream).into()
        } else {
            error
        };
    };
    let fault = match cause {
        XzError::MemLimit | XzError::Mem => Fault::Limit(Bound::DecoderMemory, limits.decoder_memory),
        _ => Rule::CorruptStream.into(),
    };
    fault.into()
}

/// Fills as much of the buffer as the reader has.
pub(super) fn read_full(reader: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match reader.read(&mut buf[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether a buffered reader is at its end.
fn is_at_end(reader: &mut impl BufRead) -> io::Result<bool> {
    Ok(reader.fill_buf()?.is_empty())
}
