//! Signals and decisions that arrived and were not asked for yet.

use crashwise_core::workflow::Decision;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// Signals and decisions that arrived and were not asked for yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mailbox {
    signals: BTreeMap<String, VecDeque<Value>>,
    decisions: BTreeMap<String, Decision>,
}

impl Mailbox {
    pub(crate) fn put_signal(&mut self, name: &str, value: Value) {
        self.signals.entry(name.to_owned()).or_default().push_back(value);
    }

    pub(crate) fn take_signal(&mut self, name: &str) -> Option<Value> {
        let queue = self.signals.get_mut(name)?;
        let value = queue.pop_front();
        if queue.is_empty() {
            self.signals.remove(name);
        }
        value
    }

    #[cfg(feature = "temporal")]
    pub(crate) fn has_signal(&self, name: &str) -> bool {
        self.signals.contains_key(name)
    }

    pub(crate) fn put_decision(&mut self, name: &str, decision: Decision) {
        self.decisions.insert(name.to_owned(), decision);
    }

    pub(crate) fn has_decision(&self, name: &str) -> bool {
        self.decisions.contains_key(name)
    }

    /// Adds what arrived later.
    #[cfg(feature = "temporal")]
    pub(crate) fn append(&mut self, later: Self) {
        for (name, values) in later.signals {
            self.signals.entry(name).or_default().extend(values);
        }
        for (name, decision) in later.decisions {
            self.decisions.entry(name).or_insert(decision);
        }
    }

    pub(crate) fn take_decision(&mut self, name: &str) -> Option<Decision> {
        self.decisions.remove(name)
    }
}
