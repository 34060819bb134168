//! Turns advisories into a database file.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::dependencies::version::Ecosystem;

use super::error::DatabaseError;
use super::layout::{self, Header, Place, SECTIONS, Section, Writer};
use super::range::{Bound, Versions, versions};
use super::record::{Class, Record, weaknesses};
use super::severity::{Rating, SeveritySource};
use super::source::{self, SourceFile};

/// Most pages that are kept of one advisory.
const MAX_URLS: usize = 3;
const MAX_SUMMARY: usize = 200;
const MAX_ALIASES: usize = 32;

/// Collects advisories and compiles them into one file.
///
/// A record that cannot be read is a warning and never stops the others.
#[derive(Debug, Default)]
pub struct DatabaseBuilder {
    advisories: Vec<Advisory>,
    by_id: HashMap<String, usize>,
    meta: Meta,
    warnings: Vec<String>,
}

/// Where the data of a database came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Meta {
    /// The sources in the order in which they were added.
    pub sources: Vec<SourceInfo>,
    /// Per ecosystem, how many advisories and the newest change among them.
    pub ecosystems: BTreeMap<String, EcosystemInfo>,
    /// Licences that records state, with how many do.
    pub licenses: BTreeMap<String, u64>,
    /// Advisories.
    pub advisories: u64,
    /// Records that were withdrawn by their source and left out.
    pub withdrawn: u64,
    /// Records, or parts of them, that could not be read.
    pub malformed: u64,
    /// Packages of ecosystems that are not known here.
    pub unknown_ecosystems: BTreeMap<String, u64>,
}

impl Meta {
    /// The newest change of any advisory, RFC 3339; empty if no record says.
    pub fn newest(&self) -> &str {
        self.ecosystems.values().map(|info| info.newest.as_str()).max().unwrap_or_default()
    }
}

/// One source of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SourceInfo {
    /// The name of the file or folder, without the folders above it.
    pub name: String,
    /// BLAKE3 over the records in it, hexadecimal.
    pub digest: String,
    /// Records in it.
    pub records: u64,
    /// Bytes of the records in it.
    pub bytes: u64,
}

/// What a database holds of one ecosystem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EcosystemInfo {
    /// Advisories.
    pub advisories: u64,
    /// The newest change of one of them, RFC 3339.
    pub newest: String,
}

#[derive(Debug)]
struct Advisory {
    id: String,
    modified: String,
    class: Class,
    rating: Rating,
    aliases: Vec<String>,
    summary: String,
    weaknesses: Vec<u32>,
    urls: Vec<String>,
    packages: Vec<AffectedPackage>,
}

#[derive(Debug)]
struct AffectedPackage {
    ecosystem: Ecosystem,
    /// The release of a distribution, `12` of `Debian:12`.
    release: String,
    name: String,
    versions: Versions,
}

impl DatabaseBuilder {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder, a `.zip` or a single file of advisories: OSV as JSON or YAML, RustSec as Markdown.
    ///
    /// # Errors
    /// If the source as a whole cannot be read. Single records that cannot are warnings.
    pub fn add(&mut self, path: &Path) -> Result<&mut Self, DatabaseError> {
        let mut info = SourceInfo {
            name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            ..SourceInfo::default()
        };
        let mut digest = blake3::Hasher::new();
        source::visit(path, &mut |file| match file {
            Ok(SourceFile { name, text }) => {
                info.records += 1;
                info.bytes += text.len() as u64;
                digest.update(blake3::hash(text.as_bytes()).as_bytes());
                match source::parse(&name, &text) {
                    Ok(records) => records.into_iter().for_each(|record| self.add_record(&name, record)),
                    Err(message) => self.warn(&name, &message),
                }
            }
            Err((name, message)) => self.warn(&name, &message),
        })?;
        info.digest = digest.finalize().to_hex().to_string();
        self.meta.sources.push(info);
        Ok(self)
    }

