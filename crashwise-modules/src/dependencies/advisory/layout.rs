//! The file of a compiled database: a header, and sections whose parts carry a checksum each.
//!
//! ```text
//! header   magic, version, places of the sections, digest of what follows, checksum of the header
//! meta     JSON: where the data came from
//! buckets  per bucket of names: first entry (u32), checksum of its entries (u32); one more than there are buckets
//! names    per name: hash of ecosystem and name (u64), place (u32) and length (u32) of its package record; by hash
//! packages package records, each with a checksum in front
//! hot      per advisory 16 bytes: severity, score, source, class, group, place of its text, checksum
//! blocks   per block of texts: place (u64) and length (u64)
//! texts    zstd frames with checksums
//! ```
//!
//! Numbers are little-endian. Nothing is read that its checksum does not confirm, so a damaged file is an error and
//! never a missed advisory.

use crate::dependencies::version::Ecosystem;

use super::error::DatabaseError;

pub(super) const MAGIC: &[u8; 8] = b"CWADVDB\n";
pub(super) const VERSION: u32 = 2;
pub(super) const SECTIONS: usize = 7;
pub(super) const HEADER_LENGTH: usize = 16 + SECTIONS * 16 + 32 + 4;
pub(super) const NAME_LENGTH: usize = 16;
pub(super) const BUCKET_LENGTH: usize = 8;
pub(super) const HOT_LENGTH: usize = 16;
pub(super) const BLOCK_ENTRY_LENGTH: usize = 16;
/// Most bytes of one block of texts; places in it fit two bytes.
pub(super) const BLOCK_SIZE: usize = 1 << 15;
/// Names that one bucket holds on average, so that one read finds a name.
pub(super) const NAMES_PER_BUCKET: usize = 32;

/// The sections in the order of their places in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Meta,
    Buckets,
    Names,
    Packages,
    Hot,
    Blocks,
    Texts,
}

/// A section's place in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) length: u64,
}

/// The first bytes of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sections: [Place; SECTIONS],
    /// BLAKE3 of everything after the header.
    pub(super) digest: [u8; 32],
}

impl Header {
    pub(super) fn section(&self, section: Section) -> Place {
        self.sections[section as usize]
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LENGTH);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for place in self.sections {
            out.extend_from_slice(&place.start.to_le_bytes());
            out.extend_from_slice(&place.length.to_le_bytes());
        }
        out.extend_from_slice(&self.digest);
        out.extend_from_slice(&checksum(&out).to_le_bytes());
        out
    }

    /// Reads a header and checks that its sections lie inside a file of `length` bytes.
    pub(super) fn decode(bytes: &[u8], length: u64) -> Result<Self, DatabaseError> {
        if !bytes.starts_with(MAGIC) {
            return Err(DatabaseError::NotADatabase);
        }
        let mut reader = Reader::new(&bytes[MAGIC.len()..]);
        let version = reader.u32()?;
        if version != VERSION {
            return Err(DatabaseError::Version { found: version, expected: VERSION });
        }
        let covered = bytes.len().saturating_sub(4);
        let mut sum = Reader::new(bytes.get(covered..).unwrap_or_default());
        if bytes.len() != HEADER_LENGTH || sum.u32()? != checksum(&bytes[..covered]) {
            return Err(DatabaseError::corrupt("its header"));
        }
        reader.take(4)?;
        let mut sections = [Place::default(); SECTIONS];
        for place in &mut sections {
            *place = Place { start: reader.u64()?, length: reader.u64()? };
            if place.start.checked_add(place.length).is_none_or(|end| end > length) {
                return Err(DatabaseError::corrupt("the length of the file"));
            }
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(reader.take(32)?);
        Ok(Self { sections, digest })
    }
}

/// The checksum of a part.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let digest = blake3::hash(bytes);
    let [a, b, c, d, ..] = *digest.as_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// FNV-1a over ecosystem and name, mixed so that its high bits are even.
pub(super) fn hash(key: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

/// What names a package in the database: the place of its ecosystem in [`Ecosystem::ALL`], and its name. A list in
/// another order needs another [`VERSION`].
pub(super) fn key(ecosystem: Ecosystem, name: &str) -> Vec<u8> {
    let place = Ecosystem::ALL.iter().position(|known| *known == ecosystem);
    let place = place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX);
    [&[place], name.as_bytes()].concat()
}

/// Appends numbers and texts to a record.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap_or_default());
    }

    pub(super) fn count(&mut self, value: usize) {
        self.number(value as u64);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }
}

/// Reads what [`Writer`] wrote; everything is checked against the length of the record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], DatabaseError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| DatabaseError::corrupt("the length of a record"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, DatabaseError> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    pub(super) fn u16(&mut self) -> Result<u16, DatabaseError> {
        Ok(self.take(2)?.iter().rev().fold(0, |value, byte| value << 8 | u16::from(*byte)))
    }

    pub(super) fn u32(&mut self) -> Result<u32, DatabaseError> {
        Ok(self.take(4)?.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    pub(super) fn u64(&mut self) -> Result<u64, DatabaseError> {
        Ok(self.take(8)?.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    pub(super) fn number(&mut self) -> Result<u64, DatabaseError> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DatabaseError::corrupt("a number of a record"))
    }

    /// A count of parts of at least one byte each, so that a damaged one cannot ask for memory.
    pub(super) fn count(&mut self) -> Result<usize, DatabaseError> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if count > self.0.len() {
            return Err(DatabaseError::corrupt("a count of a record"));
        }
        Ok(count)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], DatabaseError> {
        let length = self.count()?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<String, DatabaseError> {
        let bytes = self.bytes()?;
        String::from_utf8(bytes.to_vec()).map_err(|_| DatabaseError::corrupt("a text of a record"))
    }
}
