//! What the scanner writes down of each file.

use crashwise_core::RelPath;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A line of `inventory.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InventoryEntry {
    /// Where the file is.
    pub path: RelPath,
    /// Its size in bytes.
    pub size: u64,
    /// Its media type, by content and then by name.
    #[serde(rename = "type")]
    pub media_type: Cow<'static, str>,
    /// SHA-256 of its bytes, 64 hexadecimal digits, if it was asked for and the file is not over the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The rules by which it should not be in a source tree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sensitive: Vec<String>,
}

/// Entries in order as one JSON object a line, with the totals.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) entries: Vec<InventoryEntry>,
}

impl Inventory {
    pub(super) fn total_size(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }

    /// Number of files by media type.
    pub(super) fn types(&self) -> BTreeMap<&str, u64> {
        let mut types = BTreeMap::new();
        for entry in &self.entries {
            *types.entry(entry.media_type.as_ref()).or_insert(0) += 1;
        }
        types
    }

    /// The lines, sorted by path.
    pub(super) fn lines(&mut self) -> serde_json::Result<Vec<u8>> {
        self.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let mut lines = Vec::with_capacity(self.entries.len() * 96);
        for entry in &self.entries {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        Ok(lines)
    }
}
