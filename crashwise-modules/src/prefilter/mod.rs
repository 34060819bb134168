//! One pass over bytes that finds many literals.
//!
//! Each module that looks at a file names the literals without which none of its rules can match. All of them go
//! into one [`Prefilter`], so that a file is read once however many modules look at it. Each set keeps a range of
//! ids of its own:
//!
//! ```
//! use crashwise_modules::prefilter::{Case, Prefilter};
//!
//! let mut builder = Prefilter::builder();
//! let tokens = builder.add_all([(b"ghp_".as_slice(), Case::Sensitive), (b"password", Case::Insensitive)])?;
//! let calls = builder.add_all([(b"eval(".as_slice(), Case::Sensitive)])?;
//! let prefilter = builder.build();
//!
//! let mut hits = Vec::new();
//! prefilter.scan(b"PassWord = eval(x)", |hit| hits.push((tokens.local(hit.literal), calls.local(hit.literal), hit.start)));
//! assert_eq!(hits, [(Some(1), None, 0), (None, Some(0), 11)]);
//! # Ok::<(), crashwise_modules::prefilter::LiteralError>(())
//! ```
//!
//! How it works: for each literal the rarest window of four bytes is chosen. Every second position of the input is
//! looked up by its next three bytes, with case folded, in a bitmap; both alignments of a window are in the bitmap,
//! so none is missed. What passes is looked up as a whole window and then compared with the literal itself.
//!
//! [`mandatory_literals`] derives the literals from a regex, so an author of a rule writes the regex only.
//!
//! It does not find overlapping matches of regexes, and it knows nothing about text encodings: bytes are bytes, and
//! case is folded for ASCII letters alone.

mod before;
mod frequency;
mod literal;
mod mandatory;
mod probe;
mod scan;

#[cfg(test)]
mod tests;

pub use before::Before;
pub use literal::{Case, Hit, LiteralError, LiteralId, LiteralRange};
pub use mandatory::{MandatoryLiteral, Prefer, literals_of_hir, mandatory_literals, tail_of_hir};
pub use scan::{Builder, Prefilter};
