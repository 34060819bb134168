//! What a module says of itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Name, version, kind and needs of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ModuleInfo {
    /// The name that steps and definitions use: lower-case letters, digits and `_`.
    pub name: String,
    /// Semantic version; a change of behaviour changes it, because cached results are keyed by it.
    pub version: String,
    /// What it does with a target.
    pub kind: ModuleKind,
    /// One sentence.
    pub description: String,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Programs it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_tools: Vec<String>,
    /// Whether it reads a workspace; a reporter need not.
    pub requires_workspace: bool,
    /// Digest of the rules it carries, part of the key of cached results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules_digest: Option<String>,
}

impl ModuleInfo {
    /// A module that reads a workspace and starts no programs.
    pub fn new(
        name: impl Into<String>,
        version: impl Into<String>,
        kind: ModuleKind,
        description: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            kind,
            description: description.into(),
            tags: Vec::new(),
            required_tools: Vec::new(),
            requires_workspace: true,
            rules_digest: None,
        }
    }

    /// Adds words to find it by.
    #[must_use]
    pub fn with_tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Adds a program it starts.
    #[must_use]
    pub fn with_tool(mut self, program: impl Into<String>) -> Self {
        self.required_tools.push(program.into());
        self
    }

    /// Says that it reads no workspace.
    #[must_use]
    pub fn without_workspace(mut self) -> Self {
        self.requires_workspace = false;
        self
    }

    /// Sets the digest of the rules it carries.
    #[must_use]
    pub fn with_rules_digest(mut self, digest: impl Into<String>) -> Self {
        self.rules_digest = Some(digest.into());
        self
    }
}

/// What a module does with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ModuleKind {
    /// Takes stock of it.
    Scanner,
    /// Judges it.
    Analyzer,
    /// Runs it with made-up inputs.
    Fuzzer,
    /// Turns results into something else.
    Reporter,
}

impl fmt::Display for ModuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Scanner => "scanner",
            Self::Analyzer => "analyzer",
            Self::Fuzzer => "fuzzer",
            Self::Reporter => "reporter",
        })
    }
}
