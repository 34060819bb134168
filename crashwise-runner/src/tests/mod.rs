//! What the engine promises when processes die, disks fill and files break.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "helpers of tests")]

mod begins;
mod campaign;
mod clock;
mod damage;
mod full_disk;
mod golden;
mod parked;
pub(crate) mod power;
mod program;
mod programs;
mod random;

use crate::journal::Submission;
use crashwise_core::{RunId, Target};
use serde_json::Value;

/// A run for tests that write to a journal themselves.
fn submission() -> Submission {
    Submission {
        id: RunId::generate(),
        workflow: "any".into(),
        version: "1.0.0".into(),
        target: Target::Directory(".".into()),
        params: Value::Null.into(),
        timeout_ms: None,
        priority: 0,
        use_cache: true,
        isolation: None,
        idempotency_key: None,
        parent: None,
        forked_from: None,
        at_ms: 1,
    }
}
