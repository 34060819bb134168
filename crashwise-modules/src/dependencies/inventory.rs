//! What a target depends on.

use crashwise_core::{Location, RelPath};
use serde::{Deserialize, Serialize};
use std::fmt;

use super::version::Ecosystem;

/// Everything that the lockfiles and manifests of a target name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Inventory {
    /// The files that were read, sorted by path.
    pub files: Vec<InventoryFile>,
    /// The packages, in the order of the files and of their places in them.
    pub packages: Vec<Package>,
    /// What ignore files and VEX documents say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignores: Vec<Ignore>,
    /// Where lockfiles and their manifests do not say the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mismatches: Vec<Mismatch>,
}

/// A place where a lockfile and its manifest do not say the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mismatch {
    /// The lockfile.
    pub lockfile: RelPath,
    /// What differs.
    pub message: String,
    /// Where it stands.
    pub location: Location,
}

/// One statement of an ignore file or a VEX document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ignore {
    /// The advisory, by its id or an alias; empty for every advisory of the package.
    pub id: String,
    /// The package; none for every package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<IgnoredPackage>,
    /// The last day on which it counts, `2026-01-31`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Where it stands. It counts for what lies in the same folder and below.
    pub location: Location,
}

/// Which package a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IgnoredPackage {
    /// The ecosystem; none for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecosystem: Option<Ecosystem>,
    /// The name.
    pub name: String,
    /// The version; none for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InventoryFile {
    /// Where it is.
    pub path: RelPath,
    /// Its format, e.g. `Cargo.lock`.
    pub format: String,
    /// How many packages it names.
    pub packages: usize,
}

/// A package that a file names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Package {
    /// Where it comes from.
    pub ecosystem: Ecosystem,
    /// Its name, spelled as in the file.
    pub name: String,
    /// Its version; `None` if the file does not settle it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The release of a distribution, `12` of `Debian:12`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub release: String,
    /// What it is needed for.
    pub scope: Scope,
    /// Whether the project itself asks for it.
    pub direct: bool,
    /// Where it is fetched from.
    pub origin: Origin,
    /// Its place in the lockfile.
    pub location: Location,
    /// The line of the manifest that asks for it, if it is direct and the manifest is at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Box<Location>>,
    /// The version that somebody wrote by hand and could change, if the project itself asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Box<Location>>,
    /// The packages that need it, by their place in the inventory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<usize>,
    /// The parent on the shortest way from the project; none if it is direct or nothing leads to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<usize>,
    /// The licence that the file states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Whether the file says that installing it runs a script.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub install_script: bool,
    /// Digest of its archive as the file writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// What a package is needed for. A package that is needed for several things has the first of them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// For what is shipped.
    Prod,
    /// Nothing says it; counted with what is shipped.
    Unknown,
    /// For a part that may be left out.
    Optional,
    /// For building.
    Build,
    /// For development.
    Dev,
    /// For tests.
    Test,
}

impl Scope {
    /// The lower-case word used in every report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Unknown => "unknown",
            Self::Optional => "optional",
            Self::Build => "build",
            Self::Dev => "dev",
            Self::Test => "test",
        }
    }

    /// Whether it is needed for development or tests only.
    pub const fn is_dev(self) -> bool {
        matches!(self, Self::Dev | Self::Test)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a package is fetched from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "of")]
#[non_exhaustive]
pub enum Origin {
    /// The public registry of its ecosystem.
    Public,
    /// Another registry.
    Registry(String),
    /// A repository, with its revision if the file has one.
    Git(String),
    /// An archive at an address.
    Url(String),
    /// The project itself, or a folder beside it.
    Local,
}

impl Origin {
    /// Whether advisories about the name of the package can be about this package: not what is local or another
    /// registry's own.
    pub const fn is_advised(&self) -> bool {
        !matches!(self, Self::Local)
    }
}

impl Package {
    /// The package URL.
    pub fn purl(&self) -> String {
        let name = match self.ecosystem {
            Ecosystem::Maven => self.name.replacen(':', "/", 1),
            _ => self.ecosystem.normalize_name(&self.name).into_owned(),
        };
        let mut purl = format!("pkg:{}/", self.ecosystem.purl_type());
        for (index, part) in name.split('/').enumerate() {
            if index > 0 {
                purl.push('/');
            }
            encode(part, &mut purl);
        }
        if let Some(version) = &self.version {
            purl.push('@');
            encode(version, &mut purl);
        }
        if let Origin::Git(address) = &self.origin {
            purl.push_str("?vcs_url=");
            encode(address, &mut purl);
        }
        purl
    }
}

/// Percent-encodes what has a meaning in a package URL.
fn encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

impl Inventory {
    /// The way from the project to a package, outermost first; the package itself is the last.
    pub fn path_to(&self, package: usize) -> Vec<usize> {
        let mut path = vec![package];
        let mut at = package;
        // A way is never longer than there are packages, whatever a file claims.
        while let Some(parent) = self.packages.get(at).and_then(|package| package.via) {
            if path.len() > self.packages.len() {
                break;
            }
            path.push(parent);
            at = parent;
        }
        path.reverse();
        path
    }
}
