//! What the journal says of a run when it is carried on.

use super::mailbox::Mailbox;
use crate::journal::{Event, Outcome, Record, RunEnd, StepEnd};
use crate::{RunStatus, StepReport};
use crashwise_core::Fingerprint;
use crashwise_core::workflow::{StepError, StepErrorKind, StepKey};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// A result that the journal holds.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) fp: Fingerprint,
    pub(crate) result: Result<Value, StepError>,
}

/// What the journal says of a run when it is carried on.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    results: HashMap<StepKey, Stored>,
    /// Steps that were begun and have no end.
    pub(crate) begun: HashMap<StepKey, Fingerprint>,
    /// Steps that wait until a time.
    pub(crate) until: HashMap<StepKey, u64>,
    /// Steps of the journal that the workflow has not asked for yet in this process.
    ahead: HashSet<StepKey>,
}

/// The state of a run as its records tell it.
#[derive(Debug, Default)]
pub(crate) struct Past {
    pub(crate) memo: Memo,
    pub(crate) mailbox: Mailbox,
    pub(crate) steps: Vec<StepReport>,
    pub(crate) paused: bool,
    pub(crate) stopping: Option<RunStatus>,
    pub(crate) started_ms: Option<u64>,
    /// Time that counts against the deadline.
    pub(crate) used: Duration,
    /// Whether anything happened after the request.
    pub(crate) began: bool,
    pub(crate) next_index: u32,
    pub(crate) finished: Option<Box<RunEnd>>,
}

impl Past {
    pub(crate) fn of(records: Vec<Record>) -> Self {
        let mut past = Self::default();
        let mut counting_since: Option<u64> = None;
        let mut people = HashSet::new();
        // The time of day may jump between two events; this does not. Journals of old have only the former.
        let mut exact: Option<u64> = None;
        for Record { at_ms, event, .. } in records {
            if let Some(since) = counting_since.replace(at_ms).filter(|_| people.is_empty()) {
                past.used += Duration::from_millis(at_ms.saturating_sub(since));
            }
            match event {
                Event::Submitted(_) | Event::Claimed { .. } | Event::Paused => counting_since = None,
                Event::Started { used_ms } => {
                    exact = used_ms.or(exact);
                    past.began = true;
                    past.started_ms.get_or_insert(at_ms);
                }
                Event::StepStarted { key, fp, .. } => {
                    past.began = true;
                    past.memo.ahead.insert(key.clone());
                    past.memo.begun.insert(key, fp);
                }
                Event::StepRetried { .. } => {}
                Event::Finished(end) => past.finished = Some(end),
                Event::StepEnded(end) => {
                    people.remove(&end.key);
                    exact = end.used_ms.or(exact);
                    past.step_ended(*end);
                }
                Event::Waiting { key, until_ms } => {
                    past.memo.ahead.insert(key.clone());
                    past.memo.until.insert(key, until_ms);
                }
                Event::ApprovalRequested { key, until_ms, .. } => {
                    past.memo.ahead.insert(key.clone());
                    if let Some(until_ms) = until_ms {
                        past.memo.until.insert(key.clone(), until_ms);
                    }
                    people.insert(key);
                }
                Event::Decided { name, decision } => past.mailbox.put_decision(&name, decision),
                Event::Signalled { name, value } => past.mailbox.put_signal(&name, value),
                Event::PauseRequested => past.paused = true,
                Event::Resumed => {
                    past.paused = false;
                    // What lies between pause and resume does not count.
                    counting_since = Some(at_ms);
                }
                Event::Stopping { status } => past.stopping = Some(status),
            }
        }
        if let Some(ms) = exact {
            past.used = Duration::from_millis(ms);
        }
        past
    }

    fn step_ended(&mut self, end: StepEnd) {
        self.began = true;
        self.next_index = self.next_index.max(end.index + 1);
        self.memo.begun.remove(&end.key);
        self.memo.until.remove(&end.key);
        // What arrived and was taken is not there any more.
        if matches!(end.outcome, Outcome::Value { .. }) {
            match end.kind.as_str() {
                "signal" => drop(self.mailbox.take_signal(&end.module)),
                "approval" => drop(self.mailbox.take_decision(&end.module)),
                _ => {}
            }
        }
        if let Some(report) = StepReport::of(&end) {
            self.steps.push(report);
        }
        if end.cleanup {
            return;
        }
        let result = match end.outcome {
            Outcome::Value { value, .. } => Ok(value),
            // A step that was stopped did not end by itself: it is carried out again.
            Outcome::Error { error, .. } if error.kind == StepErrorKind::Cancelled => return,
            Outcome::Error { error, .. } => Err(error),
        };
        self.memo.ahead.insert(end.key.clone());
        self.memo.results.insert(end.key, Stored { fp: end.fp, result });
    }
}

impl Memo {
    /// The stored result of a key. Reading it says that the workflow came by here again.
    pub(crate) fn take(&mut self, key: &StepKey) -> Option<Stored> {
        self.ahead.remove(key);
        self.results.remove(key)
    }

    pub(crate) fn peek(&self, key: &StepKey) -> Option<&Stored> {
        self.results.get(key)
    }

    pub(crate) fn keep(&mut self, key: StepKey, fp: Fingerprint, value: Value) {
        self.results.insert(key, Stored { fp, result: Ok(value) });
    }

    /// Whether the journal holds steps that the workflow did not come by yet.
    pub(crate) fn is_replaying(&self) -> bool {
        !self.ahead.is_empty()
    }
}
