//! What a run looks at.

use crate::TargetId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// What a run looks at: a directory, an archive, or an object in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Target {
    /// A directory of this machine.
    Directory(PathBuf),
    /// An archive of this machine: tar, tar.gz, tar.zst, tar.xz or zip, told by its content.
    Archive(PathBuf),
    /// An object in a store, by its content.
    Stored(TargetId),
    /// An object in a store, by its place.
    Object(ObjectUrl),
}

/// Where an object is: `scheme://bucket/key`. It holds no credentials.
///
/// ```
/// use crashwise_core::ObjectUrl;
///
/// let url: ObjectUrl = "s3://uploads/team/app.tar.gz".parse()?;
/// assert_eq!((url.scheme(), url.bucket(), url.key()), ("s3", "uploads", "team/app.tar.gz"));
/// assert!("s3://uploads".parse::<ObjectUrl>().is_err());
/// # Ok::<_, crashwise_core::InvalidObjectUrl>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ObjectUrl {
    scheme: String,
    bucket: String,
    key: String,
}

/// A text that is not the place of an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the place of an object: expected scheme://bucket/key")]
pub struct InvalidObjectUrl {
    text: String,
}

impl ObjectUrl {
    /// What kind of store it is in, for example `s3`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The bucket, or whatever the store calls it.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key in the bucket, without a slash before it.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl std::str::FromStr for ObjectUrl {
    type Err = InvalidObjectUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = || {
            let (scheme, rest) = text.split_once("://")?;
            let (bucket, key) = rest.split_once('/')?;
            let key = key.trim_start_matches('/');
            let is_word = |text: &str, more: &str| {
                !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
            };
            // A user, a password, a query or a fragment has no place here.
            let fits = is_word(scheme, "+-.")
                && is_word(bucket, "-._")
                && !key.is_empty()
                && key.len() <= 1024
                && !key.ends_with('/')
                && !key.chars().any(|c| c.is_control() || c == '?' || c == '#');
            fits.then(|| Self {
                scheme: scheme.to_ascii_lowercase(),
                bucket: bucket.to_owned(),
                key: key.to_owned(),
            })
        };
        parts().ok_or_else(|| InvalidObjectUrl { text: text.chars().take(200).collect() })
    }
}

impl TryFrom<String> for ObjectUrl {
    type Error = InvalidObjectUrl;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ObjectUrl> for String {
    fn from(url: ObjectUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.scheme, self.bucket, self.key)
    }
}

impl Target {
    /// A directory or an archive, whichever the path is.
    pub fn from_path(path: impl Into<PathBuf>) -> std::io::Result<Self> {
        let path = path.into();
        if std::fs::metadata(&path)?.is_dir() { Ok(Self::Directory(path)) } else { Ok(Self::Archive(path)) }
    }

    /// A name for what lasts longer than a run, such as corpora: the last part of its place, and a hash of all of it, so that
    /// two folders of one name are two projects.
    ///
    /// ```
    /// use crashwise_core::Target;
    ///
    /// let (a, b) = (Target::Directory("/src/a/app".into()), Target::Directory("/src/b/app".into()));
    /// assert!(a.project().starts_with("app-") && a.project() != b.project());
    /// ```
    pub fn project(&self) -> String {
        let text = match self {
            Self::Directory(path) | Self::Archive(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                path.to_string_lossy().into_owned()
            }
            Self::Stored(id) => return id.to_string(),
            Self::Object(url) => url.to_string(),
        };
        let text = text.trim_end_matches('/');
        let name = text.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("root");
        format!("{name}-{}", &blake3::hash(text.as_bytes()).to_hex()[..8])
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) | Self::Archive(path) => path.display().fmt(f),
            Self::Stored(id) => id.fmt(f),
            Self::Object(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_objects() {
        for text in ["s3://b/k", "s3://my-bucket.x/a/b c/d", "S3://b//k"] {
            let url: ObjectUrl = text.parse().expect(text);
            let json = serde_json::to_string(&Target::Object(url.clone())).expect("a string");
            assert_eq!(serde_json::from_str::<Target>(&json).expect("the same"), Target::Object(url));
        }
        for text in
            ["", "s3", "s3:/b/k", "s3://b", "s3://b/", "s3:///k", "s3://u:p@b/k", "s3://b/k?x", "s3://b/d/"]
        {
            assert!(text.parse::<ObjectUrl>().is_err(), "{text}");
        }
    }
}
