//! What can be wrong with an archive, each rule with a stable code.

use std::fmt;
use std::io;

/// Defines the rules once: variant, stable code, what it says.
macro_rules! rules {
    ($($variant:ident $code:literal $text:literal;)+) => {
        /// A rule that an archive broke. Breaking one refuses the whole archive.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = $text] $variant,)+
        }

        impl Rule {
            /// Every rule, in the order of their declaration.
            pub const ALL: &[Rule] = &[$(Rule::$variant,)+];

            /// The stable code of the rule, for example `absolute-path`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Rule::$variant => $code,)+ }
            }

            /// One clause that says what is wrong.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Rule::$variant => $text,)+ }
            }
        }
    };
}

rules! {
    AbsolutePath "absolute-path" "the name is an absolute path";
    ParentComponent "parent-component" "the name has a `..` component";
    EmptyName "empty-name" "the name is empty";
    RootName "root-name" "only a directory may be named `.`";
    TrailingSlash "trailing-slash" "the name ends in a slash but the entry is not a directory";
    NulInName "nul-in-name" "the name contains a NUL byte";
    ControlInName "control-in-name" "the name contains a control character";
    NotUtf8 "not-utf8" "the name is not UTF-8";
    Backslash "backslash" "the name contains a backslash";
    ReservedName "reserved-name" "the name is reserved on some systems (drive letter, colon or device name)";
    Duplicate "duplicate" "an earlier entry has the same name";
    Collision "collision" "an earlier name differs only in letter case or unicode normalisation";
    KindSwap "kind-swap" "an earlier entry has this name as another kind of file";
    ThroughFile "through-file" "a parent of the name is not a directory";
    ThroughSymlink "through-symlink" "a parent of the name is a symbolic link";
    OverSymlink "over-symlink" "an earlier entry has this name as a symbolic link";
    SymlinkTarget "symlink-target" "the symbolic link's target is empty or malformed";
    SymlinkAbsolute "symlink-absolute" "the symbolic link's target is an absolute path";
    SymlinkOutside "symlink-outside" "the symbolic link leads out of the archive's root";
    SymlinkLoop "symlink-loop" "the symbolic links form a loop";
    HardlinkOutside "hardlink-outside" "the hard link's target is not a path inside the archive";
    HardlinkTarget "hardlink-target" "the hard link's target is not an earlier regular file";
    Device "device" "the entry is a device node";
    Fifo "fifo" "the entry is a FIFO or a socket";
    SetId "set-id" "the file would run as its owner or group (setuid or setgid)";
    UnknownKind "unknown-kind" "the kind of the entry is unknown";
    Capability "capability" "the entry carries file capabilities";
    HeaderChecksum "header-checksum" "the header's checksum is wrong";
    HeaderMagic "header-magic" "the header's fields follow no known dialect";
    HeaderNumber "header-number" "a number in the header is malformed";
    NegativeSize "negative-size" "the size is negative";
    SizeOnLink "size-on-link" "an entry without content declares a size";
    SizeDisagreement "size-disagreement" "two places declare different sizes";
    GlobalOverride "global-override" "a global header overrides names or sizes";
    PaxRecord "pax-record" "an extended header record is malformed";
    MixedExtensions "mixed-extensions" "extension headers repeat or contradict each other";
    DanglingExtension "dangling-extension" "an extension header is not followed by its entry";
    SparseMap "sparse-map" "the map of the sparse file is malformed";
    TruncatedHeader "truncated-header" "the archive ends inside a header";
    TruncatedBody "truncated-body" "the archive ends inside an entry's content";
    NoEndMarker "no-end-marker" "the archive has no end marker";
    DataAfterEnd "data-after-end" "data follows the archive's end";
    UnknownFormat "unknown-format" "this is none of tar, tar.gz, tar.zst, tar.xz and zip";
    TrailingGarbage "trailing-garbage" "data follows the end of the compressed stream";
    TruncatedStream "truncated-stream" "the compressed stream ends too early";
    CorruptStream "corrupt-stream" "the compressed stream is corrupt";
    ContentChecksum "content-checksum" "the content does not match its checksum";
    ContentSize "content-size" "the content does not match its declared size";
    ZipDirectory "zip-directory" "the central directory is malformed";
    ZipSecondEnd "zip-second-end" "there is more than one end of central directory";
    ZipLocalHeader "zip-local-header" "a local header disagrees with the central directory";
    ZipOverlap "zip-overlap" "two entries overlap";
    ZipHidden "zip-hidden" "bytes between the entries belong to no entry";
    ZipEncrypted "zip-encrypted" "the entry is encrypted";
    ZipMethod "zip-method" "the compression method is not one of stored, deflate and zstd";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A limit that an archive exceeded, see [`Limits`](super::Limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Bound {
    /// Number of entries, implied directories included.
    Entries,
    /// Bytes of all contents together.
    TotalBytes,
    /// Bytes of one file.
    FileBytes,
    /// Bytes out per byte in.
    Ratio,
    /// Bytes of one path component.
    ComponentBytes,
    /// Bytes of one path.
    PathBytes,
    /// Components of one path.
    Depth,
    /// Bytes of one extension header.
    HeaderBytes,
    /// Bytes of all symbolic links' names and targets together, or the work of resolving them.
    Links,
    /// Pieces of one sparse file.
    SparsePieces,
    /// Bytes of a ZIP central directory.
    DirectoryBytes,
    /// Memory that the decoder asks for.
    DecoderMemory,
}

impl Bound {
    /// What is counted, as a plural noun.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Bound::Entries => "entries",
            Bound::TotalBytes => "bytes in all",
            Bound::FileBytes => "bytes in one file",
            Bound::Ratio => "bytes out per byte in",
            Bound::ComponentBytes => "bytes in one path component",
            Bound::PathBytes => "bytes in one path",
            Bound::Depth => "path components",
            Bound::HeaderBytes => "bytes in one extension header",
            Bound::Links => "bytes of symbolic links",
            Bound::SparsePieces => "pieces in one sparse file",
            Bound::DirectoryBytes => "bytes in the central directory",
            Bound::DecoderMemory => "bytes of decoder memory",
        }
    }
}