    /// What could not be read, each with the file it is about.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn warn(&mut self, name: &str, message: &str) {
        self.meta.malformed += 1;
        self.warnings.push(format!("{name}: {message}"));
    }

    fn add_record(&mut self, file: &str, record: Record) {
        if record.id.is_empty() {
            self.warn(file, "the record has no id");
            return;
        }
        if !record.withdrawn.is_empty() {
            self.meta.withdrawn += 1;
            return;
        }
        let mut packages = Vec::new();
        for affected in &record.affected {
            let full = affected.package.ecosystem.as_str();
            if full.is_empty() || affected.package.name.is_empty() {
                continue;
            }
            let Ok(ecosystem) = full.parse::<Ecosystem>() else {
                *self.meta.unknown_ecosystems.entry(full.to_owned()).or_default() += 1;
                continue;
            };
            let release = full.split_once(':').map(|(_, release)| release).unwrap_or_default();
            let versions = versions(affected, ecosystem.order(), &mut |message| self.warn(file, &message));
            packages.push(AffectedPackage {
                ecosystem,
                release: release.to_owned(),
                name: ecosystem.normalize_name(&affected.package.name).into_owned(),
                versions,
            });
        }
        if let Some(license) = record.database_specific.get("license").and_then(serde_json::Value::as_str) {
            *self.meta.licenses.entry(license.to_owned()).or_default() += 1;
        }
        let class = Class::of(&record);
        let mut summary = record.summary.clone();
        if summary.is_empty() {
            let first = record.details.lines().find(|line| !line.trim().is_empty());
            first.unwrap_or_default().clone_into(&mut summary);
        }
        truncate(&mut summary, MAX_SUMMARY);
        let mut urls: Vec<String> = Vec::new();
        for kind in ["ADVISORY", "FIX", "REPORT", "WEB"] {
            let named = record.references.iter().filter(|reference| reference.kind == kind);
            urls.extend(named.map(|reference| reference.url.clone()).filter(|url| url.len() <= 300));
        }
        urls.truncate(MAX_URLS);
        let weaknesses = weaknesses(&record);
        let rating = Rating::of_record(&record, class);
        let modified = record.changed().to_owned();
        let mut aliases = record.aliases;
        aliases.truncate(MAX_ALIASES);
        let advisory =
            Advisory { id: record.id, modified, class, rating, aliases, summary, weaknesses, urls, packages };
        match self.by_id.get(&advisory.id) {
            Some(place) if self.advisories[*place].modified >= advisory.modified => {}
            Some(place) => self.advisories[*place] = advisory,
            None => {
                self.by_id.insert(advisory.id.clone(), self.advisories.len());
                self.advisories.push(advisory);
            }
        }
    }

    /// Compiles and writes the file; it is there wholly or not at all.
    ///
    /// # Errors
    /// If there is no advisory, or the file cannot be written.
    pub fn write(mut self, path: &Path) -> Result<Meta, DatabaseError> {
        let bytes = self.compile()?;
        let io = |source| DatabaseError::Io { doing: "written", path: path.to_owned(), source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(io)?;
        file.write_all(&bytes).map_err(io)?;
        file.as_file().sync_all().map_err(io)?;
        readable_by_all(file.as_file()).map_err(io)?;
        file.persist(path).map_err(|error| io(error.error))?;
        Ok(self.meta)
    }

    /// The bytes of the file; the same advisories give the same bytes.
    fn compile(&mut self) -> Result<Vec<u8>, DatabaseError> {
        if self.advisories.is_empty() {
            return Err(DatabaseError::Empty);
        }
        self.advisories.sort_by(|a, b| a.id.cmp(&b.id));
        let groups = groups(&self.advisories);
        self.rate(&groups);
        self.count();
        let [hot, blocks, texts] = write_advisories(&self.advisories, &groups)?;
        let [buckets, names, packages] = write_packages(&self.advisories)?;
        let meta = serde_json::to_vec(&self.meta).unwrap_or_default();
        let sections = [meta, buckets, names, packages, hot, blocks, texts];
        debug_assert_eq!(Section::Texts as usize + 1, sections.len());
        let mut places = [Place::default(); SECTIONS];
        let mut start = layout::HEADER_LENGTH as u64;
        let mut digest = blake3::Hasher::new();
        for (place, section) in places.iter_mut().zip(&sections) {
            *place = Place { start, length: section.len() as u64 };
            start += place.length;
            digest.update(section);
        }
        let header = Header { sections: places, digest: *digest.finalize().as_bytes() };
        Ok([header.encode(), sections.concat()].concat())
    }

    /// Gives advisories without a rating of their own that of an alias, or of their class.
    fn rate(&mut self, groups: &[u32]) {
        let mut worst: HashMap<u32, Rating> = HashMap::new();
        for (advisory, group) in self.advisories.iter().zip(groups) {
            let known = worst.entry(*group).or_insert(Rating::UNKNOWN);
            *known = known.worse(advisory.rating);
        }
        for (advisory, group) in self.advisories.iter_mut().zip(groups) {
            if advisory.rating.severity.is_some() {
                continue;
            }
            advisory.rating = match worst.get(group) {
                Some(rating) if rating.severity.is_some() => {
                    Rating { source: SeveritySource::Alias, ..*rating }
                }
                _ => Rating::of_class(advisory.class),
            };
        }
    }

    fn count(&mut self) {
        self.meta.advisories = self.advisories.len() as u64;
        for advisory in &self.advisories {
            let mut seen = Vec::new();
            for package in &advisory.packages {
                if seen.contains(&package.ecosystem) {
                    continue;
                }
                seen.push(package.ecosystem);
                let info = self.meta.ecosystems.entry(package.ecosystem.name().to_owned()).or_default();
                info.advisories += 1;
                if advisory.modified > info.newest {
                    info.newest.clone_from(&advisory.modified);
                }
            }
        }
    }
}

