//! Drives AFL++: instances that share their finds, their statistics, and its two tools for making inputs fewer and smaller.
//!
//! What it finds is run once more, for AFL++ keeps inputs only; from there on a crash is like any other.

mod campaign;
mod replay;
mod stats;
mod tools;

pub(super) use campaign::AflCampaign;
pub(super) use tools::AflTarget;
