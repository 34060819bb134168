//! Runs workflows on a Temporal cluster (feature `temporal`): the same workflows, unchanged.
//!
//! - The key of a step is the id of its activity, the module's name is the activity's type, on the queue of its vertical.
//! - Closures of a workflow are local activities: they run where the workflow is being carried out.
//! - Approvals and signals are signals, the status is a query; pause, resume and cancel reach the run as signals.
//! - Findings and files go to the store; only references travel.

mod activities;
mod again;
mod backend;
mod child;
mod closures;
mod cluster;
mod codec;
mod drive;
mod error;
mod fetch;
mod handle;
mod hosted;
mod look;
mod messages;
mod prune;
mod remote;
mod replay;
mod retry;
mod rooms;
mod shop;
mod submit;
mod underway;
mod verify;
mod wait;
mod watch;
mod worker;

pub use cluster::{Cluster, ClusterOptions, Tls};
pub use error::ClusterError;
pub use handle::ClusterRun;
pub use look::Look;
pub use messages::queue_of;
pub use replay::Replayer;
pub use submit::Submission;
pub use verify::Checked;
pub use watch::Seen;
pub use worker::{Slots, Worker, WorkerBuilder};

/// Name of the record of a run in the store.
const RECORD: &str = "run.json";
