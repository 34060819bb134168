//! Reads a compiled database: a header once, then one or two small reads per package.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crashwise_core::Severity;

use crate::dependencies::version::{Ecosystem, VersionKey};

use super::compile::{Meta, bucket_of};
use super::error::DatabaseError;
use super::layout::{self, Header, Place, Reader, Section};
use super::range::{Bound, Interval};
use super::record::Class;
use super::severity::{Rating, SeveritySource};

/// Most bytes of one package's record; the largest real ones have some ten thousand.
const MAX_PACKAGE_RECORD: u32 = 64 << 20;

/// An open advisory database.
#[derive(Debug)]
pub struct Database {
    file: File,
    path: PathBuf,
    header: Header,
    meta: Meta,
    /// Where the entries of each bucket start, and their checksum.
    buckets: Vec<(u32, u32)>,
    blocks: Mutex<HashMap<u16, Arc<Vec<u8>>>>,
}

/// A package to look up.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Query<'a> {
    /// Its ecosystem.
    pub ecosystem: Ecosystem,
    /// Its name, spelled in any way its ecosystem takes for the same.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The release of a distribution, `12` of `Debian:12`; empty asks all releases.
    pub release: &'a str,
}

impl<'a> Query<'a> {
    /// A package of no particular release.
    pub fn new(ecosystem: Ecosystem, name: &'a str, version: &'a str) -> Self {
        Self { ecosystem, name, version, release: "" }
    }

    /// Names the release of the distribution.
    #[must_use]
    pub fn with_release(mut self, release: &'a str) -> Self {
        self.release = release;
        self
    }
}

/// What a database says of one package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The advisories that affect the version, by number.
    pub hits: Vec<Hit>,
    /// Whether the version could not be compared although there are advisories with ranges: the hits may lack some.
    pub undecided: bool,
}

/// An advisory that affects a version.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hit {
    /// Number of the advisory in its database.
    pub advisory: u32,
    /// The first version after the affected stretch, if a fix is known.
    pub fixed: Option<String>,
}

/// An advisory as it is kept in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advisory {
    /// Its id.
    pub id: String,
    /// Other ids of the same vulnerability.
    pub aliases: Vec<String>,
    /// One line.
    pub summary: String,
    /// What kind it is.
    pub class: Class,
    /// How bad it is.
    pub rating: Rating,
    /// Number that all advisories of the same vulnerability share.
    pub group: u32,
    /// When it changed last, RFC 3339.
    pub modified: String,
    /// Numbers of the Common Weakness Enumeration.
    pub weaknesses: Vec<u32>,
    /// Pages about it.
    pub urls: Vec<String>,
}

impl Database {
    /// Opens a database and checks its header.
    ///
    /// # Errors
    /// If the file cannot be read, is something else, has another format or is damaged.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DatabaseError> {
        let path = path.into();
        let io = |source| DatabaseError::Io { doing: "read", path: path.clone(), source };
        let file = File::open(&path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let head = layout::HEADER_LENGTH.min(usize::try_from(length).unwrap_or(usize::MAX));
        let mut bytes = vec![0; head];
        read_at(&file, &mut bytes, 0).map_err(io)?;
        let header = Header::decode(&bytes, length)?;
        let meta = read_place(&file, header.section(Section::Meta)).map_err(io)?;
        let meta = serde_json::from_slice(&meta).map_err(|_| DatabaseError::corrupt("its description"))?;
        let bucket_bytes = read_place(&file, header.section(Section::Buckets)).map_err(io)?;
        let mut reader = Reader::new(&bucket_bytes);
        let count = bucket_bytes.len() / layout::BUCKET_LENGTH;
        if count < 2 || !(count - 1).is_power_of_two() {
            return Err(DatabaseError::corrupt("its table of buckets"));
        }
        let mut buckets = Vec::with_capacity(count);
        for _ in 0..count {
            buckets.push((reader.u32()?, reader.u32()?));
        }
        Ok(Self { file, path, header, meta, buckets, blocks: Mutex::default() })
    }

