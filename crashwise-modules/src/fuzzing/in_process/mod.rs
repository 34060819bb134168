//! Fuzzing of a closure in the program that holds it: [`FuzzModule`].
//!
//! Parent and child are the same program. The child speaks the language of libFuzzer, flags, status lines, artifacts and
//! exit codes, so that campaigns, replay, minimisation and triage are those of every other driver. What it adds: panics are
//! caught and fuzzing goes on, the running input lies in a file that both map, so that no death loses it, and stacks can be
//! small.
//!
//! - `module`: the parent. `child`: the loop, and the watch over it.
//! - `signals`, `stack` and `words`: how a child dies, and what it says. `names`: what the parent reads out of that.
//! - `engine` and `mutate`: what to run next. `counters` and `compares`: what instrumented code says.

mod check;
mod child;
mod compares;
mod counters;
mod engine;
mod flags;
mod mailbox;
mod module;
mod mutate;
mod names;
mod signals;
mod stack;
mod still;
mod words;

pub use engine::{CoverageGuided, Engine, EngineOptions, EngineStatus, Observation};
pub use module::{FuzzConfig, FuzzModule};
pub(super) use names::named;
