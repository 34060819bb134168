//! Advisories: OSV and RustSec records compiled once into one read-only file, and exact matching against it.
//!
//! A version is affected if it is enumerated or lies in one of the ranges: the events of a range in the order of their
//! versions, `introduced` and `fixed` inclusive and exclusive, `last_affected` inclusive, cut off at the farthest
//! `limit`. Ranges of commits are passed over, withdrawn records do not match.
//!
//! ```
//! use crashwise_modules::dependencies::advisory::{Database, DatabaseBuilder, Query};
//! use crashwise_modules::dependencies::version::Ecosystem;
//!
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("X-1.json"), r#"{
//!     "id": "X-1",
//!     "affected": [{
//!         "package": {"ecosystem": "npm", "name": "left"},
//!         "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.2.0"}]}]
//!     }]
//! }"#)?;
//! let file = folder.path().join("advisories.cwdb");
//! let mut builder = DatabaseBuilder::new();
//! builder.add(folder.path())?;
//! builder.write(&file)?;
//!
//! let database = Database::open(&file)?;
//! let answer = database.query(&Query::new(Ecosystem::Npm, "left", "1.1.9"))?;
//! assert_eq!(answer.hits[0].fixed.as_deref(), Some("1.2.0"));
//! assert_eq!(database.advisory(answer.hits[0].advisory)?.id, "X-1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod compile;
mod database;
mod error;
mod frames;
mod layout;
mod range;
mod record;
mod rustsec;
mod sections;
mod severity;
mod source;
#[cfg(test)]
mod tests;

pub use compile::{DatabaseBuilder, EcosystemInfo, Meta, SourceInfo};
pub use database::{Advisory, Answer, Database, Hit, Query};
pub use error::DatabaseError;
pub use record::Class;
pub use severity::{Rating, SeveritySource};
