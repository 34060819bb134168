//! Archives made by hand, byte by byte, so that they can be wrong in every way.

use std::io::Write;

/// A tar stream in the making.
#[derive(Clone)]
pub(super) struct Tar(pub(super) Vec<u8>);

/// The fields of one header.
pub(super) struct Head<'a> {
    pub(super) name: &'a [u8],
    pub(super) link: &'a [u8],
    pub(super) kind: u8,
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) gnu: bool,
}

impl<'a> Head<'a> {
    pub(super) fn new(name: &'a [u8], kind: u8) -> Self {
        Self { name, link: b"", kind, mode: 0o644, size: 0, gnu: false }
    }

    pub(super) fn block(&self) -> [u8; 512] {
        let mut block = [0; 512];
        block[..self.name.len()].copy_from_slice(self.name);
        block[100..108].copy_from_slice(format!("{:07o}\0", self.mode).as_bytes());
        block[108..124].copy_from_slice(b"0001750\x000001750\0");
        block[124..136].copy_from_slice(format!("{:011o}\0", self.size).as_bytes());
        block[136..148].copy_from_slice(b"14524000000\0");
        block[156] = self.kind;
        block[157..157 + self.link.len()].copy_from_slice(self.link);
        block[257..265].copy_from_slice(if self.gnu { b"ustar  \0" } else { b"ustar\x0000" });
        seal(&mut block);
        block
    }
}

/// Writes the checksum.
pub(super) fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

impl Tar {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn body(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        let full = self.0.len().next_multiple_of(512);
        self.0.resize(full, 0);
        self
    }

    pub(super) fn head(self, head: &Head<'_>) -> Self {
        let block = head.block();
        self.raw(&block)
    }

    pub(super) fn entry(self, name: &[u8], kind: u8, body: &[u8]) -> Self {
        self.head(&Head { size: body.len() as u64, ..Head::new(name, kind) }).body(body)
    }

    pub(super) fn file(self, name: &str, body: &[u8]) -> Self {
        self.entry(name.as_bytes(), b'0', body)
    }

    pub(super) fn dir(self, name: &str) -> Self {
        self.head(&Head { mode: 0o755, ..Head::new(name.as_bytes(), b'5') })
    }

    pub(super) fn mode(self, name: &str, kind: u8, mode: u32) -> Self {
        self.head(&Head { mode, ..Head::new(name.as_bytes(), kind) })
    }

    pub(super) fn link(self, name: &str, kind: u8, target: &str) -> Self {
        self.head(&Head { link: target.as_bytes(), ..Head::new(name.as_bytes(), kind) })
    }

    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        self.link(name, b'2', target)
    }

    pub(super) fn hardlink(self, name: &str, target: &str) -> Self {
        self.link(name, b'1', target)
    }

    /// An extended header of these records.
    pub(super) fn pax(self, kind: u8, records: &[(&str, &str)]) -> Self {
        let text: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.entry(b"PaxHeaders/x", kind, &text)
    }

    pub(super) fn gnu_long(self, kind: u8, text: &[u8]) -> Self {
        let mut body = text.to_vec();
        body.push(0);
        let head = Head { size: body.len() as u64, gnu: true, ..Head::new(b"././@LongLink", kind) };
        self.head(&head).body(&body)
    }

    /// Adds the end marker.
    pub(super) fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).0
    }
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

pub(super) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(data).expect("to memory");
    out.finish().expect("to memory")
}

pub(super) fn zst(data: &[u8]) -> Vec<u8> {
    let mut out = zstd::stream::Encoder::new(Vec::new(), 1).expect("level 1");
    out.include_checksum(true).expect("known option");
    out.write_all(data).expect("to memory");
    out.finish().expect("to memory")
}

pub(super) fn xz(data: &[u8]) -> Vec<u8> {
    let mut out = liblzma::write::XzEncoder::new(Vec::new(), 1);
    out.write_all(data).expect("to memory");
    out.finish().expect("to memory")
}

/// One entry of a ZIP file, each field of which can be bent.
#[derive(Clone)]
pub(super) struct ZipEntry {
    pub(super) name: Vec<u8>,
    pub(super) data: Vec<u8>,
    pub(super) size: u64,
    pub(super) crc: u32,
    pub(super) method: u16,
    pub(super) flags: u16,
    pub(super) mode: u32,
    pub(super) extra: Vec<u8>,
    /// What the central directory says of size; the truth if `None`.
    pub(super) central_size: Option<u32>,
    pub(super) central_packed: Option<u32>,
    pub(super) central_crc: Option<u32>,
    pub(super) central_name: Option<Vec<u8>>,
    pub(super) central_offset: Option<u32>,
    pub(super) descriptor: Option<Vec<u8>>,
    pub(super) in_directory: bool,
    /// Bytes before the local header.
    pub(super) before: Vec<u8>,
}

