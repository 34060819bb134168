//! A journal that ends with the process. What happened in a run is nowhere but in the run itself: nobody else could carry
//! it on.

use super::{Ack, Cached, Created, Event, Journal, JournalError, RunLog, Submission, Taken};
use async_trait::async_trait;
use crashwise_core::{Fingerprint, RunId};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A journal that ends with the process.
#[derive(Debug, Default)]
pub(crate) struct MemoryJournal {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    runs: HashMap<RunId, Arc<Submission>>,
    keys: HashMap<String, RunId>,
    cache: HashMap<Fingerprint, Cached>,
    cache_order: VecDeque<Fingerprint>,
}

impl MemoryJournal {
    /// How many results stay for other runs.
    const CACHED: usize = 1000;

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn create(&self, run: &Arc<Submission>) -> Result<Created, JournalError> {
        let mut inner = self.lock();
        let known = run.idempotency_key.as_ref().and_then(|key| inner.keys.get(key)).unwrap_or(&run.id);
        if let Some(first) = inner.runs.get(known) {
            return Ok(Created::Exists { id: first.id.clone(), same: first.asks_the_same(run) });
        }
        if let Some(key) = &run.idempotency_key {
            inner.keys.insert(key.clone(), run.id.clone());
        }
        inner.runs.insert(run.id.clone(), Arc::clone(run));
        Ok(Created::New(Box::new(Nothing)))
    }

    async fn take(&self, _: &RunId) -> Result<Option<Taken>, JournalError> {
        Ok(None)
    }

    fn forget(&self, run: &RunId) {
        let mut inner = self.lock();
        let forgotten = inner.runs.remove(run);
        if let Some(key) = forgotten.as_ref().and_then(|run| run.idempotency_key.as_ref()) {
            inner.keys.remove(key);
        }
    }

    async fn cached(&self, fp: &Fingerprint) -> Result<Option<Cached>, JournalError> {
        Ok(self.lock().cache.get(fp).cloned())
    }

    fn cache(&self, fp: &Fingerprint, _: &str, result: Cached) {
        let mut inner = self.lock();
        if inner.cache.insert(fp.clone(), result).is_none() {
            inner.cache_order.push_back(fp.clone());
        }
        if inner.cache_order.len() > Self::CACHED
            && let Some(oldest) = inner.cache_order.pop_front()
        {
            inner.cache.remove(&oldest);
        }
    }
}

struct Nothing;

impl RunLog for Nothing {
    fn append(&mut self, _: u64, _: &Event) -> Ack {
        Ack::now()
    }

    fn note(&mut self, _: u64, _: Event) {}

    fn keeps(&self) -> bool {
        false
    }
}
