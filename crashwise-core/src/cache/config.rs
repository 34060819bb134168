//! How a cache behaves.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::event::CacheEvent;
use crate::archive::ExtractOptions;
use crate::{ByteSize, InvalidQuantity, Span};

/// Receives what happens in a cache, on the thread where it happens.
pub type CacheListener = Arc<dyn Fn(&CacheEvent) + Send + Sync>;

/// Tells the time.
pub type CacheClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Where a cache is, how large it may become and how long its entries live.
#[derive(Clone)]
#[non_exhaustive]
pub struct CacheConfig {
    pub(super) directory: PathBuf,
    pub(super) max_size: ByteSize,
    pub(super) ttl: Span,
    pub(super) interval: Duration,
    pub(super) patience: Duration,
    pub(super) durable: bool,
    pub(super) evicts: bool,
    pub(super) extract: ExtractOptions,
    pub(super) listener: Option<CacheListener>,
    pub(super) clock: CacheClock,
}

/// A variable of the configuration that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is wrong")]
pub struct InvalidCacheVariable {
    /// The variable.
    pub name: &'static str,
    source: InvalidQuantity,
}

impl CacheConfig {
    /// 10 GB, 7 days, eviction every 30 minutes.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            max_size: ByteSize::from_bytes(10_000_000_000),
            ttl: Span::new(Duration::from_hours(7 * 24)),
            interval: Duration::from_mins(30),
            patience: Duration::from_hours(1),
            durable: true,
            evicts: true,
            extract: ExtractOptions::new(),
            listener: None,
            clock: Arc::new(SystemTime::now),
        }
    }

    /// Reads `CACHE_DIR`, `CACHE_MAX_SIZE` and `CACHE_TTL` from wherever `variable` looks them up; `fallback` is the
    /// directory if there is no `CACHE_DIR`.
    ///
    /// ```
    /// use crashwise_core::cache::CacheConfig;
    ///
    /// let config = CacheConfig::from_variables("/var/cache/crashwise", |name| match name {
    ///     "CACHE_MAX_SIZE" => Some("500MB".to_owned()),
    ///     _ => None,
    /// })?;
    /// assert_eq!(config.max_size().bytes(), 500_000_000);
    /// # Ok::<_, crashwise_core::cache::InvalidCacheVariable>(())
    /// ```
    pub fn from_variables(
        fallback: impl Into<PathBuf>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, InvalidCacheVariable> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let mut config = Self::new(variable("CACHE_DIR").map_or_else(|| fallback.into(), PathBuf::from));
        let wrong = |name| move |source| InvalidCacheVariable { name, source };
        if let Some(size) = variable("CACHE_MAX_SIZE") {
            config.max_size = size.parse().map_err(wrong("CACHE_MAX_SIZE"))?;
        }
        if let Some(ttl) = variable("CACHE_TTL") {
            config.ttl = ttl.parse().map_err(wrong("CACHE_TTL"))?;
        }
        Ok(config)
    }

    /// Sets the size above which the least recently used targets are evicted.
    #[must_use]
    pub fn with_max_size(mut self, max_size: ByteSize) -> Self {
        self.max_size = max_size;
        self
    }

    /// Sets how long a target stays after its last use.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Span) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets how often eviction runs by itself.
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets how long to wait for another caller that fetches the same target (default one hour).
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Publishes without waiting for the disk. A power cut may then leave entries of empty files, so this is for
    /// caches that do not outlive the machine's uptime, such as one on tmpfs.
    #[must_use]
    pub fn without_sync(mut self) -> Self {
        self.durable = false;
        self
    }

    /// Evicts only when asked to or when room is needed, not at opening and not by itself.
    #[must_use]
    pub fn without_eviction(mut self) -> Self {
        self.evicts = false;
        self
    }

    /// Sets limits and rules for extraction.
    #[must_use]
    pub fn with_extract_options(mut self, extract: ExtractOptions) -> Self {
        self.extract = extract;
        self
    }

    /// Sets who hears of hits, misses and evictions.
    #[must_use]
    pub fn with_listener(mut self, listener: CacheListener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Sets the clock, for tests.
    #[must_use]
    pub fn with_clock(mut self, clock: CacheClock) -> Self {
        self.clock = clock;
        self
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The greatest size.
    #[must_use]
    pub fn max_size(&self) -> ByteSize {
        self.max_size
    }

    /// The time that an unused target stays.
    #[must_use]
    pub fn ttl(&self) -> Span {
        self.ttl
    }
}

impl fmt::Debug for CacheConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheConfig")
            .field("directory", &self.directory)
            .field("max_size", &self.max_size)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}