    /// Where its data came from.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// BLAKE3 of its content, hexadecimal.
    pub fn digest(&self) -> String {
        blake3::Hash::from_bytes(self.header.digest).to_hex().to_string()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the whole file and checks its digest.
    ///
    /// # Errors
    /// If it cannot be read or is damaged.
    pub fn verify(&self) -> Result<(), DatabaseError> {
        let mut digest = blake3::Hasher::new();
        let mut buffer = vec![0; 1 << 16];
        for place in self.header.sections {
            let mut at = place.start;
            let end = place.start + place.length;
            while at < end {
                let length = usize::try_from((end - at).min(buffer.len() as u64)).unwrap_or(buffer.len());
                read_at(&self.file, &mut buffer[..length], at).map_err(|error| self.io(error))?;
                digest.update(&buffer[..length]);
                at += length as u64;
            }
        }
        if *digest.finalize().as_bytes() == self.header.digest {
            Ok(())
        } else {
            Err(DatabaseError::corrupt("its digest"))
        }
    }

    /// The advisories that affect a version of a package.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn query(&self, query: &Query<'_>) -> Result<Answer, DatabaseError> {
        let name = query.ecosystem.normalize_name(query.name);
        let Some(record) = self.package(&layout::key(query.ecosystem, &name))? else {
            return Ok(Answer::default());
        };
        let key = query.ecosystem.order().key(query.version).ok();
        let mut reader = Reader::new(&record);
        reader.bytes()?;
        let mut answer = Answer::default();
        for _ in 0..reader.count()? {
            let advisory = u32::try_from(reader.number()?).map_err(|_| DatabaseError::corrupt("a number"))?;
            let release = reader.bytes()?;
            let asked = query.release.is_empty() || release.is_empty() || release == query.release.as_bytes();
            let affected = read_entry(&mut reader, key.as_ref(), query.version)?;
            if !asked {
                continue;
            }
            match affected {
                Affects::Yes { fixed } => match answer.hits.iter_mut().find(|hit| hit.advisory == advisory) {
                    Some(hit) if hit.fixed.is_none() => hit.fixed = fixed,
                    Some(_) => {}
                    None => answer.hits.push(Hit { advisory, fixed }),
                },
                Affects::Undecided => answer.undecided = true,
                Affects::No => {}
            }
        }
        Ok(answer)
    }

