//! Where runs get their trees from: the cache that the environment names, and stores by their URL.

use super::exit::Failure;
use crate::RunnerBuilder;
use clap::ValueEnum;
use crashwise_core::cache::{Cache, CacheConfig, CacheListener};
use crashwise_core::store::{S3Config, Store};
use crashwise_core::{Isolation, ObjectUrl, Target, error_chain};
use percent_encoding::percent_decode_str;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long the end of the program waits for trees to be removed.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a run's tree is shared with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// A tree of its own; a local directory is copied
    Isolated,
    /// One tree for all, read only; a local directory is used in place
    Shared,
    /// A tree of its own that holds no more than what the run changes, where the file system can do that
    CopyOnWrite,
}

impl From<Mode> for Isolation {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Isolated => Self::Isolated,
            Mode::Shared => Self::Shared,
            Mode::CopyOnWrite => Self::CopyOnWrite,
        }
    }
}

/// The cache of this process, opened when a run first needs it.
#[derive(Debug, Clone)]
pub(super) struct Workspaces {
    config: CacheConfig,
    opened: Arc<OnceLock<Cache>>,
}

impl Workspaces {
    /// The cache of `CACHE_DIR`, `CACHE_MAX_SIZE` and `CACHE_TTL`.
    pub(super) fn from_environment(listener: Option<CacheListener>) -> Result<Self, Failure> {
        let mut config = cache_config(None)?;
        if let Some(listener) = listener {
            config = config.with_listener(listener);
        }
        Ok(Self { config, opened: Arc::default() })
    }

    /// Lets a runner get its trees here.
    pub(super) fn attach(&self, builder: RunnerBuilder) -> RunnerBuilder {
        let Self { config, opened } = self.clone();
        builder
            .cache_from(move || {
                let cache = Cache::open(config.clone())?;
                Ok(opened.get_or_init(|| cache).clone())
            })
            .object_stores(|url| Ok(bucket(url)?))
    }

    /// Lets a worker get its trees here.
    #[cfg(feature = "temporal")]
    pub(super) fn attach_worker(&self) -> crate::temporal::WorkerBuilder {
        let Self { config, opened } = self.clone();
        crate::temporal::Worker::builder(move || {
            let cache = Cache::open(config.clone())?;
            Ok(opened.get_or_init(|| cache).clone())
        })
        .object_stores(|url| Ok(bucket(url)?))
    }

    /// Waits until the trees of the ended runs are gone. Called last.
    pub(super) fn settle(&self) {
        if let Some(cache) = self.opened.get() {
            // What is left is removed by the next start.
            let _ = cache.settle(PATIENCE);
        }
    }
}

/// The cache's configuration: the directory that was given or `CACHE_DIR`, else the user's cache folder.
pub(super) fn cache_config(directory: Option<&Path>) -> Result<CacheConfig, Failure> {
    let variable = |name: &str| std::env::var(name).ok();
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    let fallback = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let fallback = fallback.unwrap_or_else(std::env::temp_dir).join("crashwise");
    let config = CacheConfig::from_variables(fallback, |name| match name {
        // A tree must stay where it is, wherever this process or its children go.
        "CACHE_DIR" => {
            let given = directory.map(Path::to_owned).or_else(|| variable(name).map(PathBuf::from))?;
            std::path::absolute(&given).unwrap_or(given).into_os_string().into_string().ok()
        }
        _ => variable(name),
    });
    config.map_err(|error| Failure::usage(error_chain(&error)))
}

/// What a run looks at: a path, `file://` with a path, or `s3://` with bucket and key.
pub(super) fn target(text: &str) -> Result<Target, Failure> {
    let path = match text.split_once("://") {
        None => PathBuf::from(text),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("file") => file(text)?,
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("s3") => {
            let url = text.parse().map_err(|error| Failure::usage(format!("target {error}")))?;
            // A wrong variable is told before the run begins.
            bucket(&url)?;
            return Ok(Target::Object(url));
        }
        Some(_) => {
            return Err(Failure::usage(format!(
                "target {text:?} cannot be fetched: expected a path, file:// or s3://"
            )));
        }
    };
    let failed = |error| Failure::usage(format!("target {text} could not be opened: {error}"));
    // A run may go on in another folder than it began in.
    std::path::absolute(path).and_then(Target::from_path).map_err(failed)
}

/// A store: a folder, `file://` with a folder, or `s3://` with bucket and perhaps a prefix.
pub(super) fn store(text: &str) -> Result<Store, Failure> {
    let folder = match text.split_once("://") {
        None => PathBuf::from(text),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("file") => file(text)?,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("s3") => return s3(&format!("s3://{rest}")),
        Some(_) => {
            return Err(Failure::usage(format!(
                "store {text:?} cannot be used: expected a folder, file:// or s3://"
            )));
        }
    };
    let opened = std::path::absolute(&folder).map(|folder| Store::local(&folder));
    opened
        .map_err(|error| Failure::usage(format!("store {text} could not be used: {error}")))?
        .map_err(|error| Failure::usage(error_chain(&error)))
}

/// The path of a `file://` URL of this machine.
fn file(text: &str) -> Result<PathBuf, Failure> {
    let rest = &text["file://".len()..];
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    let wrong = || Failure::usage(format!("{text:?} is no path of this machine: expected file:///path"));
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| wrong())?;
    if decoded.starts_with('/') { Ok(PathBuf::from(decoded.into_owned())) } else { Err(wrong()) }
}

fn bucket(url: &ObjectUrl) -> Result<Store, Failure> {
    match url.scheme() {
        "s3" => s3(&format!("s3://{}", url.bucket())),
        other => Err(Failure::usage(format!("stores of {other}:// are not known: expected s3://"))),
    }
}

fn s3(url: &str) -> Result<Store, Failure> {
    let config = S3Config::from_variables(|name| std::env::var(name).ok())
        .and_then(|config| config.with_url(url))
        .map_err(|error| Failure::usage(error.to_string()))?;
    Store::s3(&config).map_err(|error| Failure::usage(error_chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_urls() {
        assert_eq!(file("file:///a%20b/c").unwrap(), Path::new("/a b/c"));
        assert_eq!(file("file://localhost/a").unwrap(), Path::new("/a"));
        assert!(file("file://elsewhere/a").is_err());
        assert!(file("file://").is_err());
    }
}
