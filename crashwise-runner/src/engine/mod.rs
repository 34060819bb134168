//! The in-process engine: what runs share, and what carries one out.

mod backend;
mod child;
mod clock;
mod core;
mod drive;
#[cfg(feature = "local")]
mod keeper;
mod live;
mod mailbox;
mod memo;
mod queue;
mod shard;
mod spin;
mod state;
mod step;
mod wait;
mod waker;
mod work;

pub(crate) use clock::{Clock, after, at, millis};
#[cfg(feature = "cli")]
pub(crate) use core::LazyMetadata;
pub use core::OnChange;
pub(crate) use core::{Begun, Core, Guard, Known, Pool, Reconcile};
pub(crate) use drive::panic_text;
#[cfg(feature = "local")]
pub(crate) use keeper::{Latest, ToLatest, start as start_keeper};
pub(crate) use live::{Control, Live, Progress};
#[cfg(feature = "local")]
pub(crate) use memo::Building;
pub(crate) use memo::Past;
pub(crate) use queue::Places;
pub(crate) use shard::Shards;
pub(crate) use state::RunState;
pub(crate) use step::why_stopped;
#[cfg(feature = "temporal")]
pub(crate) use {child::child_id, mailbox::Mailbox};
