//! A journal that ends with the process.

use super::{Ack, Created, Event, Journal, JournalError, Record, RunLog, Submission, When};
use async_trait::async_trait;
use crashwise_core::RunId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

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
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn create(&self, run: Submission) -> Result<Created, JournalError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let known = run.idempotency_key.as_ref().and_then(|key| inner.keys.get(key)).unwrap_or(&run.id);
        if let Some((first, _)) = inner.runs.get(known) {
            return Ok(Created::Exists { id: first.id.clone(), same: first.asks_the_same(&run) });
        }
        if let Some(key) = &run.idempotency_key {
            inner.keys.insert(key.clone(), run.id.clone());
        }
        let first = Record { seq: 1, at_ms: run.at_ms, event: Event::Submitted(Box::new(run.clone())) };
        inner.runs.insert(run.id.clone(), (run, Arc::new(Mutex::new(vec![first]))));
        Ok(Created::New)
    }

    async fn open(&self, run: &RunId) -> Result<Option<(Box<dyn RunLog>, Vec<Record>)>, JournalError> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(inner.runs.get(run).map(|(_, records)| {
            let so_far = records.lock().unwrap_or_else(PoisonError::into_inner).clone();
            (Box::new(MemoryLog(Arc::clone(records))) as Box<dyn RunLog>, so_far)
        }))
    }

    fn forget(&self, run: &RunId) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((Submission { idempotency_key: Some(key), .. }, _)) = inner.runs.remove(run) {
            inner.keys.remove(&key);
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