/// Why an archive could not be extracted.
#[derive(Debug)]
#[non_exhaustive]
pub enum ArchiveErrorKind {
    /// The archive broke a rule.
    Refused(Rule),
    /// The archive exceeded a limit, given with what was allowed.
    Limit(Bound, u64),
    /// Reading the archive or writing the tree failed.
    Io(io::Error),
    /// The caller cancelled.
    Cancelled,
}

/// An archive that was not extracted: what was wrong, with which entry, at which byte.
///
/// Nothing is left behind when this is returned.
#[derive(Debug)]
pub struct ArchiveError {
    kind: ArchiveErrorKind,
    entry: Option<String>,
    offset: u64,
}

impl ArchiveError {
    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &ArchiveErrorKind {
        &self.kind
    }

    /// The rule that was broken, if it was a rule.
    #[must_use]
    pub fn rule(&self) -> Option<Rule> {
        match self.kind {
            ArchiveErrorKind::Refused(rule) => Some(rule),
            _ => None,
        }
    }

    /// The limit that was exceeded, if it was a limit.
    #[must_use]
    pub fn bound(&self) -> Option<Bound> {
        match self.kind {
            ArchiveErrorKind::Limit(bound, _) => Some(bound),
            _ => None,
        }
    }

    /// The entry's name as the archive gives it, escaped; `None` outside of entries.
    #[must_use]
    pub fn entry(&self) -> Option<&str> {
        self.entry.as_deref()
    }

    /// Where the entry begins: byte offset in the tar stream (after decompression) or in the ZIP file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            Some(entry) => write!(f, "extract entry \"{entry}\" at byte {}: ", self.offset)?,
            None => write!(f, "read archive at byte {}: ", self.offset)?,
        }
        match &self.kind {
            ArchiveErrorKind::Refused(rule) => write!(f, "{} ({})", rule.text(), rule.code()),
            ArchiveErrorKind::Limit(bound, allowed) => write!(f, "more than {allowed} {}", bound.text()),
            ArchiveErrorKind::Io(_) => f.write_str("input or output failed"),
            ArchiveErrorKind::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl std::error::Error for ArchiveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            ArchiveErrorKind::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// A fault before it is known which entry it belongs to. Also travels inside an [`io::Error`] out of decoders.
#[derive(Debug)]
pub(super) enum Fault {
    Rule(Rule),
    Limit(Bound, u64),
    Io(io::Error),
    Cancelled,
}

impl Fault {
    /// Places the fault at an entry.
    pub(super) fn at(self, entry: &[u8], offset: u64) -> ArchiveError {
        ArchiveError { kind: self.into_kind(), entry: Some(printable(entry)), offset }
    }

    /// Places the fault outside of any entry.
    pub(super) fn outside(self, offset: u64) -> ArchiveError {
        ArchiveError { kind: self.into_kind(), entry: None, offset }
    }

    fn into_kind(self) -> ArchiveErrorKind {
        match self {
            Fault::Rule(rule) => ArchiveErrorKind::Refused(rule),
            Fault::Limit(bound, allowed) => ArchiveErrorKind::Limit(bound, allowed),
            Fault::Io(error) => ArchiveErrorKind::Io(error),
            Fault::Cancelled => ArchiveErrorKind::Cancelled,
        }
    }
}

impl From<Rule> for Fault {
    fn from(rule: Rule) -> Self {
        Fault::Rule(rule)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Fault>() {
            Ok(fault) => fault,
            Err(error) => Fault::Io(error),
        }
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io(error) => error,
            other => io::Error::other(other),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Rule(rule) => f.write_str(rule.text()),
            Fault::Limit(bound, allowed) => write!(f, "more than {allowed} {}", bound.text()),
            Fault::Io(error) => error.fmt(f),
            Fault::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl std::error::Error for Fault {}

/// The longest piece of a hostile name that a message repeats.
const SHOWN: usize = 200;

/// A hostile name as printable text of bounded length.
fn printable(name: &[u8]) -> String {
    let cut = &name[..name.len().min(SHOWN)];
    let mut text = String::with_capacity(cut.len());
    for chunk in cut.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '"' || c == '\\' {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        text.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    if name.len() > SHOWN {
        text.push('…');
    }
    text
}
