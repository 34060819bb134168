//! The version orders of the ecosystems, as byte keys whose order is the order of versions.
//!
//! One file holds one order: how a version is taken apart, how two are compared step by step, and how one is written
//! as a key. To add an order, write such a file, add a variant to [`Order`] and its rows to the tests.
//!
//! ```
//! use crashwise_modules::dependencies::version::Ecosystem;
//!
//! let maven: Ecosystem = "Maven".parse()?;
//! assert!(maven.order().key("1.0-rc-1")? < maven.order().key("1.0-ga")?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod alpine;
mod dart;
mod debian;
mod ecosystem;
mod key;
mod maven;
mod nuget;
mod order;
mod packagist;
mod pep440;
mod rpm;
mod rubygems;
mod semver;
mod sequence;
#[cfg(test)]
mod tests;

pub use ecosystem::{Ecosystem, UnknownEcosystem};
pub use key::VersionKey;
pub use order::{MAX_VERSION_LENGTH, Order, VersionError};
