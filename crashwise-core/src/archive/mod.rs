//! Archives of targets: hostile until proven good.
//!
//! [`extract`] reads tar (ustar, PAX, GNU, v7), tar.gz, tar.zst, tar.xz and ZIP, told apart by content. It refuses
//! what could leave the destination, what two readers could understand differently, and what is damaged, each by a
//! [`Rule`] with the entry and its offset; it bounds what an archive may ask for by [`Limits`]; and it leaves nothing
//! behind when it refuses.
//!
//! [`pack`] makes a deterministic archive of a directory, named by its content.
//!
//! What survives of an entry is its name, content, modification time and whether its owner may execute it. Owners,
//! other permissions and extended attributes do not; a setuid or setgid file is refused.

mod decode;
mod error;
mod extract;
mod format;
mod limits;
mod name;
mod pack;
mod tar;
mod tree;
mod zip;

#[cfg(all(test, unix))]
mod tests;

pub use self::error::{ArchiveError, ArchiveErrorKind, Bound, Rule};
#[cfg(feature = "workspace")]
pub(crate) use self::extract::extract_into;
pub use self::extract::{extract, extract_file};
pub use self::format::Format;
pub use self::limits::{ExtractOptions, Limits, Progress, ProgressFn};
pub use self::pack::{PackError, PackOptions, Packed, Skipped, pack};
pub use self::tree::Extracted;
