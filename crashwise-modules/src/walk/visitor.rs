//! Who sees the files of a walk.

use super::ContentKind;
use crashwise_core::{ModuleError, RelPath};
use std::ops::Range;

/// How much of a file a visitor needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Want {
    /// It does not look at this file.
    Nothing,
    /// Name and size; the file is not opened.
    Metadata,
    /// The first 8 KiB, or the whole where another visitor reads it.
    Head,
    /// All of it; a file over the size limit becomes a gap.
    Whole,
}

/// A file as visitors see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalkedFile {
    /// Where it is.
    pub path: RelPath,
    /// Its size in bytes.
    pub size: u64,
    /// What its bytes are; [`ContentKind::Unread`] until they are read.
    pub kind: ContentKind,
    /// Whether the visitor sees all of it.
    pub is_whole: bool,
    /// How many bytes of the file stand before those that the visitor sees: 3 for the mark of UTF-8.
    pub offset: u64,
    /// Which part of the file the visitor sees, where it is a large text shown in windows.
    pub window: Option<Window>,
}

/// A part of a large text. Parts overlap; each byte is the own one of exactly one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Window {
    /// The bytes of the part that are its own; those around them are there for context.
    pub own: Range<usize>,
    /// How many lines end before the part.
    pub line: usize,
    /// How many code points stand before the part in its first line.
    pub column: usize,
}

impl WalkedFile {
    /// A file whose bytes are at hand as a whole, for analysis without a workspace.
    pub fn in_memory(path: RelPath, bytes: &[u8]) -> Self {
        Self {
            path,
            size: bytes.len() as u64,
            kind: ContentKind::of(bytes),
            is_whole: true,
            offset: 0,
            window: None,
        }
    }
}

/// Sees the files of a walk, on several threads at once. A closure that sees every file as a whole is one, a pair of
/// visitors is one.
pub trait Visitor: Sync {
    /// How much of a file it needs. Depends on the path alone: nothing else is known before the file is opened.
    fn wants(&self, file: &WalkedFile) -> Want;

    /// Sees a file and says how many findings it gave. An error ends the walk.
    fn visit(&self, file: &WalkedFile, bytes: &[u8]) -> Result<u64, ModuleError>;

    /// Passes a file on to [`Self::visit`] when there is as much of it as is wanted. A group of visitors, which
    /// overrides this, passes it on to each of its members.
    fn show(&self, file: &WalkedFile, bytes: &[u8]) -> Result<u64, ModuleError> {
        match self.wants(file) {
            Want::Nothing => Ok(0),
            Want::Whole if !file.is_whole && file.window.is_none() => Ok(0),
            _ => self.visit(file, bytes),
        }
    }
}

impl<F: Fn(&WalkedFile, &[u8]) -> Result<u64, ModuleError> + Sync> Visitor for F {
    fn wants(&self, _: &WalkedFile) -> Want {
        Want::Whole
    }

    fn visit(&self, file: &WalkedFile, bytes: &[u8]) -> Result<u64, ModuleError> {
        self(file, bytes)
    }
}

impl<A: Visitor, B: Visitor> Visitor for (A, B) {
    fn wants(&self, file: &WalkedFile) -> Want {
        self.0.wants(file).max(self.1.wants(file))
    }

    fn visit(&self, file: &WalkedFile, bytes: &[u8]) -> Result<u64, ModuleError> {
        self.show(file, bytes)
    }

    fn show(&self, file: &WalkedFile, bytes: &[u8]) -> Result<u64, ModuleError> {
        Ok(self.0.show(file, bytes)? + self.1.show(file, bytes)?)
    }
}
