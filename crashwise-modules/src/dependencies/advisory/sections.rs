//! Writes the sections of a database file.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::thread;

use crate::dependencies::version::Ecosystem;

use super::compile::{Advisory, AffectedPackage};
use super::error::DatabaseError;
use super::frames::FrameWriter;
use super::layout::{self, Filter, Writer};
use super::range::Bound;

/// Texts up to this size are packed as small as can be; more would take minutes for the last percent.
const PACKED_WELL: usize = 8 << 20;
const SMALLEST: i32 = 19;
const SMALL: i32 = 12;

/// The sections `dictionary`, `blocks` and `texts`.
pub(super) fn advisories(advisories: &[Advisory], groups: &[u32]) -> Result<[Vec<u8>; 3], DatabaseError> {
    let mut texts: Vec<Vec<u8>> = Vec::with_capacity(advisories.len());
    for (number, (advisory, group)) in advisories.iter().zip(groups).enumerate() {
        let own = u32::try_from(number).map_err(|_| DatabaseError::TooLarge)?;
        texts.push(text_of(advisory, own.saturating_sub(*group)));
    }
    let dictionary = dictionary(&texts);
    let level = level_for(texts.iter().map(Vec::len).sum());
    let mut writer = FrameWriter::new(layout::BLOCK_SIZE);
    for (number, text) in texts.iter().enumerate() {
        let number = u32::try_from(number).map_err(|_| DatabaseError::TooLarge)?;
        let mut record = Writer::default();
        record.bytes(text);
        writer.add(number, &record.0);
    }
    let packed = pack(&dictionary, level, &[]);
    let (blocks, texts) = writer.finish(|raw| pack_all(raw, level, &dictionary))?;
    Ok([packed, blocks, texts])
}

fn text_of(advisory: &Advisory, back_to_group: u32) -> Vec<u8> {
    let rating = advisory.rating;
    let mut writer = Writer::default();
    writer.0.push(rating.severity.map_or(u8::MAX, |severity| severity as u8));
    writer.0.push(rating.score.unwrap_or(u8::MAX));
    writer.0.push(rating.source as u8);
    writer.0.push(advisory.class as u8);
    writer.number(u64::from(back_to_group));
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

/// Advisories from all over the file, at most an eighth of it: blocks are small, so that little is unpacked for one
/// advisory, and find here what they would find in each other.
fn dictionary(texts: &[Vec<u8>]) -> Vec<u8> {
    let whole: usize = texts.iter().map(Vec::len).sum();
    let size = layout::DICTIONARY_SIZE.min(whole / 8);
    let step = (whole / size.max(1)).max(1);
    let mut out: Vec<u8> = Vec::with_capacity(size);
    for text in texts.iter().step_by(step) {
        if out.len() + text.len() > size {
            break;
        }
        out.extend_from_slice(text);
    }
    out
}

/// The number of an advisory, and what it says of a package.
type Affected<'a> = (usize, &'a AffectedPackage);

/// The sections `filter`, `pages` and `packages`.
pub(super) fn packages(advisories: &[Advisory]) -> Result<[Vec<u8>; 3], DatabaseError> {
    let mut by_name: BTreeMap<(u64, Ecosystem, &str), Vec<Affected<'_>>> = BTreeMap::new();
    for (index, advisory) in advisories.iter().enumerate() {
        for package in &advisory.packages {
            let hash = layout::hash(package.ecosystem, &package.name);
            by_name.entry((hash, package.ecosystem, &package.name)).or_default().push((index, package));
        }
    }
    let mut hashes: Vec<u64> = by_name.keys().map(|(hash, ..)| *hash).collect();
    hashes.dedup();
    let filter = Filter::of(&hashes).encode();
    let mut writer = FrameWriter::new(layout::PAGE_SIZE);
    let mut whole = 0;
    for ((hash, ecosystem, name), entries) in by_name {
        let mut record = Writer::default();
        record.0.push(layout::tag(hash));
        record.bytes(&package_record(ecosystem, name, &entries));
        whole += record.0.len();
        writer.add(layout::upper(hash), &record.0);
    }
    let level = level_for(whole);
    let (pages, packages) = writer.finish(|raw| pack_all(raw, level, &[]))?;
    Ok([filter, pages, packages])
}

fn package_record(ecosystem: Ecosystem, name: &str, entries: &[Affected<'_>]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.0.push(layout::number_of(ecosystem));
    writer.bytes(name.as_bytes());
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

fn level_for(bytes: usize) -> i32 {
    if bytes > PACKED_WELL { SMALL } else { SMALLEST }
}

/// Packs every frame, on all cores; the result does not depend on how many there are.
fn pack_all(raw: &[Vec<u8>], level: i32, dictionary: &[u8]) -> Vec<Vec<u8>> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = raw.len().div_ceil(threads).max(1);
    let pack_share = |frames: &[Vec<u8>]| -> Vec<Vec<u8>> {
        let Some(mut packer) = packer(level, dictionary) else { return Vec::new() };
        frames.iter().filter_map(|frame| packer.compress(frame).ok()).collect()
    };
    thread::scope(|scope| {
        let workers: Vec<_> =
            raw.chunks(share).map(|frames| scope.spawn(move || pack_share(frames))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    })
}

fn pack(bytes: &[u8], level: i32, dictionary: &[u8]) -> Vec<u8> {
    packer(level, dictionary).and_then(|mut packer| packer.compress(bytes).ok()).unwrap_or_default()
}

/// Writes zstd frames with checksums. In memory it does not fail; if it did, there would be too few frames.
fn packer(level: i32, dictionary: &[u8]) -> Option<zstd::bulk::Compressor<'static>> {
    let mut packer = zstd::bulk::Compressor::with_dictionary(level, dictionary).ok()?;
    packer.include_checksum(true).ok()?;
    Some(packer)
}
