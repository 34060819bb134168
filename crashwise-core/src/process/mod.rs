//! Starts child processes: the only place of the project that does (Linux, feature `process`).
//!
//! ```no_run
//! # async fn example() -> Result<(), crashwise_core::process::ProcessError> {
//! use std::time::Duration;
//!
//! use crashwise_core::process::{Level, Limits, Spec};
//! use tokio_util::sync::CancellationToken;
//!
//! let exit = Spec::new("target/parse")
//!     .arg("input.bin")
//!     .level(Level::Sandbox)
//!     .limits(Limits::new().with_memory(512 << 20).with_processes(16))
//!     .deadline(Duration::from_secs(10))
//!     .run(&CancellationToken::new())
//!     .await?;
//! assert!(exit.status.success(), "{}", exit.stderr.text());
//! # Ok(())
//! # }
//! ```
//!
//! Between the host and the program stands a *supervisor*: the forked child itself, which forks once more before the
//! program is executed and never executes anything. It is the reaper of the tree, holds one end of a pipe whose other
//! end only the host holds, and kills the whole tree when that pipe closes: on deadline, on cancel, on drop and when
//! the host itself is killed. It needs no help of the host's binary, and neither signal handlers nor a subreaper flag
//! in the host. Until the program ends it costs the host a copy-on-write image of its memory.
//!
//! What is asked for and what is enforced are two things: see [`Enforcement`], [`Spec::require`] and [`probe`].

mod capability;
mod cgroup;
mod confine;
#[cfg(feature = "container")]
mod container;
mod disk;
mod drive;
mod enforcement;
mod error;
mod exit;
mod limits;
mod output;
mod plan;
mod running;
mod spec;
mod supervisor;
mod tool;

pub use capability::{Capability, probe, probe_containers};
pub use enforcement::{Enforcement, Layer, Means, TreeKill};
pub use error::ProcessError;
pub use exit::{Cause, Exit, Status, Usage};
pub use limits::Limits;
pub use output::Output;
pub use running::{Line, Running, Stream};
pub use spec::{Level, Network, Spec, Stdin};
pub use tool::{find_tool, install_hint};

#[cfg(test)]
mod tests;
