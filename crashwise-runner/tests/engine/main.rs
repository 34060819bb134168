//! The in-process engine, through its public door.
#![allow(
    clippy::unwrap_used,
    clippy::default_trait_access,
    clippy::struct_excessive_bools,
    unreachable_pub,
    reason = "helpers of tests"
)]

mod basics;
mod control;
mod defects;
mod durable;
mod limits;
mod protection;
mod state_dir;
mod support;
mod workspaces;
