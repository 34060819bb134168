//! Drives libFuzzer targets: cargo-fuzz binaries, any other, and atheris scripts, which print and exit alike.
//!
//! [`Target`] is what to run, [`Campaign`] how long and with what; [`Campaign::run`] starts jobs, starts them again
//! after each crash with the corpus grown so far, and hands each crash to the caller. It never uses `-fork`, whose
//! counts and artifacts disagree. [`Replay`] runs one input, and makes it smaller while it stays the same crash.

mod campaign;
mod command;
mod debugger;
mod events;
mod heard;
mod heat;
mod inputs;
mod job;
mod left;
mod merge;
mod nesting;
mod outcome;
mod relay;
mod replay;
mod standing;
mod status;
mod target;
mod ticks;
mod turns;

pub use campaign::Campaign;
pub use events::{CampaignEvent, Progress, Totals};
#[cfg(all(test, feature = "in-process"))]
pub(super) use left::left_behind;
#[cfg(feature = "in-process")]
pub(super) use left::{CAUGHT, HEADER, LONGEST, MAILBOX};
pub use merge::Merge;
pub(super) use nesting::Nesting;
pub(super) use outcome::tail;
pub use outcome::{ArtifactKind, Ending};
pub use replay::{Replay, Replayed};
pub use status::{FinalStats, Status, StatusEvent, StatusLine};
pub use target::{FlagsBy, Target, symbolizer};

#[cfg(test)]
mod tests;
