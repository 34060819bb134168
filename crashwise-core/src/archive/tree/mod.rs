//! Writes the tree of one archive below one directory and nowhere else.
//!
//! Every directory is entered component by component without following links, every file is created anew, and
//! symbolic links are only noted until the end, when all of them are known and were followed to a place inside the
//! root. So no entry can be written through a link, whatever the order of the entries.

#[cfg_attr(unix, path = "dir_unix.rs")]
#[cfg_attr(not(unix), path = "dir_other.rs")]
mod dir;
mod links;
mod seen;

use std::fs::{File, FileTimes};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use self::dir::Dir;
pub(super) use self::links::Links;
pub(super) use self::seen::{Seen, Sight};
use super::error::{Bound, Fault, Rule};
use super::limits::{ExtractOptions, Progress};
use super::name::Name;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File(u64),
    Other,
}

/// What an extraction made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Extracted {
    /// Regular files.
    pub files: u64,
    /// Directories, implied ones included, the root not.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Hard links to earlier files.
    pub hardlinks: u64,
    /// Bytes of all files, hard links and holes counted.
    pub bytes: u64,
}

/// Attributes of a file that survive: owners, set-id bits, write bits for others and anything else do not.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FileMeta {
    pub(super) executable: bool,
    /// Seconds since 1970, clamped to 0 ..= 2^32-1 when written.
    pub(super) mtime: Option<i64>,
    pub(super) size: u64,
}

/// One directory on the way to the current one.
#[derive(Debug)]
struct Level {
    name: Vec<u8>,
    dir: Dir,
}

/// The tree being written.
pub(super) struct Tree<'a> {
    options: &'a ExtractOptions,
    root: Dir,
    levels: Vec<Level>,
    seen: Seen,
    links: Links,
    done: Extracted,
    entries: u64,
    reported: u64,
}

impl<'a> Tree<'a> {
    /// Begins a tree in an existing, empty directory.
    pub(super) fn new(root: &Path, options: &'a ExtractOptions) -> io::Result<Self> {
        Ok(Self {
            options,
            root: Dir::open(root)?,
            levels: Vec::new(),
            seen: Seen::new(!options.collisions),
            links: Links::default(),
            done: Extracted::default(),
            entries: 0,
            reported: 0,
        })
    }

    /// Makes a directory; making one twice is fine.
    pub(super) fn directory(&mut self, name: &Name) -> Result<(), Fault> {
        self.count_entry()?;
        if self.links.contains(name.path()) {
            return Err(Rule::OverSymlink.into());
        }
        self.enter(name.path(), Rule::KindSwap)
    }

    /// Creates a file and hands it out for writing. Its size counts against the limits at once.
    pub(super) fn file(&mut self, name: &Name, meta: FileMeta) -> Result<File, Fault> {
        self.count_entry()?;
        self.count_bytes(meta.size)?;
        let leaf = self.place(name)?;
        let file = self.current().create(leaf, meta.executable)?;
        self.done.files += 1;
        Ok(file)
    }

    /// Gives a written file its time.
    pub(super) fn finish_file(file: &File, meta: FileMeta) -> Result<(), Fault> {
        if let Some(mtime) = meta.mtime {
            let seconds = u64::try_from(mtime).unwrap_or(0).min(u64::from(u32::MAX));
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            file.set_times(FileTimes::new().set_modified(time))?;
        }
        Ok(())
    }

    /// Links a name to an earlier regular file.
    pub(super) fn hard_link(&mut self, name: &Name, target: &[u8]) -> Result<(), Fault> {
        self.count_entry()?;
        let target =
            Name::parse(target, self.options).and_then(Name::of_leaf).map_err(|fault| match fault {
                Fault::Rule(Rule::AbsolutePath | Rule::ParentComponent) => Rule::HardlinkOutside.into(),
                Fault::Rule(_) => Rule::HardlinkTarget.into(),
                other => other,
            })?;
        if self.links.contains(target.path()) || self.links.is_through(target.path()) {
            return Err(Rule::HardlinkTarget.into());
        }
        let Some(Kind::File(size)) = self.root.kind(target.path())? else {
            return Err(Rule::HardlinkTarget.into());
        };
        self.count_bytes(size)?;
        let leaf = self.place(name)?;
        self.current().hard_link(leaf, &self.root, target.path())?;
        self.done.hardlinks += 1;
        Ok(())
    }

    /// Notes a symbolic link, to be made by [`finish`](Self::finish).
    pub(super) fn symlink(&mut self, name: &Name, target: &[u8]) -> Result<(), Fault> {
        self.count_entry()?;
        links::check_target(target, self.options)?;
        self.place(name)?;
        self.links.add(name.path(), target, self.options.limits.link_bytes)?;
        self.done.symlinks += 1;
        Ok(())
    }

