//! A thread of a pass.

use super::Windows;
use super::account::Account;
use super::content::{ContentKind, Encoding, HEAD, text_of};
use super::folder::{EntryKind, Folder, OpenError, OpenFile};
use super::ignores::{IGNORE_FILES, Ignores, MAX_IGNORE_FILE, is_vcs};
use super::member::{Member, Members, lock};
use super::pass::{Audience, FolderTask, Pass, Task};
use super::progress::Share;
use super::visitor::{Visitor, WalkedFile, Want, Window};
use crashwise_core::{Gap, GapReason, RelPath};
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Component, Path};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

/// Files handed to another thread at once.
const BATCH: usize = 16;
/// A buffer that grew beyond this is given back after the file that needed it.
const KEPT_BUFFER: usize = 4 << 20;
/// Files of more bytes are looked at before they are read, where large ones are shown in windows.
const LARGE: u64 = 64 << 10;

pub(super) struct Worker<'p, 'v> {
    pass: &'p Pass<'v>,
    members: Vec<Arc<Member<'v>>>,
    /// What this thread did for each of them.
    accounts: Vec<Arc<Mutex<Account>>>,
    buffer: Vec<u8>,
    /// Starts the threads that help, if this one may.
    call: Option<&'p dyn Fn()>,
}

/// What came of reading a file.
enum Content {
    /// It is in the buffer, from its start; to its end if that was reached.
    Read { ended: bool },
    /// It is a large text of which the start is in the buffer.
    Windows(OpenFile, Windows),
}

/// An entry of a folder, and whom it concerns.
type Concerning<T> = (T, Members);

impl<'p, 'v> Worker<'p, 'v> {
    pub(super) fn new(pass: &'p Pass<'v>, call: Option<&'p dyn Fn()>) -> Self {
        let buffer = Vec::with_capacity(64 << 10);
        Self { pass, members: Vec::new(), accounts: Vec::new(), buffer, call }
    }

    /// Works until all is done, or until `goes_on` says no after a task.
    pub(super) fn work(mut self, goes_on: impl Fn() -> bool) {
        let pass = self.pass;
        pass.queue.work(|task| {
            match task {
                Task::Folder(task) => self.folder(&task),
                Task::Files { folder, path, files, share } => {
                    self.meet(&pass.members_after(self.members.len()));
                    self.files(&folder, &path, &files, share);
                }
            }
            goes_on()
        });
    }

    /// Knows the members of the pass that are new to this thread.
    fn meet(&mut self, members: &[Arc<Member<'v>>]) {
        self.accounts.extend(members.iter().map(|member| member.open_account()));
        self.members.extend_from_slice(members);
    }

    /// Has others help with what waits, once that and the files at hand are more than one task.
    fn share_work(&mut self, files: usize) -> bool {
        let Some(call) = self.call else { return false };
        if self.pass.queue.len() + files.div_ceil(BATCH) < 2 {
            return false;
        }
        self.call = None;
        let is_first = self.pass.take_call();
        if is_first {
            call();
        }
        is_first
    }

    fn account(&self, member: usize) -> MutexGuard<'_, Account> {
        lock(&self.accounts[member])
    }

    fn gap(&self, whom: Members, gap: &Gap) {
        for member in whom.iter() {
            self.account(member).gap(gap.clone());
        }
    }

    fn active(&self, whom: Members) -> Members {
        whom.iter().filter(|member| self.members[*member].is_active()).collect()
    }

    fn folder(&mut self, task: &FolderTask) {
        let (new, whom) = self.pass.enter(task, &self.members);
        self.meet(&new);
        let share = task.share;
        if whom.is_empty() || !self.enter(task, whom) {
            share.add_to(&self.pass.done);
        }
    }

