//! ZIP, read strictly: central directory and local headers must tell the same story and cover the file without gaps.

mod content;
mod records;

use std::io::{Read, Seek, SeekFrom};

use self::content::Content;
use self::records::{Central, Directory, END, END_FIXED, Fields, LOCAL, LOCAL_FIXED};
use super::decode::read_full;
use super::error::{ArchiveError, Bound, Fault, Rule};
use super::limits::{ExtractOptions, Limits};
use super::name::Name;
use super::tree::{Extracted, FileMeta, Tree, check_mode};

/// The end record's comment is at most this long.
const COMMENT: u64 = u16::MAX as u64;

const TYPE_MASK: u32 = 0o170_000;
const TYPE_FIFO: u32 = 0o010_000;
const TYPE_CHARACTER: u32 = 0o020_000;
const TYPE_DIRECTORY: u32 = 0o040_000;
const TYPE_BLOCK: u32 = 0o060_000;
const TYPE_REGULAR: u32 = 0o100_000;
const TYPE_SYMLINK: u32 = 0o120_000;
const TYPE_SOCKET: u32 = 0o140_000;

/// Extracts the ZIP file into the tree.
pub(super) fn extract(
    mut file: impl Read + Seek,
    mut tree: Tree<'_>,
    options: &ExtractOptions,
) -> Result<Extracted, ArchiveError> {
    let directory = find_directory(&mut file).map_err(|fault| fault.outside(0))?;
    let limits = options.limits();
    let outside = |fault: Fault| fault.outside(directory.offset);
    if directory.entries > limits.entries {
        return Err(outside(Fault::Limit(Bound::Entries, limits.entries)));
    }
    if directory.size > limits.directory_bytes {
        return Err(outside(Fault::Limit(Bound::DirectoryBytes, limits.directory_bytes)));
    }
    let records = read_at(&mut file, directory.offset, directory.size).map_err(outside)?;
    let order = entries(&records, directory, limits).map_err(outside)?;
    let mut at = 0;
    let mut next = order.iter().map(|record| record.offset).skip(1);
    for &Record { offset, place, .. } in &order {
        let central = records::central(&mut Fields::new(&records[place..])).map_err(outside)?;
        let named = |fault: Fault| fault.at(central.name, offset);
        if offset != at {
            return Err(named(if offset < at { Rule::ZipOverlap.into() } else { Rule::ZipHidden.into() }));
        }
        let end = next.next().unwrap_or(directory.offset);
        at = entry(&mut file, &central, end, &mut tree, options).map_err(named)?;
    }
    if at != directory.offset {
        return Err(outside(if at > directory.offset { Rule::ZipOverlap } else { Rule::ZipHidden }.into()));
    }
    tree.finish().map_err(|(link, fault)| fault.at(&link, directory.offset))
}

/// Where an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    /// Of the local header in the file.
    offset: u64,
    /// The earliest that the entry can end.
    least_end: u64,
    /// Of the central header in the central directory.
    place: usize,
}

/// All entries in the order of the file, where each must begin when the one before has ended. What all of them
/// declare together is checked before the first is extracted.
fn entries(records: &[u8], directory: Directory, limits: &Limits) -> Result<Vec<Record>, Fault> {
    let mut order = Vec::new();
    let mut size = 0u64;
    let mut fields = Fields::new(records);
    while !fields.is_empty() {
        let place = records.len() - fields.len();
        let central = records::central(&mut fields)?;
        size = size.saturating_add(central.size);
        let least_end = central.offset.saturating_add(LOCAL_FIXED as u64).saturating_add(central.packed);
        order.push(Record { offset: central.offset, least_end, place });
    }
    if order.len() as u64 != directory.entries {
        return Err(Rule::ZipDirectory.into());
    }
    order.sort_unstable();
    if order.windows(2).any(|pair| pair[0].least_end > pair[1].offset) {
        return Err(Rule::ZipOverlap.into());
    }
    if size > limits.total_bytes {
        return Err(Fault::Limit(Bound::TotalBytes, limits.total_bytes));
    }
    limits.check_ratio(directory.offset, size)?;
    Ok(order)
}

/// Finds the one end record. Its comment must reach to the end of the file and hold no second one.
fn find_directory(file: &mut (impl Read + Seek)) -> Result<Directory, Fault> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail_at = length.saturating_sub(COMMENT + END_FIXED as u64);
    let tail = read_at(file, tail_at, length - tail_at)?;
    let signature = END.to_le_bytes();
    let comment_ends = |at: usize| {
        tail.get(at..at + END_FIXED).is_some_and(|end| {
            at + END_FIXED + usize::from(u16::from_le_bytes([end[20], end[21]])) == tail.len()
        })
    };
    let mut found = None;
    for at in (0..tail.len().saturating_sub(3)).filter(|&at| tail[at..at + 4] == signature) {
        if found.is_some() {
            // Behind the first record that fits lies its comment.
            return Err(Rule::ZipSecondEnd.into());
        }
        if comment_ends(at) {
            found = Some(at);
        }
    }
    let Some(at) = found else {
        let any = tail.windows(4).any(|window| window == signature);
        return Err(if any { Rule::DataAfterEnd } else { Rule::NoEndMarker }.into());
    };
    let small = records::end(&tail[at..])?;
    let end_at = tail_at + at as u64;
    let (directory, directory_end) = widen(file, small, end_at)?;
    if directory.offset.checked_add(directory.size) != Some(directory_end) {
        return Err(Rule::ZipDirectory.into());
    }
    // Entries without a directory, or a directory without entries.
    if (directory.entries == 0) != (directory.size == 0) || (directory.entries == 0 && directory_end != 0) {
        return Err(Rule::ZipDirectory.into());
    }
    Ok(directory)
}

