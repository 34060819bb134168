//! Records what SQLite writes and syncs, in order, so that a power cut can be imagined at any point of it.
//!
//! The files of SQLite's own layer are used as they are; only writing, cutting and syncing them goes through here. No crate
//! does this, and a layer in front of the file system would need a mount.
#![allow(unsafe_code, reason = "SQLite's layer of files is a table of C functions")]

use rusqlite::ffi::{
    SQLITE_OK, sqlite3_file, sqlite3_filename, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs,
    sqlite3_vfs_find, sqlite3_vfs_register,
};
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr::null;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// Something that reached the system, or that somebody was told.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Write {
        file: String,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: String,
        length: usize,
    },
    /// The name is gone, but not for sure until its folder is synced.
    Delete {
        file: String,
    },
    /// What was written to the file before is on the disk; when it is new, its folder as well.
    Sync {
        file: String,
    },
    /// A payload is on the disk.
    Payload(String),
    /// Somebody was told something.
    Told(super::Told),
}

#[derive(Default)]
struct Recorder {
    folder: Option<PathBuf>,
    entries: Vec<Entry>,
    /// Open files by address: their name and SQLite's own functions for them.
    files: HashMap<usize, (String, &'static sqlite3_io_methods)>,
    /// Functions with ours in place of some, by those of SQLite.
    tables: HashMap<usize, &'static sqlite3_io_methods>,
    open: Option<Open>,
    delete: Option<Delete>,
}

type Open =
    unsafe extern "C" fn(*mut sqlite3_vfs, sqlite3_filename, *mut sqlite3_file, c_int, *mut c_int) -> c_int;

type Delete = unsafe extern "C" fn(*mut sqlite3_vfs, *const c_char, c_int) -> c_int;

static RECORDER: Mutex<Option<Recorder>> = Mutex::new(None);

fn recorder() -> MutexGuard<'static, Option<Recorder>> {
    RECORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records the files of a folder from here on.
pub(super) fn begin(folder: &Path) {
    static REGISTER: Once = Once::new();
    recorder().get_or_insert_default();
    REGISTER.call_once(register);
    if let Some(recorder) = &mut *recorder() {
        recorder.folder = Some(folder.canonicalize().unwrap());
        recorder.entries.clear();
    }
}

/// Ends the recording.
pub(super) fn end() -> Vec<Entry> {
    let mut recorder = recorder();
    let recorder = recorder.as_mut().unwrap();
    recorder.folder = None;
    std::mem::take(&mut recorder.entries)
}

/// Notes something that is not SQLite's.
pub(super) fn note(entry: Entry) {
    if let Some(Recorder { folder: Some(_), entries, .. }) = &mut *recorder() {
        entries.push(entry);
    }
}

/// Notes that a file of the folder is being synced by another hand than SQLite's. What is written from here on may not be
/// part of it.
pub(super) fn synced(path: &Path) {
    if let Some(Recorder { folder: Some(folder), entries, .. }) = &mut *recorder()
        && let Some(file) = path.strip_prefix(&*folder).ok()
    {
        entries.push(Entry::Sync { file: file.to_string_lossy().into_owned() });
    }
}

fn register() {
    // SAFETY: the default layer lives as long as the process, and so does the copy, which is leaked.
    unsafe {
        let default = sqlite3_vfs_find(null());
        let mut layer = *default;
        if let Some(recorder) = &mut *recorder() {
            recorder.open = layer.xOpen;
            recorder.delete = layer.xDelete;
        }
        layer.xDelete = Some(delete);
        layer.xOpen = Some(open);
        layer.zName = c"recorded".as_ptr();
        layer.pNext = std::ptr::null_mut();
        assert_eq!(sqlite3_vfs_register(Box::leak(Box::new(layer)), 1), SQLITE_OK);
    }
}

unsafe extern "C" fn open(
    layer: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    took: *mut c_int,
) -> c_int {
    let mut guard = recorder();
    let Some(recorder) = &mut *guard else { return rusqlite::ffi::SQLITE_ERROR };
    let Some(real) = recorder.open else { return rusqlite::ffi::SQLITE_ERROR };
    // SAFETY: the arguments are SQLite's own; the copied layer has the application data that the real function reads.
    let result = unsafe { real(layer, name, file, flags, took) };
    if result != SQLITE_OK || name.is_null() {
        return result;
    }
    // SAFETY: SQLite names files by texts that end with a zero; it is not null.
    let path = PathBuf::from(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned());
    let Some(folder) = &recorder.folder else { return result };
    // The index is shared memory, which no power cut leaves.
    let Ok(file_name) = path.strip_prefix(folder) else { return result };
    let name = file_name.to_string_lossy().into_owned();
    // SAFETY: the real function filled in the file, whose functions are static.
    unsafe {
        let Some(methods) = (*file).pMethods.as_ref() else { return result };
        let table = recorder.tables.entry(std::ptr::from_ref(methods).addr()).or_insert_with(|| {
            Box::leak(Box::new(sqlite3_io_methods {
                xWrite: Some(write),
                xTruncate: Some(truncate),
                xSync: Some(sync),
                xClose: Some(close),
                ..*methods
            }))
        });
        (*file).pMethods = *table;
        recorder.files.insert(file.addr(), (name, methods));
    }
    result
}

unsafe extern "C" fn delete(layer: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite names files by texts that end with a zero.
    let path = PathBuf::from(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned());
    let mut guard = recorder();
    let Some(recorder) = &mut *guard else { return rusqlite::ffi::SQLITE_ERROR };
    if let Some(folder) = &recorder.folder
        && let Ok(file) = path.strip_prefix(folder)
    {
        recorder.entries.push(Entry::Delete { file: file.to_string_lossy().into_owned() });
    }
    match recorder.delete {
        // SAFETY: the arguments are SQLite's own.
        Some(real) => unsafe { real(layer, name, sync) },
        None => rusqlite::ffi::SQLITE_IOERR_DELETE,
    }
}

/// The functions that SQLite has for a file, and the note of what is done with it.
fn through(
    file: *mut sqlite3_file,
    entry: impl FnOnce(String) -> Entry,
) -> Option<&'static sqlite3_io_methods> {
    let mut guard = recorder();
    let recorder = guard.as_mut()?;
    let (name, methods) = recorder.files.get(&file.addr())?;
    if recorder.folder.is_some() {
        recorder.entries.push(entry(name.clone()));
    }
    Some(methods)
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    count: c_int,
    at: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite hands over that many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), usize::try_from(count).unwrap_or(0)) };
    let place = usize::try_from(at).unwrap_or(0);
    match through(file, |file| Entry::Write { file, at: place, bytes: bytes.to_vec() })
        .and_then(|real| real.xWrite)
    {
        // SAFETY: the arguments are SQLite's own.
        Some(real) => unsafe { real(file, from, count, at) },
        None => rusqlite::ffi::SQLITE_IOERR_WRITE,
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    let length = usize::try_from(size).unwrap_or(0);
    match through(file, |file| Entry::Truncate { file, length }).and_then(|real| real.xTruncate) {
        // SAFETY: the arguments are SQLite's own.
        Some(real) => unsafe { real(file, size) },
        None => rusqlite::ffi::SQLITE_IOERR_TRUNCATE,
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // Noted before it is done: nothing else is written to the file meanwhile, and nobody was told anything yet.
    match through(file, |file| Entry::Sync { file }).and_then(|real| real.xSync) {
        // SAFETY: the arguments are SQLite's own.
        Some(real) => unsafe { real(file, flags) },
        None => rusqlite::ffi::SQLITE_IOERR_FSYNC,
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let known = recorder().as_mut().and_then(|recorder| recorder.files.remove(&file.addr()));
    match known.and_then(|(_, real)| real.xClose) {
        // SAFETY: the file is SQLite's own.
        Some(real) => unsafe { real(file) },
        None => rusqlite::ffi::SQLITE_IOERR_CLOSE,
    }
}
