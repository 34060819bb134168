//! A journal that ends with the process.

use super::{Ack, Cached, Created, Event, Journal, JournalError, Record, RunLog, Submission, Taken, When};
use async_trait::async_trait;
use crashwise_core::{Fingerprint, RunId};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Records = Arc<Mutex<Vec<Record>>>;

/// A journal that ends with the process.
#[derive(Debug, Default)]
pub(crate) struct MemoryJournal {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    runs: HashMap<RunId, (Submission, Records)>,
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
    async fn create(&self, run: Submission) -> Result<Created, JournalError> {
        let mut inner = self.lock();
        let known = run.idempotency_key.as_ref().and_then(|key| inner.keys.get(key)).unwrap_or(&run.id);
        if let Some((first, _)) = inner.runs.get(known) {
            return Ok(Created::Exists { id: first.id.clone(), same: first.asks_the_same(&run) });
        }
        if let Some(key) = &run.idempotency_key {
            inner.keys.insert(key.clone(), run.id.clone());
        }
        let first = Record { seq: 1, at_ms: run.at_ms, event: Event::Submitted(Box::new(run.clone())) };
        let records = Arc::new(Mutex::new(vec![first]));
        let log = MemoryLog(Arc::clone(&records));
        inner.runs.insert(run.id.clone(), (run, records));
        Ok(Created::New(Box::new(log)))
    }

    async fn take(&self, run: &RunId) -> Result<Option<Taken>, JournalError> {
        let inner = self.lock();
        Ok(inner.runs.get(run).map(|(_, kept)| {
            let records = kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Taken { log: Box::new(MemoryLog(Arc::clone(kept))), records }
        }))
    }

    fn forget(&self, run: &RunId) {
        let mut inner = self.lock();
        if let Some((Submission { idempotency_key: Some(key), .. }, _)) = inner.runs.remove(run) {
            inner.keys.remove(&key);
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

struct MemoryLog(Records);

impl RunLog for MemoryLog {
    fn append(&mut self, at_ms: u64, event: Event, _: When) -> Ack {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = records.len() as u64 + 1;
        records.push(Record { seq, at_ms, event });
        Ack::now()
    }
}
