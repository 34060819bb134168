//! Runs crashwise workflows: an in-process engine behind one builder and one `await`.
//!
//! ```
//! use crashwise_core::workflow::{Workflow, WorkflowContext, WorkflowError};
//! use crashwise_core::{Metadata, Target};
//! use crashwise_runner::{RunStatus, Runner};
//!
//! struct Count;
//!
//! impl Workflow for Count {
//!     type Params = std::collections::BTreeMap<String, u32>;
//!     type Output = u32;
//!
//!     fn metadata(&self) -> Metadata {
//!         Metadata::new("count", "1.0.0".parse().unwrap(), "Counts.")
//!     }
//!
//!     async fn run(&self, cx: &WorkflowContext, _: Self::Params) -> Result<u32, WorkflowError> {
//!         let numbers = cx.map("double", 2, 1..=3, |cx, n: u32| async move {
//!             cx.step("twice").run(move |_| async move { Ok(n * 2) }).await
//!         });
//!         Ok(numbers.await?.into_iter().sum())
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runner = Runner::builder().workflow(Count).build()?;
//! let report = runner.run("count", Target::Directory(".".into()), serde_json::json!({})).await?;
//! assert_eq!((report.status, report.output), (RunStatus::Completed, 12.into()));
//! # Ok(())
//! # }
//! ```
//!
//! # Map
//!
//! - [`Runner`]: modules and workflows in, runs out. [`RunRequest`] says what to run.
//! - [`RunHandle`]: a run that goes on: wait, cancel, pause, resume, approve, signal.
//! - [`RunReport`]: what a run did: status, output, findings, coverage, steps.
//! - [`RunEvent`]: what happens in runs, as it happens.
//! - [`workflows`]: those that come with crashwise; [`definition`]: workflows as data, without a compiler.
//!
//! # What it does not do
//!
//! It knows no analysis: modules do. It defines no contract: `crashwise-core` does.

#[cfg(feature = "cli")]
pub mod cli;
pub mod definition;
#[cfg(feature = "local")]
mod durable;
mod engine;
mod error;
mod event;
mod executor;
mod failpoint;
mod handle;
mod journal;
mod report;
mod reporting;
mod request;
mod results;
mod runner;
mod steps;
#[cfg(feature = "local")]
mod store;
#[cfg(feature = "temporal")]
pub mod temporal;
#[cfg(all(test, feature = "local"))]
mod tests;
pub mod workflows;

#[cfg(feature = "local")]
pub use durable::Recovered;
pub use engine::OnChange;
pub use error::RunnerError;
pub use event::{RunEvent, RunEventKind};
pub use handle::RunHandle;
pub use journal::JournalError;
#[cfg(feature = "local")]
pub use journal::sqlite::Durability;
pub use report::{CacheHit, RunReport, RunStatus, StepReport, StepStatus};
pub use request::RunRequest;
pub use runner::{Runner, RunnerBuilder};
#[cfg(feature = "local")]
pub use store::{HistoryEvent, LatestStats, OpenStep, Pruned, RunFilter, RunStore, RunSummary, Verdict};
