//! tar, read strictly: where two readers could understand an archive differently, it is refused.

mod header;
mod pax;
mod sparse;
mod stream;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

pub(super) use self::header::{BLOCK, OCTAL_MOST, checksum, is_header};
use self::header::{Dialect, Header};
use self::pax::Pax;
use self::sparse::Map;
use self::stream::Blocks;
use super::error::{ArchiveError, Bound, Fault, Rule};
use super::limits::ExtractOptions;
use super::name::{Name, check_overridden};
use super::tree::{Extracted, FileMeta, Tree, check_mode};

/// Extension headers waiting for their entry.
#[derive(Default)]
struct Pending {
    pax: Option<Pax>,
    gnu_name: Option<Vec<u8>>,
    gnu_link: Option<Vec<u8>>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.gnu_name.is_none() && self.gnu_link.is_none()
    }

    /// The name that messages use, if an extension gives one.
    fn name(&self) -> Option<&[u8]> {
        let pax = self.pax.as_ref();
        self.gnu_name
            .as_deref()
            .or_else(|| pax?.sparse.as_ref()?.name.as_deref())
            .or_else(|| pax?.path.as_deref())
    }
}

/// Extracts the tar stream into the tree.
pub(super) fn extract(
    reader: impl Read,
    mut tree: Tree<'_>,
    options: &ExtractOptions,
) -> Result<Extracted, ArchiveError> {
    let mut blocks = Blocks::new(reader);
    let mut pending = Pending::default();
    loop {
        let offset = blocks.offset();
        let block = match blocks.header() {
            Ok(Some(block)) => block,
            Ok(None) => return Err(Fault::from(Rule::NoEndMarker).outside(offset)),
            Err(Fault::Rule(Rule::TruncatedHeader)) if offset == 0 => {
                return Err(Fault::from(Rule::UnknownFormat).outside(offset));
            }
            Err(fault) => return Err(fault.outside(offset)),
        };
        if block.iter().all(|&b| b == 0) {
            end(&mut blocks, &pending).map_err(|fault| fault.outside(offset))?;
            return tree.finish().map_err(|(link, fault)| fault.at(&link, offset));
        }
        let header = match Header::parse(&block) {
            Ok(header) => header,
            Err(_) if offset == 0 => return Err(Fault::from(Rule::UnknownFormat).outside(offset)),
            Err(fault) => return Err(fault.outside(offset)),
        };
        let name = pending.name().unwrap_or(header.raw_name()).to_vec();
        entry(&header, &mut blocks, &mut pending, &mut tree, options)
            .map_err(|fault| fault.at(&name, offset))?;
    }
}

/// The end marker is two zero blocks, behind which only zeros may be.
fn end(blocks: &mut Blocks<impl Read>, pending: &Pending) -> Result<(), Fault> {
    if !pending.is_empty() {
        return Err(Rule::DanglingExtension.into());
    }
    match blocks.header()? {
        None => return Err(Rule::NoEndMarker.into()),
        Some(second) if second.iter().any(|&b| b != 0) => return Err(Rule::DataAfterEnd.into()),
        Some(_) => {}
    }
    blocks.drain()
}

/// Handles one header and its content.
fn entry(
    header: &Header<'_>,
    blocks: &mut Blocks<impl Read>,
    pending: &mut Pending,
    tree: &mut Tree<'_>,
    options: &ExtractOptions,
) -> Result<(), Fault> {
    header.check_dialect()?;
    if matches!(header.type_flag(), b'x' | b'g' | b'L' | b'K') {
        tree.count_entry()?;
        return extension(header, blocks, pending, options.limits.header_bytes);
    }
    let Pending { pax, gnu_name, gnu_link } = std::mem::take(pending);
    let mut pax = pax.unwrap_or_default();
    let size = content_size(header, pax.size)?;
    let sparse = pax.sparse.take();
    let sparse_name = sparse.as_ref().and_then(|keys| keys.name.clone());
    // Who does not know the extension sees the other names.
    if let (Some(_), Some(path)) = (&sparse_name, &pax.path) {
        check_overridden(path)?;
    }
    let raw = match sparse_name.or(pax.path).or(gnu_name) {
        Some(name) => {
            check_overridden(&header.name()?)?;
            name
        }
        None => header.name()?,
    };
    let name = Name::parse(&raw, options)?;
    let link = || match pax.link_path.clone().or(gnu_link.clone()) {
        Some(_) if header.link_name()?.starts_with(b"/") => {
            let is_hard = header.type_flag() == b'1';
            Err(Fault::from(if is_hard { Rule::HardlinkOutside } else { Rule::SymlinkAbsolute }))
        }
        Some(target) => Ok(target),
        None => header.link_name().map(<[u8]>::to_vec),
    };
    // What has no content must not claim any: readers differ in whether they skip it.
    let empty = || if size == 0 { Ok(()) } else { Err(Fault::from(Rule::SizeOnLink)) };
    if sparse.is_some() && !matches!(header.type_flag(), b'0' | 0) {
        return Err(Rule::SparseMap.into());
    }
    if !matches!(header.type_flag(), b'2' | b'5') && !is_old_directory(header, &name, size) {
        check_mode(header.mode()?)?;
    }
    match header.type_flag() {
        b'0' | 0 | b'7' | b'S' => {
            if is_old_directory(header, &name, size) && sparse.is_none() {
                return tree.directory(&name);
            }
            let name = name.of_leaf()?;
            let mtime = pax.mtime.map_or_else(|| header.mtime(), Ok).ok();
            let meta = FileMeta { executable: header.mode()? & 0o100 != 0, mtime, size };
            match (header.type_flag(), sparse) {
                (b'S', _) => {
                    let map = old_gnu_map(header, blocks, size, options)?;
                    sparse_file(blocks, tree, &name, meta, &map, size)
                }
                (_, Some(keys)) => {
                    let most = options.limits.sparse_pieces;
                    if keys.major.is_none_or(|major| major == 0) {
                        let map = sparse::from_keys(&keys, size, most)?;
                        return sparse_file(blocks, tree, &name, meta, &map, size);
                    }
                    if (keys.major, keys.minor) != (Some(1), Some(0)) {
                        return Err(Rule::SparseMap.into());
                    }
                    let (map, taken) = sparse::from_content(&keys, size, most, || blocks.block())?;
                    sparse_file(blocks, tree, &name, meta, &map, size - taken)
                }
                (_, None) => plain_file(blocks, tree, &name, meta),
            }
        }
        b'5' => {
            empty()?;
            tree.directory(&name)
        }
        b'1' => {
            empty()?;
            tree.hard_link(&name.of_leaf()?, &link()?)
        }
        b'2' => {
            empty()?;
            tree.symlink(&name.of_leaf()?, &link()?)
        }
        b'3' | b'4' => Err(Rule::Device.into()),
        b'6' | b's' => Err(Rule::Fifo.into()),
        _ => Err(Rule::UnknownKind.into()),
    }
}

