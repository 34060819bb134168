//! Finds secrets: tokens by their format, passwords and keys by the names they are assigned to.
//!
//! [`SecretScanner`] works on bytes and needs no workspace:
//!
//! ```
//! use crashwise_modules::secrets::{ScanOptions, SecretScanner};
//!
//! let scanner = SecretScanner::new(ScanOptions::new());
//! for found in scanner.scan_bytes("app.properties", b"db.password=q8Xn!41kz\n") {
//!     assert_eq!(found.rule.id.as_str(), "secret/generic-password");
//! }
//! ```
//!
//! How it works: one pass of the [prefilter](crate::prefilter) finds the literals of all rules. Around each hit the
//! rule looks at a bounded stretch: a token's body, the value assigned to a name, or a regex that is compiled when its
//! literal first turns up. What is left is judged by checksum, by how random it looks, and by what it is not.
//!
//! A value found is a [`Secret`] from the first moment: nothing but [`Secret::reveal`] shows it.

mod assignment;
mod base64;
mod baseline;
mod catalogue;
mod check;
mod config;
mod container;
mod decode;
mod foreign;
mod generic;
#[cfg(feature = "git")]
mod git;
mod module;
mod places;
mod published;
mod redact;
mod report;
mod rule;
mod scanner;
mod secret;
mod suppress;
mod surroundings;
#[cfg(test)]
mod tests;
mod verify;
mod visit;

pub use check::Verdict;
pub use config::{SecretScanConfig, Source};
pub use decode::Decoding;
pub use foreign::{RuleFile, RuleFileError, RuleProblem};
pub use module::SecretScan;
pub use rule::RuleInfo;
pub use scanner::{ScanOptions, SecretMatch, SecretScanner};
pub use secret::Secret;
pub use suppress::{Allowlist, InvalidAllowlist};
#[cfg(feature = "verify")]
pub use verify::{HttpVerifier, InvalidVerifier};
pub use verify::{Verification, Verifier};
