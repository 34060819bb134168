//! What a walk looks at.

use std::num::NonZeroUsize;

/// How large files are shown: texts in windows, binary files as a whole where the visitors can read them.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Windows {
    /// Texts of more bytes are shown in windows of this size. Default: 4 MiB.
    pub size: usize,
    /// How much of the text before and behind its own bytes is in a window. Default: 64 KiB.
    pub context: usize,
    /// The largest file that is shown as a whole all the same, because it is not a text. Default: 32 MiB.
    pub max_whole: u64,
    /// Whether a binary file that starts with these bytes is of use. What is not is shown by its first 8 KiB.
    pub is_readable: fn(&[u8]) -> bool,
}

impl Windows {
    /// The defaults, for visitors that can read the binary files that `is_readable` says.
    pub fn new(is_readable: fn(&[u8]) -> bool) -> Self {
        Self { size: 4 << 20, context: 64 << 10, max_whole: 32 << 20, is_readable }
    }
}

/// What a walk looks at, and its limits.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own, set by name")]
pub struct WalkOptions {
    /// Whether `.gitignore` and `.crashwiseignore` leave files out. Default: yes.
    pub ignore_files: bool,
    /// Whether to look into `.git` and its like. Default: no.
    pub vcs_folders: bool,
    /// Only files that match one of these patterns (syntax of `.gitignore`). Default: all.
    pub include: Vec<String>,
    /// No files and folders that match one of these patterns (syntax of `.gitignore`). Default: none left out.
    pub exclude: Vec<String>,
    /// The largest file that is read, in bytes. Default: 10 MiB.
    pub max_file_size: u64,
    /// The deepest folder that is entered; the files of the root have depth 1. Default: 100.
    pub max_depth: usize,
    /// The most files and folders that are looked at. Default: 2,000,000.
    pub max_entries: usize,
    /// Whether visitors see text as UTF-8 without its mark; else the bytes as they are. Default: yes.
    pub decode: bool,
    /// How large texts are shown; none means as a whole, within the size limit. Default: none.
    pub windows: Option<Windows>,
    /// Threads; none means one per processor, at most 16. Default: none.
    pub threads: Option<NonZeroUsize>,
}

impl Default for WalkOptions {
    fn default() -> Self {
        Self {
            ignore_files: true,
            vcs_folders: false,
            include: Vec::new(),
            exclude: Vec::new(),
            max_file_size: 10 << 20,
            max_depth: 100,
            max_entries: 2_000_000,
            decode: true,
            windows: None,
            threads: None,
        }
    }
}

impl WalkOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `.gitignore` and `.crashwiseignore` leave files out.
    #[must_use]
    pub fn with_ignore_files(mut self, honoured: bool) -> Self {
        self.ignore_files = honoured;
        self
    }

    /// Whether to look into `.git` and its like.
    #[must_use]
    pub fn with_vcs_folders(mut self, visited: bool) -> Self {
        self.vcs_folders = visited;
        self
    }

    /// Looks only at files that match one of the patterns.
    #[must_use]
    pub fn with_include(mut self, patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.include.extend(patterns.into_iter().map(Into::into));
        self
    }

    /// Leaves out files and folders that match one of the patterns.
    #[must_use]
    pub fn with_exclude(mut self, patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.exclude.extend(patterns.into_iter().map(Into::into));
        self
    }

    /// Sets the largest file that is read, in bytes.
    #[must_use]
    pub fn with_max_file_size(mut self, bytes: u64) -> Self {
        self.max_file_size = bytes;
        self
    }

    /// Sets the deepest folder that is entered.
    #[must_use]
    pub fn with_max_depth(mut self, depth: usize) -> Self {
        self.max_depth = depth;
        self
    }

    /// Sets the most files and folders that are looked at.
    #[must_use]
    pub fn with_max_entries(mut self, count: usize) -> Self {
        self.max_entries = count;
        self
    }

    /// Whether visitors see text as UTF-8 without its mark; else the bytes as they are.
    #[must_use]
    pub fn with_decode(mut self, decode: bool) -> Self {
        self.decode = decode;
        self
    }

    /// Shows large texts in windows.
    #[must_use]
    pub fn with_windows(mut self, windows: Windows) -> Self {
        self.windows = Some(windows);
        self
    }

    /// Sets the number of threads; one makes the order of visits fixed: files of a folder by name, then its folders.
    #[must_use]
    pub fn with_threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    pub(super) fn thread_count(&self) -> usize {
        let available = || std::thread::available_parallelism().map_or(1, |count| count.get().min(16));
        self.threads.map_or_else(available, NonZeroUsize::get)
    }
}
