//! The walk itself.

use super::content::{ContentKind, Encoding, HEAD, text_of};
use super::folder::{EntryKind, Folder, OpenError, OpenFile};
use super::ignores::{FilePatterns, IGNORE_FILES, Ignores, InvalidPattern, MAX_IGNORE_FILE, is_vcs};
use super::progress::{Progress, Share};
use super::queue::Queue;
use super::visitor::{Visitor, WalkedFile, Want, Window};
use super::{WalkOptions, Windows};
use crashwise_core::{Coverage, Gap, GapReason, ModuleContext, ModuleError, RelPath, Workspace};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Files handed to another thread at once.
const BATCH: usize = 16;
/// A buffer that grew beyond this is given back after the file that needed it.
const KEPT_BUFFER: usize = 4 << 20;
/// Files of more bytes are looked at before they are read, where large ones are shown in windows.
const LARGE: u64 = 64 << 10;
/// Gaps that one thread keeps before it counts the rest.
const KEPT_GAPS: usize = 20_000;

/// A walk over the files of a workspace. See the module's documentation for its rules.
#[derive(Debug)]
pub struct Walk {
    root: PathBuf,
    options: WalkOptions,
    include: FilePatterns,
    exclude: FilePatterns,
    #[cfg(test)]
    pub(super) fault: Option<fn(&str) -> Option<io::Error>>,
}

/// What a walk did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalkTotals {
    /// Files shown to visitors.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Findings that visitors reported.
    pub findings: u64,
    /// Whether it was asked to stop before the end.
    pub cancelled: bool,
}

impl Walk {
    /// Prepares a walk; fails on an include or exclude pattern that is not valid.
    pub fn new(workspace: &Workspace, options: WalkOptions) -> Result<Self, InvalidPattern> {
        Ok(Self {
            root: workspace.root().to_owned(),
            include: FilePatterns::new(&options.include)?,
            exclude: FilePatterns::new(&options.exclude)?,
            options,
            #[cfg(test)]
            fault: None,
        })
    }

    /// Visits every file. Blocks: call it inside [`ModuleContext::blocking`]. Counts what was looked at and left out,
    /// notes gaps and sends progress through the context. Fails when the root cannot be opened or a visitor fails.
    pub fn run(&self, cx: &ModuleContext, visitor: &impl Visitor) -> Result<WalkTotals, ModuleError> {
        let root = Folder::root(&self.root).map_err(|error| {
            ModuleError::failed_to(format!("opening workspace {} failed", self.root.display()), error)
        })?;
        let shared = Shared {
            walk: self,
            cx,
            visitor,
            canonical_root: self.root.canonicalize().unwrap_or_else(|_| self.root.clone()),
            queue: Queue::new(Task::Folder(FolderTask {
                opened: Opened::Root(root),
                path: PathBuf::new(),
                ignores: None,
                depth: 1,
                share: Share::ALL,
            })),
            entries_left: AtomicUsize::new(self.options.max_entries),
            progress: Progress::new(),
            failure: Mutex::new(None),
            results: Mutex::new((Coverage::new(), Gaps::default())),
        };
        let threads = self.options.thread_count();
        std::thread::scope(|scope| {
            for _ in 1..threads {
                // With fewer threads than asked for the walk takes longer, and that is all.
                let started = std::thread::Builder::new()
                    .name("crashwise-walk".into())
                    .spawn_scoped(scope, || Worker::new(&shared).work());
                if started.is_err() {
                    break;
                }
            }
            Worker::new(&shared).work();
        });
        let cancelled = cx.is_cancelled();
        let (coverage, gaps) = shared.results.into_inner().unwrap_or_else(PoisonError::into_inner);
        cx.merge_coverage(gaps.into_coverage(coverage));
        let failure = shared.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        shared.progress.finish(cx, !cancelled && failure.is_none());
        let progress = shared.progress;
        match failure {
            Some(error) => Err(error),
            None => Ok(WalkTotals {
                files: progress.files.into_inner(),
                bytes: progress.bytes.into_inner(),
                findings: progress.findings.into_inner(),
                cancelled,
            }),
        }
    }
}

