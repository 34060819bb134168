//! Secrets without a format: told by the name they are assigned to and by their characters.

mod context;
mod model;
mod names;
mod value;

pub(super) use context::{is_badge, is_documentation_host, is_in_list, is_page_nonce, is_test_vector};
pub(super) use model::entropy;
pub(super) use names::{Promise, promise};
pub(super) use value::{is_no_identifier, is_placeholder, is_uuid, likelihood, randomness};

/// Parts of names that may promise a secret: one of them is in every name that does.
pub(super) const NAME_PARTS: [&str; 9] =
    ["pass", "pwd", "secret", "token", "key", "auth", "cred", "nonce", "salt"];
/// Schemes of HTTP authorization: what follows is a credential.
pub(super) const SCHEMES: [&str; 2] = ["bearer ", "basic "];
