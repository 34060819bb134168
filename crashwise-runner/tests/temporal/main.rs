//! Runs on a real Temporal server, which `scripts/test-temporal.sh` starts. Without one these tests fail.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod again;
mod bad_input;
mod control;
mod door;
mod fuzzing;
mod kill;
mod large;
mod parity;
#[path = "../../src/tests/program.rs"]
mod program;
mod programs;
#[path = "../../src/tests/random.rs"]
mod random;
mod replay;
mod support;