enum Task {
    Folder(FolderTask),
    Files { folder: Arc<Folder>, path: Arc<Path>, names: Vec<OsString>, share: Share },
}

struct FolderTask {
    opened: Opened,
    /// Below the workspace.
    path: PathBuf,
    ignores: Option<Arc<Ignores>>,
    depth: usize,
    share: Share,
}

enum Opened {
    Root(Folder),
    Below(Arc<Folder>, OsString),
}

struct Shared<'w, V> {
    walk: &'w Walk,
    cx: &'w ModuleContext,
    visitor: &'w V,
    canonical_root: PathBuf,
    queue: Queue<Task>,
    entries_left: AtomicUsize,
    progress: Progress,
    failure: Mutex<Option<ModuleError>>,
    results: Mutex<(Coverage, Gaps)>,
}

struct Worker<'s, 'w, V> {
    shared: &'s Shared<'w, V>,
    coverage: Coverage,
    gaps: Gaps,
    buffer: Vec<u8>,
}

impl<'s, 'w, V: Visitor> Worker<'s, 'w, V> {
    fn new(shared: &'s Shared<'w, V>) -> Self {
        Self {
            shared,
            coverage: Coverage::new(),
            gaps: Gaps::default(),
            buffer: Vec::with_capacity(64 << 10),
        }
    }

    fn work(mut self) {
        let queue = &self.shared.queue;
        queue.work(|task| {
            if self.shared.cx.is_cancelled() {
                queue.stop();
                return;
            }
            match task {
                Task::Folder(task) => self.folder(task),
                Task::Files { folder, path, names, share } => self.files(&folder, &path, &names, share),
            }
        });
        let mut results = self.shared.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.0.merge(self.coverage);
        results.1.merge(self.gaps);
    }

    fn gap(&mut self, path: &Path, reason: GapReason, detail: impl Into<String>) {
        self.gaps.push(Gap::new(display(path), reason, detail));
    }

