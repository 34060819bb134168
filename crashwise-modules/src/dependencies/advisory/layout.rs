//! The file of a compiled database: a header, and sections whose parts carry a checksum each.
//!
//! ```text
//! header     magic, version, places of the sections, digest of what follows, checksum of the header
//! meta       JSON: where the data came from
//! filter     which names may be there: checksum, then 64-bit words, see [`Filter`]
//! pages      index of `packages`, by the upper half of the hashes, see [`Frames`](super::frames::Frames)
//! packages   zstd frames of package records, by the hash of ecosystem and name, each after a byte of it
//! dictionary a zstd frame: what the frames of `texts` refer to
//! blocks     index of `texts`, by the numbers of the advisories
//! texts      zstd frames of advisories
//! ```
//!
//! Numbers are little-endian. Frames carry checksums of their own. Nothing is read that its checksum does not confirm,
//! so a damaged file is an error and never a missed advisory.

use crate::dependencies::version::Ecosystem;

use super::error::DatabaseError;

pub(super) const MAGIC: &[u8; 8] = b"CWADVDB\n";
pub(super) const VERSION: u32 = 3;
pub(super) const SECTIONS: usize = 7;
pub(super) const HEADER_LENGTH: usize = 16 + SECTIONS * 16 + 32 + 4;
/// Bytes of package records that make a page.
pub(super) const PAGE_SIZE: usize = 1 << 13;
/// Bytes of advisories that make a block.
pub(super) const BLOCK_SIZE: usize = 1 << 13;
/// Most bytes of the dictionary.
pub(super) const DICTIONARY_SIZE: usize = 1 << 15;

/// The sections in the order of their places in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Section {
    Meta,
    Filter,
    Pages,
    Packages,
    Dictionary,
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
    crc32fast::hash(bytes)
}

/// FNV-1a over the number of the ecosystem and the name, mixed so that its high bits are even.
pub(super) fn hash(ecosystem: Ecosystem, name: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in [number_of(ecosystem)].into_iter().chain(name.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

/// The upper half of a hash, by which pages are found.
pub(super) fn upper(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or_default()
}

/// One byte of a hash, in front of the record, so that most others on its page are passed over by their length.
pub(super) fn tag(hash: u64) -> u8 {
    hash.to_le_bytes()[0]
}

/// The place of an ecosystem in [`Ecosystem::ALL`]. A list in another order needs another [`VERSION`].
pub(super) fn number_of(ecosystem: Ecosystem) -> u8 {
    ecosystem as u8
}

/// A Bloom filter of hashes whose bits for one hash lie in one word: most packages have no advisory, and this is all
/// that is looked at for them.
#[derive(Debug, Default)]
pub(super) struct Filter(Vec<u64>);

impl Filter {
    /// The filter of some hashes, two bytes for each.
    pub(super) fn of(hashes: &[u64]) -> Self {
        let mut filter = Self(vec![0; hashes.len().div_ceil(4).max(1)]);
        for hash in hashes {
            let word = filter.word(*hash);
            filter.0[word] |= Self::bits(*hash);
        }
        filter
    }

    /// Whether a hash may be one of those; `false` is certain.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        let bits = Self::bits(hash);
        self.0.get(self.word(hash)).is_none_or(|word| word & bits == bits)
    }

    fn word(&self, hash: u64) -> usize {
        usize::try_from((u128::from(hash) * self.0.len() as u128) >> 64).unwrap_or_default()
    }

    fn bits(hash: u64) -> u64 {
        (0..5).fold(0, |bits, part| bits | 1 << (hash >> (6 * part) & 63))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let words: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        [&checksum(&words).to_le_bytes(), words.as_slice()].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DatabaseError> {
        let words = checked(bytes, "its filter of names")?;
        let (words, rest) = words.as_chunks::<8>();
        if words.is_empty() || !rest.is_empty() {
            return Err(DatabaseError::corrupt("its filter of names"));
        }
        Ok(Self(words.iter().map(|word| u64::from_le_bytes(*word)).collect()))
    }
}

/// What follows a checksum that confirms it.
pub(super) fn checked<'a>(bytes: &'a [u8], part: &'static str) -> Result<&'a [u8], DatabaseError> {
    match bytes.split_first_chunk::<4>() {
        Some((sum, rest)) if u32::from_le_bytes(*sum) == checksum(rest) => Ok(rest),
        _ => Err(DatabaseError::corrupt(part)),
    }
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

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], DatabaseError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| DatabaseError::corrupt("the length of a record"))?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, DatabaseError> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    pub(super) fn u32(&mut self) -> Result<u32, DatabaseError> {
        Ok(self.take(4)?.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    pub(super) fn u64(&mut self) -> Result<u64, DatabaseError> {
        Ok(self.take(8)?.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    #[inline]
    pub(super) fn number(&mut self) -> Result<u64, DatabaseError> {
        // Nearly all numbers are small.
        match self.0 {
            [byte @ 0..0x80, rest @ ..] => {
                self.0 = rest;
                return Ok(u64::from(*byte));
            }
            [low, high @ 0..0x80, rest @ ..] => {
                self.0 = rest;
                return Ok(u64::from(low & 0x7f) | u64::from(*high) << 7);
            }
            _ => {}
        }
        self.long_number()
    }

    fn long_number(&mut self) -> Result<u64, DatabaseError> {
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
    #[inline]
    pub(super) fn count(&mut self) -> Result<usize, DatabaseError> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if count > self.0.len() {
            return Err(DatabaseError::corrupt("a count of a record"));
        }
        Ok(count)
    }

    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], DatabaseError> {
        let length = self.count()?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<String, DatabaseError> {
        let bytes = self.bytes()?;
        String::from_utf8(bytes.to_vec()).map_err(|_| DatabaseError::corrupt("a text of a record"))
    }
}