#[cfg(unix)]
fn readable_by_all(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

fn truncate(text: &mut String, length: usize) {
    if text.len() > length {
        let end = (0..=length).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
    }
}

/// The group of each advisory: advisories that share an id or an alias are one vulnerability.
fn groups(advisories: &[Advisory]) -> Vec<u32> {
    fn root(parents: &mut [usize], mut node: usize) -> usize {
        while parents[node] != node {
            parents[node] = parents[parents[node]];
            node = parents[node];
        }
        node
    }
    let mut nodes: HashMap<&str, usize> = HashMap::new();
    let mut parents: Vec<usize> = (0..advisories.len()).collect();
    for (index, advisory) in advisories.iter().enumerate() {
        for name in [&advisory.id].into_iter().chain(&advisory.aliases) {
            let other = *nodes.entry(name).or_insert(index);
            let (a, b) = (root(&mut parents, index), root(&mut parents, other));
            parents[a.max(b)] = a.min(b);
        }
    }
    (0..advisories.len()).map(|index| u32::try_from(root(&mut parents, index)).unwrap_or(u32::MAX)).collect()
}

/// The sections `hot`, `blocks` and `texts`.
fn write_advisories(advisories: &[Advisory], groups: &[u32]) -> Result<[Vec<u8>; 3], DatabaseError> {
    let mut hot = Vec::with_capacity(advisories.len() * layout::HOT_LENGTH);
    let mut texts = Texts::default();
    for (advisory, group) in advisories.iter().zip(groups) {
        let (block, offset) = texts.add(&text_of(advisory))?;
        let rating = advisory.rating;
        let start = hot.len();
        hot.push(rating.severity.map_or(u8::MAX, |severity| severity as u8));
        hot.push(rating.score.unwrap_or(u8::MAX));
        hot.push(rating.source as u8);
        hot.push(advisory.class as u8);
        hot.extend_from_slice(&group.to_le_bytes());
        hot.extend_from_slice(&block.to_le_bytes());
        hot.extend_from_slice(&offset.to_le_bytes());
        let sum = layout::checksum(&hot[start..]);
        hot.extend_from_slice(&sum.to_le_bytes());
    }
    let (blocks, texts) = texts.finish();
    Ok([hot, blocks, texts])
}

fn text_of(advisory: &Advisory) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.bytes(advisory.id.as_bytes());
    writer.bytes(advisory.modified.as_bytes());
    writer.bytes(advisory.summary.as_bytes());
    for texts in [&advisory.aliases, &advisory.urls] {
        writer.count(texts.len());
        for text in texts {
            writer.bytes(text.as_bytes());
        }
    }
    writer.count(advisory.weaknesses.len());
    advisory.weaknesses.iter().for_each(|number| writer.number(u64::from(*number)));
    writer.0
}

/// Blocks of texts while they fill.
#[derive(Default)]
struct Texts {
    current: Vec<u8>,
    blocks: Vec<u8>,
    frames: Vec<u8>,
    count: u16,
}

impl Texts {
    fn add(&mut self, text: &[u8]) -> Result<(u16, u16), DatabaseError> {
        if !self.current.is_empty() && self.current.len() + text.len() > layout::BLOCK_SIZE {
            self.flush();
            self.count = self.count.checked_add(1).ok_or(DatabaseError::TooLarge)?;
        }
        let offset = u16::try_from(self.current.len()).map_err(|_| DatabaseError::TooLarge)?;
        self.current.extend_from_slice(text);
        Ok((self.count, offset))
    }

