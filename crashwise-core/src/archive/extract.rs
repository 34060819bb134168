//! From an archive to a directory, wholly or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::Path;

use super::decode::{Decoded, ahead, read_full};
use super::error::{ArchiveError, Fault, Rule};
use super::format::Format;
use super::limits::ExtractOptions;
use super::tree::{Extracted, Tree};
use super::{tar, zip};

/// Extracts an archive into a directory that is not there yet.
///
/// The tree is written beside the destination under a temporary name and renamed when the archive was read to its end
/// and every checksum was right. On error nothing is left behind.
///
/// # Errors
///
/// [`ArchiveError`] names the rule or limit, the entry and its offset. A destination that exists already is an
/// [`Io`](super::ArchiveErrorKind::Io) error.
///
/// ```
/// use crashwise_core::archive::{ExtractOptions, Rule, extract};
///
/// let dir = tempfile::tempdir()?;
/// let not_an_archive = std::io::Cursor::new(b"hello");
/// let error = extract(not_an_archive, &dir.path().join("tree"), &ExtractOptions::new()).unwrap_err();
/// assert_eq!(error.rule(), Some(Rule::UnknownFormat));
/// # Ok::<_, std::io::Error>(())
/// ```
pub fn extract(
    archive: impl Read + Seek,
    destination: &Path,
    options: &ExtractOptions,
) -> Result<Extracted, ArchiveError> {
    let outside = |error: io::Error| Fault::Io(error).outside(0);
    if fs::symlink_metadata(destination).is_ok() {
        return Err(outside(io::ErrorKind::AlreadyExists.into()));
    }
    let parent = match destination.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let staging =
        tempfile::Builder::new().prefix(".crashwise-extract-").tempdir_in(parent).map_err(outside)?;
    let tree = staging.path().join("tree");
    fs::create_dir(&tree).map_err(outside)?;
    let extracted = extract_into(archive, &tree, options)?;
    fs::rename(&tree, destination).map_err(outside)?;
    Ok(extracted)
}

/// Extracts a file that is an archive, see [`extract`].
pub fn extract_file(
    archive: &Path,
    destination: &Path,
    options: &ExtractOptions,
) -> Result<Extracted, ArchiveError> {
    let file = File::open(archive).map_err(|error| Fault::Io(error).outside(0))?;
    extract(file, destination, options)
}

/// Extracts into an existing, empty directory that the caller removes on error.
pub(crate) fn extract_into(
    mut archive: impl Read + Seek,
    root: &Path,
    options: &ExtractOptions,
) -> Result<Extracted, ArchiveError> {
    let outside = |fault: Fault| fault.outside(0);
    let mut head = [0; Format::PROBE];
    let length = archive
        .rewind()
        .and_then(|()| read_full(&mut archive, &mut head))
        .map_err(|error| outside(error.into()))?;
    archive.rewind().map_err(|error| outside(error.into()))?;
    let format = Format::detect(&head[..length]).ok_or_else(|| outside(Rule::UnknownFormat.into()))?;
    options.check_cancel().map_err(outside)?;
    let tree = Tree::new(root, options).map_err(|error| outside(error.into()))?;
    if format == Format::Zip {
        return zip::extract(archive, tree, options);
    }
    let decoded = Decoded::new(archive, format, &options.limits).map_err(outside)?;
    if format == Format::Tar {
        return tar::extract(decoded, tree, options);
    }
    match ahead(decoded, |decoded| tar::extract(decoded, tree, options)) {
        Ok(extracted) => extracted,
        Err(error) => Err(outside(error.into())),
    }
}
