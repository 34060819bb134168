use std::cmp::Ordering;

use thiserror::Error;

use super::key::{KeyWriter, VersionKey};
use super::{alpine, dart, debian, maven, nuget, packagist, pep440, rpm, rubygems, semver, sequence};

/// Longest version that is read, in bytes.
pub const MAX_VERSION_LENGTH: usize = 512;

/// The rules by which an ecosystem orders its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Order {
    /// Semantic Versioning, read leniently; build metadata has no order.
    SemVer,
    /// PEP 440, and below it the legacy order of setuptools.
    Pep440,
    /// The version order specification of Maven's POM reference.
    Maven,
    /// `Gem::Version`.
    RubyGems,
    /// Composer's normal form under PHP's `version_compare`.
    Packagist,
    /// `NuGetVersion`.
    NuGet,
    /// Pub's Semantic Versioning, in which build metadata has an order.
    Pub,
    /// Sequences of numbers between dots.
    Hackage,
    /// Sequences of numbers between dots and hyphens.
    Cran,
    /// `dpkg --compare-versions`.
    Debian,
    /// rpm's epoch, version and release.
    Rpm,
    /// `apk version -t`.
    Alpine,
}

/// Why a version has no place in an order.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VersionError {
    /// The text is empty.
    #[error("a version is empty")]
    Empty,
    /// The text is longer than [`MAX_VERSION_LENGTH`].
    #[error("a version has {length} bytes, at most {MAX_VERSION_LENGTH} are read")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The text does not follow the rules of the order.
    #[error("`{version}` is no version in {order:?} order")]
    Malformed {
        /// The text.
        version: String,
        /// The order that was asked.
        order: Order,
    },
}

impl Order {
    /// Every order.
    pub const ALL: [Self; 12] = [
        Self::SemVer,
        Self::Pep440,
        Self::Maven,
        Self::RubyGems,
        Self::Packagist,
        Self::NuGet,
        Self::Pub,
        Self::Hackage,
        Self::Cran,
        Self::Debian,
        Self::Rpm,
        Self::Alpine,
    ];

    /// The version as bytes whose order is the order of versions.
    ///
    /// # Errors
    /// [`VersionError`] if the text is empty, too long or no version of this order.
    ///
    /// # Examples
    /// ```
    /// use crashwise_modules::dependencies::version::Order;
    ///
    /// let key = |version| Order::Pep440.key(version);
    /// assert!(key("1.0rc1")? < key("1.0")?);
    /// assert_eq!(key("1.0")?, key("1.0.0")?);
    /// # Ok::<(), crashwise_modules::dependencies::version::VersionError>(())
    /// ```
    pub fn key(self, version: &str) -> Result<VersionKey, VersionError> {
        let text = readable(version, self)?;
        let mut key = KeyWriter::default();
        let written = match self {
            Self::SemVer => semver::parse(text).map(|parsed| semver::write(&parsed, &mut key)),
            Self::Pep440 => Some(pep440::parse(text)).map(|parsed| pep440::write(&parsed, &mut key)),
            Self::Maven => maven::parse(text).map(|parsed| maven::write(&parsed, &mut key)),
            Self::RubyGems => rubygems::parse(text).map(|parsed| rubygems::write(&parsed, &mut key)),
            Self::Packagist => packagist::normalize(text).map(|parsed| packagist::write(&parsed, &mut key)),
            Self::NuGet => nuget::parse(text).map(|parsed| nuget::write(&parsed, &mut key)),
            Self::Pub => dart::parse(text).map(|parsed| dart::write(&parsed, &mut key)),
            Self::Hackage => sequence::parse_hackage(text).map(|parsed| sequence::write(&parsed, &mut key)),
            Self::Cran => sequence::parse_cran(text).map(|parsed| sequence::write(&parsed, &mut key)),
            Self::Debian => debian::parse(text).map(|parsed| debian::write(&parsed, &mut key)),
            Self::Rpm => Some(rpm::parse(text)).map(|parsed| rpm::write(&parsed, &mut key)),
            Self::Alpine => Some(alpine::parse(text)).map(|parsed| alpine::write(&parsed, &mut key)),
        };
        written.map(|()| key.finish()).ok_or_else(|| malformed(version, self))
    }

    /// Compares two versions step by step, as the rules are written down.
    ///
    /// It gives what comparing the two [keys](Self::key) gives and is the independent check of them; code that
    /// compares often keeps keys.
    ///
    /// # Errors
    /// [`VersionError`] if one of the texts has no key.
    pub fn compare(self, a: &str, b: &str) -> Result<Ordering, VersionError> {
        let (x, y) = (readable(a, self)?, readable(b, self)?);
        macro_rules! by {
            ($parse:path, $compare:path) => {{
                let x = $parse(x).ok_or_else(|| malformed(a, self))?;
                let y = $parse(y).ok_or_else(|| malformed(b, self))?;
                $compare(&x, &y)
            }};
        }
        Ok(match self {
            Self::SemVer => by!(semver::parse, semver::compare),
            Self::Pep440 => pep440::compare(&pep440::parse(x), &pep440::parse(y)),
            Self::Maven => by!(maven::parse, maven::compare),
            Self::RubyGems => by!(rubygems::parse, rubygems::compare),
            Self::Packagist => by!(packagist::normalize, packagist::compare),
            Self::NuGet => by!(nuget::parse, nuget::compare),
            Self::Pub => by!(dart::parse, dart::compare),
            Self::Hackage => by!(sequence::parse_hackage, sequence::compare),
            Self::Cran => by!(sequence::parse_cran, sequence::compare),
            Self::Debian => by!(debian::parse, debian::compare),
            Self::Rpm => rpm::compare(&rpm::parse(x), &rpm::parse(y)),
            Self::Alpine => alpine::compare(&alpine::parse(x), &alpine::parse(y)),
        })
    }
}

/// The trimmed text, if it is neither empty nor too long and holds no control characters.
fn readable(version: &str, order: Order) -> Result<&str, VersionError> {
    let text = version.trim();
    if text.is_empty() {
        return Err(VersionError::Empty);
    }
    if text.len() > MAX_VERSION_LENGTH {
        return Err(VersionError::TooLong { length: text.len() });
    }
    if text.chars().any(char::is_control) {
        return Err(malformed(version, order));
    }
    Ok(text)
}

fn malformed(version: &str, order: Order) -> VersionError {
    VersionError::Malformed { version: version.to_owned(), order }
}
