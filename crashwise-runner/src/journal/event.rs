//! What a journal holds.

use crate::{CacheHit, RunStatus};
use crashwise_core::workflow::{ApprovalRequest, Decision, StepError, StepKey};
use crashwise_core::{Coverage, Fingerprint, Isolation, ModuleOutput, RunId, SeverityCounts, Target};
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A request for a run, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Submission {
    pub(crate) id: RunId,
    pub(crate) workflow: String,
    pub(crate) version: String,
    pub(crate) target: Target,
    pub(crate) params: Params,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_ms: Option<u64>,
    #[serde(default)]
    pub(crate) priority: i32,
    #[serde(default = "yes")]
    pub(crate) use_cache: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) require_sandbox: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) isolation: Option<Isolation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idempotency_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) forked_from: Option<RunId>,
    pub(crate) at_ms: u64,
}

fn yes() -> bool {
    true
}

/// Parameters of a run. As text, because maps are large and many runs wait for long.
#[derive(Debug, Clone)]
pub(crate) enum Params {
    Text(Box<str>),
    /// Nested deeper than text is read.
    Deep(Value),
}

impl Params {
    /// Readers of JSON stop at 128.
    const DEEP: u8 = 100;

    pub(crate) fn value(&self) -> Value {
        match self {
            // It was written from a value.
            Self::Text(text) => serde_json::from_str(text).unwrap_or_default(),
            Self::Deep(value) => value.clone(),
        }
    }
}

impl From<Value> for Params {
    fn from(value: Value) -> Self {
        fn fits(value: &Value, left: u8) -> bool {
            let Some(left) = left.checked_sub(1) else { return false };
            match value {
                Value::Array(items) => items.iter().all(|item| fits(item, left)),
                Value::Object(entries) => entries.values().all(|entry| fits(entry, left)),
                _ => true,
            }
        }
        if fits(&value, Self::DEEP) { Self::Text(value.to_string().into()) } else { Self::Deep(value) }
    }
}

impl PartialEq for Params {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

impl Submission {
    /// Whether steps may take results of other runs, of whose processes nothing is known.
    pub(crate) fn takes_cached(&self) -> bool {
        self.use_cache && !self.require_sandbox
    }

    /// One that asks for nothing but a workflow on a target.
    #[cfg(any(feature = "temporal", test))]
    pub(crate) fn plain(id: RunId, workflow: String, version: String, target: Target, at_ms: u64) -> Self {
        Self {
            id,
            workflow,
            version,
            target,
            params: Value::Null.into(),
            timeout_ms: None,
            priority: 0,
            use_cache: true,
            require_sandbox: false,
            isolation: None,
            idempotency_key: None,
            parent: None,
            forked_from: None,
            at_ms,
        }
    }

    /// Whether another request with the same key asks for the same.
    pub(crate) fn asks_the_same(&self, other: &Self) -> bool {
        self.workflow == other.workflow && self.target == other.target && self.params == other.params
    }
}

/// The form in which an event holds the result of a step: a value, or text that is read when it is asked for.
pub(crate) trait Payload: DeserializeOwned {
    /// A part of the result; none when it has another form.
    fn part<T: DeserializeOwned>(&self) -> Option<T>;
}

impl Payload for Value {
    fn part<T: DeserializeOwned>(&self) -> Option<T> {
        T::deserialize(self).ok()
    }
}

/// Text that is known to be JSON.
pub(crate) type Text = Box<RawValue>;

impl Payload for Text {
    fn part<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.get()).ok()
    }
}