    fn folder(&mut self, task: FolderTask) {
        let FolderTask { opened, path, mut ignores, depth, share } = task;
        let options = &self.shared.walk.options;
        if depth > options.max_depth {
            self.gap(&path, GapReason::TooDeep, format!("deeper than {} folders", options.max_depth));
            self.shared.progress.done(share);
            return;
        }
        let folder = match opened {
            Opened::Root(folder) => Ok(folder),
            Opened::Below(parent, name) => parent.folder(&name),
        };
        let listed = folder.and_then(|folder| {
            let limit = self.shared.entries_left.load(Ordering::Relaxed);
            folder.entries(limit).map(|(entries, more)| (folder, entries, more))
        });
        let (folder, entries, more) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                self.gaps.push(Gap::from_io(display(&path), &error));
                self.shared.progress.done(share);
                return;
            }
        };
        let left = &self.shared.entries_left;
        let _ =
            left.try_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.saturating_sub(entries.len())));
        if more {
            let limit = options.max_entries;
            self.gap(&path, GapReason::TooMany, format!("more than {limit} files and folders in the walk"));
        }
        if options.ignore_files {
            ignores = self.ignore_files(&folder, &path, &entries, ignores);
        }
        self.split(folder, &path, entries, ignores.as_ref(), (depth, share));
    }

    /// Sorts the entries of a folder into files to visit now and folders to visit later.
    fn split(
        &mut self,
        folder: Folder,
        path: &Path,
        entries: Vec<(OsString, EntryKind)>,
        ignores: Option<&Arc<Ignores>>,
        (depth, share): (usize, Share),
    ) {
        let mut files = Vec::new();
        let mut folders = Vec::new();
        for (name, kind) in entries {
            let entry = path.join(&name);
            let is_folder = kind == EntryKind::Folder;
            if !self.shared.walk.options.vcs_folders
                && (is_folder || name == ".git")
                && is_vcs(name.as_encoded_bytes())
            {
                continue;
            }
            let walk = self.shared.walk;
            if walk.exclude.match_entry(&entry, is_folder)
                || ignores.is_some_and(|ignores| ignores.leave_out(&entry, is_folder))
                || !(is_folder || walk.include.is_empty() || walk.include.match_file(&entry))
            {
                self.coverage.exclude(if is_folder { "folders" } else { "files" }, 1);
                continue;
            }
            match kind {
                EntryKind::File => files.push(name),
                EntryKind::Folder => folders.push((name, entry)),
                EntryKind::Link => self.link(&folder, &entry, &name),
                EntryKind::Special => self.special(&entry),
            }
        }
        let folder = Arc::new(folder);
        let share = share.divide(folders.len() + usize::from(!files.is_empty()));
        self.shared.queue.push(folders.into_iter().map(|(name, path)| {
            Task::Folder(FolderTask {
                opened: Opened::Below(Arc::clone(&folder), name),
                path,
                ignores: ignores.cloned(),
                depth: depth + 1,
                share,
            })
        }));
        if files.len() > BATCH && self.shared.queue.is_hungry() {
            let path: Arc<Path> = path.into();
            let batches = files.chunks(BATCH);
            let share = share.divide(batches.len());
            self.shared.queue.push(batches.map(|names| Task::Files {
                folder: Arc::clone(&folder),
                path: Arc::clone(&path),
                names: names.to_vec(),
                share,
            }));
        } else {
            self.files(&folder, path, &files, share);
        }
    }

    fn ignore_files(
        &mut self,
        folder: &Folder,
        path: &Path,
        entries: &[(OsString, EntryKind)],
        mut ignores: Option<Arc<Ignores>>,
    ) -> Option<Arc<Ignores>> {
        for name in IGNORE_FILES {
            let found = entries.binary_search_by(|(entry, _)| entry.as_os_str().cmp(OsStr::new(name)));
            if found.is_err() {
                continue;
            }
            self.buffer.clear();
            let read = folder.file(OsStr::new(name)).map_err(|error| error.to_string()).and_then(|file| {
                file.read(&mut self.buffer, MAX_IGNORE_FILE).map_err(|error| error.to_string())
            });
            match read {
                Ok(true) => ignores = Ignores::add(ignores, path, &self.buffer),
                Ok(false) => self.gap(&path.join(name), GapReason::TooLarge, "its patterns are not used"),
                Err(error) => {
                    let detail = format!("its patterns are not used: {error}");
                    self.gap(&path.join(name), GapReason::Unreadable, detail);
                }
            }
        }
        ignores
    }

    fn special(&mut self, path: &Path) {
        self.gap(path, GapReason::SpecialFile, "a FIFO, socket or device is not opened");
    }

    /// A link is never followed; where it leads decides whether something is missed.
    fn link(&mut self, folder: &Folder, entry: &Path, name: &OsStr) {
        let root = &self.shared.canonical_root;
        let holder = entry.parent().unwrap_or(Path::new(""));
        let problem = match root.join(entry).canonicalize() {
            Ok(target) if root.join(holder).starts_with(&target) && target.starts_with(root) => {
                Some((GapReason::Symlink, "leads back to a folder above it".to_owned()))
            }
            Ok(target) if target.starts_with(root) => None,
            Ok(_) => Some((GapReason::Symlink, "leads out of the workspace".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match folder.link(name) {
                Ok(target) if stays_inside(holder, &target) => None,
                Ok(_) => Some((GapReason::Symlink, "leads out of the workspace".to_owned())),
                Err(error) => Some((GapReason::Unreadable, error.to_string())),
            },
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Some((GapReason::Unreadable, error.to_string()))
            }
            Err(error) => Some((GapReason::Symlink, error.to_string())),
        };
        match problem {
            Some((reason, detail)) => self.gap(entry, reason, detail),
            None => self.coverage.add("links", 1),
        }
    }

    fn files(&mut self, folder: &Folder, path: &Path, names: &[OsString], share: Share) {
        for name in names {
            if self.shared.cx.is_cancelled() {
                self.shared.queue.stop();
                return;
            }
            let path = path.join(name);
            if let Err(error) = self.file(folder, &path, name) {
                self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                self.shared.queue.stop();
                return;
            }
        }
        self.shared.progress.done(share);
    }

    fn file(&mut self, folder: &Folder, path: &Path, name: &OsStr) -> Result<(), ModuleError> {
        let Ok(rel) = RelPath::new(path) else {
            self.gap(path, GapReason::Unsupported, "its name cannot be part of a path");
            return Ok(());
        };
        let mut file = WalkedFile {
            path: rel,
            size: 0,
            kind: ContentKind::Unread,
            is_whole: false,
            offset: 0,
            window: None,
        };
        let visitor = self.shared.visitor;
        let want = visitor.wants(&file);
        if want == Want::Nothing {
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = self.read(folder, name, want, &mut file, &mut buffer);
        let result = match read {
            Ok(None) => self.show(&mut file, &buffer),
            Ok(Some((open, windows))) => self.windows(&mut file, &open, windows, &mut buffer),
            Err(OpenError::NotAFile) => {
                self.special(path);
                Ok(())
            }
            Err(OpenError::Io(error)) => {
                self.gaps.push(Gap::from_io(display(path), &error));
                Ok(())
            }
        };
        if buffer.capacity() > KEPT_BUFFER {
            buffer = Vec::new();
        }
        self.buffer = buffer;
        result
    }

    /// Reads as much of a file as is wanted into the buffer; a text to be shown in windows is returned, read in part.
    fn read(
        &mut self,
        folder: &Folder,
        name: &OsStr,
        want: Want,
        file: &mut WalkedFile,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<(OpenFile, Windows)>, OpenError> {
        buffer.clear();
        #[cfg(test)]
        if let Some(error) = self.shared.walk.fault.and_then(|fault| fault(file.path.as_str())) {
            return Err(error.into());
        }
        if want == Want::Metadata {
            file.size = folder.size(name)?;
            return Ok(None);
        }
        let open = folder.file(name)?;
        file.size = open.size;
        let mut max = self.shared.walk.options.max_file_size;
        if let Some(windows) = self.shared.walk.options.windows.filter(|_| want == Want::Whole) {
            if file.size > LARGE && file.size <= max {
                open.append(buffer, HEAD)?;
                file.kind = ContentKind::of(buffer);
                if file.kind == ContentKind::Binary && !(windows.is_readable)(buffer) {
                    return Ok(None);
                }
                if file.kind == ContentKind::Text(Encoding::Bytes) && file.size > windows.size as u64 {
                    return Ok(Some((open, windows)));
                }
            }
            max = max.min(windows.max_whole);
        }
        let mut too_large = want == Want::Whole && file.size > max;
        let limit =
            if want == Want::Head || too_large { HEAD } else { usize::try_from(max).unwrap_or(usize::MAX) };
        file.is_whole = open.read(buffer, limit)? && !too_large;
        too_large |= want == Want::Whole && !file.is_whole;
        if too_large {
            let detail = format!("{} bytes, the limit is {max}", file.size.max(max.saturating_add(1)));
            self.gap(Path::new(file.path.as_str()), GapReason::TooLarge, detail);
        }
        file.kind = ContentKind::of(buffer);
        Ok(None)
    }

    /// Shows a large text in windows. The buffer holds its first bytes.
    fn windows(
        &mut self,
        file: &mut WalkedFile,
        open: &OpenFile,
        windows: Windows,
        buffer: &mut Vec<u8>,
    ) -> Result<(), ModuleError> {
        let max = self.shared.walk.options.max_file_size;
        let (mut line, mut column) = (0, 0);
        let mut own_start = 0;
        loop {
            let ended = match open.append(buffer, windows.size.max(4 * windows.context)) {
                Ok(ended) => ended,
                Err(error) => {
                    self.gaps.push(Gap::from_io(file.path.as_str(), &error));
                    return Ok(());
                }
            };
            let own_end = if ended { buffer.len() } else { buffer.len() - windows.context };
            file.window = Some(Window { own: own_start..own_end, line, column });
            if !self.shown(file, buffer, (own_end - own_start) as u64)? || ended {
                break;
            }
            if self.shared.cx.is_cancelled() {
                return Ok(());
            }
            let done = own_end - windows.context;
            let behind = &buffer[..done];
            if let Some(last) = memchr::memrchr(b'\n', behind) {
                line += memchr::memchr_iter(b'\n', behind).count();
                column = code_points(&behind[last + 1..]);
            } else {
                column += code_points(behind);
            }
            buffer.drain(..done);
            file.offset += done as u64;
            own_start = windows.context;
            // It grew while it was read.
            if file.offset > max {
                self.gap(Path::new(file.path.as_str()), GapReason::TooLarge, format!("the limit is {max}"));
                break;
            }
        }
        self.coverage.add("files", 1);
        Ok(())
    }

    fn show(&mut self, file: &mut WalkedFile, buffer: &[u8]) -> Result<(), ModuleError> {
        let decode = self.shared.walk.options.decode;
        let (bytes, offset) = if decode { text_of(buffer, file.kind) } else { (buffer.into(), 0) };
        file.offset = offset;
        if self.shown(file, &bytes, buffer.len() as u64)? {
            self.coverage.add("files", 1);
        }
        Ok(())
    }

    /// Shows bytes of a file; no where the visitor panicked, which leaves a gap.
    fn shown(&mut self, file: &WalkedFile, bytes: &[u8], len: u64) -> Result<bool, ModuleError> {
        let progress = &self.shared.progress;
        let shown = catch_unwind(AssertUnwindSafe(|| self.shared.visitor.show(file, bytes)));
        let first = file.window.as_ref().is_none_or(|window| window.own.start == 0);
        progress.files.fetch_add(u64::from(first), Ordering::Relaxed);
        progress.bytes.fetch_add(len, Ordering::Relaxed);
        let is_shown = match shown {
            Ok(found) => {
                progress.findings.fetch_add(found?, Ordering::Relaxed);
                self.coverage.add("bytes", len);
                true
            }
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().copied();
                let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
                self.gaps.push(Gap::new(file.path.as_str(), GapReason::Panicked, text.unwrap_or_default()));
                false
            }
        };
        progress.tick(self.shared.cx, &file.path);
        Ok(is_shown)
    }
}

/// Gaps of one thread, the first ones by name kept whatever order they came in.
#[derive(Debug, Default)]
struct Gaps {
    kept: Vec<Gap>,
    more: BTreeMap<GapReason, u64>,
}

impl Gaps {
    fn push(&mut self, gap: Gap) {
        self.kept.push(gap);
        if self.kept.len() >= 2 * KEPT_GAPS {
            self.trim(KEPT_GAPS);
        }
    }

    fn merge(&mut self, other: Self) {
        self.kept.extend(other.kept);
        for (reason, count) in other.more {
            *self.more.entry(reason).or_insert(0) += count;
        }
    }

    fn trim(&mut self, keep: usize) {
        self.kept.sort_unstable();
        for gap in self.kept.drain(keep.min(self.kept.len())..) {
            *self.more.entry(gap.reason).or_insert(0) += 1;
        }
    }

    fn into_coverage(mut self, mut coverage: Coverage) -> Coverage {
        self.trim(Coverage::MAX_GAPS);
        for gap in self.kept {
            coverage.push(gap);
        }
        for (reason, count) in self.more {
            *coverage.more_gaps.entry(reason).or_insert(0) += count;
        }
        coverage
    }
}

/// Whether a link's text, read from the folder that holds it, stays below the workspace.
fn stays_inside(holder: &Path, target: &Path) -> bool {
    let mut depth = holder.components().count();
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return false,
            },
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

fn code_points(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| (**byte & 0xC0) != 0x80).count()
}

fn display(path: &Path) -> String {
    if path.as_os_str().is_empty() { ".".to_owned() } else { path.to_string_lossy().into_owned() }
}