    fn flush(&mut self) {
        let frame = compress(&self.current);
        self.blocks.extend_from_slice(&(self.frames.len() as u64).to_le_bytes());
        self.blocks.extend_from_slice(&(frame.len() as u64).to_le_bytes());
        self.frames.extend_from_slice(&frame);
        self.current.clear();
    }

    fn finish(mut self) -> (Vec<u8>, Vec<u8>) {
        self.flush();
        (self.blocks, self.frames)
    }
}

/// A zstd frame with a checksum. Writing to memory does not fail; if it did, the reader would say so.
fn compress(bytes: &[u8]) -> Vec<u8> {
    let compressed = || -> std::io::Result<Vec<u8>> {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 19)?;
        encoder.include_checksum(true)?;
        encoder.write_all(bytes)?;
        encoder.finish()
    };
    compressed().unwrap_or_default()
}

/// The sections `buckets`, `names` and `packages`.
fn write_packages(advisories: &[Advisory]) -> Result<[Vec<u8>; 3], DatabaseError> {
    let mut by_name: BTreeMap<(Ecosystem, &str), Vec<(usize, &AffectedPackage)>> = BTreeMap::new();
    for (index, advisory) in advisories.iter().enumerate() {
        for package in &advisory.packages {
            by_name.entry((package.ecosystem, &package.name)).or_default().push((index, package));
        }
    }
    let mut packages = Vec::new();
    let mut names = Vec::with_capacity(by_name.len());
    for ((ecosystem, name), entries) in by_name {
        let key = layout::key(ecosystem, name);
        let record = package_record(&key, &entries);
        let place = u32::try_from(packages.len()).map_err(|_| DatabaseError::TooLarge)?;
        packages.extend_from_slice(&layout::checksum(&record).to_le_bytes());
        packages.extend_from_slice(&record);
        let length = u32::try_from(record.len() + 4).map_err(|_| DatabaseError::TooLarge)?;
        names.push((layout::hash(&key), place, length));
    }
    names.sort_unstable();
    let buckets = (names.len() / layout::NAMES_PER_BUCKET).next_power_of_two();
    let bits = buckets.trailing_zeros();
    let mut bucket_bytes = Vec::with_capacity((buckets + 1) * layout::BUCKET_LENGTH);
    let mut name_bytes = Vec::with_capacity(names.len() * layout::NAME_LENGTH);
    let mut next = 0;
    for bucket in 0..=buckets {
        let start = name_bytes.len();
        let first = next;
        while let Some((hash, place, length)) = names.get(next)
            && bucket_of(*hash, bits) == bucket as u64
        {
            name_bytes.extend_from_slice(&hash.to_le_bytes());
            name_bytes.extend_from_slice(&place.to_le_bytes());
            name_bytes.extend_from_slice(&length.to_le_bytes());
            next += 1;
        }
        let first = u32::try_from(first).map_err(|_| DatabaseError::TooLarge)?;
        bucket_bytes.extend_from_slice(&first.to_le_bytes());
        bucket_bytes.extend_from_slice(&layout::checksum(&name_bytes[start..]).to_le_bytes());
    }
    Ok([bucket_bytes, name_bytes, packages])
}

/// The bucket of a hash among `1 << bits` of them.
pub(super) fn bucket_of(hash: u64, bits: u32) -> u64 {
    if bits == 0 { 0 } else { hash >> (64 - bits) }
}

fn package_record(key: &[u8], entries: &[(usize, &AffectedPackage)]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.bytes(key);
    writer.count(entries.len());
    for (advisory, package) in entries {
        writer.count(*advisory);
        writer.bytes(package.release.as_bytes());
        writer.count(package.versions.intervals.len());
        for interval in &package.versions.intervals {
            writer.bytes(&interval.low);
            match &interval.high {
                Bound::Open => writer.number(0),
                Bound::Before { key, version } => {
                    writer.number(1);
                    writer.bytes(key);
                    writer.bytes(version.as_bytes());
                }
                Bound::With { key } => {
                    writer.number(2);
                    writer.bytes(key);
                }
            }
        }
        writer.count(package.versions.keys.len());
        package.versions.keys.iter().for_each(|key| writer.bytes(key));
        writer.count(package.versions.raw.len());
        package.versions.raw.iter().for_each(|text| writer.bytes(text.as_bytes()));
    }
    writer.0
}
