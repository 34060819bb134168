//! Files that a step leaves behind, by reference.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Refers to a stored file by its content. Small enough to travel through a journal whatever the file's size.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ArtifactRef {
    /// What it is called in reports, e.g. `inventory.json`.
    pub name: String,
    /// BLAKE3 of the content, 64 hexadecimal digits.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
}
