//! Whole trees: counted, copied, made read-only, removed.

use std::collections::HashSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

use serde::{Deserialize, Serialize};

use super::subvolume;

/// What a tree holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Census {
    pub(crate) files: u64,
    pub(crate) directories: u64,
    pub(crate) symlinks: u64,
    /// Bytes of all files.
    pub(crate) bytes: u64,
    /// Bytes on the disk, a file with several names counted once.
    pub(crate) allocated: u64,
}

impl Census {
    /// Whether two trees hold the same number of things. The space on the disk may differ.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        Self { allocated: 0, ..*self } == Self { allocated: 0, ..*other }
    }
}

/// Visits a tree, the root first, each directory before what is in it.
fn walk(root: &Path, visit: &mut impl FnMut(&Path, &Metadata) -> io::Result<()>) -> io::Result<()> {
    let meta = fs::symlink_metadata(root)?;
    visit(root, &meta)?;
    let mut open = if meta.is_dir() { vec![root.to_owned()] } else { Vec::new() };
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).map_err(at(&dir))? {
            let entry = entry?;
            let path = entry.path();
            let meta = entry.metadata().map_err(at(&path))?;
            visit(&path, &meta)?;
            if meta.is_dir() {
                open.push(path);
            }
        }
    }
    Ok(())
}

/// Counts a tree or a single file.
pub(crate) fn census(root: &Path) -> io::Result<Census> {
    let mut census = Census::default();
    let mut linked = HashSet::new();
    walk(root, &mut |_, meta| {
        if meta.is_dir() {
            census.directories += 1;
        } else if meta.is_symlink() {
            census.symlinks += 1;
        } else {
            census.files += 1;
            census.bytes += meta.len();
        }
        census.allocated += allocated(meta, &mut linked);
        Ok(())
    })?;
    Ok(census)
}

#[cfg(unix)]
fn allocated(meta: &Metadata, linked: &mut HashSet<(u64, u64)>) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let again = !meta.is_dir() && meta.nlink() > 1 && !linked.insert((meta.dev(), meta.ino()));
    if again { 0 } else { meta.blocks() * 512 }
}

#[cfg(not(unix))]
fn allocated(meta: &Metadata, _linked: &mut HashSet<(u64, u64)>) -> u64 {
    meta.len()
}

/// The BLAKE3 hash of names, kinds, execute permissions, targets and contents, independent of the order on the disk.
pub(crate) fn digest(root: &Path) -> io::Result<blake3::Hash> {
    let mut entries = Vec::new();
    walk(root, &mut |path, meta| {
        let below = path.strip_prefix(root).unwrap_or(path).as_os_str().as_encoded_bytes().to_vec();
        let mut hasher = blake3::Hasher::new();
        if meta.is_dir() {
            hasher.update(b"d");
        } else if meta.is_symlink() {
            hasher.update(b"l").update(fs::read_link(path)?.as_os_str().as_encoded_bytes());
        } else {
            hasher.update(if is_executable(meta) { b"x" } else { b"f" }).update_reader(File::open(path)?)?;
        }
        entries.push((below, hasher.finalize()));
        Ok(())
    })?;
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut all = blake3::Hasher::new();
    for (name, hash) in entries {
        all.update(&(name.len() as u64).to_le_bytes()).update(&name).update(hash.as_bytes());
    }
    Ok(all.finalize())
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

/// Sets permission bits; symbolic links have none.
#[cfg(unix)]
fn change_mode(path: &Path, meta: &Metadata, clear: u32, set: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = meta.permissions().mode() & 0o7777;
    let wanted = mode & !clear | set;
    if meta.is_symlink() || mode == wanted {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(wanted))
}

#[cfg(not(unix))]
fn change_mode(_path: &Path, _meta: &Metadata, _clear: u32, _set: u32) -> io::Result<()> {
    Ok(())
}

/// Takes the permission to write from everything in a tree.
pub(crate) fn seal(root: &Path) -> io::Result<()> {
    walk(root, &mut |path, meta| change_mode(path, meta, 0o222, 0))
}

/// A sealed directory can only be renamed by its owner after this.
pub(crate) fn make_movable(path: &Path) {
    if let Ok(meta) = fs::symlink_metadata(path)
        && meta.is_dir()
    {
        // If it fails, so will the rename, whose error says more.
        let _ = change_mode(path, &meta, 0, 0o700);
    }
}

/// Removes a file or a tree, sealed ones too. What cannot be removed now is left to the next start.
pub(crate) fn remove(path: &Path) {
    let Ok(meta) = fs::symlink_metadata(path) else { return };
    if !meta.is_dir() {
        let _ = fs::remove_file(path);
        return;
    }
    subvolume::remove_below(path);
    if fs::remove_dir_all(path).is_err() {
        // Only directories must be writable for that. Files may share their inode with others and keep their mode.
        let _ = walk(path, &mut |path, meta| {
            if meta.is_dir() { change_mode(path, meta, 0, 0o700) } else { Ok(()) }
        });
        let _ = fs::remove_dir_all(path);
    }
}

/// How file contents get from one tree to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Extents are shared until one side writes.
    Reflink,
    Copy,
}