    /// The record of a package, without its checksum.
    fn package(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DatabaseError> {
        let hash = layout::hash(key);
        let bits = (self.buckets.len() - 1).trailing_zeros();
        let bucket = usize::try_from(bucket_of(hash, bits)).unwrap_or_default();
        let (Some((first, sum)), Some((next, _))) = (self.buckets.get(bucket), self.buckets.get(bucket + 1))
        else {
            return Err(DatabaseError::corrupt("its table of buckets"));
        };
        let names = self.header.section(Section::Names);
        let start = u64::from(*first) * layout::NAME_LENGTH as u64;
        let length = u64::from(next.saturating_sub(*first)) * layout::NAME_LENGTH as u64;
        let bytes = self.part(names, start, length)?;
        if layout::checksum(&bytes) != *sum {
            return Err(DatabaseError::corrupt("a bucket of names"));
        }
        let mut reader = Reader::new(&bytes);
        for _ in 0..bytes.len() / layout::NAME_LENGTH {
            let (found, place, length) = (reader.u64()?, reader.u32()?, reader.u32()?);
            if found != hash {
                continue;
            }
            if length > MAX_PACKAGE_RECORD {
                return Err(DatabaseError::corrupt("the length of a package"));
            }
            let packages = self.header.section(Section::Packages);
            let mut record = self.part(packages, u64::from(place), u64::from(length))?;
            let mut head = Reader::new(&record);
            if head.u32()? != layout::checksum(&record[4..]) {
                return Err(DatabaseError::corrupt("a package"));
            }
            if head.bytes()? == key {
                record.drain(..4);
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// An advisory by its number.
    ///
    /// # Errors
    /// If there is none of this number, or the file cannot be read or is damaged.
    pub fn advisory(&self, number: u32) -> Result<Advisory, DatabaseError> {
        let (rating, class, group, block, offset) = self.hot(number)?;
        let texts = self.block(block)?;
        let mut reader = Reader::new(texts.get(usize::from(offset)..).unwrap_or_default());
        let id = reader.text()?;
        let modified = reader.text()?;
        let summary = reader.text()?;
        let mut lists = [Vec::new(), Vec::new()];
        for list in &mut lists {
            for _ in 0..reader.count()? {
                list.push(reader.text()?);
            }
        }
        let [aliases, urls] = lists;
        let mut weaknesses = Vec::new();
        for _ in 0..reader.count()? {
            weaknesses.push(u32::try_from(reader.number()?).unwrap_or_default());
        }
        Ok(Advisory { id, aliases, summary, class, rating, group, modified, weaknesses, urls })
    }

    fn hot(&self, number: u32) -> Result<(Rating, Class, u32, u16, u16), DatabaseError> {
        let hot = self.header.section(Section::Hot);
        let start = u64::from(number) * layout::HOT_LENGTH as u64;
        let bytes = self.part(hot, start, layout::HOT_LENGTH as u64)?;
        let mut reader = Reader::new(&bytes);
        let (severity, score, source, class) =
            (reader.byte()?, reader.byte()?, reader.byte()?, reader.byte()?);
        let (group, block, offset) = (reader.u32()?, reader.u16()?, reader.u16()?);
        if reader.u32()? != layout::checksum(&bytes[..layout::HOT_LENGTH - 4]) {
            return Err(DatabaseError::corrupt("an advisory"));
        }
        let rating = Rating {
            severity: Severity::ALL.into_iter().find(|level| *level as u8 == severity),
            score: (score != u8::MAX).then_some(score),
            source: SeveritySource::ALL.get(usize::from(source)).copied().unwrap_or(SeveritySource::Unknown),
        };
        let class = Class::ALL.get(usize::from(class)).copied().unwrap_or(Class::Vulnerability);
        Ok((rating, class, group, block, offset))
    }

    /// A block of texts; the ones read stay in memory.
    fn block(&self, number: u16) -> Result<Arc<Vec<u8>>, DatabaseError> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = blocks.get(&number) {
            return Ok(Arc::clone(block));
        }
        let start = u64::from(number) * layout::BLOCK_ENTRY_LENGTH as u64;
        let entry =
            self.part(self.header.section(Section::Blocks), start, layout::BLOCK_ENTRY_LENGTH as u64)?;
        let mut reader = Reader::new(&entry);
        let (place, length) = (reader.u64()?, reader.u64()?);
        let frame = self.part(self.header.section(Section::Texts), place, length)?;
        // A text on its own may be larger than a block, but never larger than what two bytes can address.
        let text = zstd::bulk::decompress(&frame, 4 * layout::BLOCK_SIZE)
            .map_err(|_| DatabaseError::corrupt("a block of texts"))?;
        let text = Arc::new(text);
        blocks.insert(number, Arc::clone(&text));
        Ok(text)
    }

    fn part(&self, section: Place, start: u64, length: u64) -> Result<Vec<u8>, DatabaseError> {
        if start.checked_add(length).is_none_or(|end| end > section.length) {
            return Err(DatabaseError::corrupt("a place in it"));
        }
        read_place(&self.file, Place { start: section.start + start, length }).map_err(|error| self.io(error))
    }

    fn io(&self, source: std::io::Error) -> DatabaseError {
        DatabaseError::Io { doing: "read", path: self.path.clone(), source }
    }
}

/// Whether an advisory affects a version.
enum Affects {
    Yes { fixed: Option<String> },
    Undecided,
    No,
}

fn read_entry(
    reader: &mut Reader<'_>,
    key: Option<&VersionKey>,
    version: &str,
) -> Result<Affects, DatabaseError> {
    let mut found = Affects::No;
    let mut next_fix: Option<(Vec<u8>, String)> = None;
    let intervals = reader.count()?;
    for _ in 0..intervals {
        let low = reader.bytes()?.to_vec();
        let high = match reader.number()? {
            0 => Bound::Open,
            1 => Bound::Before { key: reader.bytes()?.to_vec(), version: reader.text()? },
            2 => Bound::With { key: reader.bytes()?.to_vec() },
            _ => return Err(DatabaseError::corrupt("a range")),
        };
        let interval = Interval { low, high };
        let Some(key) = key else { continue };
        if interval.contains(key.as_bytes()) {
            let fixed = match &interval.high {
                Bound::Before { version, .. } => Some(version.clone()),
                _ => None,
            };
            match &mut found {
                Affects::Yes { fixed: Some(_) } => {}
                _ => found = Affects::Yes { fixed },
            }
        }
        if let Bound::Before { key: high, version } = interval.high
            && high.as_slice() > key.as_bytes()
            && next_fix.as_ref().is_none_or(|(known, _)| high < *known)
        {
            next_fix = Some((high, version));
        }
    }
    let mut listed = false;
    for _ in 0..reader.count()? {
        let known = reader.bytes()?;
        listed |= key.is_some_and(|key| key.as_bytes() == known);
    }
    for _ in 0..reader.count()? {
        listed |= reader.bytes()? == version.as_bytes();
    }
    if listed && matches!(found, Affects::No) {
        found = Affects::Yes { fixed: next_fix.map(|(_, version)| version) };
    }
    if key.is_none() && intervals > 0 && matches!(found, Affects::No) {
        found = Affects::Undecided;
    }
    Ok(found)
}

fn read_place(file: &File, place: Place) -> std::io::Result<Vec<u8>> {
    let length = usize::try_from(place.length).map_err(std::io::Error::other)?;
    let mut bytes = vec![0; length];
    read_at(file, &mut bytes, place.start)?;
    Ok(bytes)
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}
