//! Fuzzing: triage of what crashes print.

pub mod triage;