    /// Follows all symbolic links, then makes them. An error comes with the link's name.
    pub(super) fn finish(mut self) -> Result<Extracted, (Vec<u8>, Fault)> {
        self.links.check(self.options.limits.link_bytes)?;
        let links = std::mem::take(&mut self.links);
        for (path, target) in links.iter() {
            let (parent, leaf) = split(path);
            self.enter(parent, Rule::ThroughFile)
                .and_then(|()| Ok(self.current().symlink(leaf, target)?))
                .map_err(|fault| (path.to_vec(), fault))?;
        }
        self.report();
        Ok(self.done)
    }

    /// Counts content that was written, for progress and cancellation only.
    pub(super) fn wrote(&mut self, bytes: u64) -> Result<(), Fault> {
        self.reported += bytes;
        if self.reported >= 1 << 20 {
            self.reported = 0;
            self.report();
            self.options.check_cancel()?;
        }
        Ok(())
    }

    fn report(&self) {
        if let Some(progress) = &self.options.progress {
            progress(Progress { entries: self.entries, bytes: self.done.bytes });
        }
    }

    /// Counts an entry of the archive, whatever it is.
    pub(super) fn count_entry(&mut self) -> Result<(), Fault> {
        self.entries += 1;
        if self.entries > self.options.limits.entries {
            return Err(Fault::Limit(Bound::Entries, self.options.limits.entries));
        }
        if self.entries.is_multiple_of(256) { self.options.check_cancel() } else { Ok(()) }
    }

    fn count_bytes(&mut self, size: u64) -> Result<(), Fault> {
        let limits = &self.options.limits;
        if size > limits.file_bytes {
            return Err(Fault::Limit(Bound::FileBytes, limits.file_bytes));
        }
        self.done.bytes = self.done.bytes.saturating_add(size);
        if self.done.bytes > limits.total_bytes {
            return Err(Fault::Limit(Bound::TotalBytes, limits.total_bytes));
        }
        Ok(())
    }

    fn current(&self) -> &Dir {
        self.levels.last().map_or(&self.root, |level| &level.dir)
    }

    /// Enters the parent of a new name and makes sure that the name is free.
    fn place<'n>(&mut self, name: &'n Name) -> Result<&'n [u8], Fault> {
        let (parent, leaf) = split(name.path());
        self.enter(parent, Rule::ThroughFile)?;
        match self.seen.look(name.path()) {
            Sight::New => Ok(leaf),
            Sight::Collides => Err(Rule::Collision.into()),
            Sight::Known if self.links.contains(name.path()) => Err(Rule::OverSymlink.into()),
            Sight::Known => match self.root.kind(name.path())? {
                Some(Kind::Directory) => Err(Rule::KindSwap.into()),
                _ => Err(Rule::Duplicate.into()),
            },
        }
    }

    /// Makes a directory the current one, creating what is missing. `over_file` says what it means when the last
    /// component is a file.
    fn enter(&mut self, path: &[u8], over_file: Rule) -> Result<(), Fault> {
        if path.is_empty() {
            self.levels.clear();
            return Ok(());
        }
        let mut start = 0;
        let mut depth = 0;
        while start < path.len() {
            let end = path[start..].iter().position(|&b| b == b'/').map_or(path.len(), |i| start + i);
            let part = &path[start..end];
            if self.levels.get(depth).is_none_or(|level| level.name != part) {
                self.levels.truncate(depth);
                let rule = if end == path.len() { over_file } else { Rule::ThroughFile };
                let dir = self.step(&path[..end], part, rule)?;
                self.levels.push(Level { name: part.to_vec(), dir });
            }
            depth += 1;
            start = end + 1;
        }
        self.levels.truncate(depth);
        Ok(())
    }

    /// Goes from the current directory into `part`, whose whole path is `path`.
    fn step(&mut self, path: &[u8], part: &[u8], over_file: Rule) -> Result<Dir, Fault> {
        match self.seen.look(path) {
            Sight::Collides => return Err(Rule::Collision.into()),
            Sight::New => {
                // Implied directories count: a few deep names must not make millions of them.
                self.count_entry()?;
                self.current().make(part)?;
                self.done.directories += 1;
            }
            Sight::Known if self.links.contains(path) => return Err(Rule::ThroughSymlink.into()),
            Sight::Known => {}
        }
        self.current().enter(part).map_err(|error| match error.kind() {
            io::ErrorKind::NotADirectory => over_file.into(),
            _ => Fault::Io(error),
        })
    }
}

/// Refuses a file that would run as somebody else. On directories the same bits mean something harmless.
pub(super) fn check_mode(mode: u64) -> Result<(), Fault> {
    if mode & 0o6000 == 0 { Ok(()) } else { Err(Rule::SetId.into()) }
}

/// Parent and last component.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}
