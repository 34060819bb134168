//! From a directory to an archive: the same tree always gives the same bytes.

mod header;
mod options;
#[cfg(all(test, unix))]
mod tests;

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};
use zstd::stream::raw::CParameter;

use self::header::Header;
pub use self::options::PackOptions;
use super::error::{Fault, Rule};
use super::limits::{ExtractOptions, Progress};
use super::name::Name;
use super::tree::{Links, Seen, Sight};
use crate::TargetId;

/// Threads that compress. More than none is what fixes the bytes; the number does not show in them.
const WORKERS: u32 = 2;
/// zstd's own default.
const LEVEL: i32 = 3;
/// Bytes read from a file at a time.
const BUFFER: usize = 256 << 10;
/// Entries left out that are listed one by one.
const LISTED: usize = 100;

/// What [`pack`] made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packed {
    /// The BLAKE3 hash of the bytes written, as 64 hexadecimal digits.
    pub id: TargetId,
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes written.
    pub packed_bytes: u64,
    /// The first hundred entries that an extraction would refuse, and which were therefore left out.
    pub skipped: Vec<Skipped>,
    /// How many were left out in all.
    pub skipped_count: u64,
}

/// An entry that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Path below the root.
    pub path: PathBuf,
    /// Why.
    pub rule: Rule,
}

/// A directory that could not be packed, with the path that was the obstacle.
#[derive(Debug)]
#[non_exhaustive]
pub struct PackError {
    /// The file or directory.
    pub path: PathBuf,
    source: io::Error,
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pack {}", self.path.display())
    }
}

impl std::error::Error for PackError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Packs a directory into a zstd-compressed tar.
///
/// The bytes depend on names, contents, execute permission and symbolic links and on nothing else: entries are sorted,
/// times, owners and other permissions are fixed. `.gitignore` and `.crashwiseignore` files of the tree are honoured,
/// those above it and the user's own are not. Links that lead out of the tree, special files and names that
/// [`extract`](super::extract) would refuse are left out and listed.
///
/// # Errors
///
/// [`PackError`] names the path that could not be read, also one that changed meanwhile, or the root when writing
/// failed.
///
/// ```
/// use crashwise_core::archive::{PackOptions, pack};
///
/// let dir = tempfile::tempdir()?;
/// std::fs::write(dir.path().join("main.c"), "int main() {}")?;
/// let mut archive = Vec::new();
/// let packed = pack(dir.path(), &mut archive, &PackOptions::new()).unwrap();
/// assert_eq!(packed.id.as_str(), blake3::hash(&archive).to_hex().as_str());
/// # Ok::<_, std::io::Error>(())
/// ```
pub fn pack(root: &Path, out: impl Write, options: &PackOptions) -> Result<Packed, PackError> {
    let fail = |source| PackError { path: root.to_owned(), source };
    if !root.metadata().map_err(fail)?.is_dir() {
        return Err(fail(io::ErrorKind::NotADirectory.into()));
    }
    let hashed = Hashed { inner: out, hasher: blake3::Hasher::new(), bytes: 0 };
    let mut encoder = zstd::stream::Encoder::new(hashed, LEVEL).map_err(fail)?;
    for parameter in [CParameter::NbWorkers(WORKERS), CParameter::ChecksumFlag(true)] {
        encoder.set_parameter(parameter).map_err(fail)?;
    }
    let names = options.names();
    let mut writer = Writer {
        out: encoder,
        options,
        seen: Seen::new(!names.collisions),
        names,
        links: Links::default(),
        buffer: vec![0; BUFFER],
        done: Progress::default(),
        since: 0,
        skipped: Vec::new(),
        skipped_count: 0,
    };
    for entry in walk(root, options) {
        let entry = entry.map_err(|error| walk_error(root, error))?;
        if entry.depth() > 0 {
            let below = entry.path().strip_prefix(root).unwrap_or(entry.path());
            writer
                .entry(&entry, below)
                .map_err(|source| PackError { path: entry.path().to_owned(), source })?;
        }
    }
    writer.finish().map_err(fail)
}

fn walk(root: &Path, options: &PackOptions) -> ignore::Walk {
    let git = options.git_directory;
    let mut walk = WalkBuilder::new(root);
    walk.standard_filters(false)
        .git_ignore(options.ignore_files)
        .require_git(false)
        .sort_by_file_name(std::ffi::OsStr::cmp)
        .filter_entry(move |entry| git || entry.file_name() != ".git");
    if options.ignore_files {
        walk.add_custom_ignore_filename(".crashwiseignore");
    }
    walk.build()
}