/// Follows the ZIP64 records, if they are there. Also gives where the central directory must end.
fn widen(file: &mut (impl Read + Seek), small: Directory, end_at: u64) -> Result<(Directory, u64), Fault> {
    let located = match end_at.checked_sub(records::LOCATOR_FIXED as u64) {
        Some(at) => records::locator(&read_at(file, at, records::LOCATOR_FIXED as u64)?)?.map(|to| (at, to)),
        None => None,
    };
    let Some((locator_at, end64_at)) = located else {
        return if small.needs_zip64() && small.entries != u64::from(u16::MAX) {
            Err(Rule::ZipDirectory.into())
        } else {
            Ok((small, end_at))
        };
    };
    if end64_at > locator_at.saturating_sub(records::END64_FIXED as u64) {
        return Err(Rule::ZipDirectory.into());
    }
    let (large, own) = records::end64(&read_at(file, end64_at, records::END64_FIXED as u64)?)?;
    if end64_at.checked_add(own) != Some(locator_at) {
        return Err(Rule::ZipDirectory.into());
    }
    Ok((small.merge(large)?, end64_at))
}

/// Reads exactly these bytes; the size was bounded by the caller.
fn read_at(file: &mut (impl Read + Seek), offset: u64, size: u64) -> Result<Vec<u8>, Fault> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(Rule::ZipDirectory.into()) }
}

/// Extracts one entry, whose record must end by `end`, and gives where it ends.
fn entry(
    file: &mut (impl Read + Seek),
    central: &Central<'_>,
    end: u64,
    tree: &mut Tree<'_>,
    options: &ExtractOptions,
) -> Result<u64, Fault> {
    central.check()?;
    let name = name(central, options)?;
    let mut fixed = [0; LOCAL_FIXED];
    file.seek(SeekFrom::Start(central.offset))?;
    if read_full(file, &mut fixed)? < LOCAL_FIXED || fixed[..4] != LOCAL.to_le_bytes() {
        return Err(Rule::ZipLocalHeader.into());
    }
    let variable = u64::from(u16::from_le_bytes([fixed[26], fixed[27]]))
        + u64::from(u16::from_le_bytes([fixed[28], fixed[29]]));
    let rest = read_at(file, central.offset + LOCAL_FIXED as u64, variable)
        .map_err(|_| Fault::from(Rule::ZipLocalHeader))?;
    let width = central.check_local(&fixed, &rest)?;
    let data = central.offset + LOCAL_FIXED as u64 + variable;
    let data_end = data.checked_add(central.packed).filter(|&at| at <= end).ok_or(Rule::ZipOverlap)?;

    let content = Content::new(file, central, options.limits())?;
    match kind(central, &name)? {
        TYPE_DIRECTORY => {
            content.finish()?;
            tree.directory(&name)?;
        }
        TYPE_SYMLINK => {
            let target = content.small(options.limits().path_bytes)?;
            tree.symlink(&name.of_leaf()?, &target)?;
        }
        _ => {
            check_mode(u64::from(central.mode.unwrap_or(0)))?;
            let executable = central.mode.is_some_and(|mode| mode & 0o100 != 0);
            let meta = FileMeta { executable, mtime: central.mtime(), size: central.size };
            let mut out = tree.file(&name.of_leaf()?, meta)?;
            content.copy(&mut out, |bytes| tree.wrote(bytes))?;
            Tree::finish_file(&out, meta)?;
        }
    }
    if central.flags & records::FLAG_DESCRIPTOR == 0 {
        return Ok(data_end);
    }
    file.seek(SeekFrom::Start(data_end))?;
    let mut descriptor = [0; 24];
    let there = read_full(file, &mut descriptor)?;
    let length = central.check_descriptor(&descriptor[..there], width, |n| data_end + n as u64 == end)?;
    Ok(data_end + length as u64)
}

fn name(central: &Central<'_>, options: &ExtractOptions) -> Result<Name, Fault> {
    if central.flags & records::FLAG_UTF8 != 0 && std::str::from_utf8(central.name).is_err() {
        return Err(Rule::NotUtf8.into());
    }
    Name::parse(central.name, options)
}

/// The type bits of the entry; content where there can be none is refused.
fn kind(central: &Central<'_>, name: &Name) -> Result<u32, Fault> {
    let kind = match central.mode.map_or(0, |mode| mode & TYPE_MASK) {
        0 if name.has_trailing_slash() => TYPE_DIRECTORY,
        0 | TYPE_REGULAR if !name.has_trailing_slash() => TYPE_REGULAR,
        TYPE_REGULAR => return Err(Rule::TrailingSlash.into()),
        TYPE_CHARACTER | TYPE_BLOCK => return Err(Rule::Device.into()),
        TYPE_FIFO | TYPE_SOCKET => return Err(Rule::Fifo.into()),
        kind @ (TYPE_DIRECTORY | TYPE_SYMLINK) => kind,
        _ => return Err(Rule::UnknownKind.into()),
    };
    // A directory by one attribute and a file by the other.
    let is_directory = kind == TYPE_DIRECTORY;
    if is_directory != name.has_trailing_slash() || (central.is_dos_directory && !is_directory) {
        return Err(Rule::ZipLocalHeader.into());
    }
    if is_directory && central.size != 0 {
        return Err(Rule::SizeOnLink.into());
    }
    Ok(kind)
}
