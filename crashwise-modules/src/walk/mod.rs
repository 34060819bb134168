//! One pass over the files of a workspace, shared by every module that reads files.
//!
//! ```
//! use crashwise_core::Workspace;
//! use crashwise_modules::walk::{Walk, WalkOptions, WalkedFile};
//! # use crashwise_core::ModuleContext;
//! # fn inside_a_module(cx: &ModuleContext) -> Result<(), Box<dyn std::error::Error>> {
//! let totals = Walk::new(cx.workspace(), WalkOptions::new())?.run(cx, &|file: &WalkedFile, bytes: &[u8]| {
//!     assert_eq!(file.size, bytes.len() as u64);
//!     Ok(0) // findings reported for this file
//! })?;
//! println!("{} files, {} bytes", totals.files, totals.bytes);
//! # Ok(()) }
//! ```
//!
//! - A [`Visitor`] says of each file how much of it it [`Want`]s and then sees it. A pair of visitors is one: each file is
//!   opened and read once for both.
//! - Walks over one tree that run at once may share one pass, see [`Walk::run_shared`].
//! - Files are visited on several threads, in no fixed order; whoever needs an order sorts what it collected.
//! - `.gitignore` and `.crashwiseignore` inside the workspace are honoured unless [`WalkOptions::with_ignore_files`] says
//!   otherwise; what they leave out is counted as excluded. Ignore files above the workspace are never read.
//! - The data of version control systems (`.git`, `.hg`, `.svn`, …) is left out, see [`WalkOptions::with_vcs_folders`].
//! - Symbolic links are never followed. What a link points to inside the workspace is visited where it stands; a link
//!   that loops, or leads out, is a gap.
//! - With [`WalkOptions::with_windows`] a large text is shown in windows that overlap, so that memory stays bounded.
//! - What cannot be looked at becomes a gap of the context, with its reason: unreadable, vanished, too large, too deep, a
//!   FIFO, a socket or a device (which is never opened, so nothing hangs). The rest of the walk goes on.
//! - A visitor that panics costs the file it panicked on, which becomes a gap.
//!
//! Each folder is opened relative to the one above it without following links, so a tree that changes during the walk
//! cannot lead it out of the workspace.

mod account;
mod content;
#[cfg(unix)]
#[path = "folder_unix.rs"]
mod folder;
#[cfg(not(unix))]
#[path = "folder_portable.rs"]
mod folder;
#[cfg(all(test, unix))]
mod folder_portable;
mod ignores;
mod member;
mod options;
mod pass;
mod progress;
mod queue;
mod run;
#[cfg(test)]
#[cfg(unix)]
mod tests;
mod visitor;
mod worker;

#[cfg(feature = "git")]
pub(crate) use content::text_of;
pub use content::{ContentKind, Encoding};
pub use ignores::{FilePatterns, InvalidPattern};
pub use options::{WalkOptions, Windows};
pub use run::{Walk, WalkTotals};
pub use visitor::{Visitor, WalkedFile, Want, Window};
