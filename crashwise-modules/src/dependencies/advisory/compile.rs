//! Turns advisories into a database file.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::dependencies::version::Ecosystem;

use super::error::DatabaseError;
use super::layout::{self, Header, Place, SECTIONS, Section};
use super::range::{Versions, versions};
use super::record::{Class, Record, weaknesses};
use super::sections;
use super::severity::{Rating, SeveritySource};
use super::source::{self, SourceFile};

/// Most pages that are kept of one advisory.
const MAX_URLS: usize = 2;
const MAX_SUMMARY: usize = 160;
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
pub(super) struct Advisory {
    pub(super) id: String,
    pub(super) modified: String,
    pub(super) class: Class,
    pub(super) rating: Rating,
    pub(super) aliases: Vec<String>,
    pub(super) summary: String,
    pub(super) weaknesses: Vec<u32>,
    pub(super) urls: Vec<String>,
    pub(super) packages: Vec<AffectedPackage>,
}

#[derive(Debug)]
pub(super) struct AffectedPackage {
    pub(super) ecosystem: Ecosystem,
    /// The release of a distribution, `12` of `Debian:12`.
    pub(super) release: String,
    pub(super) name: String,
    pub(super) versions: Versions,
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
        let [dictionary, blocks, texts] = sections::advisories(&self.advisories, &groups)?;
        let [filter, pages, packages] = sections::packages(&self.advisories)?;
        let meta = serde_json::to_vec(&self.meta).unwrap_or_default();
        let sections = [meta, filter, pages, packages, dictionary, blocks, texts];
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
