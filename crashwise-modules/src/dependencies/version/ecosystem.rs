use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::order::Order;

macro_rules! ecosystems {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $purl:literal, $order:ident;)*) => {
        /// Where a package comes from, by the names of the OSV schema.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Ecosystem {
            $($(#[$doc])* $variant,)*
        }

        impl Ecosystem {
            /// Every ecosystem.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in the OSV schema, without a release suffix.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The type of its package URLs.
            pub fn purl_type(self) -> &'static str {
                match self { $(Self::$variant => $purl,)* }
            }

            /// The rules of its versions.
            pub fn order(self) -> Order {
                match self { $(Self::$variant => Order::$order,)* }
            }
        }
    };
}

ecosystems! {
    /// Rust crates.
    Cargo, "crates.io", "cargo", SemVer;
    /// Node packages.
    Npm, "npm", "npm", SemVer;
    /// Python packages.
    PyPi, "PyPI", "pypi", Pep440;
    /// Go modules and the standard library.
    Go, "Go", "golang", SemVer;
    /// Java packages, named `group:artifact`.
    Maven, "Maven", "maven", Maven;
    /// Ruby gems.
    RubyGems, "RubyGems", "gem", RubyGems;
    /// PHP packages.
    Packagist, "Packagist", "composer", Packagist;
    /// .NET packages.
    NuGet, "NuGet", "nuget", NuGet;
    /// Elixir and Erlang packages.
    Hex, "Hex", "hex", SemVer;
    /// Dart packages.
    Pub, "Pub", "pub", Pub;
    /// Haskell packages.
    Hackage, "Hackage", "hackage", Hackage;
    /// The Haskell compiler and its libraries.
    Ghc, "GHC", "generic", SemVer;
    /// R packages.
    Cran, "CRAN", "cran", Cran;
    /// R packages of Bioconductor.
    Bioconductor, "Bioconductor", "bioconductor", SemVer;
    /// Swift packages, named by their source address.
    Swift, "SwiftURL", "swift", SemVer;
    /// C and C++ packages of Conan.
    Conan, "ConanCenter", "conan", SemVer;
    /// Julia packages.
    Julia, "Julia", "julia", SemVer;
    /// Bitnami's images and charts.
    Bitnami, "Bitnami", "bitnami", SemVer;
    /// GitHub Actions.
    GitHubActions, "GitHub Actions", "githubactions", SemVer;
    /// Debian packages.
    Debian, "Debian", "deb", Debian;
    /// Ubuntu packages.
    Ubuntu, "Ubuntu", "deb", Debian;
    /// Alpine packages.
    Alpine, "Alpine", "apk", Alpine;
    /// Wolfi packages.
    Wolfi, "Wolfi", "apk", Alpine;
    /// Chainguard packages.
    Chainguard, "Chainguard", "apk", Alpine;
    /// MinimOS packages.
    MinimOs, "MinimOS", "apk", Alpine;
    /// Red Hat packages.
    RedHat, "Red Hat", "rpm", Rpm;
    /// AlmaLinux packages.
    AlmaLinux, "AlmaLinux", "rpm", Rpm;
    /// Rocky Linux packages.
    RockyLinux, "Rocky Linux", "rpm", Rpm;
    /// SUSE packages.
    Suse, "SUSE", "rpm", Rpm;
    /// openSUSE packages.
    OpenSuse, "openSUSE", "rpm", Rpm;
    /// openEuler packages.
    OpenEuler, "openEuler", "rpm", Rpm;
    /// Mageia packages.
    Mageia, "Mageia", "rpm", Rpm;
}

/// A name that is no ecosystem known here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no known ecosystem")]
pub struct UnknownEcosystem(pub String);

impl Ecosystem {
    /// The name under which advisories and lockfiles meet.
    ///
    /// PyPI names are folded as PEP 503 says, names of NuGet, Packagist, Hex and Pub to lower case; others stay.
    pub fn normalize_name(self, name: &str) -> Cow<'_, str> {
        let name = name.trim();
        match self {
            Self::PyPi => Cow::Owned(fold_pypi(name)),
            Self::NuGet | Self::Packagist | Self::Hex | Self::Pub | Self::GitHubActions => {
                if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    Cow::Owned(name.to_ascii_lowercase())
                } else {
                    Cow::Borrowed(name)
                }
            }
            _ => Cow::Borrowed(name),
        }
    }

    /// The ecosystem of a package URL type.
    pub fn from_purl_type(purl_type: &str) -> Option<Self> {
        let purl_type = purl_type.to_ascii_lowercase();
        Self::ALL
            .iter()
            .copied()
            .find(|ecosystem| ecosystem.purl_type() == purl_type && *ecosystem != Self::Ghc)
    }
}

/// PEP 503: lower case, and runs of `-`, `_` and `.` as one hyphen.
fn fold_pypi(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '-' | '_' | '.') {
            if !folded.ends_with('-') {
                folded.push('-');
            }
        } else {
            folded.extend(c.to_lowercase());
        }
    }
    folded
}

impl FromStr for Ecosystem {
    type Err = UnknownEcosystem;

    /// Reads a name of the OSV schema; a release suffix after a colon is left out, letter case does not count.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let base = name.split(':').next().unwrap_or_default().trim();
        Self::ALL
            .iter()
            .copied()
            .find(|ecosystem| ecosystem.name().eq_ignore_ascii_case(base))
            .ok_or_else(|| UnknownEcosystem(name.to_owned()))
    }
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Ecosystem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Ecosystem {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}
