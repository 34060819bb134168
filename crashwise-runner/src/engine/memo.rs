//! What the journal says of a run when it is carried on.

use super::mailbox::Mailbox;
use super::step::object;
use crate::RunStatus;
use crate::journal::{Event, Outcome, Payload, Record, RunEnd, StepEnd, Text};
use crate::steps::StepLine;
use crashwise_core::Fingerprint;
use crashwise_core::workflow::{Command, StepError, StepErrorKind, StepKey};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// A result that the journal holds.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) fp: Fingerprint,
    result: Result<Kept, Box<StepError>>,
}

/// A value, or the text of one that is read when the workflow asks for it.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    Value(Box<Value>),
    Text(Text),
}

impl From<Value> for Kept {
    fn from(value: Value) -> Self {
        Self::Value(Box::new(value))
    }
}

impl From<Text> for Kept {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl Stored {
    /// What the workflow gets for the step of a key.
    pub(crate) fn result(self, key: &StepKey, command: &Command) -> Result<Value, StepError> {
        match self.result.map_err(|error| *error)? {
            Kept::Value(value) => Ok(*value),
            Kept::Text(text) => read(text.get(), command).map_err(|error| {
                let message = format!("the stored result cannot be read: {error}");
                StepError::new(key.clone(), StepErrorKind::Storage, message)
            }),
        }
    }
}

/// Reads the text of a result. Of what a closure did, the workflow gets no more than its summary.
fn read(text: &str, command: &Command) -> serde_json::Result<Value> {
    #[derive(Deserialize)]
    struct OfClosure {
        summary: Value,
    }
    if let Command::Inline(_) = command {
        let OfClosure { summary } = serde_json::from_str(text)?;
        return Ok(object("summary", summary));
    }
    serde_json::from_str(text)
}

/// What this process and the journal know of the steps of a run.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    steps: HashMap<StepKey, Known, foldhash::fast::RandomState>,
    /// Steps that wait until a time.
    pub(crate) until: HashMap<StepKey, u64>,
    /// How many steps of the journal the workflow has not asked for yet in this process.
    ahead: usize,
}

/// What is known of a step.
#[derive(Debug, Default)]
struct Known {
    stored: Option<Stored>,
    /// It was begun before this process, and has no end.
    begun: bool,
    /// The workflow has not asked for it yet in this process.
    ahead: bool,
    /// The workflow has asked for it in this process.
    asked: bool,
}

/// What there is when the workflow asks for a step.
pub(crate) enum Asked {
    /// It has a result.
    Stored(Stored),
    /// It is to be carried out.
    New,
    /// The workflow has asked for it before.
    Again,
}

impl Memo {
    fn step(&mut self, key: StepKey) -> &mut Known {
        let known = self.steps.entry(key).or_default();
        if !known.ahead && !known.asked {
            known.ahead = true;
            self.ahead += 1;
        }
        known
    }

    /// Says that the workflow came by a step, and what there is for it.
    pub(crate) fn ask(&mut self, key: &StepKey) -> Asked {
        let Some(known) = self.steps.get_mut(key) else {
            self.steps.insert(key.clone(), Known { asked: true, ..Known::default() });
            return Asked::New;
        };
        if std::mem::take(&mut known.ahead) {
            self.ahead -= 1;
        }
        let before = std::mem::replace(&mut known.asked, true);
        match known.stored.take() {
            Some(stored) => Asked::Stored(stored),
            None if before => Asked::Again,
            None => Asked::New,
        }
    }

    /// Whether a step was begun before this process, and has no end. Told once.
    pub(crate) fn take_begun(&mut self, key: &StepKey) -> bool {
        self.steps.get_mut(key).is_some_and(|known| std::mem::take(&mut known.begun))
    }

    /// The stored value of a key.
    pub(crate) fn peek(&self, key: &StepKey) -> Option<Value> {
        let stored = self.steps.get(key)?.stored.clone()?;
        stored.result(key, &Command::Record(Value::Null)).ok()
    }

    /// Keeps a value for the next time that the workflow asks.
    pub(crate) fn keep(&mut self, key: &StepKey, fp: Fingerprint, value: Value) {
        if let Some(known) = self.steps.get_mut(key) {
            known.stored = Some(Stored { fp, result: Ok(value.into()) });
        }
    }

    /// Whether the journal holds steps that the workflow did not come by yet.
    pub(crate) fn is_replaying(&self) -> bool {
        self.ahead > 0
    }
}

