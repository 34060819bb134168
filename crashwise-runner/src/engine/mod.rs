//! The in-process engine: what runs share, and what carries one out.

mod backend;
mod clock;
mod core;
mod drive;
mod live;
mod mailbox;
mod memo;
mod queue;
mod shard;
mod state;
mod waker;

pub(crate) use backend::why_stopped;
pub(crate) use clock::{Clock, after, at, millis};
pub(crate) use core::{Begun, Core, Guard, Known, Pool};
pub(crate) use drive::panic_text;
pub(crate) use live::{Control, Live, Progress};
pub(crate) use queue::Places;
pub(crate) use shard::Shards;
pub(crate) use state::RunState;
