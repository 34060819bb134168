//! Whether a secret that was found is a valid one: only its issuer knows, and it is asked only when the user says so.

#[cfg(feature = "verify")]
mod http;
mod run;

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;

use super::{RuleInfo, Secret};

#[cfg(feature = "verify")]
pub use http::{HttpVerifier, InvalidVerifier};
pub(super) use run::verify_all;

/// What the issuer of a secret says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Verification {
    /// It is valid: whoever has it can use it.
    Verified,
    /// It is not valid, or no longer.
    Rejected,
    /// Nobody could be asked, or the answer says neither.
    Unknown,
}

/// Asks issuers. Whoever embeds the scanner may bring another one, see
/// [`SecretScan::with_verifier`](super::SecretScan::with_verifier).
///
/// An implementation must not write the secret anywhere and must not ask anyone but its issuer.
#[async_trait]
pub trait Verifier: Send + Sync + fmt::Debug {
    /// Whether the secret, recognised by the rule, is valid; none where there is nobody to ask.
    async fn verify(&self, rule: &RuleInfo, secret: &Secret) -> Option<Verification>;
}
