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

/// A run for tests that write to a journal themselves.
fn submission() -> Submission {
    let target = Target::Directory(".".into());
    Submission::plain(RunId::generate(), "any".into(), "1.0.0".into(), target, 1)
}