fn walk_error(root: &Path, error: ignore::Error) -> PackError {
    let mut path = root.to_owned();
    let mut inner = &error;
    while let ignore::Error::WithPath { err, .. }
    | ignore::Error::WithDepth { err, .. }
    | ignore::Error::WithLineNumber { err, .. } = inner
    {
        if let ignore::Error::WithPath { path: at, .. } = inner {
            path.clone_from(at);
        }
        inner = err;
    }
    let source = match error.io_error().and_then(io::Error::raw_os_error) {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::other(error),
    };
    PackError { path, source }
}

/// What leaves the compressor, counted and hashed.
struct Hashed<W> {
    inner: W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.hasher.update(&buf[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

struct Writer<'a, W: Write> {
    out: zstd::stream::Encoder<'static, Hashed<W>>,
    options: &'a PackOptions,
    names: ExtractOptions,
    seen: Seen,
    links: Links,
    buffer: Vec<u8>,
    done: Progress,
    since: u64,
    skipped: Vec<Skipped>,
    skipped_count: u64,
}

impl<W: Write> Writer<'_, W> {
    fn entry(&mut self, entry: &DirEntry, below: &Path) -> io::Result<()> {
        let name = match self.check(&header::bytes(below)?) {
            Ok(name) => name,
            Err(Fault::Rule(rule)) => {
                self.skip(below, rule);
                return Ok(());
            }
            Err(fault) => return Err(fault.into()),
        };
        let Some(kind) = entry.file_type() else { return Ok(()) };
        if kind.is_dir() {
            self.count(1, 0)?;
            Header::directory().write(name.path(), &mut self.out)
        } else if kind.is_file() {
            self.file(entry.path(), &name)
        } else if kind.is_symlink() {
            let target = header::bytes(&std::fs::read_link(entry.path())?)?;
            match self.links.offer(name.path(), &target, &self.names) {
                Err(Fault::Rule(rule)) => self.skip(below, rule),
                other => other?,
            }
            Ok(())
        } else {
            self.skip(below, Rule::Fifo);
            Ok(())
        }
    }

    /// Checks a name by the rules of extraction.
    fn check(&mut self, raw: &[u8]) -> Result<Name, Fault> {
        let name = Name::parse(raw, &self.names)?;
        match self.seen.look(name.path()) {
            Sight::Collides => Err(Rule::Collision.into()),
            _ => Ok(name),
        }
    }

    fn skip(&mut self, path: &Path, rule: Rule) {
        self.skipped_count += 1;
        if self.skipped.len() < LISTED {
            self.skipped.push(Skipped { path: path.to_owned(), rule });
        }
    }

    fn file(&mut self, path: &Path, name: &Name) -> io::Result<()> {
        let mut file = open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(changed());
        }
        Header::file(meta.len(), is_executable(&meta)).write(name.path(), &mut self.out)?;
        let mut left = meta.len();
        loop {
            let n = file.read(&mut self.buffer)?;
            if n as u64 > left || (n == 0 && left > 0) {
                return Err(changed());
            }
            left -= n as u64;
            self.out.write_all(&self.buffer[..n])?;
            self.count(0, n as u64)?;
            // A short read of a regular file is its end.
            if left == 0 && n < self.buffer.len() {
                break;
            }
        }
        self.count(1, 0)?;
        header::pad(meta.len(), &mut self.out)
    }

    fn count(&mut self, entries: u64, bytes: u64) -> io::Result<()> {
        self.done.entries += entries;
        self.done.bytes += bytes;
        self.since += bytes + 512 * entries;
        if self.since >= 1 << 20 {
            self.since = 0;
            self.options.tick(self.done)?;
        }
        Ok(())
    }

    /// Links come last, when it is known which of them stay inside.
    fn finish(mut self) -> io::Result<Packed> {
        let links = std::mem::take(&mut self.links);
        for (path, target, verdict) in links.verdicts(self.names.limits.link_bytes) {
            match verdict {
                Ok(()) => {
                    self.count(1, 0)?;
                    Header::symlink().write_link(path, target, &mut self.out)?;
                }
                Err(Fault::Rule(rule)) => self.skip(&header::path(path), rule),
                Err(fault) => return Err(fault.into()),
            }
        }
        self.out.write_all(&[0; 1024])?;
        let mut hashed = self.out.finish()?;
        hashed.flush()?;
        self.options.tick(self.done)?;
        let id = TargetId::new(hashed.hasher.finalize().to_hex().as_str()).map_err(io::Error::other)?;
        Ok(Packed {
            id,
            entries: self.done.entries,
            bytes: self.done.bytes,
            packed_bytes: hashed.bytes,
            skipped: self.skipped,
            skipped_count: self.skipped_count,
        })
    }
}

fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file changed while it was packed")
}

/// Opens a file that was a regular one a moment ago, without following a link or waiting for a FIFO put in its place.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(unix)]
fn is_executable(meta: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    meta.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_meta: &Metadata) -> bool {
    false
}
