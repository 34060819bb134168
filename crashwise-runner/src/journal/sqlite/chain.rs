//! Events as bytes, and the hash chain over them.

use super::JournalError;
use crate::journal::{Event, Outcome, StepEnd};
use crashwise_core::RunId;

pub(crate) type Hash = [u8; 32];

/// The end of a run's chain: the number and the hash of its last event.
#[derive(Debug)]
pub(crate) struct End {
    seq: u64,
    hash: Hash,
}

impl End {
    pub(crate) fn new(seq: u64, hash: Hash) -> Self {
        Self { seq, hash }
    }

    pub(crate) fn hash(&self) -> Hash {
        self.hash
    }

    /// Adds an event; gives its number and its hash.
    pub(crate) fn add(&mut self, at_ms: u64, body: &[u8]) -> (u64, Hash) {
        self.seq += 1;
        self.hash = next(&self.hash, self.seq, at_ms, body);
        (self.seq, self.hash)
    }
}

/// An event as it is stored.
pub(crate) fn encode(event: &Event) -> Result<Vec<u8>, JournalError> {
    // Most events are ends of steps with a small result.
    let mut body = Vec::with_capacity(448);
    match event {
        Event::StepEnded(end) => encode_end(end, &mut body),
        _ => serde_json::to_writer(&mut body, event),
    }
    .map_err(|error| JournalError::storage("an event is not JSON", error))?;
    Ok(body)
}

/// The end of a step, in the very bytes that its derived form has: with the names of the fields written at once, which is
/// most of the work where all values are short.
fn encode_end(end: &StepEnd, body: &mut Vec<u8>) -> serde_json::Result<()> {
    let StepEnd { key, fp, index, kind, module, version, attempts, started_ms, duration_ms, .. } = end;
    body.extend_from_slice(br#"{"event":"step_ended","key":"#);
    text(body, key.as_str())?;
    body.extend_from_slice(br#","fp":"#);
    text(body, fp.as_str())?;
    body.extend_from_slice(br#","index":"#);
    serde_json::to_writer(&mut *body, index)?;
    body.extend_from_slice(br#","kind":"#);
    text(body, kind)?;
    if !module.is_empty() {
        body.extend_from_slice(br#","module":"#);
        text(body, module)?;
    }
    if !version.is_empty() {
        body.extend_from_slice(br#","version":"#);
        text(body, version)?;
    }
    body.extend_from_slice(br#","attempts":"#);
    serde_json::to_writer(&mut *body, attempts)?;
    body.extend_from_slice(br#","started_ms":"#);
    serde_json::to_writer(&mut *body, started_ms)?;
    body.extend_from_slice(br#","duration_ms":"#);
    serde_json::to_writer(&mut *body, duration_ms)?;
    if let Some(cached) = &end.cached {
        body.extend_from_slice(br#","cached":"#);
        serde_json::to_writer(&mut *body, cached)?;
    }
    if let Some(used_ms) = &end.used_ms {
        body.extend_from_slice(br#","used_ms":"#);
        serde_json::to_writer(&mut *body, used_ms)?;
    }
    if end.cleanup {
        body.extend_from_slice(br#","cleanup":true"#);
    }
    if let Some(child) = &end.child {
        body.extend_from_slice(br#","child":"#);
        text(body, child.as_str())?;
    }
    body.extend_from_slice(br#","outcome":"#);
    if let Outcome::Value { value, child: None } = &end.outcome {
        body.extend_from_slice(br#"{"value":{"value":"#);
        serde_json::to_writer(&mut *body, value)?;
        body.extend_from_slice(b"}}");
    } else {
        serde_json::to_writer(&mut *body, &end.outcome)?;
    }
    body.push(b'}');
    Ok(())
}

/// Text as JSON.
fn text(body: &mut Vec<u8>, text: &str) -> serde_json::Result<()> {
    if text.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        return serde_json::to_writer(body, text);
    }
    body.push(b'"');
    body.extend_from_slice(text.as_bytes());
    body.push(b'"');
    Ok(())
}

/// What the first event of a run is chained to.
pub(crate) fn start(run: &RunId) -> Hash {
    *blake3::hash(run.as_str().as_bytes()).as_bytes()
}

/// The hash of an event: over the one before it, its number, its time and its content.
pub(crate) fn next(before: &Hash, seq: u64, at_ms: u64, body: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before);
    hasher.update(&seq.to_le_bytes());
    hasher.update(&at_ms.to_le_bytes());
    hasher.update(body);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CacheHit;
    use crashwise_core::Fingerprint;
    use crashwise_core::workflow::{StepError, StepErrorKind, StepKey};
    use serde_json::json;

    #[test]
    fn ends_of_steps_are_written_as_they_are_derived() {
        let plain = StepEnd {
            key: StepKey::from_text("fuzz/0/afl#12"),
            fp: Fingerprint::of(["closure"]),
            index: 7,
            kind: "closure".into(),
            module: String::new(),
            version: String::new(),
            attempts: 1,
            started_ms: 1_790_000_000_000,
            duration_ms: 0,
            cached: None,
            used_ms: None,
            cleanup: false,
            child: None,
            outcome: Outcome::Value {
                value: json!({"summary": {"output": [1.5, "a\"\n\u{7f}é"]}}),
                child: None,
            },
        };
        let odd = "a\"b\\c\nd\u{1}é\u{2028}";
        let error = StepError::new(StepKey::from_text(odd), StepErrorKind::TimedOut, odd);
        let found = crate::journal::ChildFound {
            coverage: crashwise_core::Coverage::new(),
            counts: crashwise_core::SeverityCounts::default(),
            findings: Vec::new(),
            artifacts: Vec::new(),
        };
        let full = StepEnd {
            key: StepKey::from_text(odd),
            module: odd.to_owned(),
            version: "1.0.0".to_owned(),
            kind: odd.to_owned().into(),
            cached: Some(CacheHit::new(1, 2)),
            used_ms: Some(u64::MAX),
            cleanup: true,
            child: Some(RunId::generate()),
            outcome: Outcome::Error { error, partial: None, child: None },
            ..plain.clone()
        };
        let of_child = StepEnd {
            outcome: Outcome::Value { value: json!(null), child: Some(Box::new(found)) },
            ..full.clone()
        };
        for end in [plain, full, of_child] {
            let event = Event::StepEnded(Box::new(end));
            assert_eq!(encode(&event).unwrap(), serde_json::to_vec(&event).unwrap());
        }
    }
}
