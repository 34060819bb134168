//! Reads a compiled database: a header and what finds packages once, then the pages of packages that have advisories.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crashwise_core::Severity;
use zstd::bulk::Decompressor as Unpacker;

use crate::dependencies::version::{Ecosystem, VersionKey};

use super::compile::Meta;
use super::error::DatabaseError;
use super::frames::{Frame, Frames};
use super::layout::{self, Filter, Header, Place, Reader, Section};
use super::record::Class;
use super::severity::{Rating, SeveritySource};

/// Unpacked frames are forgotten when they have more bytes than this.
const MAX_KEPT: usize = 4 << 20;

/// An open advisory database.
#[derive(Debug)]
pub struct Database {
    file: File,
    path: PathBuf,
    header: Header,
    meta: Meta,
    /// What the first query reads, and what later ones have unpacked.
    state: Mutex<Option<State>>,
}

struct State {
    filter: Filter,
    pages: Frames,
    blocks: Frames,
    unpacker: Unpacker<'static>,
    /// Made when the first text is read.
    text_unpacker: Option<Unpacker<'static>>,
    kept: HashMap<(Section, u32), Arc<Vec<u8>>>,
    kept_bytes: usize,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("kept_bytes", &self.kept_bytes).finish_non_exhaustive()
    }
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
        Ok(Self { file, path, header, meta, state: Mutex::default() })
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
        let Some(page) = self.page(query.ecosystem, &name)? else {
            return Ok(Answer::default());
        };
        let Some(mut reader) = record_of(&page, query.ecosystem, &name)? else {
            return Ok(Answer::default());
        };
        let key = query.ecosystem.order().key(query.version).ok();
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

    /// Whether there may be advisories about a package, its name being normalized; `false` is certain.
    pub(in crate::dependencies) fn may_know(
        &self,
        ecosystem: Ecosystem,
        name: &str,
    ) -> Result<bool, DatabaseError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.loaded(&mut state)?.filter.may_hold(layout::hash(ecosystem, name)))
    }

    /// The page that holds the record of a package if there is one.
    fn page(&self, ecosystem: Ecosystem, name: &str) -> Result<Option<Arc<Vec<u8>>>, DatabaseError> {
        let hash = layout::hash(ecosystem, name);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.loaded(&mut state)?;
        if !state.filter.may_hold(hash) {
            return Ok(None);
        }
        let Some(frame) = state.pages.find(layout::upper(hash)) else { return Ok(None) };
        self.unpack(state, Section::Packages, frame).map(Some)
    }

    /// An advisory by its number.
    ///
    /// # Errors
    /// If there is none of this number, or the file cannot be read or is damaged.
    pub fn advisory(&self, number: u32) -> Result<Advisory, DatabaseError> {
        self.read_advisory(number, |mut reader| {
            let (severity, score, source, class) =
                (reader.byte()?, reader.byte()?, reader.byte()?, class(reader.byte()?));
            let rating = Rating {
                severity: Severity::ALL.into_iter().find(|level| *level as u8 == severity),
                score: (score != u8::MAX).then_some(score),
                source: SeveritySource::ALL
                    .get(usize::from(source))
                    .copied()
                    .unwrap_or(SeveritySource::Unknown),
            };
            let group = number.saturating_sub(u32::try_from(reader.number()?).unwrap_or_default());
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
        })
    }

    /// The class of an advisory.
    pub(in crate::dependencies) fn class(&self, number: u32) -> Result<Class, DatabaseError> {
        self.read_advisory(number, |mut reader| {
            reader.take(3)?;
            Ok(class(reader.byte()?))
        })
    }

    fn read_advisory<T>(
        &self,
        number: u32,
        read: impl FnOnce(Reader<'_>) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        let (first, block) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let state = self.loaded(&mut state)?;
            let frame = state.blocks.find(number).ok_or_else(|| DatabaseError::corrupt("its blocks"))?;
            (frame.first, self.unpack(state, Section::Texts, frame)?)
        };
        let mut reader = Reader::new(&block);
        for _ in first..number {
            reader.bytes()?;
        }
        read(Reader::new(reader.bytes()?))
    }

    /// What every query needs; read by the first one.
    fn loaded<'s>(&self, state: &'s mut Option<State>) -> Result<&'s mut State, DatabaseError> {
        let loaded = if let Some(loaded) = state.take() {
            loaded
        } else {
            let length = |section| self.header.section(section).length;
            State {
                filter: Filter::decode(&self.section(Section::Filter)?)?,
                pages: Frames::decode(&self.section(Section::Pages)?, length(Section::Packages))?,
                blocks: Frames::decode(&self.section(Section::Blocks)?, length(Section::Texts))?,
                unpacker: Unpacker::new().map_err(|error| self.io(error))?,
                text_unpacker: None,
                kept: HashMap::new(),
                kept_bytes: 0,
            }
        };
        Ok(state.insert(loaded))
    }

    /// A frame of a section, unpacked.
    fn unpack(
        &self,
        state: &mut State,
        section: Section,
        frame: Frame,
    ) -> Result<Arc<Vec<u8>>, DatabaseError> {
        let key = (section, frame.first);
        if let Some(known) = state.kept.get(&key) {
            return Ok(Arc::clone(known));
        }
        let packed = self.part(self.header.section(section), frame.place)?;
        let unpacker = match (section, &mut state.text_unpacker) {
            (Section::Texts, Some(unpacker)) => unpacker,
            (Section::Texts, none) => none.insert(self.text_unpacker(&mut state.unpacker)?),
            _ => &mut state.unpacker,
        };
        let bytes = unpacker
            .decompress(&packed, frame.length)
            .ok()
            .filter(|bytes| bytes.len() == frame.length)
            .ok_or_else(|| DatabaseError::corrupt("a frame"))?;
        let bytes = Arc::new(bytes);
        if state.kept_bytes + bytes.len() > MAX_KEPT {
            state.kept.clear();
            state.kept_bytes = 0;
        }
        state.kept_bytes += bytes.len();
        state.kept.insert(key, Arc::clone(&bytes));
        Ok(bytes)
    }

    fn text_unpacker(&self, unpacker: &mut Unpacker<'_>) -> Result<Unpacker<'static>, DatabaseError> {
        let packed = self.section(Section::Dictionary)?;
        let dictionary = unpacker
            .decompress(&packed, layout::DICTIONARY_SIZE)
            .map_err(|_| DatabaseError::corrupt("its dictionary"))?;
        Unpacker::with_dictionary(&dictionary).map_err(|error| self.io(error))
    }

    fn section(&self, section: Section) -> Result<Vec<u8>, DatabaseError> {
        read_place(&self.file, self.header.section(section)).map_err(|error| self.io(error))
    }

    fn part(&self, section: Place, part: Place) -> Result<Vec<u8>, DatabaseError> {
        if part.start.checked_add(part.length).is_none_or(|end| end > section.length) {
            return Err(DatabaseError::corrupt("a place in it"));
        }
        let place = Place { start: section.start + part.start, length: part.length };
        read_place(&self.file, place).map_err(|error| self.io(error))
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

fn class(number: u8) -> Class {
    Class::ALL.get(usize::from(number)).copied().unwrap_or(Class::Vulnerability)
}

/// The record of a package on its page, without its name.
fn record_of<'p>(
    page: &'p [u8],
    ecosystem: Ecosystem,
    name: &str,
) -> Result<Option<Reader<'p>>, DatabaseError> {
    let tag = layout::tag(layout::hash(ecosystem, name));
    let mut records = Reader::new(page);
    while !records.is_empty() {
        if records.byte()? != tag {
            records.bytes()?;
            continue;
        }
        let mut record = Reader::new(records.bytes()?);
        if record.byte()? == layout::number_of(ecosystem) && record.bytes()? == name.as_bytes() {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

fn read_entry(
    reader: &mut Reader<'_>,
    key: Option<&VersionKey>,
    version: &str,
) -> Result<Affects, DatabaseError> {
    let key = key.map(VersionKey::as_bytes);
    // Whether an interval holds the version, the fix that ends the first such interval, and the next fix of any.
    let mut inside = false;
    let mut fixed: Option<&[u8]> = None;
    let mut next_fix: Option<(&[u8], &[u8])> = None;
    let intervals = reader.count()?;
    for _ in 0..intervals {
        let low = reader.bytes()?;
        let (high, fix) = match reader.number()? {
            0 => (High::Open, None),
            1 => {
                let high = reader.bytes()?;
                (High::Before(high), Some((high, reader.bytes()?)))
            }
            2 => (High::With(reader.bytes()?), None),
            _ => return Err(DatabaseError::corrupt("a range")),
        };
        let Some(key) = key else { continue };
        let ends_later = match high {
            High::Open => true,
            High::Before(high) => key < high,
            High::With(high) => key <= high,
        };
        if ends_later && key >= low {
            inside = true;
            fixed = fixed.or(fix.map(|(_, version)| version));
        }
        if let Some((high, version)) = fix
            && high > key
            && next_fix.is_none_or(|(known, _)| high < known)
        {
            next_fix = Some((high, version));
        }
    }
    let mut listed = false;
    for _ in 0..reader.count()? {
        let known = reader.bytes()?;
        listed |= key.is_some_and(|key| key == known);
    }
    for _ in 0..reader.count()? {
        listed |= reader.bytes()? == version.as_bytes();
    }
    let fix = if inside { fixed } else { next_fix.map(|(_, version)| version) };
    Ok(match (inside || listed, key) {
        (true, _) => {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
            let fixed = fix.map(text).transpose().map_err(|_| DatabaseError::corrupt("a version"))?;
            Affects::Yes { fixed }
        }
        (false, None) if intervals > 0 => Affects::Undecided,
        (false, _) => Affects::No,
    })
}

/// Where an interval of a record ends, as bytes of keys.
#[derive(Clone, Copy)]
enum High<'a> {
    Open,
    Before(&'a [u8]),
    With(&'a [u8]),
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