impl ZipEntry {
    pub(super) fn stored(name: &str, data: &[u8]) -> Self {
        Self {
            name: name.into(),
            data: data.into(),
            size: data.len() as u64,
            crc: crc32fast::hash(data),
            method: 0,
            flags: 0,
            mode: if name.ends_with('/') { 0o040_755 } else { 0o100_644 },
            extra: Vec::new(),
            central_size: None,
            central_packed: None,
            central_crc: None,
            central_name: None,
            central_offset: None,
            descriptor: None,
            in_directory: true,
            before: Vec::new(),
        }
    }

    pub(super) fn deflated(name: &str, data: &[u8]) -> Self {
        let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(data).expect("to memory");
        Self { data: out.finish().expect("to memory"), method: 8, ..Self::stored(name, data) }.sized(data)
    }

    fn sized(mut self, data: &[u8]) -> Self {
        self.size = data.len() as u64;
        self.crc = crc32fast::hash(data);
        self
    }

    pub(super) fn zstd(name: &str, data: &[u8]) -> Self {
        Self { data: zst(data), method: 93, ..Self::stored(name, data) }.sized(data)
    }

    /// Moves sizes and checksum behind the content.
    pub(super) fn with_descriptor(mut self, signed: bool) -> Self {
        self.flags |= 8;
        let mut bytes = if signed { b"PK\x07\x08".to_vec() } else { Vec::new() };
        bytes.extend(self.crc.to_le_bytes());
        bytes.extend((self.data.len() as u32).to_le_bytes());
        bytes.extend((self.size as u32).to_le_bytes());
        self.descriptor = Some(bytes);
        self
    }
}

/// A ZIP file of these entries, with what is said about the directory changed by `end`.
pub(super) fn zip(entries: &[ZipEntry]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    let mut count = 0u16;
    for entry in entries {
        out.extend(&entry.before);
        let offset = out.len() as u32;
        let described = entry.descriptor.is_some();
        let put16 = |out: &mut Vec<u8>, value: u16| out.extend(value.to_le_bytes());
        let put32 = |out: &mut Vec<u8>, value: u32| out.extend(value.to_le_bytes());
        out.extend(b"PK\x03\x04");
        for value in [20, entry.flags, entry.method, 0, 0x5821] {
            put16(&mut out, value);
        }
        put32(&mut out, if described { 0 } else { entry.crc });
        put32(&mut out, if described { 0 } else { entry.data.len() as u32 });
        put32(&mut out, if described { 0 } else { entry.size as u32 });
        put16(&mut out, entry.name.len() as u16);
        put16(&mut out, entry.extra.len() as u16);
        out.extend(&entry.name);
        out.extend(&entry.extra);
        out.extend(&entry.data);
        out.extend(entry.descriptor.iter().flatten());
        if !entry.in_directory {
            continue;
        }
        count += 1;
        let name = entry.central_name.as_ref().unwrap_or(&entry.name);
        directory.extend(b"PK\x01\x02");
        for value in [0x0314, 20, entry.flags, entry.method, 0, 0x5821] {
            put16(&mut directory, value);
        }
        put32(&mut directory, entry.central_crc.unwrap_or(entry.crc));
        put32(&mut directory, entry.central_packed.unwrap_or(entry.data.len() as u32));
        put32(&mut directory, entry.central_size.unwrap_or(entry.size as u32));
        put16(&mut directory, name.len() as u16);
        put16(&mut directory, entry.extra.len() as u16);
        for value in [0, 0, 0] {
            put16(&mut directory, value);
        }
        put32(&mut directory, entry.mode << 16);
        put32(&mut directory, entry.central_offset.unwrap_or(offset));
        directory.extend(name);
        directory.extend(&entry.extra);
    }
    let offset = out.len() as u32;
    out.extend(&directory);
    out.extend(end(count, directory.len() as u32, offset, b""));
    out
}

/// An end of central directory.
pub(super) fn end(count: u16, size: u32, offset: u32, comment: &[u8]) -> Vec<u8> {
    let mut out = b"PK\x05\x06\0\0\0\0".to_vec();
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(offset.to_le_bytes());
    out.extend((comment.len() as u16).to_le_bytes());
    out.extend(comment);
    out
}