    /// Sees to the entries of a folder; no if there are none to be had.
    fn enter(&mut self, task: &FolderTask, whom: Members) -> bool {
        let pass = self.pass;
        let path = &*task.path;
        let options = &pass.options;
        if task.depth > options.max_depth {
            let detail = format!("deeper than {} folders", options.max_depth);
            self.gap(whom, &gap(path, GapReason::TooDeep, detail));
            return false;
        }
        let left = &pass.entries_left;
        let opened = match &task.place {
            (parent, Some(name)) => parent.folder(name).map(Arc::new),
            (folder, None) => Ok(Arc::clone(folder)),
        };
        let listed = opened.and_then(|folder| {
            let (entries, more) = folder.entries(left.load(Ordering::Relaxed))?;
            Ok((folder, entries, more))
        });
        let (folder, entries, more) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                self.gap(whom, &Gap::from_io(display(path), &error));
                return false;
            }
        };
        if !task.is_again() {
            let fewer = |n: usize| Some(n.saturating_sub(entries.len()));
            let _ = left.try_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        }
        if more {
            let detail = format!("more than {} files and folders in the walk", options.max_entries);
            self.gap(whom, &gap(path, GapReason::TooMany, detail));
        }
        let mut ignores = task.ignores.clone();
        if options.ignore_files {
            ignores = self.ignore_files(&folder, path, &entries, ignores, whom);
        }
        self.split(&folder, task, entries, ignores.as_ref(), whom);
        true
    }

    /// Sorts the entries of a folder into files to visit now and folders to visit later.
    fn split(
        &mut self,
        folder: &Arc<Folder>,
        task: &FolderTask,
        entries: Vec<(OsString, EntryKind)>,
        ignores: Option<&Arc<Ignores>>,
        whom: Members,
    ) {
        let pass = self.pass;
        let everyone = Members::first(self.members.len());
        let mut files = Vec::new();
        let mut folders = Vec::new();
        for (name, kind) in entries {
            let entry = task.path.join(&name);
            let is_folder = kind == EntryKind::Folder;
            if !pass.options.vcs_folders && (is_folder || name == ".git") && is_vcs(name.as_encoded_bytes()) {
                continue;
            }
            let is_ignored = ignores.is_some_and(|ignores| ignores.leave_out(&entry, is_folder));
            let kept: Members = whom
                .iter()
                .filter(|member| !(is_ignored || self.members[*member].leaves_out(&entry, is_folder)))
                .collect();
            for member in whom.without(kept).iter() {
                self.account(member).exclude(is_folder);
            }
            // One that joins later may want the folder.
            let is_for_later = || is_folder && !is_ignored && !task.is_again() && pass.is_early();
            if kept.is_empty() && !is_for_later() {
                continue;
            }
            match kind {
                EntryKind::File => files.push((name, kept)),
                EntryKind::Folder => folders.push((name, entry, everyone.without(kept))),
                EntryKind::Link => self.link(folder, &entry, &name, kept),
                EntryKind::Special => self.special(&entry, kept),
            }
        }
        let mut share = task.share;
        if !task.is_again() {
            share = share.divide(folders.len() + usize::from(!files.is_empty()));
            pass.queue.push(folders.into_iter().map(|(name, path, left_out)| {
                Task::Folder(FolderTask {
                    place: (Arc::clone(folder), Some(name)),
                    path,
                    ignores: ignores.cloned(),
                    depth: task.depth + 1,
                    share,
                    audience: Audience::All { known: self.members.len(), left_out },
                })
            }));
        }
        if (self.share_work(files.len()) || pass.queue.is_hungry()) && files.len() > BATCH {
            let path: Arc<Path> = task.path.as_path().into();
            let batches = files.chunks(BATCH);
            let share = share.divide(batches.len());
            pass.queue.push(batches.map(|files| Task::Files {
                folder: Arc::clone(folder),
                path: Arc::clone(&path),
                files: files.to_vec(),
                share,
            }));
        } else {
            self.files(folder, &task.path, &files, share);
        }
    }

    fn ignore_files(
        &mut self,
        folder: &Folder,
        path: &Path,
        entries: &[(OsString, EntryKind)],
        mut ignores: Option<Arc<Ignores>>,
        whom: Members,
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
                Ok(false) => {
                    let detail = "its patterns are not used";
                    self.gap(whom, &gap(&path.join(name), GapReason::TooLarge, detail));
                }
                Err(error) => {
                    let detail = format!("its patterns are not used: {error}");
                    self.gap(whom, &gap(&path.join(name), GapReason::Unreadable, detail));
                }
            }
        }
        ignores
    }

    fn special(&self, path: &Path, whom: Members) {
        self.gap(whom, &gap(path, GapReason::SpecialFile, "a FIFO, socket or device is not opened"));
    }

    /// A link is never followed; where it leads decides whether something is missed.
    fn link(&self, folder: &Folder, entry: &Path, name: &OsStr, whom: Members) {
        let root = &self.pass.canonical_root;
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
            Some((reason, detail)) => self.gap(whom, &gap(entry, reason, detail)),
            None => whom.iter().for_each(|member| self.account(member).links += 1),
        }
    }

    fn files(&mut self, folder: &Folder, path: &Path, files: &[Concerning<OsString>], share: Share) {
        for (name, whom) in files {
            let whom = self.active(*whom);
            if !whom.is_empty() {
                self.file(folder, &path.join(name), name, whom);
            }
        }
        share.add_to(&self.pass.done);
    }

    fn file(&mut self, folder: &Folder, path: &Path, name: &OsStr, whom: Members) {
        let Ok(rel) = RelPath::new(path) else {
            self.gap(whom, &gap(path, GapReason::Unsupported, "its name cannot be part of a path"));
            return;
        };
        let mut file = WalkedFile {
            path: rel,
            size: 0,
            kind: ContentKind::Unread,
            is_whole: false,
            offset: 0,
            window: None,
        };
        let (mut metadata, mut head, mut whole) =
            (Members::default(), Members::default(), Members::default());
        for member in whom.iter() {
            match self.members[member].visitor().wants(&file) {
                Want::Nothing => {}
                Want::Metadata => metadata.add(member),
                Want::Head => head.add(member),
                Want::Whole => whole.add(member),
            }
        }
        if !metadata.is_empty() {
            match self.size(folder, name, &file) {
                Ok(size) => {
                    file.size = size;
                    self.show(&mut file, &[], metadata);
                }
                Err(error) => self.not_opened(path, error, metadata),
            }
        }
        let readers = head.with(whole);
        if readers.is_empty() {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        match self.read(folder, name, whole, &mut file, &mut buffer) {
            Ok(Content::Read { ended }) => {
                let is_whole = std::mem::replace(&mut file.is_whole, ended && buffer.len() <= HEAD);
                self.show(&mut file, &buffer[..buffer.len().min(HEAD)], head);
                file.is_whole = is_whole;
                self.show(&mut file, &buffer, whole);
            }
            Ok(Content::Windows(open, windows)) => {
                self.windows(&mut file, &open, windows, &mut buffer, readers);
            }
            Err(error) => self.not_opened(path, error, readers),
        }
        if buffer.capacity() > KEPT_BUFFER {
            buffer = Vec::new();
        }
        self.buffer = buffer;
    }

    fn not_opened(&self, path: &Path, error: OpenError, whom: Members) {
        match error {
            OpenError::NotAFile => self.special(path, whom),
            OpenError::Io(error) => self.gap(whom, &Gap::from_io(display(path), &error)),
        }
    }

    fn size(&self, folder: &Folder, name: &OsStr, file: &WalkedFile) -> Result<u64, OpenError> {
        self.fault(file)?;
        folder.size(name)
    }

    #[cfg(test)]
    fn fault(&self, file: &WalkedFile) -> Result<(), OpenError> {
        let error = self.pass.fault.and_then(|fault| fault(file.path.as_str()));
        error.map_or(Ok(()), |error| Err(error.into()))
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests put faults here")]
    fn fault(&self, _: &WalkedFile) -> Result<(), OpenError> {
        Ok(())
    }

    /// Reads a file into the buffer: its start, or the whole where somebody wants that.
    fn read(
        &self,
        folder: &Folder,
        name: &OsStr,
        whole: Members,
        file: &mut WalkedFile,
        buffer: &mut Vec<u8>,
    ) -> Result<Content, OpenError> {
        buffer.clear();
        self.fault(file)?;
        let open = folder.file(name)?;
        file.size = open.size;
        if whole.is_empty() {
            let ended = open.read(buffer, HEAD)?;
            file.kind = ContentKind::of(buffer);
            return Ok(Content::Read { ended });
        }
        let mut max = self.pass.options.max_file_size;
        if let Some(windows) = self.pass.options.windows {
            if file.size > LARGE && file.size <= max {
                open.append(buffer, HEAD)?;
                file.kind = ContentKind::of(buffer);
                if file.kind == ContentKind::Binary && !(windows.is_readable)(buffer) {
                    return Ok(Content::Read { ended: false });
                }
                if file.kind == ContentKind::Text(Encoding::Bytes) && file.size > windows.size as u64 {
                    return Ok(Content::Windows(open, windows));
                }
            }
            max = max.min(windows.max_whole);
        }
        let is_large = file.size > max;
        let ended =
            open.read(buffer, if is_large { HEAD } else { usize::try_from(max).unwrap_or(usize::MAX) })?;
        file.is_whole = ended && !is_large;
        if !file.is_whole {
            let detail = format!("{} bytes, the limit is {max}", file.size.max(max.saturating_add(1)));
            self.gap(whole, &Gap::new(file.path.as_str(), GapReason::TooLarge, detail));
        }
        file.kind = ContentKind::of(buffer);
        Ok(Content::Read { ended })
    }

    /// Shows a large text in windows. The buffer holds its first bytes.
    fn windows(
        &self,
        file: &mut WalkedFile,
        open: &OpenFile,
        windows: Windows,
        buffer: &mut Vec<u8>,
        mut whom: Members,
    ) {
        let max = self.pass.options.max_file_size;
        let (mut line, mut column) = (0, 0);
        let mut own_start = 0;
        loop {
            let ended = match open.append(buffer, windows.size.max(4 * windows.context)) {
                Ok(ended) => ended,
                Err(error) => {
                    self.gap(whom, &Gap::from_io(file.path.as_str(), &error));
                    return;
                }
            };
            let own_end = if ended { buffer.len() } else { buffer.len() - windows.context };
            file.window = Some(Window { own: own_start..own_end, line, column });
            let own = (own_end - own_start) as u64;
            whom = whom.iter().filter(|member| self.shown(*member, file, buffer, own)).collect();
            if ended {
                break;
            }
            whom = self.active(whom);
            if whom.is_empty() {
                return;
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
                let detail = format!("the limit is {max}");
                self.gap(whom, &Gap::new(file.path.as_str(), GapReason::TooLarge, detail));
                break;
            }
        }
        whom.iter().for_each(|member| self.account(member).files += 1);
    }

    fn show(&self, file: &mut WalkedFile, bytes: &[u8], whom: Members) {
        let mut text: Option<(Cow<'_, [u8]>, u64)> = None;
        for member in whom.iter() {
            let (shown, offset) = if self.members[member].decode {
                let (text, offset) = text.get_or_insert_with(|| text_of(bytes, file.kind));
                (&**text, *offset)
            } else {
                (bytes, 0)
            };
            file.offset = offset;
            if self.shown(member, file, shown, bytes.len() as u64) {
                self.account(member).files += 1;
            }
        }
    }

    /// Shows bytes of a file to a member; no where it sees nothing more, or panicked, which leaves a gap.
    fn shown(&self, number: usize, file: &WalkedFile, bytes: &[u8], len: u64) -> bool {
        let member = &self.members[number];
        let show = |visitor: &dyn Visitor| catch_unwind(AssertUnwindSafe(|| visitor.show(file, bytes)));
        let Some(shown) = member.see(show) else { return false };
        let progress = &member.progress;
        let first = file.window.as_ref().is_none_or(|window| window.own.start == 0);
        progress.files.fetch_add(u64::from(first), Ordering::Relaxed);
        progress.bytes.fetch_add(len, Ordering::Relaxed);
        let is_shown = match shown {
            Ok(Ok(found)) => {
                progress.findings.fetch_add(found, Ordering::Relaxed);
                self.account(number).bytes += len;
                true
            }
            Ok(Err(error)) => {
                member.fail(error);
                false
            }
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().copied();
                let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
                let gap = Gap::new(file.path.as_str(), GapReason::Panicked, text.unwrap_or_default());
                self.account(number).gap(gap);
                false
            }
        };
        progress.tick(&member.cx, &self.pass.done, &file.path);
        is_shown
    }
}

fn gap(path: &Path, reason: GapReason, detail: impl Into<String>) -> Gap {
    Gap::new(display(path), reason, detail)
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