/// One event of a run, numbered from 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record<V = Value> {
    pub(crate) seq: u64,
    pub(crate) at_ms: u64,
    pub(crate) event: Event<V>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<V = Value> {
    /// The run was asked for.
    Submitted(Box<Submission>),
    /// A process took the run.
    Claimed { owner: String },
    /// The workflow began, or went on after its turn came.
    Started {
        /// Time before that counts against its deadline.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        used_ms: Option<u64>,
    },
    /// A step was begun.
    StepStarted {
        key: StepKey,
        fp: Fingerprint,
        #[serde(deserialize_with = "word")]
        kind: Cow<'static, str>,
        module: String,
    },
    /// An attempt failed and another one follows.
    StepRetried { key: StepKey, error: StepError, wait_ms: u64 },
    /// A step ended.
    StepEnded(Box<StepEnd<V>>),
    /// A step waits until a time.
    Waiting { key: StepKey, until_ms: u64 },
    /// Somebody has to decide.
    ApprovalRequested {
        key: StepKey,
        request: ApprovalRequest,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_ms: Option<u64>,
    },
    /// Somebody decided.
    Decided { name: String, decision: Decision },
    /// A signal arrived.
    Signalled { name: String, value: Value },
    /// Somebody asked for a pause.
    PauseRequested,
    /// Nothing runs any more.
    Paused,
    /// Somebody asked to go on.
    Resumed,
    /// Somebody, or the deadline, stops the run.
    Stopping { status: RunStatus },
    /// The run ended.
    Finished(Box<RunEnd>),
}

/// The fields of [`Event::StepStarted`].
#[cfg(feature = "local")]
#[derive(Deserialize)]
struct StepStarted {
    key: StepKey,
    fp: Fingerprint,
    #[serde(deserialize_with = "word")]
    kind: Cow<'static, str>,
    module: String,
}

impl<V: Payload> Event<V> {
    /// Reads an event as it is stored. Most of a long journal are begins and ends of steps; those are read straight into
    /// place, where the word for the kind, which may come last, otherwise makes the reader keep all fields beside first.
    #[cfg(feature = "local")]
    pub(crate) fn decode(body: &[u8]) -> serde_json::Result<Self> {
        if body.starts_with(br#"{"event":"step_ended","#) {
            return serde_json::from_slice(body).map(|end| Self::StepEnded(Box::new(end)));
        }
        if body.starts_with(br#"{"event":"step_started","#) {
            let StepStarted { key, fp, kind, module } = serde_json::from_slice(body)?;
            return Ok(Self::StepStarted { key, fp, kind, module });
        }
        let value: Value = serde_json::from_slice(body)?;
        if value.get("event").and_then(Value::as_str) == Some("step_ended") {
            return serde_json::from_value(value).map(|end| Self::StepEnded(Box::new(end)));
        }
        serde_json::from_value(value)
    }
}

impl<V> Event<V> {
    /// Its word in the table of events.
    #[cfg(feature = "local")]
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Submitted(_) => "submitted",
            Self::Claimed { .. } => "claimed",
            Self::Started { .. } => "started",
            Self::StepStarted { .. } => "step_started",
            Self::StepRetried { .. } => "step_retried",
            Self::StepEnded(_) => "step_ended",
            Self::Waiting { .. } => "waiting",
            Self::ApprovalRequested { .. } => "approval_requested",
            Self::Decided { .. } => "decided",
            Self::Signalled { .. } => "signalled",
            Self::PauseRequested => "pause_requested",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Stopping { .. } => "stopping",
            Self::Finished(_) => "finished",
        }
    }

    /// The step that it is about.
    #[cfg(feature = "local")]
    pub(crate) fn step(&self) -> Option<&StepKey> {
        match self {
            Self::StepStarted { key, .. }
            | Self::StepRetried { key, .. }
            | Self::Waiting { key, .. }
            | Self::ApprovalRequested { key, .. } => Some(key),
            Self::StepEnded(end) => Some(&end.key),
            _ => None,
        }
    }
}

/// The end of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepEnd<V = Value> {
    pub(crate) key: StepKey,
    pub(crate) fp: Fingerprint,
    /// Position among the steps of the run, in the order in which they were asked for.
    pub(crate) index: u32,
    /// One of [`KINDS`], or a word of a later version.
    #[serde(deserialize_with = "word")]
    pub(crate) kind: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) module: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) version: String,
    pub(crate) attempts: u32,
    pub(crate) started_ms: u64,
    pub(crate) duration_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cached: Option<CacheHit>,
    /// Time of the run so far that counts against its deadline, by a clock that does not jump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) used_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) cleanup: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) child: Option<RunId>,
    pub(crate) outcome: Outcome<V>,
}