/// How much of a tree is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Whole,
    /// Without what `.crashwiseignore` files name, and without folders that say by a `CACHEDIR.TAG` that they can be made
    /// again, such as build output.
    Project,
}

/// What a folder that can be made again begins its tag with, see <https://bford.info/cachedir/>.
const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

fn is_cache(dir: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; CACHE_TAG.len()];
    File::open(dir.join("CACHEDIR.TAG")).and_then(|mut tag| tag.read_exact(&mut head)).is_ok()
        && head == CACHE_TAG
}

/// The same as [`walk`], without what a project does without.
fn walk_project(root: &Path, visit: &mut impl FnMut(&Path, &Metadata) -> io::Result<()>) -> io::Result<()> {
    let entries = ignore::WalkBuilder::new(root)
        .standard_filters(false)
        .add_custom_ignore_filename(".crashwiseignore")
        .filter_entry(|entry| {
            entry.depth() == 0
                || !entry.file_type().is_some_and(|kind| kind.is_dir() && is_cache(entry.path()))
        })
        .build();
    for entry in entries {
        let entry = entry.map_err(|error| {
            let kind = error.io_error().map_or(io::ErrorKind::Other, io::Error::kind);
            io::Error::new(kind, error)
        })?;
        let path = entry.path();
        visit(path, &fs::symlink_metadata(path).map_err(at(path))?)?;
    }
    Ok(())
}

/// An error that names the file.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
struct Failed {
    path: PathBuf,
    source: io::Error,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    |source| io::Error::new(source.kind(), Failed { path: path.to_owned(), source })
}

/// Threads that copy; the file system's own locks keep more from helping.
const THREADS: usize = 2;
/// Files handed over at a time.
const BATCH: usize = 64;

/// Copies a tree to a place that does not exist. Files become writable for their owner, a file with several names
/// becomes several files, and what is neither file, directory nor link is left out.
pub(crate) fn copy(from: &Path, to: &Path, contents: Contents, scope: Scope) -> io::Result<()> {
    let failed: Mutex<Option<io::Error>> = Mutex::new(None);
    let (send, receive) = sync_channel::<Vec<(PathBuf, PathBuf)>>(2 * THREADS);
    let receive = Mutex::new(receive);
    let fail = |error| {
        let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        failed.get_or_insert(error);
    };
    let work = || {
        loop {
            let batch = receive.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
            let Ok(batch) = batch else { return };
            for (from, to) in batch {
                if let Err(error) = copy_file(&from, &to, contents) {
                    fail(at(&from)(error));
                }
            }
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(work);
        }
        let mut batch = Vec::with_capacity(BATCH);
        let mut visit = |path: &Path, meta: &Metadata| {
            let place = to.join(path.strip_prefix(from).unwrap_or(path));
            if meta.is_dir() {
                fs::create_dir(&place).map_err(at(path))?;
            } else if meta.is_symlink() {
                copy_link(path, &place).map_err(at(path))?;
            } else if meta.is_file() {
                batch.push((path.to_owned(), place));
                if batch.len() == BATCH {
                    let _ = send.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)));
                }
            }
            Ok(())
        };
        let walked = match scope {
            Scope::Whole => walk(from, &mut visit),
            Scope::Project => walk_project(from, &mut visit),
        };
        let _ = send.send(batch);
        drop(send);
        if let Err(error) = walked {
            fail(error);
        }
    });
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn copy_file(from: &Path, to: &Path, contents: Contents) -> io::Result<()> {
    let mut source = File::open(from)?;
    let meta = source.metadata()?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        options.mode(meta.permissions().mode() & 0o777 | 0o600);
    }
    let mut target = options.open(to)?;
    match contents {
        Contents::Reflink if meta.len() > 0 => clone_contents(&source, &target)?,
        _ => {
            // Becomes copy_file_range where the kernel has it.
            io::copy(&mut source, &mut target)?;
        }
    }
    if let Ok(modified) = meta.modified() {
        target.set_modified(modified)?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn clone_contents(source: &File, target: &File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(target, source)?)
}

#[cfg(not(target_os = "linux"))]
fn clone_contents(_source: &File, _target: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether files in this directory can share extents.
pub(crate) fn can_reflink(dir: &Path) -> bool {
    let (one, two) = (dir.join("reflink-a"), dir.join("reflink-b"));
    let cloned = fs::write(&one, b"x").and_then(|()| copy_file(&one, &two, Contents::Reflink));
    for path in [&one, &two] {
        let _ = fs::remove_file(path);
    }
    cloned.is_ok()
}

#[cfg(unix)]
fn copy_link(from: &Path, to: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(fs::read_link(from)?, to)
}

#[cfg(not(unix))]
fn copy_link(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Waits until everything on the file system of this directory is on the disk.
#[cfg(target_os = "linux")]
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(dir)?)?)
}

/// Waits until every file of the tree is on the disk.
#[cfg(not(target_os = "linux"))]
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    walk(dir, &mut |path, meta| if meta.is_symlink() { Ok(()) } else { File::open(path)?.sync_all() })
}

/// Waits until the names in a directory are on the disk.
pub(crate) fn sync_names(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}