/// The state of a run as its records tell it.
#[derive(Debug, Default)]
pub(crate) struct Past {
    pub(crate) memo: Memo,
    pub(crate) mailbox: Mailbox,
    pub(crate) steps: Vec<StepLine>,
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
        let mut building = Building::default();
        for record in records {
            building.add(record);
        }
        building.done()
    }

    #[allow(clippy::boxed_local, reason = "it is large, and most of it stays where it is")]
    fn step_ended<V: Payload + Into<Kept>>(&mut self, end: Box<StepEnd<V>>) {
        self.began = true;
        self.next_index = self.next_index.max(end.index + 1);
        if !self.memo.until.is_empty() {
            self.memo.until.remove(&end.key);
        }
        // What arrived and was taken is not there any more.
        if matches!(end.outcome, Outcome::Value { .. }) {
            match &*end.kind {
                "signal" => drop(self.mailbox.take_signal(&end.module)),
                "approval" => drop(self.mailbox.take_decision(&end.module)),
                _ => {}
            }
        }
        if let Some(line) = StepLine::of(&end) {
            self.steps.push(line);
        }
        let StepEnd { key, fp, outcome, .. } = *end;
        let result = match outcome {
            Outcome::Value { value, .. } => Some(Ok(value.into())),
            // A step that was stopped did not end by itself: it is carried out again.
            Outcome::Error { error, .. } if error.kind == StepErrorKind::Cancelled => None,
            Outcome::Error { error, .. } => Some(Err(Box::new(error))),
        };
        if let Some(result) = result {
            let known = self.memo.step(key);
            known.begun = false;
            known.stored = Some(Stored { fp, result });
        } else if let Some(known) = self.memo.steps.get_mut(&key) {
            known.begun = false;
        }
    }
}

/// The state of a run, made record by record.
#[derive(Debug, Default)]
pub(crate) struct Building {
    past: Past,
    counting_since: Option<u64>,
    people: HashSet<StepKey>,
    /// The time of day may jump between two events; this does not. Journals of old have only the former.
    exact: Option<u64>,
}

impl Building {
    /// With room for the steps of so many events, so that it need not be made again and again.
    pub(crate) fn of_events(number: u64) -> Self {
        const MOST: u64 = 1 << 17;
        let mut building = Self::default();
        // Short runs may wait for long.
        if let (256.., Ok(number)) = (number, usize::try_from(number.min(MOST))) {
            building.past.memo.steps.reserve(number);
            building.past.steps.reserve(number);
        }
        building
    }

    pub(crate) fn add<V: Payload + Into<Kept>>(&mut self, record: Record<V>) {
        let Record { at_ms, event, .. } = record;
        let past = &mut self.past;
        if let Some(since) = self.counting_since.replace(at_ms).filter(|_| self.people.is_empty()) {
            past.used += Duration::from_millis(at_ms.saturating_sub(since));
        }
        match event {
            Event::Submitted(_) | Event::Claimed { .. } | Event::Paused => self.counting_since = None,
            Event::Started { used_ms } => {
                self.exact = used_ms.or(self.exact);
                past.began = true;
                past.started_ms.get_or_insert(at_ms);
            }
            Event::StepStarted { key, .. } => {
                past.began = true;
                past.memo.step(key).begun = true;
            }
            Event::StepRetried { .. } => {}
            Event::Finished(end) => past.finished = Some(end),
            Event::StepEnded(end) => {
                if !self.people.is_empty() {
                    self.people.remove(&end.key);
                }
                self.exact = end.used_ms.or(self.exact);
                past.step_ended(end);
            }
            Event::Waiting { key, until_ms } => {
                past.memo.step(key.clone());
                past.memo.until.insert(key, until_ms);
            }
            Event::ApprovalRequested { key, until_ms, .. } => {
                past.memo.step(key.clone());
                if let Some(until_ms) = until_ms {
                    past.memo.until.insert(key.clone(), until_ms);
                }
                self.people.insert(key);
            }
            Event::Decided { name, decision } => past.mailbox.put_decision(&name, decision),
            Event::Signalled { name, value } => past.mailbox.put_signal(&name, value),
            Event::PauseRequested => past.paused = true,
            Event::Resumed => {
                past.paused = false;
                // What lies between pause and resume does not count.
                self.counting_since = Some(at_ms);
            }
            Event::Stopping { status } => past.stopping = Some(status),
        }
    }

    pub(crate) fn done(mut self) -> Past {
        if let Some(ms) = self.exact {
            self.past.used = Duration::from_millis(ms);
        }
        self.past
    }
}