/// The words for kinds of steps. The last four need no work.
pub(crate) const KINDS: [&str; 11] = [
    "closure", "module", "child", "approval", "signal", "sleep", "skip", "now", "random", "record", "patched",
];

/// Reads the kind of a step, without a copy of a word that is known.
fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'static, str>, D::Error> {
    struct Word;
    impl Visitor<'_> for Word {
        type Value = Cow<'static, str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a kind of step")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            let known = KINDS.into_iter().find(|word| *word == text);
            Ok(known.map_or_else(|| text.to_owned().into(), Cow::Borrowed))
        }
    }
    deserializer.deserialize_str(Word)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// What a step ended with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome<V = Value> {
    /// The value that the workflow gets. Of a child, with what it covered and found.
    Value {
        value: V,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        child: Option<Box<ChildFound>>,
    },
    /// The error that the workflow gets, and what was found before.
    Error {
        error: StepError,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partial: Option<Box<ModuleOutput>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        child: Option<Box<ChildFound>>,
    },
}

/// What a child run covered and found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChildFound {
    pub(crate) coverage: Coverage,
    pub(crate) counts: SeverityCounts,
    pub(crate) findings: Vec<crashwise_core::ArtifactRef>,
    pub(crate) artifacts: Vec<crashwise_core::ArtifactRef>,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunEnd {
    pub(crate) status: RunStatus,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) output: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// The step whose error ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed_step: Option<StepKey>,
    pub(crate) counts: SeverityCounts,
    pub(crate) coverage: Coverage,
    pub(crate) started_ms: u64,
    pub(crate) duration_ms: u64,
}

#[cfg(all(test, feature = "local"))]
mod tests {
    use super::*;
    use crashwise_core::workflow::StepErrorKind;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn parameters_are_what_they_were_however_deep() {
        for depth in [0, 1, 99, 100, 101, 120, 200] {
            let value = (0..depth).fold(json!({"a": 1.5}), |inner, _| json!([inner]));
            assert_eq!(Params::from(value.clone()).value(), value);
        }
    }

    #[test]
    fn events_are_read_as_they_were_written() {
        let (key, fp) = (StepKey::from_text("scan#2"), Fingerprint::of(["closure"]));
        let error = StepError::new(key.clone(), StepErrorKind::TimedOut, "too slow");
        let end = |outcome| {
            Event::StepEnded(Box::new(StepEnd {
                key: key.clone(),
                fp: fp.clone(),
                index: 7,
                kind: "closure".into(),
                module: String::new(),
                version: String::new(),
                attempts: 1,
                started_ms: 3,
                duration_ms: 4,
                cached: None,
                used_ms: Some(5),
                cleanup: false,
                child: None,
                outcome,
            }))
        };
        let value = json!({"event": "paused", "summary": {"output": [1, null, "step_ended"]}});
        for event in [
            Event::StepStarted {
                key: key.clone(),
                fp: fp.clone(),
                kind: "module".into(),
                module: "a".into(),
            },
            end(Outcome::Value { value, child: None }),
            end(Outcome::Error { error: error.clone(), partial: None, child: None }),
            Event::StepRetried { key: key.clone(), error, wait_ms: 9 },
            Event::Started { used_ms: None },
            Event::Paused,
        ] {
            let body = serde_json::to_vec(&event).unwrap();
            assert_eq!(Event::<Value>::decode(&body).unwrap(), event);
            assert!(Event::<Value>::decode(&body[..body.len() - 1]).is_err());
            // The text of a result is the same value, wherever the word for the kind stands.
            let value: Value = serde_json::from_slice(&body).unwrap();
            let sorted =
                serde_json::to_vec(&value.as_object().unwrap().iter().rev().collect::<BTreeMap<_, _>>());
            for body in [body, sorted.unwrap()] {
                let read: Event<Text> = Event::decode(&body).unwrap();
                assert_eq!(serde_json::to_value(&read).unwrap(), value);
            }
        }
        assert!(Event::<Value>::decode(br#"{"event":"step_ended","key":"a"}"#).is_err());
        assert!(Event::<Text>::decode(br#"{"event":"step_ended","key":"a"}"#).is_err());
    }
}