/// Before directories had a type they were files with a slash.
fn is_old_directory(header: &Header<'_>, name: &Name, size: u64) -> bool {
    header.type_flag() == 0 && name.has_trailing_slash() && size == 0
}

/// Reads an extension header. Each kind at most once per entry, and the two dialects never together.
fn extension(
    header: &Header<'_>,
    blocks: &mut Blocks<impl Read>,
    pending: &mut Pending,
    most: u64,
) -> Result<(), Fault> {
    let kind = header.type_flag();
    let mixed = match kind {
        b'L' => pending.pax.is_some() || pending.gnu_name.is_some(),
        b'K' => pending.pax.is_some() || pending.gnu_link.is_some(),
        _ => !pending.is_empty(),
    };
    if mixed {
        return Err(Rule::MixedExtensions.into());
    }
    let size = header.size()?;
    if size > most {
        return Err(Fault::Limit(Bound::HeaderBytes, most));
    }
    let data = blocks.small(size)?;
    match kind {
        b'x' => pending.pax = Some(Pax::parse(&data)?),
        b'g' => Pax::check_global(&data)?,
        b'L' => pending.gnu_name = Some(gnu_text(data)?),
        _ => pending.gnu_link = Some(gnu_text(data)?),
    }
    Ok(())
}

/// Text that ends in NULs.
fn gnu_text(mut data: Vec<u8>) -> Result<Vec<u8>, Fault> {
    while data.last() == Some(&0) {
        data.pop();
    }
    if data.contains(&0) { Err(Rule::NulInName.into()) } else { Ok(data) }
}

/// The size of the content. The extended header may only say what the header cannot hold.
fn content_size(header: &Header<'_>, extended: Option<u64>) -> Result<u64, Fault> {
    let own = header.size()?;
    match extended {
        None => Ok(own),
        Some(size) if size == own => Ok(size),
        Some(size) if size > OCTAL_MOST && (own == 0 || own == OCTAL_MOST) => Ok(size),
        Some(_) => Err(Rule::SizeDisagreement.into()),
    }
}

fn plain_file(
    blocks: &mut Blocks<impl Read>,
    tree: &mut Tree<'_>,
    name: &Name,
    meta: FileMeta,
) -> Result<(), Fault> {
    let mut file = tree.file(name, meta)?;
    blocks.content(meta.size, |piece| {
        file.write_all(piece)?;
        tree.wrote(piece.len() as u64)
    })?;
    blocks.padding(meta.size)?;
    Tree::finish_file(&file, meta)
}

fn sparse_file(
    blocks: &mut Blocks<impl Read>,
    tree: &mut Tree<'_>,
    name: &Name,
    meta: FileMeta,
    map: &Map,
    data: u64,
) -> Result<(), Fault> {
    let meta = FileMeta { size: map.size, ..meta };
    let mut file: File = tree.file(name, meta)?;
    file.set_len(map.size)?;
    for &(offset, length) in &map.pieces {
        file.seek(SeekFrom::Start(offset))?;
        blocks.content(length, |piece| {
            file.write_all(piece)?;
            tree.wrote(piece.len() as u64)
        })?;
    }
    blocks.padding(data)?;
    Tree::finish_file(&file, meta)
}

/// The map of the old GNU format: four pieces in the header, 21 in each continuation block.
fn old_gnu_map(
    header: &Header<'_>,
    blocks: &mut Blocks<impl Read>,
    data: u64,
    options: &ExtractOptions,
) -> Result<Map, Fault> {
    if header.dialect() != Dialect::Gnu {
        return Err(Rule::UnknownKind.into());
    }
    let size = header::number(header.sparse_field(483, 495))?;
    let size = u64::try_from(size).map_err(|_| Rule::NegativeSize)?;
    let mut builder = sparse::Builder::new(options.limits.sparse_pieces);
    let mut more =
        builder.add_fields(header.sparse_field(386, 482))? & (header.sparse_field(482, 483) != [0]);
    if !more && header.sparse_field(482, 483) != [0] {
        return Err(Rule::SparseMap.into());
    }
    while more {
        let block: [u8; BLOCK] = blocks.block()?;
        let open = builder.add_fields(&block[..504])?;
        more = block[504] != 0;
        if more && !open {
            return Err(Rule::SparseMap.into());
        }
    }
    builder.finish(size, data)
}
