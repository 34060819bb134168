//! How long objects live where the store itself has no rules for that.

use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use super::{Prefix, Store, StoreError};

const DAY: Duration = Duration::from_hours(24);

/// How long objects of each kind live.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lifetimes {
    targets: Duration,
    results: Duration,
    cache: Duration,
    corpora: Duration,
}

impl Default for Lifetimes {
    /// 7, 30 and 3 days; corpora without end.
    fn default() -> Self {
        Self { targets: 7 * DAY, results: 30 * DAY, cache: 3 * DAY, corpora: Duration::MAX }
    }
}

impl Lifetimes {
    /// Sets the lifetime of one kind.
    #[must_use]
    pub fn with(mut self, prefix: Prefix, lifetime: Duration) -> Self {
        match prefix {
            Prefix::Targets => self.targets = lifetime,
            Prefix::Results => self.results = lifetime,
            Prefix::Cache => self.cache = lifetime,
            Prefix::Corpora => self.corpora = lifetime,
        }
        self
    }

    /// The lifetime of one kind.
    #[must_use]
    pub fn of(&self, prefix: Prefix) -> Duration {
        match prefix {
            Prefix::Targets => self.targets,
            Prefix::Results => self.results,
            Prefix::Cache => self.cache,
            Prefix::Corpora => self.corpora,
        }
    }
}

/// What a sweep deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Swept {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Store {
    /// Deletes what has outlived its lifetime at `now`. Objects that seem to come from the future stay.
    pub async fn sweep(&self, lifetimes: &Lifetimes, now: SystemTime) -> Result<Swept, StoreError> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut swept = Swept::default();
        for prefix in Prefix::ALL {
            let key = self.key(prefix.as_str());
            let mut objects = self.objects.list(Some(&key));
            while let Some(meta) =
                objects.try_next().await.map_err(|error| StoreError::new(key.as_ref(), &error))?
            {
                let written = Duration::from_secs(u64::try_from(meta.last_modified.timestamp()).unwrap_or(0));
                if now.saturating_sub(written) <= lifetimes.of(prefix) {
                    continue;
                }
                match self.objects.delete(&meta.location).await {
                    Ok(()) => {
                        swept.objects += 1;
                        swept.bytes += meta.size;
                    }
                    Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(StoreError::new(meta.location.as_ref(), &error)),
                }
            }
        }
        Ok(swept)
    }
}
